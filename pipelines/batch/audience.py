"""An audience file: who to decide for, checked as a whole before anything is decided."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from decisioning.catalogue.journey import Touchpoint
from decisioning.errors import InvalidInputError, nearest_names
from features.ids import whole_id
from features.tabular.cells import flags, numbers, unread, without_missing
from features.tabular.csv_rows import read_csv
from serving.forms import MAX_TEXT

CUSTOMER = "customer_id"
KEY = "dedupe_key"
_LONGEST = {CUSTOMER: 200, KEY: 255}
_SHOWN_ROWS = 5
_CHECKED_TOGETHER = 10_000
_SHOWN_CHARACTERS = 20
_KINDS = {"number": "numbers", "text": "text", "flag": "true or false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """A checked audience.

    Attributes:
        columns: Those that are there besides `customer_id`.
        repeated: Rows without a key of their own whose customer came in such a row before.
        cells: The rows of a CSV file; those of a Parquet file are read as they are needed.
    """

    path: Path
    row_count: int
    columns: tuple[str, ...]
    repeated: int
    cells: pa.Table | None = None

    def slices(self, size: int) -> Iterator[list[dict[str, Any]]]:
        """Rows in order, so many at a time; identifiers as text."""
        wanted = [CUSTOMER, *self.columns]
        if self.cells is not None:
            yield from (_rows(batch) for batch in self.cells.select(wanted).to_batches(max_chunksize=size))
            return
        with parquet.ParquetFile(self.path) as file:
            yield from (_rows(batch) for batch in file.iter_batches(batch_size=size, columns=wanted))


def open_audience(path: Path, touchpoint: Touchpoint) -> Audience:
    """Check an audience file, Parquet or CSV.

    Columns: `customer_id`; optionally `dedupe_key`, and any context field that the touchpoint declares. Identifiers may
    be whole numbers, also as a frame with gaps writes them (`17850.0`).

    Raises:
        InvalidInputError: No readable file, a column that is missing, unknown or of a wrong type, or rows without a
            customer; the message names file, column, rule and rows.
    """
    if path.suffix == ".csv":
        cells = _csv_cells(path, touchpoint)
        return _checked(path, cells.schema, cells.num_rows, cells)
    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow, touchpoint)
            return _checked(path, file.schema_arrow, file.metadata.num_rows, None)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        kind = "a file that exists" if isinstance(error, FileNotFoundError) else "a readable Parquet file, or a .csv"
        raise InvalidInputError(f"audience must be {kind}, got {path} ({type(error).__name__})") from error


def _checked(path: Path, schema: pa.Schema, row_count: int, cells: pa.Table | None) -> Audience:
    columns = tuple(name for name in schema.names if name != CUSTOMER)
    audience = Audience(path=path, row_count=row_count, columns=columns, repeated=0, cells=cells)
    texts = [field.name for field in schema if field.name in _LONGEST or _is_text(field.type)]
    seen: list[NDArray[np.int64]] = []
    wrong: dict[str, list[int]] = {name: [] for name in texts}
    row = 0
    for rows in audience.slices(_CHECKED_TOGETHER):
        unkeyed = [hash(told[CUSTOMER]) for told in rows if told.get(KEY) is None]
        seen.append(np.array(unkeyed, dtype=np.int64))
        for told in rows:
            row += 1
            for name in texts:
                if not _is_usable(told[name], _LONGEST.get(name, MAX_TEXT), may_be_missing=name != CUSTOMER):
                    wrong[name].append(row)
    for name, found in wrong.items():
        _refuse_rows(path, name, found)
    return replace(audience, repeated=_repeated(seen))


def _repeated(digests: list[NDArray[np.int64]]) -> int:
    """How many came before; eight bytes for each are kept, whatever their names."""
    everybody = np.concatenate([np.empty(0, dtype=np.int64), *digests])
    return len(everybody) - len(np.unique(everybody))


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    rows = batch.to_pylist()
    for row in rows:
        for name in _LONGEST:
            if name in row:
                row[name] = _id(row[name])
    return rows


def _id(value: Any) -> Any:
    """An identifier as text; what is none stays as it is."""
    if isinstance(value, float):
        return None if value != value else whole_id(repr(value))  # noqa: PLR0124 - missing in a frame with gaps
    return whole_id(str(value)) if isinstance(value, int | str) else value


def _csv_cells(path: Path, touchpoint: Touchpoint) -> pa.Table:
    """A CSV file with its context fields as numbers, texts and flags.

    Raises:
        InvalidInputError: It cannot be read, or a cell is not of its column's kind; the message names the first row.
    """
    texts, form = read_csv(path)
    _check_columns(path, texts.to_arrow().schema, touchpoint, is_text=True)
    kinds = {CUSTOMER: "text", KEY: "text", **touchpoint.context}
    columns: list[pl.Series] = []
    for cells in texts:
        kind = kinds[cells.name]
        told = cells.to_frame().select(without_missing(pl.all(), is_number=kind != "text")).to_series()
        values = _FROM_CELLS[kind](told, form.delimiter)
        wrong = unread(told, values) if kind != "text" else told.clear().to_physical()
        if len(wrong):
            raise InvalidInputError(
                f"{path}: column {cells.name!r} must hold {_KINDS[kind]}, got {told[wrong[0]][:_SHOWN_CHARACTERS]!r}"
                f" (row {wrong[0] + 1}, between {form.separation}; {len(wrong):,} rows in all); nothing was decided"
            )
        columns.append(values)
    return pl.DataFrame(columns).to_arrow()


def _check_columns(path: Path, schema: pa.Schema, touchpoint: Touchpoint, *, is_text: bool = False) -> None:
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
        if not is_text and not (_is_id if field.name in _LONGEST else _IS_KIND[kind])(field.type):
            raise InvalidInputError(f"{path}: column {field.name!r} must hold {_KINDS[kind]}, got {field.type}")


def _refuse_rows(path: Path, name: str, wrong: list[int]) -> None:
    """Every text can be used: a campaign must not find out in its middle that it cannot go on."""
    if wrong:
        rows = ", ".join(map(str, wrong[:_SHOWN_ROWS])) + (", ..." if len(wrong) > _SHOWN_ROWS else "")
        raise InvalidInputError(
            f"{path}: {name} must be 1 to {_LONGEST.get(name, MAX_TEXT)} printable characters, got something else in"
            f" {len(wrong)} rows (row {rows}); nothing was decided"
        )


def _is_usable(text: Any, longest: int, *, may_be_missing: bool) -> bool:
    if text is None:
        return may_be_missing
    return isinstance(text, str) and 0 < len(text) <= longest and text.isprintable()


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_id(kind: pa.DataType) -> bool:
    return _is_text(kind) or _is_number(kind) or pa.types.is_null(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


_IS_KIND = {"text": _is_text, "number": _is_number, "flag": pa.types.is_boolean}

_FROM_CELLS = {
    "text": lambda cells, _delimiter: cells,
    "number": lambda cells, delimiter: numbers(cells, delimiter=delimiter),
    "flag": lambda cells, _delimiter: (
        cells.to_frame("flag").select(flags(pl.col("flag")).alias(cells.name)).to_series()
    ),
}
