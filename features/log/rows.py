"""One canonical row as JSON: how the decision log's stream and spool carry it, and how it becomes part of a frame.

A row is an object, or shorter a list: the values of its columns in their order, without the missing ones at the end.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

import orjson
import polars as pl

from decisioning.errors import InvalidInputError, UnknownNameError
from features.log.contracts import TABLES, Column, Table
from features.moments import moment_in_text

type Row = dict[str, str | int | float | bool | datetime | None]

INT64_LIMIT = 2**63


def parse_row(table_name: str, payload: bytes | str) -> tuple[Table, Row]:
    """A row of the named canonical table from its JSON, see `fields_in`.

    Times are ISO 8601 with an offset; a JSON column is JSON text, or the value itself.

    Raises:
        InvalidInputError: The payload is not such a row; the message names the column, never its value.
    """
    if table_name not in TABLES:
        raise UnknownNameError("table", table_name, TABLES)
    try:
        fields = fields_in(TABLES[table_name], payload)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"row of {table_name} must be JSON, got {error}") from error
    return TABLES[table_name], row_of(TABLES[table_name], fields)


def fields_in(table: Table, payload: bytes | str) -> dict[str, Any]:
    """The fields of a row from its JSON: an object, or the values of the table's first columns in order.

    In the short form JSON columns hold the value itself, which is given back as text.

    Raises:
        InvalidInputError: The payload is neither.
        JSONDecodeError: It is no JSON.
    """
    fields = orjson.loads(payload)
    if isinstance(fields, dict):
        return cast("dict[str, Any]", fields)
    if not isinstance(fields, list) or not 0 < len(cast("list[Any]", fields)) <= len(table.columns):
        raise InvalidInputError(
            f"row of {table.name} must be a JSON object or the values of its columns, got {type(fields).__name__}"
        )
    return {
        column.name: orjson.dumps(value).decode() if column.is_json and isinstance(value, dict | list) else value
        for column, value in zip(table.columns, cast("list[Any]", fields), strict=False)
        if value is not None
    }


def row_of(table: Table, fields: Mapping[str, Any]) -> Row:
    """A checked row of a table.

    Raises:
        InvalidInputError: A column is unknown, of a wrong type, or required and missing.
    """
    if not fields.keys() <= table.names:
        unknown = sorted(fields.keys() - table.names)
        raise InvalidInputError(f"columns of {table.name} must be canonical ones, got {', '.join(unknown)}")
    row: Row = {}
    for column in table.columns:
        value = fields.get(column.name)
        row[column.name] = value if type(value) in column.plain_types else _value(table, column, value)
    return row


def frame_of(table: Table, rows: Iterable[Row]) -> pl.DataFrame:
    """Rows as a canonical frame, shape (n, columns)."""
    return pl.DataFrame(list(rows), schema=pl.Schema(table.schema), orient="row")


def _value(table: Table, column: Column, value: object) -> str | int | float | bool | datetime | None:
    """One value, checked against its column."""
    match value:
        case str() if isinstance(column.dtype, pl.Datetime):
            return _time(table, column, value)
        case str() if isinstance(column.dtype, pl.String) and (value or not column.is_required):
            return value
        case dict() | list() if column.is_json:
            return orjson.dumps(value).decode()
        case bool() | int() | float() if _fits(column.dtype, value):
            return float(value) if isinstance(column.dtype, pl.Float64) else value
        case _:
            pass
    wanted = "given" if value is None or value == "" else f"of type {column.dtype}"
    raise InvalidInputError(f"{table.name}.{column.name} must be {wanted}, got {type(value).__name__}")


def _fits(dtype: pl.DataType, value: float) -> bool:
    """Whether a number or flag is of a column's type; a flag is no number."""
    if isinstance(value, bool) or isinstance(dtype, pl.Boolean):
        return isinstance(value, bool) and isinstance(dtype, pl.Boolean)
    if isinstance(dtype, pl.Int64):
        return isinstance(value, int) and -INT64_LIMIT <= value < INT64_LIMIT
    return isinstance(dtype, pl.Float64)


def _time(table: Table, column: Column, text: str) -> datetime:
    moment = moment_in_text(text)
    if moment is None:
        raise InvalidInputError(f"{table.name}.{column.name} must be an ISO 8601 time with an offset, got other text")
    return moment
