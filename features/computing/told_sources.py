"""What customers told us of their attributes, as customer rows: a feature sees it from the moment that it was told."""

import polars as pl

from decisioning.catalogue.catalogue import Attribute, Catalogue
from features.computing.attribute_columns import as_fact, as_number, is_unfit
from features.computing.rule_expressions import unfit_column
from features.log.event_types import StateEventType
from features.log.reported import settled_events

_TOLD_US = "told_us"


def told_rows(customers: pl.DataFrame, events: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Rows of `sources.customer_rows`, and one more for each time that a customer told us an attribute.

    The word of the customer stands until a row that knows the attribute is newer, as it does in profiles.
    """
    told = _told(events, catalogue)
    if told.is_empty():
        return customers
    teller = told.select("customer_id").unique()
    others = customers.join(teller, on="customer_id", how="anti")
    rows = customers.join(teller, on="customer_id", how="semi")
    moments = told.select("customer_id", "known_us").unique()
    copies = moments.sort("known_us").join_asof(
        rows.sort("known_us"), on="known_us", by="customer_id", strategy="backward", check_sortedness=False
    )
    both = pl.concat([rows, copies.select(rows.columns)]).unique(["customer_id", "known_us"], keep="first")
    for attribute in catalogue.customer_attributes:
        both = _with_word(both, told.filter(pl.col("name") == attribute.name), attribute)
    return pl.concat([others, both.select(customers.columns)])


def _told(events: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """`customer_id`, `known_us`, `told_us`, `name` and the value as text."""
    names = [attribute.name for attribute in catalogue.customer_attributes]
    said = settled_events(events.filter(pl.col("type") == StateEventType.ATTRIBUTE_TOLD.value))
    return said.select(
        "customer_id",
        pl.max_horizontal("occurred_at", "recorded_at").dt.epoch("us").alias("known_us"),
        pl.col("occurred_at").dt.epoch("us").alias(_TOLD_US),
        pl.col("properties").str.json_path_match("$.name").alias("name"),
        pl.col("properties").str.json_path_match("$.value").alias("word"),
    ).filter(pl.col("name").is_in(names))


def _with_word(rows: pl.DataFrame, told: pl.DataFrame, attribute: Attribute) -> pl.DataFrame:
    """Rows with the latest word about one attribute, where it is newer than what the row knows."""
    number, fact, stated = f"attribute_{attribute.name}", f"customer.{attribute.name}", f"stated_us:{attribute.name}"
    unfit = unfit_column(fact)
    words = _latest_told(told)
    joined = rows.sort("known_us").join_asof(
        words, on="known_us", by="customer_id", strategy="backward", check_sortedness=False
    )
    stands = pl.col("word").is_not_null() & (
        (pl.col(fact).is_null() & ~pl.col(unfit).fill_null(value=False))
        | pl.col(stated).is_null()
        | (pl.col(_TOLD_US) >= pl.col(stated))
    )
    word = pl.col("word")
    return joined.with_columns(
        pl.when(stands).then(as_fact(attribute, word)).otherwise(fact).alias(fact),
        pl.when(stands).then(as_number(attribute, word)).otherwise(number).alias(number),
        pl.when(stands).then(is_unfit(attribute, word)).otherwise(unfit).alias(unfit),
    ).drop("word", _TOLD_US, "best")


def _latest_told(told: pl.DataFrame) -> pl.DataFrame:
    """Words about one attribute in order of arrival, each with the latest told by then, whenever that arrived.

    Of two told at the same moment the greater text stands, as in profiles.
    """
    quoted = pl.col("word") + '"'
    placed = told.sort(_TOLD_US, quoted).with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
    arriving = placed.sort("known_us", "place").with_columns(best=pl.col("place").cum_max().over("customer_id"))
    told_by_then = placed.select(_TOLD_US, "word", best="place")
    return arriving.select("customer_id", "known_us", "best").join(
        told_by_then, on="best", how="left", maintain_order="left"
    )
