"""Files of canonical tables in a folder, read in chunks that fit in memory: Parquet, or CSV as people have it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from decisioning.errors import InvalidInputError
from features.importing.cell_reader import AMOUNT
from features.importing.refusals import REASONS_FILE, REASONS_SCHEMA
from features.importing.validation import ROW
from features.log.contracts import TABLES, Table
from features.tabular.csv_form import WINDOWS, csv_form
from features.tabular.csv_rows import CsvReader, Malformed

CHUNK_ROWS = 250_000
SUFFIXES = (".parquet", ".csv")
CATALOGUE_FOLDER = "catalogue"

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
        return _parquet_schema(self.path) if self.path.suffix == ".parquet" else _csv_schema(self.path, self.table)

    def notes(self) -> list[str]:
        """What a person should know of how the file was read."""
        if self.path.suffix == ".parquet" or csv_form(self.path).encoding != WINDOWS:
            return []
        return [f"{self.path.name} was read as Windows-1252, since it is no UTF-8; look at names with accents"]

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order; at least one chunk, which may be empty.

        Raises:
            InvalidInputError: The file cannot be read to its end.
        """
        return _parquet_chunks(self.path) if self.path.suffix == ".parquet" else _csv_chunks(self.path, self.table)


def find_table_files(folder: Path) -> tuple[list[TableFile], list[str]]:
    """Table files of a folder in canonical order, and the names of whatever else is there.

    A folder that brings only a catalogue has no tables.

    Raises:
        InvalidInputError: The folder is not there, holds neither a table nor a catalogue, or holds a table twice.
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
    if not found and CATALOGUE_FOLDER not in names:
        wanted = ", ".join(TABLES)
        raise InvalidInputError(
            f"{folder} must hold at least one of {wanted} as .parquet or .csv, or a folder {CATALOGUE_FOLDER}, "
            f"got {', '.join(names[:10]) or 'nothing'}"
        )
    known = {file.path.name for file in found} | {CATALOGUE_FOLDER, REASONS_FILE}
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
        known = {AMOUNT}.union(*(table.schema for table in TABLES.values()))
        columns = [name for name in file.schema_arrow.names if name in known]
        try:
            for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=columns):
                rows = pl.DataFrame(pl.from_arrow(batch)).with_row_index(ROW, offset=done + 1)
                done += rows.height
                yield Chunk(rows=rows, malformed=pl.DataFrame(schema=REASONS_SCHEMA), share=done / total)
        except (pa.ArrowException, OSError, pl.exceptions.PolarsError) as error:
            raise InvalidInputError(f"{path} must be a whole Parquet file, got {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _csv_schema(path: Path, table: Table) -> pl.Schema:
    form = csv_form(path)
    with form.open(path) as file:
        return pl.Schema(dict.fromkeys(_as_columns(path, CsvReader(path, file, form).header, table), pl.String()))


def _csv_chunks(path: Path, table: Table) -> Iterator[Chunk]:
    size, form = path.stat().st_size, csv_form(path)
    with form.open(path) as file:
        reader = CsvReader(path, file, form)
        names = dict(zip(reader.header, _as_columns(path, reader.header, table), strict=True))
        while True:
            part = reader.take(CHUNK_ROWS)
            if part.rows.is_empty() and not part.malformed:
                return
            yield Chunk(
                rows=part.rows.rename(names).with_columns(part.numbers.alias(ROW)),
                malformed=_reasons(path, part.malformed),
                share=min(1.0, file.buffer.tell() / size),
            )


def _reasons(path: Path, malformed: Sequence[Malformed]) -> pl.DataFrame:
    rows = [(path.name, one.row, WHOLE_ROW, one.rule, one.text) for one in malformed]
    return pl.DataFrame(rows, schema=REASONS_SCHEMA, orient="row")


def _as_columns(path: Path, header: Sequence[str], table: Table) -> list[str]:
    """Names of a first line, as the table spells them where only capitals or spaces differ."""
    names = [_as_column(name, table) for name in header]
    if len(set(names)) < len(names):
        raise InvalidInputError(f"{path} must name each column once, got {', '.join(header)}")
    return names


def _as_column(name: str, table: Table) -> str:
    respelt = name.lower().replace(" ", "_")
    return respelt if name not in table.schema and respelt in table.schema else name
