"""Staging: a file read and checked to its end, its good rows in parts on disk, before any of them lands."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from decisioning.errors import InvalidInputError, UnavailableError
from features.importing.parser import whole_ids
from features.importing.refusals import Refusals
from features.importing.table_files import Chunk, TableFile
from features.importing.validation import Surroundings, check_rows
from features.listening.listener import listen_to_rows
from features.locks import held
from features.log.contracts import EVENTS, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A file whose rows are checked.

    Attributes:
        parts: Parquet files with the good rows: canonical columns, and `row`, their number in the file.
    """

    file: TableFile
    parts: list[Path]
    read: int
    refused: int
    erased: int = 0


def stage(
    file: TableFile,
    folder: Path,
    refusals: Refusals,
    surroundings: Surroundings,
    on_progress: Callable[[float], None],
) -> Staged:
    """Read a file whose columns passed `check_columns` to its end; keep good rows in a new folder, refuse the others.

    Raises:
        InvalidInputError: The file cannot be read to its end.
    """
    folder.mkdir(parents=True)
    parts: list[Path] = []
    read = refused = erased = 0
    for chunk in file.chunks():
        known = _without_erased(chunk, surroundings)
        erased += chunk.rows.height - known.rows.height
        good, bad = _check(file, known, refusals, surroundings)
        if file.table is EVENTS:
            good = listen_to_rows(good, surroundings.catalogue)
        parts.append(folder / f"{len(parts):06d}.parquet")
        good.write_parquet(parts[-1], compression="lz4")
        read, refused = read + good.height + bad, refused + bad
        on_progress(chunk.share)
    on_progress(1.0)
    return Staged(file=file, parts=parts, read=read + erased, refused=refused, erased=erased)


def staged_rows(staged: Iterable[Staged], table: Table) -> pl.LazyFrame | None:
    """The good rows of a table's file, with their numbers; None where there are none."""
    parts = [path for one in staged if one.file.table is table for path in one.parts]
    return pl.scan_parquet(parts) if parts else None


def _without_erased(chunk: Chunk, surroundings: Surroundings) -> Chunk:
    """A chunk without rows about erased customers, which must not be kept among the rejected rows either."""
    erased = surroundings.erased
    if erased is None or "customer_id" not in chunk.rows.columns or not erased.tokens():
        return chunk
    text = pl.col("customer_id").cast(pl.String, strict=False).str.strip_chars()
    ids = chunk.rows.select(whole_ids(text)).to_series()
    gone = erased.among(ids.drop_nulls().unique().to_list())
    if not gone:
        return chunk
    return replace(chunk, rows=chunk.rows.filter(~ids.is_in(sorted(gone)).fill_null(value=False)))


def _check(file: TableFile, chunk: Chunk, refusals: Refusals, surroundings: Surroundings) -> tuple[pl.DataFrame, int]:
    """Good rows of a chunk, and how many are refused."""
    checked = check_rows(file.table, file.path.name, chunk.rows, surroundings)
    refusals.add(file.table, chunk.malformed, chunk.rows.clear())
    refusals.add(file.table, checked.reasons, checked.refused)
    return checked.good, checked.refused.height + chunk.malformed.height


@contextmanager
def staging_folder(home: Path) -> Iterator[Path]:
    """An empty folder below home, for one import at a time; what a killed import left in it is removed.

    Raises:
        InvalidInputError: Home cannot be written.
        UnavailableError: Another import of this home is running, or the disk is full.
    """
    folder = home / "staging"
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "import.lock").touch(0o600)
    except OSError as error:
        raise InvalidInputError(f"home must be a folder that can be written, got {home} ({error.strerror})") from error
    busy = UnavailableError(f"import must be the only one of {home}, and another one is running")
    try:
        with held(home / "import.lock", busy):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder)
    except OSError as error:
        raise UnavailableError(f"{home} must take the files of an import, got {error}; free the disk") from error
