"""Rows out of the files that lie about a home: rejects, dead letters, hand-offs, whatever has a column `customer_id`.

The log, the feature history, Redis and the spool have ways of their own. Everything else that is a table is filtered by
its column, and of a file of JSON lines the lines that name the customer go.
"""

import csv
import fcntl
import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from decisioning.errors import UnavailableError
from features.durability import replace_file
from features.importing.refusals import REASONS_FILE
from features.locks import held
from features.privacy.history_erasure import rewrite_parquet
from features.privacy.log_erasure import ERASED_WORD
from features.privacy.spellings import standing_alone
from features.settings import Settings

CUSTOMER = "customer_id"
HANDOFFS = "handoffs"
"""Folder below home of what is handed to a mail house, a call list and the like."""

_PARQUET = b"PAR1"


def erase_from_files(settings: Settings, customer_id: str) -> dict[str, int]:
    """Take a customer out of every other file below home, as often as one likes; rows and lines taken out, by path.

    Raises:
        UnavailableError: A file could not be rewritten.
    """
    _remove_abandoned_staging(settings.home)
    taken: dict[str, int] = {}
    for path in loose_files(settings):
        count = _erase_from(path, customer_id)
        if count:
            taken[str(path.relative_to(settings.home))] = count
    return taken


def loose_files(settings: Settings) -> Iterator[Path]:
    """Tables and JSON lines below home that nothing else looks after."""
    looked_after = {settings.log_path, settings.features_path, settings.redis_path, settings.catalogues_path}
    for folder, names, files in os.walk(settings.home):
        here = Path(folder)
        names[:] = sorted(name for name in names if here / name not in looked_after)
        for name in sorted(files):
            if not name.startswith(".") and _kind_of(here / name) is not None:
                yield here / name


def rows_in(path: Path, customer_id: str) -> list[dict[str, object]]:
    """Rows of a loose file that are about a customer, as plain values; lines that name them as `line`."""
    match _kind_of(path):
        case "table":
            rows = pl.scan_parquet(path)
            if CUSTOMER not in rows.collect_schema().names():
                return []
            return rows.filter(pl.col(CUSTOMER) == customer_id).collect().to_dicts()
        case "sheet":
            return [dict(row) for row in csv.DictReader(_lines(path)) if _is_of(row, customer_id)]
        case _:
            return [{"line": line} for line in _lines(path) if names(line, customer_id)]


def names(text: str, customer_id: str) -> bool:
    """Whether a text names a customer: the id stands in it by itself, not as a part of a longer one.

    Example:
        >>> names('{"customer_id": "C-1"}', "C-1"), names('{"customer_id": "C-10"}', "C-1")
        (True, False)
    """
    return pattern_of(customer_id).search(text) is not None


def pattern_of(customer_id: str) -> re.Pattern[str]:
    """Finds an id that stands by itself, however it is escaped."""
    return re.compile(standing_alone(customer_id))


def _kind_of(path: Path) -> str | None:
    """`table` (Parquet), `sheet` (CSV), `lines` (JSON a line), or None for what is neither.

    A hand-off that was prepared and not yet put in place has a number for a suffix; its first bytes tell what it is.
    """
    kind = {".parquet": "table", ".csv": "sheet", ".jsonl": "lines", ".draining": "lines"}.get(path.suffix)
    if kind is None and path.parent.name == HANDOFFS and path.suffix.removeprefix(".").isdecimal():
        with path.open("rb") as file:
            kind = "table" if file.read(len(_PARQUET)) == _PARQUET else "sheet"
    return kind


def _erase_from(path: Path, customer_id: str) -> int:
    try:
        match _kind_of(path):
            case "table":
                if CUSTOMER not in pl.scan_parquet(path).collect_schema().names():
                    return 0
                return rewrite_parquet(path, pl.col(CUSTOMER).ne_missing(customer_id))
            case "sheet" if path.name == REASONS_FILE:
                return 0  # rewritten with the rows that it is about
            case "sheet":
                return _erase_from_csv(path, customer_id)
            case _:
                return _erase_lines(path, customer_id)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnavailableError(f"{path.name} must be rewritable, got {type(error).__name__}; try again") from error


def _erase_from_csv(path: Path, customer_id: str) -> int:
    reader = csv.DictReader(_lines(path))
    rows = list(reader)
    kept = [row for row in rows if not _is_of(row, customer_id)]
    reasons = path.with_name(REASONS_FILE)
    if reasons.exists():
        _erase_reasons(reasons, path.stem, kept, customer_id)
    count = len(rows) - len(kept) + sum(_take_out(row, customer_id) for row in kept)
    if count:
        _write_csv(path, list(reader.fieldnames or ()), kept)
    return count


def _take_out(row: dict[str, str], customer_id: str) -> bool:
    """Where somebody else's row names the customer, the name goes; whether there was one."""
    named = [column for column, value in row.items() if isinstance(value, str) and names(value, customer_id)]
    row |= {column: pattern_of(customer_id).sub(ERASED_WORD, row[column]) for column in named}
    return bool(named)


def _erase_reasons(path: Path, table: str, kept: list[dict[str, str]], customer_id: str) -> None:
    """Values that were quoted from refused rows stay only where a row that stays has them."""
    reader = csv.DictReader(_lines(path))
    rows = list(reader)
    values = {value for row in kept for value in row.values() if not names(str(value), customer_id)}
    is_changed = False
    for row in rows:
        is_ours = Path(row["file"]).stem == table and row["value"] not in values
        if row["value"] and (is_ours or names(row["value"], customer_id)):
            row["value"], is_changed = "", True
    if is_changed:
        _write_csv(path, list(reader.fieldnames or ()), rows)


def _is_of(row: dict[str, str], customer_id: str) -> bool:
    """A refused row may be damaged, so its id counts with whatever blanks stand about it."""
    return (row.get(CUSTOMER) or "").strip() == customer_id


def _erase_lines(path: Path, customer_id: str) -> int:
    with path.open("r+", encoding="utf-8", errors="surrogateescape") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = file.readlines()
        kept = [line for line in lines if not names(line, customer_id)]
        if len(kept) < len(lines):
            file.seek(0)
            file.writelines(kept)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    return len(lines) - len(kept)


def _lines(path: Path) -> io.StringIO:
    return io.StringIO(path.read_text(encoding="utf-8-sig", errors="surrogateescape"), newline="")


def _write_csv(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode("utf-8", "surrogateescape"), is_durable=True)


def _remove_abandoned_staging(home: Path) -> None:
    """What a killed import left; an import that runs keeps its folder, and leaves erased customers out by itself."""
    folder = home / "staging"
    if not folder.is_dir():
        return
    with held(home / "import.lock", UnavailableError("import must end before a customer can be erased; try again")):
        shutil.rmtree(folder, ignore_errors=True)
