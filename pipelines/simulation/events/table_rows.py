"""Rows of a canonical table, gathered from arrays."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IntArray
from examples.conversion import canonical
from features.log.contracts import UTC_TIME
from pipelines.simulation.world.state import keys_of
from pipelines.simulation.world.week import When

SECONDS = 3_600
LAST_HOUR = 167.9
"""Everything of a week is over before the next one begins."""


def times(begins_at: datetime, hours: FloatArray) -> pl.Series:
    """Moments, whole seconds, from hours after the beginning of a week; those beyond its end are brought back."""
    seconds = (np.clip(hours, 0.0, LAST_HOUR) * SECONDS).astype(np.int64)
    return (
        pl.Series("at", (int(begins_at.timestamp()) + seconds) * 1_000_000)
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
    )


class Sheet:
    """Gathers rows of one table for the customers of one week."""

    def __init__(self, table: str, when: When, ids: Sequence[str]) -> None:
        self._table, self._when = table, when
        self._ids = pl.Series("customer_id", ids)
        self._parts: list[pl.DataFrame] = []

    def add(
        self,
        kind: str,
        rows: IntArray,
        hours: FloatArray,
        *,
        keys: str | pl.Series,
        amount_minor: IntArray | None = None,
        properties: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Add a row for each customer in `rows`.

        Args:
            kind: The `type` of all of them.
            rows: Customers, shape (r,).
            hours: When, in hours after the beginning, shape (r,).
            keys: Values of the table's key, r; or the name that `keys_of` makes them from.
            amount_minor: Shape (r,).
            properties: Each value one for all, or r of them.
            columns: Further columns, likewise.
        """
        if not rows.size:
            return
        key = "event_id" if self._table == "events" else "outcome_id"
        named = keys_of(keys, self._when.week, rows) if isinstance(keys, str) else keys
        at = times(self._when.begins_at, hours)
        frame = pl.DataFrame({key: named, "customer_id": self._ids.gather(rows), "occurred_at": at}).with_columns(
            pl.lit(kind).alias("type"), *[_column(name, value) for name, value in columns.items()]
        )
        if amount_minor is not None:
            frame = frame.with_columns(pl.Series("amount_minor", amount_minor), currency=pl.lit("EUR"))
        if properties:
            fields = pl.struct([_column(name, value) for name, value in properties.items()])
            frame = frame.with_columns(fields.struct.json_encode().alias("properties"))
        self._parts.append(frame)

    def frame(self) -> pl.DataFrame:
        """The canonical table, sorted by time and key."""
        nothing = pl.DataFrame(schema={"occurred_at": UTC_TIME})
        return canonical(self._table, pl.concat(self._parts, how="diagonal") if self._parts else nothing)


def _column(name: str, value: Any) -> pl.Expr:
    if isinstance(value, str | int | float):
        return pl.lit(value).alias(name)
    return pl.lit(value if isinstance(value, pl.Series) else pl.Series(name, value)).alias(name)
