"""Who an anonymous visitor turned out to be: events `identified`, and what was known of the visitor as of then."""

import polars as pl

from features.contracts import StateEventType

ANONYMOUS_ID = "anonymous_id"
"""Property of an event `identified` that names the visitor; its customer is who they are."""


def identities(events: pl.DataFrame) -> pl.DataFrame:
    """Who is who, and since when we know.

    Args:
        events: Canonical events.

    Returns:
        `visitor`, `customer_id` and `since` (the first word of each pair), one row per pair; nobody is joined with
        themselves.
    """
    told = events.filter(pl.col("type") == StateEventType.IDENTIFIED.value).select(
        pl.col("properties").str.json_path_match(f"$.{ANONYMOUS_ID}").alias("visitor"),
        "customer_id",
        pl.max_horizontal("occurred_at", "recorded_at").alias("since"),
    )
    pairs = told.filter(pl.col("visitor").is_not_null(), pl.col("visitor") != pl.col("customer_id"))
    return pairs.group_by("visitor", "customer_id").agg(pl.col("since").min())


def with_visitors(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Rows of customers, with those of the visitors they were, which became theirs when we heard who they are.

    Args:
        rows: Rows with `customer_id` and `known_us`, the moment each became known in microseconds.
        known: As `identities` tells.
    """
    if known.is_empty():
        return rows
    whose = known.select(pl.col("visitor").alias("customer_id"), pl.col("customer_id").alias("_who"), "since")
    theirs = rows.join(whose, on="customer_id", how="inner", maintain_order="left").select(
        pl.col("_who").alias("customer_id"),
        pl.max_horizontal("known_us", pl.col("since").dt.epoch("us")).alias("known_us"),
        pl.exclude("customer_id", "known_us", "_who", "since"),
    )
    return pl.concat([rows, theirs.select(rows.columns)])
