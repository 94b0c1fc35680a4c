"""What the cells of a table's file say before rules look at them: marks of missing values, money, currencies."""

from collections.abc import Iterable

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from features.log.contracts import CUSTOMERS, Table
from features.log.customer_rows import CLEARABLE
from features.tabular.cells import numbers, whole, without_missing

AMOUNT = "amount"
"""Column with money in major units, accepted in place of `amount_minor`."""

NULL_WORDS = (r"\N", "NULL", "null")
"""What empties a column of a customer, where an empty cell says nothing."""

_MINOR = "amount_minor"


def is_in_major_units(table: Table, names: Iterable[str]) -> bool:
    """Whether a file gives a table's money in major units, and not in minor ones."""
    found = set(names)
    return _MINOR in table.schema and AMOUNT in found and _MINOR not in found


def in_minor_units(table: Table, raw: pl.DataFrame, catalogue: Catalogue | None) -> pl.DataFrame:
    """Rows with `amount_minor`, as text, in place of an `amount` in major units of the catalogue's currency.

    A cell that cannot be read stays as it is, so that it is refused under its own words.
    """
    if catalogue is None or not is_in_major_units(table, raw.columns):
        return raw
    from features.catalogue.building.money import (
        to_minor,  # seldom needed here, and it brings the whole catalogue package
    )

    told = raw[AMOUNT].cast(pl.String, strict=False)
    minor = (numbers(told) * to_minor(1.0, catalogue.currency)).to_frame(_MINOR)
    as_text = minor.select(whole(pl.col(_MINOR)).cast(pl.String)).to_series()
    return raw.drop(AMOUNT).with_columns(pl.coalesce(as_text, told).alias(_MINOR))


def with_cleared(table: Table, raw: pl.DataFrame) -> pl.DataFrame:
    """Customer rows whose `cleared` names, beside what it names itself, the columns whose cell is an explicit null."""
    texts = [name for name in CLEARABLE if table is CUSTOMERS and raw.schema.get(name) == pl.String]
    if not texts:
        return raw
    marks = [pl.when(pl.col(name).str.strip_chars().is_in(NULL_WORDS)).then(pl.lit(f'"{name}"')) for name in texts]
    names = pl.concat_list(marks).list.drop_nulls()
    found = pl.when(names.list.len() > 0).then(pl.format("[{}]", names.list.join(",")))
    if raw.schema.get("cleared") != pl.String:
        return raw.with_columns(found.alias("cleared"))
    given = pl.col("cleared").str.strip_chars()
    given = pl.when(~given.is_in(["", *NULL_WORDS])).then(given)
    open_list = given.str.strip_suffix("]").str.strip_chars_end()
    comma = pl.when(open_list == "[").then(pl.lit("")).otherwise(pl.lit(","))
    both = pl.when(names.list.len() > 0).then(pl.format("{}{}{}]", open_list, comma, names.list.join(",")))
    return raw.with_columns(pl.coalesce(both, given, found).alias("cleared"))


def without_marks(table: Table, raw: pl.DataFrame) -> pl.DataFrame:
    """Rows with null where a cell of text says that there is no value, as NA, NULL and NaN do."""
    return raw.with_columns(
        without_missing(pl.col(column.name), is_number=not isinstance(column.dtype, pl.String)).alias(column.name)
        for column in table.columns
        if raw.schema.get(column.name) == pl.String and column.name not in _OWN_WORDS
    )


_OWN_WORDS = frozenset({"country"})  # NA is Namibia


def spelt_out(values: pl.DataFrame, catalogue: Catalogue | None) -> pl.DataFrame:
    """Parsed rows with countries and currencies in capitals, and the catalogue's where an amount comes without one."""
    if "country" in values.columns:
        values = values.with_columns(pl.col("country").str.to_uppercase())
    if "currency" not in values.columns:
        return values
    currency = pl.col("currency").str.to_uppercase()
    if catalogue is not None:
        ours = pl.when(pl.col(_MINOR).is_not_null()).then(pl.lit(catalogue.currency))
        currency = pl.coalesce(currency, ours)
    return values.with_columns(currency.alias("currency"))
