"""Values that an import removes from customers; they are reported, so that nothing is cleared unnoticed."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.importing.staged import Staged, staged_rows
from features.log.contracts import CUSTOMERS

_NULL = r'"((?:[^"\\]|\\.)+)":null'


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A column or an attribute that rows empty.

    Attributes:
        name: `time_zone`, or `attributes.points`.
    """

    name: str
    customers: int

    def __str__(self) -> str:
        return f"{self.name} of {self.customers:,} customers"


def find_cleared(staged: Sequence[Staged]) -> tuple[Cleared, ...]:
    """What the good rows of the customers' file empty, by name."""
    rows = staged_rows(staged, CUSTOMERS)
    if rows is None:
        return ()
    columns = rows.select("customer_id", pl.col("cleared").str.extract_all("[a-z_]+").alias("name"))
    nulls = rows.select("customer_id", pl.col("attributes").str.extract_all(_NULL).alias("name"))
    attributes = _each(nulls).with_columns(pl.format("attributes.{}", pl.col("name").str.extract(_NULL)).alias("name"))
    named = pl.concat([_each(columns), attributes])
    counted = named.group_by("name").agg(pl.col("customer_id").n_unique()).sort("name").collect()
    return tuple(Cleared(name=name, customers=customers) for name, customers in counted.iter_rows())


def _each(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.explode("name").drop_nulls("name")
