"""Who an anonymous visitor turned out to be: events `identified`, and what was known of the visitor as of then."""

from collections.abc import Mapping

import polars as pl

from features.log.event_types import StateEventType

ANONYMOUS_ID = "anonymous_id"
"""Property of an event `identified` that names the visitor; its customer is who they are."""


def identities(events: pl.DataFrame) -> pl.DataFrame:
    """Which visitor is which customer, and since when we know.

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


def people(events: pl.DataFrame) -> pl.DataFrame:
    """Whose a visitor's history is: of each visitor the customer whom they first turned out to be, once there is one.

    Events without `properties` name nobody.

    Later words on the same visitor, as of a device that several use, do not move what was theirs.

    Returns:
        `customer_id` of the visitor and `person`, one row per visitor; a visitor of a visitor is the last one's.
    """
    if "properties" not in events.columns:
        return pl.DataFrame(schema={"customer_id": pl.String, "person": pl.String})
    first = identities(events).sort("since", "customer_id").unique("visitor", keep="first", maintain_order=True)
    found = dict(first.select("visitor", "customer_id").iter_rows())
    rows = [{"customer_id": visitor, "person": _end_of(visitor, found)} for visitor in found]
    return pl.DataFrame(rows, schema={"customer_id": pl.String, "person": pl.String})


def _end_of(visitor: str, found: Mapping[str, str]) -> str:
    """The last customer of a chain; of ids that name each other the least, so that all have the same."""
    seen = [visitor]
    while (following := found.get(seen[-1])) is not None:
        if following in seen:
            return min(seen[seen.index(following) :])
        seen.append(following)
    return seen[-1]


def by_person(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Rows under the customer whom their visitor turned out to be, from `people`; others stay as they are."""
    if known.is_empty():
        return rows
    joint = rows.join(known, on="customer_id", how="left", maintain_order="left")
    return joint.with_columns(customer_id=pl.coalesce("person", "customer_id")).drop("person")


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
