"""What every adapter shares: reading a source with clear refusals, and writing a world whole or not at all."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import polars as pl

from decisioning.draw import unit_hash
from decisioning.errors import InvalidInputError
from features.catalogue import load_catalogue
from features.catalogue.reading.json_schema import schema_text
from features.log.contracts import TABLES

type PolarsType = pl.DataType | type[pl.DataType]

MARKER = "catalogue/.converted.json"
"""File that marks a folder as a conversion, which another conversion may replace."""

_SCHEMA_FILE = "catalogue.schema.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport:
    """What a conversion wrote.

    Attributes:
        dropped: Source rows that were left out, by reason.
    """

    example: str
    out: Path
    rows: Mapping[str, int]
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleTables:
    """The canonical tables of an example, before they are written."""

    customers: pl.DataFrame
    events: pl.DataFrame
    decisions: pl.DataFrame
    outcomes: pl.DataFrame
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: Sequence[str] = ()


def write_world(example: str, world: ExampleTables, catalogue: Path, out: Path) -> ConvertReport:
    """Write a world's tables and its catalogue into a folder that appears only when it is complete.

    Columns that a table does not have are refused, missing optional ones are added empty.

    Raises:
        InvalidInputError: OUT holds something else, or cannot be written.
    """
    _refuse_foreign(out)
    whole = out.resolve()
    part, old = whole.with_name(f".{whole.name}.part"), whole.with_name(f".{whole.name}.old")
    _remove(part, old)
    try:
        part.mkdir(parents=True)
        report = _write_into(part, example, world, catalogue, out)
        if whole.exists():  # moved away before it is removed, so that no half-removed folder bears the name
            whole.rename(old)
        part.rename(whole)
    except OSError as error:
        raise InvalidInputError(f"OUT must be a folder that can be written, got {out} ({error.strerror})") from error
    finally:
        _remove(part, old)
    return report


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InvalidInputError(f"OUT must be a folder, got the file {out}")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise InvalidInputError(f"OUT must be new, empty or an earlier conversion, got {out} with other files")


def _write_into(part: Path, example: str, world: ExampleTables, catalogue: Path, out: Path) -> ConvertReport:
    rows: dict[str, int] = {}
    for name in TABLES:
        frame = canonical(name, getattr(world, name))
        frame.write_parquet(part / f"{name}.parquet")
        rows[name] = frame.height
    _copy_catalogue(catalogue, part / "catalogue")
    report = ConvertReport(example=example, out=out, rows=rows, dropped=world.dropped, notes=world.notes)
    (part / MARKER).write_bytes(orjson.dumps({**asdict(report), "out": None}, option=orjson.OPT_INDENT_2))
    return report


def _copy_catalogue(source: Path, target: Path) -> None:
    """Copy the YAML files with the schema beside them, so that editors complete wherever the folder goes."""
    load_catalogue(source)
    target.mkdir()
    (target / _SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
    for path in sorted(source.glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines[0].startswith("# yaml-language-server:"):
            lines[0] = f"# yaml-language-server: $schema={_SCHEMA_FILE}\n"
        (target / path.name).write_text("".join(lines), encoding="utf-8")


def canonical(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A frame with exactly the columns and types of a canonical table, sorted by time and key.

    Raises:
        InvalidInputError: A column that the table does not have.
    """
    table = TABLES[name]
    unknown = sorted(set(frame.columns) - set(table.schema))
    if unknown:
        raise InvalidInputError(f"columns of {name} must be canonical, got {', '.join(unknown)}")
    columns = [
        (pl.col(column) if column in frame.columns else pl.lit(None)).cast(dtype).alias(column)
        for column, dtype in table.schema.items()
    ]
    return frame.select(columns).sort(table.time_column, *table.key)


def read_table(
    folder: Path,
    stem: str,
    schema: Mapping[str, PolarsType],
    *,
    origin: str,
    optional: Mapping[str, PolarsType] = MappingProxyType({}),
) -> pl.DataFrame:
    """Read `stem.parquet` or `stem.csv` of a source folder.

    Columns of the schema must be there, optional ones are empty where they are not, others are left out.

    Raises:
        InvalidInputError: The file or a column is missing, holds something else, or cannot be read.
    """
    path = _file_of(check_source(folder, [stem], origin=origin), stem)
    assert path is not None  # noqa: S101 - just checked
    frame = _read(path)
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise InvalidInputError(
            f"{path} must have the columns {', '.join(schema)}, got it without {', '.join(missing)}"
        )
    if frame.is_empty():
        raise InvalidInputError(f"{path} must hold rows, got none; {origin}")
    frame = frame.with_columns(pl.lit(None).alias(column) for column in optional if column not in frame.columns)
    return pl.DataFrame([_cast(frame[column], dtype, path) for column, dtype in {**schema, **optional}.items()])


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        kind = path.suffix.removeprefix(".")
        raise InvalidInputError(
            f"{path} must be a readable {kind} file, got one that is not ({_first(error)})"
        ) from error


def _cast(column: pl.Series, dtype: PolarsType, path: Path) -> pl.Series:
    try:
        return column.cast(dtype)
    except pl.exceptions.PolarsError as error:
        rule = f"column {column.name} of {path} must be readable as {dtype}"
        raise InvalidInputError(f"{rule}, got {column.dtype} with other values") from error


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0][:100]


def check_source(source: Path | None, stems: Sequence[str], *, origin: str) -> Path:
    """The source folder that the user named, which must be there and hold every file (names without endings).

    Raises:
        InvalidInputError: None was named, it is not a folder, or files are missing; the message names them.
    """
    if source is None or not source.is_dir():
        raise InvalidInputError(f"SOURCE must be an existing folder, got {source}; {origin}")
    missing = [stem for stem in stems if _file_of(source, stem) is None]
    if missing:
        raise InvalidInputError(
            f"SOURCE must hold {', '.join(stems)} (each .parquet or .csv), "
            f"got {source} without {', '.join(missing)}; {origin}"
        )
    return source


def _file_of(folder: Path, stem: str) -> Path | None:
    paths = [folder / f"{stem}{ending}" for ending in (".parquet", ".csv")]
    return next((path for path in paths if path.is_file()), None)


def check_day(name: str, day: date) -> date:
    """A day that all of a world's times stay in range around.

    Raises:
        InvalidInputError: It is before 1980 or after 2200.
    """
    if not 1980 <= day.year <= 2200:  # noqa: PLR2004 - generous bounds
        raise InvalidInputError(f"{name} must be between 1980 and 2200, got {day}")
    return day


def json_of(**columns: pl.Expr) -> pl.Expr:
    """An expression that packs columns into a JSON object."""
    return pl.struct([column.alias(name) for name, column in columns.items()]).struct.json_encode()


def json_text(value: Any) -> str:
    """JSON text of one value."""
    return orjson.dumps(value).decode()


def unit_hashes(ids: pl.Series, salt: str) -> pl.Series:
    """A number in [0, 1) for each id, stable and independent between salts."""
    return pl.Series(ids.name, [unit_hash(salt, each) for each in ids.to_list()], dtype=pl.Float64)
