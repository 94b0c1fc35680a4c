"""From what a file holds to canonical types: text of CSV, and the near misses that Parquet writers produce."""

from collections.abc import Callable, Mapping

import polars as pl

from features.ids import WHOLE_ID
from features.log.contracts import UTC_TIME, Column
from features.moments import ISO_PATTERN
from features.tabular.cells import flags, numbers, whole

_WITH_OFFSET = "%Y-%m-%dT%H:%M:%S%.f%:z"
_MOST_EXACT = 10.0**15


def parsed(column: Column, dtype: pl.DataType) -> pl.Expr | None:
    """Expression that turns a file's column into its canonical type, with null where a value does not fit.

    Times must carry an offset or zone: a naive one could mean any zone, and a wrong guess moves every feature. Whole
    numbers may come as text or as floats (a frame with gaps writes them so), names also as whole numbers, and ids that
    are whole numbers as `17850.0`.

    Returns:
        None where no value of this type can fit, so that the file as a whole is wrong.
    """
    value = pl.col(column.name)
    if dtype == pl.Null:
        return value.cast(column.dtype)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        value, dtype = value.cast(pl.String), pl.String()
    if column.dtype == pl.String:
        return _id(value, dtype) if column.is_id else _text(value, dtype, is_json=column.is_json)
    return _KINDS[type(column.dtype)][1](value, dtype)


def accepted(column: Column) -> str:
    """The rule that a column's values follow to be of its type, in words that complete 'must be'."""
    if column.dtype == pl.String:
        return "text or a whole number" if column.is_id else "text"
    return _KINDS[type(column.dtype)][0]


def _time(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if isinstance(dtype, pl.Datetime):
        return value.cast(UTC_TIME, strict=False) if dtype.time_zone else None
    if dtype != pl.String:
        return None
    respelt = (
        value.str.replace(r"^(\d{4})(\d\d)(\d\d)[tT](\d\d)(\d\d)", "${1}-${2}-${3}T${4}:${5}")
        .str.replace(r"^(\d{4}-\d\d-\d\d)[ t]", "${1}T")
        .str.replace(r"T(\d\d:\d\d)(\d\d)", "T${1}:${2}")
        .str.replace(",", ".", literal=True)
        .str.replace(r"[zZ]$", "+00:00")
        .str.replace(r"([+-]\d\d)$", "${1}:00")
        .str.replace(r"T(\d\d:\d\d)([+-])", "T${1}:00${2}")
    )
    is_moment = value.str.contains(ISO_PATTERN)
    moments = respelt.str.to_datetime(_WITH_OFFSET, time_unit="us", time_zone="UTC", strict=False)
    return pl.when(is_moment).then(moments)


def _whole_number(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype.is_integer():
        return value.cast(pl.Int64, strict=False)
    number = _number(value, dtype)
    return None if number is None else whole(number)


def _number(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype == pl.String:
        return value.map_batches(numbers, return_dtype=pl.Float64)
    return value.cast(pl.Float64, strict=False) if dtype.is_numeric() else None


def _flag(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype == pl.Boolean:
        return value
    if dtype.is_numeric():
        return pl.when(value.is_in([0, 1])).then(value == 1)
    return flags(value) if dtype == pl.String else None


_KINDS: Mapping[type[pl.DataType], tuple[str, Callable[[pl.Expr, pl.DataType], pl.Expr | None]]] = {
    pl.Datetime: ("an ISO 8601 time with an offset, such as 2026-01-31T09:30:00Z", _time),
    pl.Int64: ("a whole number, such as 4990 for 49.90 in minor units", _whole_number),
    pl.Float64: ("a number", _number),
    pl.Boolean: ("true or false", _flag),
}
"""What values of a type must be, in words that complete 'must be', and how they are read."""


def whole_ids(texts: pl.Expr) -> pl.Expr:
    """The ids that a column of text names, as `features.ids.whole_id` reads them."""
    return texts.str.replace(WHOLE_ID, "${1}")


def _id(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype.is_float():
        is_exact = (value == value.floor()) & (value.abs() < _MOST_EXACT)
        return pl.when(is_exact).then(value.cast(pl.Int64, strict=False).cast(pl.String))
    text = _text(value, dtype, is_json=False)
    return None if text is None else whole_ids(text)


def _text(value: pl.Expr, dtype: pl.DataType, *, is_json: bool) -> pl.Expr | None:
    if dtype == pl.String or (dtype.is_integer() and not is_json):
        return value.cast(pl.String)
    return None
