"""Files of canonical tables in a folder, read in chunks that fit in memory: Parquet, or CSV in UTF-8 with commas."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from decisioning.errors import InvalidInputError
from features.contracts import TABLES, Table
from features.importing.refusals import REASONS_FILE, REASONS_SCHEMA
from features.importing.validation import ROW

CHUNK_ROWS = 250_000
SUFFIXES = (".parquet", ".csv")
_BROKEN_RECORD: list[str] = []

type _Malformed = tuple[str, int, str, str, str]

WHOLE_ROW = "(row)"
"""Stands for the column in a reason that is about a row's form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a file.

    Attributes:
        rows: Columns as read (CSV: text, missing where empty), and `row`, which counts from 1.
        malformed: REASONS_SCHEMA, one row per row that could not be told apart into columns.
        share: How much of the file has been read with this chunk, in [0, 1].
    """

    rows: pl.DataFrame
    malformed: pl.DataFrame
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A file that holds a canonical table."""

    table: Table
    path: Path

    def schema(self) -> pl.Schema:
        """Columns and types of the file.

        Raises:
            InvalidInputError: The file is empty, truncated, or not what its name says.
        """
        return _parquet_schema(self.path) if self.path.suffix == ".parquet" else _csv_schema(self.path)

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order; at least one chunk, which may be empty.

        Raises:
            InvalidInputError: The file cannot be read to its end.
        """
        return _parquet_chunks(self.path) if self.path.suffix == ".parquet" else _csv_chunks(self.path)


def find_table_files(folder: Path) -> tuple[list[TableFile], list[str]]:
    """Table files of a folder in canonical order, and the names of whatever else is there.

    Raises:
        InvalidInputError: The folder is not there, holds no table, or holds one twice.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} must be a folder with canonical tables, got none; `nextbest import DIR`")
    found: list[TableFile] = []
    for table in TABLES.values():
        paths = [path for suffix in SUFFIXES if (path := folder / f"{table.name}{suffix}").is_file()]
        if len(paths) > 1:
            raise InvalidInputError(f"{table.name} must be in one file, got {' and '.join(p.name for p in paths)}")
        found += [TableFile(table=table, path=path) for path in paths]
    names = sorted(entry.name for entry in folder.iterdir())
    if not found:
        wanted = ", ".join(TABLES)
        raise InvalidInputError(
            f"{folder} must hold at least one of {wanted} as .parquet or .csv, got {', '.join(names[:10]) or 'nothing'}"
        )
    known = {file.path.name for file in found} | {"catalogue", REASONS_FILE}
    return found, [name for name in names if name not in known]


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError(f"{path} must be a whole Parquet file, got {_first_line(error)}") from error


def _parquet_schema(path: Path) -> pl.Schema:
    with _open_parquet(path) as file:
        try:
            return pl.DataFrame(pl.from_arrow(file.schema_arrow.empty_table())).schema
        except (pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise InvalidInputError(f"{path} must hold plain columns, got {_first_line(error)}") from error


def _parquet_chunks(path: Path) -> Iterator[Chunk]:
    with _open_parquet(path) as file:
        total, done = file.metadata.num_rows, 0
        columns = [name for name in file.schema_arrow.names if any(name in table.schema for table in TABLES.values())]
        try:
            for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=columns):
                rows = pl.DataFrame(pl.from_arrow(batch)).with_row_index(ROW, offset=done + 1)
                done += rows.height
                yield Chunk(rows=rows, malformed=pl.DataFrame(schema=REASONS_SCHEMA), share=done / total)
        except (pa.ArrowException, OSError, pl.exceptions.PolarsError) as error:
            raise InvalidInputError(f"{path} must be a whole Parquet file, got {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _csv_schema(path: Path) -> pl.Schema:
    with _open_csv(path) as file:
        return pl.Schema(dict.fromkeys(_CsvReader(path, file).header, pl.String()))


def _csv_chunks(path: Path) -> Iterator[Chunk]:
    size = path.stat().st_size
    with _open_csv(path) as file:
        reader = _CsvReader(path, file)
        while True:
            rows, malformed = reader.take(CHUNK_ROWS)
            if rows.is_empty() and malformed.is_empty():
                return
            yield Chunk(rows=rows, malformed=malformed, share=min(1.0, file.buffer.tell() / size))


def _open_csv(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InvalidInputError(f"{path} must be readable, got {error.strerror}") from error


class _CsvReader:
    """Rows of a CSV file with their numbers; the standard library's reader tells exactly which row is malformed."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._row = 0
        self._lines: list[str] = []
        self._records = csv.reader(self._remembered(file), strict=True)
        header = self._next_record()
        if not header:
            raise InvalidInputError(f"{path} must start with a line of column names, got an empty file")
        self.header = [name.strip() for name in header]
        if len(set(self.header)) < len(self.header):
            raise InvalidInputError(f"{path} must name each column once, got {', '.join(self.header)}")

    def take(self, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The next rows, and reasons for those that are malformed."""
        numbers: list[int] = []
        records: list[list[str]] = []
        malformed: list[_Malformed] = []
        for number, record in islice(self._well_formed(malformed), count):
            numbers.append(number)
            records.append(record)
        columns = zip(*records, strict=True) if records else ([] for _ in self.header)
        text = {name: pl.Series(values, dtype=pl.String) for name, values in zip(self.header, columns, strict=True)}
        rows = pl.DataFrame(text).with_columns(pl.all().replace("", None))
        rows = rows.with_columns(pl.Series(ROW, numbers, dtype=pl.UInt64))
        return rows, pl.DataFrame(malformed, schema=REASONS_SCHEMA, orient="row")

    def _well_formed(self, malformed: list[_Malformed]) -> Iterator[tuple[int, list[str]]]:
        """Numbered records with a value for each column; the others are noted. Blank lines are no rows."""
        rule = f"made of {len(self.header)} values with closed quotes, as the first line is"
        while (record := self._next_record()) is not None:
            if record is not _BROKEN_RECORD and not record:
                continue
            self._row += 1
            if len(record) == len(self.header):
                yield self._row, record
            else:
                malformed.append((self._path.name, self._row, WHOLE_ROW, rule, "".join(self._lines).rstrip("\r\n")))

    def _next_record(self) -> list[str] | None:
        """The next record; None at the end."""
        self._lines.clear()
        try:
            return next(self._records, None)
        except UnicodeDecodeError as error:
            raise InvalidInputError(_encoding_problem(self._path)) from error
        except csv.Error as error:
            if "unexpected end" not in str(error) and "field limit" not in str(error):
                return _BROKEN_RECORD
            raise InvalidInputError(
                f"{self._path} row {self._row + 1} must close every quote within {csv.field_size_limit()} characters, "
                f"got {error}"
            ) from error

    def _remembered(self, file: TextIO) -> Iterator[str]:
        for line in file:
            self._lines.append(line)
            yield line


def _encoding_problem(path: Path) -> str:
    """Which line is not UTF-8, found by reading the file once more."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"{path} line {number} must be UTF-8, got byte 0x{line[error.start]:02x}; save it as UTF-8"
    return f"{path} must be UTF-8; save it as UTF-8"
