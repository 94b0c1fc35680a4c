"""Rows that are dated after the import that brings them: they arrive with it, and what protects a customer is taken."""

from datetime import UTC, datetime

import polars as pl

from features.log.contracts import CUSTOMERS, EVENTS, OUTCOMES, Table
from features.log.reported import CARING

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""First moment that no clock can mean."""


def is_spared(table: Table, name: str) -> pl.Expr:
    """Rows that are taken whatever a time of theirs says: a refusal, or what else would let a message through."""
    is_about_time = table in {EVENTS, OUTCOMES} and name in {"occurred_at", "recorded_at"}
    return pl.col("type").is_in(sorted(CARING)) if is_about_time else pl.lit(value=False)


def with_arrivals(table: Table, values: pl.DataFrame, now: datetime | None) -> pl.DataFrame:
    """Canonical rows that became known at the latest with the import.

    Where nothing is known of the moment of the import, rows stay as they are.

    A customer's row counts as of the import where it is dated later. An event or outcome keeps the moment that it was
    told to have happened; where that is later, or no clock can mean it, the import is its arrival.
    """
    if now is None:
        return values
    moment = pl.lit(now).cast(values.schema[table.time_column])
    if table is CUSTOMERS:
        return values.with_columns(updated_at=pl.min_horizontal("updated_at", moment))
    if table not in {EVENTS, OUTCOMES}:
        return values
    told, known = pl.col("occurred_at"), pl.col("recorded_at")
    is_odd = (told > moment) | (told < pl.lit(EARLIEST))
    is_late = is_spared(table, "recorded_at") & ((known > moment) | (known < pl.lit(EARLIEST)))
    arrived = pl.when(is_late.fill_null(value=False)).then(moment).otherwise(known)
    return values.with_columns(recorded_at=pl.when(is_odd & known.is_null()).then(moment).otherwise(arrived))
