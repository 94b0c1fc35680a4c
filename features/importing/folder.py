"""Import a folder of canonical files into the log, with the fate of every row.

Every file is read and checked to its end into a staging folder before the first row lands, so a broken file leaves the
log as it was. Landing is an append by key, which may be repeated; so an import that was killed is finished by running
it again. Of every row that was read it is said whether it was inserted, a duplicate, or refused and why.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.importing.cell_reader import is_in_major_units
from features.importing.cleared import Cleared, find_cleared
from features.importing.landed import deduplicated, land
from features.importing.refusals import BrokenRule, Refusals, final_folder
from features.importing.staged import Staged, stage, staging_folder
from features.importing.table_files import CATALOGUE_FOLDER, TableFile, find_table_files
from features.importing.undeclared import Undeclared, count_widened, find_undeclared
from features.importing.unmatched import MOST_UNMATCHED, Unmatched, check_unmatched, find_unmatched
from features.importing.validation import Surroundings, check_columns
from features.log.contracts import TABLES
from features.log.event_log import EventLog
from features.log.tombstones import tombstones_of
from features.progress import OnProgress
from features.settings import Settings

STEPS = 1000
"""Number of progress steps."""

READING_SHARE = 0.8
"""Share of an import's time that goes into reading and checking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableImport:
    """What became of a table's rows: `read` = `inserted` + `duplicates` + `rejected` + `erased`.

    A row is a duplicate when the file or the log already holds the same row; a different row under a key that is taken
    is rejected. Rows of erased customers are passed over.
    """

    table: str
    file: str
    read: int
    inserted: int
    duplicates: int
    rejected: int
    erased: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did.

    Attributes:
        rejects_path: Folder of the refused rows; None where every row is good.
        catalogue_version: Version of the catalogue that came along and is now in force; None where none came.
        unmatched: What rows name that is not known; they landed all the same.
        undeclared: Attributes that the catalogue does not declare; they were kept.
        widened: Withdrawals that count for every channel or purpose, since nobody knows the one that they name.
        changes: What the catalogue that came along does to experiments and holdouts that were running.
    """

    tables: tuple[TableImport, ...]
    broken_rules: tuple[BrokenRule, ...]
    rejects_path: Path | None
    catalogue_version: str | None
    warnings: tuple[str, ...]
    unmatched: tuple[Unmatched, ...] = ()
    cleared: tuple[Cleared, ...] = ()
    undeclared: tuple[Undeclared, ...] = ()
    widened: int = 0
    changes: tuple[str, ...] = ()

    @property
    def rejected(self) -> int:
        """Rejected rows of all tables."""
        return sum(table.rejected for table in self.tables)


def import_folder(
    folder: Path,
    settings: Settings,
    on_progress: OnProgress | None = None,
    *,
    now: datetime,
    most_unmatched: float = MOST_UNMATCHED,
) -> ImportReport:
    """Bring customers, events, decisions and outcomes (`.parquet` or `.csv`, any subset) into the log.

    The keys of all rows, and those of the log, are in memory meanwhile: about 100 bytes a row.

    A sub-folder `catalogue` is checked first and, when every file could be read, becomes the catalogue in force. It may
    come alone.

    Args:
        folder: What to import.
        settings: Where the log, the catalogue and the rejects are.
        on_progress: Told how many thousandths of the work are done, and 1000.
        now: Moment of the import; later times than this, with some tolerance, are refused.
        most_unmatched: Largest share of what a column names that may be unknown, in [0, 1].

    Raises:
        InvalidInputError: A file cannot be read, lacks a column or names too much that is unknown, or the catalogue is
            wrong; nothing landed.
        UnavailableError: Another import of this home is running, or the disk is full.
        LogUnavailableError: The log could not be written; run it again.
    """
    files, strangers = find_table_files(folder)
    brought = _load_catalogue(folder / CATALOGUE_FOLDER)
    changes: tuple[str, ...] = ()
    if brought is not None:
        from features.catalogue.assignment.changes import changes_for_tests  # as heavy as the catalogue itself

        changes = changes_for_tests(folder / CATALOGUE_FOLDER, settings.catalogue_path, now)
    surroundings = Surroundings(
        now=now, catalogue=brought or _load_catalogue(settings.catalogue_path), erased=tombstones_of(settings)
    )
    warnings = [f"{name} is no table of ours and was left alone" for name in strangers]
    warnings += _check_columns(files, surroundings.catalogue)
    progress = _Progress(files, on_progress)
    with staging_folder(settings.home) as staging:
        refusals = Refusals(staging / "rejects")
        staged = [
            stage(file, staging / file.table.name, refusals, surroundings, progress.reading(file)) for file in files
        ]
        log = EventLog(settings.log_path)
        unmatched = find_unmatched(log, staged, surroundings.catalogue)
        check_unmatched(unmatched, most_unmatched)
        cleared, undeclared = find_cleared(staged), find_undeclared(staged, surroundings.catalogue)
        widened = count_widened(staged)
        tables = tuple(_land(log, part, refusals, progress) for part in staged)
        rejects_path = _keep(refusals, settings, now)
    if brought is not None:
        _put_in_force(folder / CATALOGUE_FOLDER, settings.catalogue_path, now)
        brought = _load_catalogue(settings.catalogue_path)
    return ImportReport(
        tables=tables,
        broken_rules=refusals.broken_rules(),
        rejects_path=rejects_path,
        catalogue_version=brought.version if brought else None,
        warnings=tuple(warnings),
        unmatched=unmatched,
        cleared=cleared,
        undeclared=undeclared,
        widened=widened,
        changes=changes,
    )


def read_clean_folder(folder: Path, *, now: datetime | None = None) -> dict[str, pl.DataFrame]:
    """Canonical tables of a folder in their order, checked as an import would; a table without a file is empty.

    Raises:
        InvalidInputError: A file cannot be read, or a row breaks a rule.
    """
    files, _strangers = find_table_files(folder)
    surroundings = Surroundings(now=now, catalogue=_load_catalogue(folder / CATALOGUE_FOLDER))
    _check_columns(files, surroundings.catalogue)
    frames = {name: pl.DataFrame(schema=pl.Schema(table.schema)) for name, table in TABLES.items()}
    with TemporaryDirectory(prefix="nextbest-") as scratch:
        refusals = Refusals(Path(scratch) / "rejects")
        for file in files:
            staged = stage(file, Path(scratch) / file.table.name, refusals, surroundings, lambda _share: None)
            frames[file.table.name] = deduplicated(staged, refusals) if staged.parts else frames[file.table.name]
        if broken := refusals.broken_rules():
            lines = "\n".join(str(rule) for rule in broken[:20])
            raise InvalidInputError(f"{folder} must hold good rows only:\n{lines}")
        return frames


def _check_columns(files: list[TableFile], catalogue: Catalogue | None) -> list[str]:
    """Warnings about how files were read, and about columns that are not canonical.

    Raises:
        InvalidInputError: A file cannot be the table, or its money cannot be counted.
    """
    warnings: list[str] = []
    for file in files:
        schema = file.schema()
        warnings += file.notes()
        warnings += [
            f"{file.path.name}: column {name} is not canonical and was left out"
            for name in check_columns(file.table, file.path, schema)
        ]
        if catalogue is None and is_in_major_units(file.table, schema.names()):
            raise InvalidInputError(
                f"{file.path}: amount must be amount_minor, in whole minor units (4990 for 49.90), "
                "got amount and no catalogue that names its currency; rename and convert it, or import a catalogue"
            )
    return warnings


def _land(log: EventLog, staged: Staged, refusals: Refusals, progress: "_Progress") -> TableImport:
    landed = land(log, staged, refusals, progress.landing(staged.file))
    return TableImport(
        table=staged.file.table.name,
        file=staged.file.path.name,
        read=staged.read,
        inserted=landed.inserted,
        duplicates=landed.duplicates,
        rejected=staged.refused + landed.conflicting,
        erased=staged.erased,
    )


def _keep(refusals: Refusals, settings: Settings, now: datetime) -> Path | None:
    """Move refused rows out of the staging folder, all at once."""
    if not refusals.folder.exists():
        return None
    settings.rejects_path.mkdir(parents=True, exist_ok=True)
    return refusals.folder.rename(final_folder(settings.rejects_path, now))


def _load_catalogue(folder: Path) -> Catalogue | None:
    """The catalogue of a folder; None where there is no such folder."""
    if not folder.is_dir():
        return None
    from features.catalogue import load_catalogue  # seldom needed here, and it brings the whole catalogue package

    return load_catalogue(folder)


def _put_in_force(brought: Path, in_force: Path, now: datetime) -> None:
    """Copy a catalogue; readers see the old one or the new one, or for a moment none, never a mixture."""
    from features.catalogue.assignment.settlement import continue_ledger, ledger_in_force, settle

    if brought.resolve() == in_force.resolve():
        settle(in_force, now)
        return
    incoming, outgoing = in_force.with_name("catalogue.incoming"), in_force.with_name("catalogue.outgoing")
    for leftover in (incoming, outgoing):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(brought, incoming)
    continue_ledger(incoming, ledger_in_force(in_force, now), now)
    if in_force.exists():
        in_force.rename(outgoing)
    incoming.rename(in_force)
    shutil.rmtree(outgoing, ignore_errors=True)


class _Progress:
    """Turns shares of files into steps of the whole, by the size of the files."""

    def __init__(self, files: list[TableFile], on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._sizes = {file.table.name: max(1, file.path.stat().st_size) for file in files}
        self._done: dict[tuple[str, str], float] = {}
        if not files and on_progress is not None:
            on_progress(STEPS, STEPS)

    def reading(self, file: TableFile) -> Callable[[float], None]:
        """Takes the share of the file that is read."""
        return lambda share: self._tell(("reading", file.table.name), share * READING_SHARE)

    def landing(self, file: TableFile) -> Callable[[float], None]:
        """Takes the share of the file that has landed."""
        return lambda share: self._tell(("landing", file.table.name), share * (1 - READING_SHARE))

    def _tell(self, part: tuple[str, str], share: float) -> None:
        self._done[part] = share * self._sizes[part[1]] / sum(self._sizes.values())
        if self._on_progress is not None:
            self._on_progress(min(STEPS, round(STEPS * sum(self._done.values()))), STEPS)
