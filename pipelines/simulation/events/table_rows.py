"""Rows of a canonical table, gathered from arrays."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IntArray
from examples.conversion import canonical
from features.log.contracts import UTC_TIME

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
    """Gathers rows of one table for one week.

    Attributes:
        begins_at: The week's beginning.
        ids: Customers.
    """

    def __init__(self, table: str, begins_at: datetime, ids: Sequence[str], currency: str = "EUR") -> None:
        self._table, self._begins_at, self._currency = table, begins_at, currency
        self._ids = pl.Series("customer_id", ids)
        self._parts: list[pl.DataFrame] = []

    def add(
        self,
        kind: str,
        rows: IntArray,
        hours: FloatArray,
        *,
        keys: Sequence[str] | pl.Series,
        amount_minor: IntArray | None = None,
        properties: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Add a row for each customer in `rows`.

        Args:
            kind: The `type` of all of them.
            rows: Customers, shape (r,).
            hours: When, in hours after the beginning, shape (r,).
            keys: Values of the table's key, r.
            amount_minor: Shape (r,).
            properties: Each value one for all, or r of them.
            columns: Further columns, likewise.
        """
        if not rows.size:
            return
        key = "event_id" if self._table == "events" else "outcome_id"
        frame = pl.DataFrame(
            {key: pl.Series(keys), "customer_id": self._ids.gather(rows), "occurred_at": times(self._begins_at, hours)}
        ).with_columns(pl.lit(kind).alias("type"), *[_column(name, value) for name, value in columns.items()])
        if amount_minor is not None:
            frame = frame.with_columns(
                pl.Series("amount_minor", amount_minor), pl.lit(self._currency).alias("currency")
            )
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
