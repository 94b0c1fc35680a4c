"""An audience file: who to decide for, checked as a whole before anything is decided."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from decisioning.errors import InvalidInputError, nearest_names
from decisioning.journey import Touchpoint
from serving.bodies import MAX_TEXT

CUSTOMER = "customer_id"
KEY = "dedupe_key"
_LONGEST = {CUSTOMER: 200, KEY: 255}
_SHOWN_ROWS = 5
_KINDS = {"number": "numbers", "text": "text", "flag": "true or false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """A checked audience; `columns` are those that are there besides `customer_id`."""

    path: Path
    row_count: int
    columns: tuple[str, ...]

    def slices(self, size: int) -> Iterator[list[dict[str, Any]]]:
        """Rows in order, so many at a time."""
        with parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=size, columns=[CUSTOMER, *self.columns]):
                yield batch.to_pylist()


def open_audience(path: Path, touchpoint: Touchpoint) -> Audience:
    """Check an audience file.

    Columns: `customer_id`; optionally `dedupe_key`, and any context field that the touchpoint declares.

    Raises:
        InvalidInputError: No readable Parquet file, a column that is missing, unknown or of a wrong type, or rows
            without a customer; the message names file, column, rule and rows.
    """
    try:
        with parquet.ParquetFile(path) as file:
            schema, row_count = file.schema_arrow, file.metadata.num_rows
            _check_columns(path, schema, touchpoint)
            for field in schema:
                if _is_text(field.type):
                    _check_texts(path, file, field.name, longest=_LONGEST.get(field.name, MAX_TEXT))
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        kind = "a file that exists" if isinstance(error, FileNotFoundError) else "a readable Parquet file"
        raise InvalidInputError(f"audience must be {kind}, got {path} ({type(error).__name__})") from error
    return Audience(path=path, row_count=row_count, columns=tuple(name for name in schema.names if name != CUSTOMER))


def _check_columns(path: Path, schema: pa.Schema, touchpoint: Touchpoint) -> None:
    if CUSTOMER not in schema.names:
        near = nearest_names(CUSTOMER, schema.names, limit=1)
        raise InvalidInputError(
            f"{path}: a column {CUSTOMER} must be there, got none" + (f"; rename {near[0]!r}?" if near else "")
        )
    known = {CUSTOMER: "text", KEY: "text", **touchpoint.context}
    for field in schema:
        kind = known.get(field.name)
        if kind is None:
            near = nearest_names(field.name, known)
            hint = f"; did you mean {near[0]!r}?" if near else "; drop it"
            raise InvalidInputError(
                f"{path}: column {field.name!r} must be {CUSTOMER}, {KEY} or a context field of"
                f" {touchpoint.touchpoint_id}, got an unknown name{hint}"
            )
        if not _IS_KIND[kind](field.type):
            raise InvalidInputError(f"{path}: column {field.name!r} must hold {_KINDS[kind]}, got {field.type}")


def _check_texts(path: Path, file: parquet.ParquetFile, name: str, *, longest: int) -> None:
    """Every text can be used: a campaign must not find out in its middle that it cannot go on."""
    wrong: list[int] = []
    row = 0
    for batch in file.iter_batches(columns=[name]):
        for text in batch.column(0).to_pylist():
            row += 1
            if not _is_usable(text, longest, may_be_missing=name != CUSTOMER):
                wrong.append(row)
    if wrong:
        rows = ", ".join(map(str, wrong[:_SHOWN_ROWS])) + (", ..." if len(wrong) > _SHOWN_ROWS else "")
        raise InvalidInputError(
            f"{path}: {name} must be 1 to {longest} printable characters, got something else in {len(wrong)} rows"
            f" (row {rows}); nothing was decided"
        )


def _is_usable(text: str | None, longest: int, *, may_be_missing: bool) -> bool:
    if text is None:
        return may_be_missing
    return 0 < len(text) <= longest and text.isprintable()


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


_IS_KIND = {"text": _is_text, "number": _is_number, "flag": pa.types.is_boolean}
