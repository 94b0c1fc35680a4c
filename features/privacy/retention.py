"""Retention: data older than the catalogue allows is deleted for good, as by an erasure.

Two kinds of rows stay whatever their age, because forgetting them would do harm: the newest word of a customer about
consent, profiling and protection, with the departures from a channel, and the newest profile row. A refusal does not
expire.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import orjson
import polars as pl
from deltalake import DeltaTable

from features.chain.audit_chain import ChainedLog
from features.durability import replace_file
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.customer_rows import needed_rows
from features.log.event_types import StateEventType
from features.log.outcome_types import OutcomeType
from features.privacy.file_erasure import HANDOFFS
from features.privacy.history_erasure import keep_in_history
from features.privacy.log_erasure import forget_versions, rewriting
from features.privacy.purposes import DataRules
from features.settings import Settings
from features.store.feature_history import history_path

ANSWERS = frozenset(
    {
        StateEventType.CONSENT_GIVEN,
        StateEventType.CONSENT_WITHDRAWN,
        StateEventType.PROFILING_OPTED_OUT,
        StateEventType.PROFILING_OPTED_IN,
        StateEventType.PROTECTED,
        StateEventType.UNPROTECTED,
        StateEventType.IDENTIFIED,
    }
)
"""Events that are somebody's word, which stands until they say otherwise, and whose word an older one was."""

_TOGETHER = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What one place lost.

    Attributes:
        place: Such as `events` or `rejects`.
        days: How long it is kept there; None where nothing is said, so that nothing goes.
        before: Everything older went; None likewise.
        deleted: Rows, or files of hand-offs and folders of rejects.
    """

    place: str
    days: int | None
    before: datetime | None
    deleted: int


def retain(settings: Settings, log: ChainedLog, rules: DataRules, *, now: datetime, is_dry_run: bool) -> list[Retained]:
    """Delete what is past its time, place by place; it may be repeated.

    Raises:
        UnavailableError: The log or a file is in use or away; repeat it.
    """
    kept, happened, kind = rules.retention, pl.col("occurred_at"), pl.col("type")
    is_departure, is_answer = kind == OutcomeType.UNSUBSCRIBED.value, kind.is_in(sorted(ANSWERS))
    rows = partial(_rows, log, is_dry_run=is_dry_run)
    derived = kept.features if kept.features is not None else kept.decisions
    places: list[tuple[str, int | None, Callable[[datetime], int]]] = [
        ("outcomes", kept.outcomes, lambda at: rows(OUTCOMES, (happened < at) & ~is_departure)),
        ("events", kept.events, lambda at: rows(EVENTS, (happened < at) & ~is_answer)),
        ("decisions", kept.decisions, lambda at: rows(DECISIONS, _old_decisions(log, at))),
        ("customers", kept.customers, lambda at: rows(CUSTOMERS, _replaced_rows(log, at))),
        ("features", derived, lambda at: _history(settings, at, is_dry_run=is_dry_run)),
        ("rejects", kept.rejects, lambda at: _entries(settings.rejects_path, at, is_dry_run=is_dry_run)),
        ("dead_letters", kept.dead_letters, lambda at: _letters(settings.spool_path, at, is_dry_run=is_dry_run)),
        ("handoffs", kept.handoffs, lambda at: _entries(settings.home / HANDOFFS, at, is_dry_run=is_dry_run)),
    ]
    return [_one(name, days, delete, now) for name, days, delete in places]


def _one(place: str, days: int | None, delete: Callable[[datetime], int], now: datetime) -> Retained:
    if days is None:
        return Retained(place=place, days=None, before=None, deleted=0)
    before = now.astimezone(UTC) - timedelta(days=days)
    return Retained(place=place, days=days, before=before, deleted=delete(before))


def _old_decisions(log: ChainedLog, before: datetime) -> pl.Expr:
    """A departure from a channel needs the decision that says which channel it was."""
    left = pl.col("type") == OutcomeType.UNSUBSCRIBED.value
    needed = log.collect(OUTCOMES, log.scan(OUTCOMES).filter(left).select("decision_id"))["decision_id"].unique()
    return (pl.col("decided_at") < before) & ~pl.col("decision_id").is_in(needed.implode())


def _replaced_rows(log: ChainedLog, before: datetime) -> pl.Expr:
    """Profile rows of which a newer one says all: of every column, and of protections and profiling besides."""
    rows = log.read(CUSTOMERS)
    says = (pl.col("protections").is_not_null(), pl.col("consents").str.contains("profiling"))
    kept = [rows.filter(one).group_by("customer_id").agg(pl.col("updated_at").max()) for one in says]
    needed = pl.concat([needed_rows(rows), *kept]).unique()
    key = pl.struct("customer_id", "updated_at")
    return (pl.col("updated_at") < before) & ~key.is_in(needed.select(key).to_series().implode())


def _rows(log: ChainedLog, table: Table, old: pl.Expr, *, is_dry_run: bool) -> int:
    """Delete old rows by their keys, some at a time, then every version that had them."""
    key = list(table.key)
    gone = log.collect(table, log.scan(table).filter(old).select(key))
    if is_dry_run or gone.is_empty():
        return gone.height
    if table.name == DECISIONS.name:
        log.erase(gone["decision_id"].to_list())
    with log.erased.erasing():
        for some in gone.iter_slices(_TOGETHER):
            _delete_keys(log, table, some)
        forget_versions(log, table)
    return gone.height


def _delete_keys(log: ChainedLog, table: Table, keys: pl.DataFrame) -> None:
    same = " AND ".join(f"stored.{name} = old.{name}" for name in keys.columns)
    with rewriting(table):
        stored = DeltaTable(log.path / table.name)
        stored.merge(keys, predicate=same, source_alias="old", target_alias="stored").when_matched_delete().execute()


def _history(settings: Settings, before: datetime, *, is_dry_run: bool) -> int:
    kept = pl.col("event_timestamp") >= before
    if not is_dry_run:
        return keep_in_history(settings, kept)
    files = sorted(history_path(settings).glob("g-*/*.parquet"))
    return sum(pl.scan_parquet(path).filter(~kept).select(pl.len()).collect().item() for path in files)


def _entries(folder: Path, before: datetime, *, is_dry_run: bool) -> int:
    """Files and folders that were written earlier; the list of what was handed over stays, it holds decisions' ids."""
    present = (path for path in (folder.iterdir() if folder.is_dir() else ()) if path.suffix != ".json")
    old = [path for path in present if _written_at(path) < before]
    for path in () if is_dry_run else old:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(old)


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _letters(spool: Path, before: datetime, *, is_dry_run: bool) -> int:
    """Dead letters by the time that their stream gave them; those of spool files by the file's."""
    path = spool / "dead" / "letters.jsonl"
    if not path.exists():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _buried_at(line, path) >= before]
    if not is_dry_run and len(kept) < len(lines):
        replace_file(path, b"".join(kept))
    return len(lines) - len(kept)


def _buried_at(line: bytes, path: Path) -> datetime:
    entry_id = str(orjson.loads(line).get("entry_id", ""))
    milliseconds, dash, _ = entry_id.partition("-")
    if dash and milliseconds.isdecimal():
        return datetime.fromtimestamp(int(milliseconds) / 1_000, UTC)
    return _written_at(path)
