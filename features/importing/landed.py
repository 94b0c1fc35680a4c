"""Writing staged rows into the log, once each, and never over a different row with the same key."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import batched

import polars as pl

from features.importing.json_columns import respell
from features.importing.refusals import REASONS_SCHEMA, Refusals
from features.importing.staged import Staged
from features.importing.validation import ROW
from features.listening.listener import without_heard
from features.log.contracts import EVENTS, Table
from features.log.event_log import EventLog

PARTS_PER_COMMIT = 8
"""Staged parts, of 250,000 rows at most, that land in one commit."""

CONFLICT_IN_FILE = "the same in every row of the file that has this key"
CONFLICT_WITH_LOG = "the same as in the log, which has this key already"

_SAYS_NOTHING_NEW = frozenset({"recorded_at"})
"""Columns that a nightly export writes anew; the row that came first stands, with the moment it became known."""

_DIGEST = "digest"
_FIRST = "first_"
_LOGGED = "logged_"
_STANDING = "_standing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """Rows by what became of them."""

    inserted: int
    duplicates: int
    conflicting: int


def land(log: EventLog, staged: Staged, refusals: Refusals, on_progress: Callable[[float], None]) -> Landed:
    """Append the rows whose key is new; count repeated ones, refuse those that contradict what stands.

    Raises:
        LogUnavailableError: The log could not be written; landing again completes it.
    """
    if staged.read == staged.refused + staged.erased:
        on_progress(1.0)
        return Landed(inserted=0, duplicates=0, conflicting=0)
    table = staged.file.table
    keys = _keys_with_digest(pl.scan_parquet(staged.parts), table, ROW).collect()
    firsts = keys.unique(subset=list(table.key), keep="first", maintain_order=True)
    contradicting = _contradicting_first(staged, keys, firsts)
    new_rows, against_log = _compare_with_log(log, staged, firsts)
    _refuse(staged, refusals, contradicting, CONFLICT_IN_FILE)
    _refuse(staged, refusals, against_log, CONFLICT_WITH_LOG)
    inserted = _append(log, staged, new_rows, on_progress)
    conflicting = contradicting.len() + against_log.len()
    return Landed(inserted=inserted, duplicates=keys.height - conflicting - inserted, conflicting=conflicting)


def deduplicated(staged: Staged, refusals: Refusals) -> pl.DataFrame:
    """All staged rows, one per key, without a log to land in; contradicting ones are refused."""
    table = staged.file.table
    rows = pl.scan_parquet(staged.parts)
    keys = _keys_with_digest(rows, table, ROW).collect()
    firsts = keys.unique(subset=list(table.key), keep="first", maintain_order=True)
    _refuse(staged, refusals, _contradicting_first(staged, keys, firsts), CONFLICT_IN_FILE)
    return rows.join(firsts.lazy().select(ROW), on=ROW, how="semi").drop(ROW).collect()


def _keys_with_digest(rows: pl.LazyFrame, table: Table, *more: str) -> pl.LazyFrame:
    """Key columns, and a 64-bit digest of what a row says: rows of one key are the same if their digests are."""
    return rows.select(*table.key, *more, pl.struct(_said(table)).hash().alias(_DIGEST))


def _said(table: Table) -> list[str]:
    return [name for name in table.schema if name not in _SAYS_NOTHING_NEW]


def _contradicting_first(staged: Staged, keys: pl.DataFrame, firsts: pl.DataFrame) -> pl.Series:
    """Numbers of rows that contradict the first row with their key."""
    if firsts.height == keys.height:
        return keys[ROW].clear()
    key = list(staged.file.table.key)
    known = firsts.select(*key, pl.col(_DIGEST).alias(_FIRST + _DIGEST), pl.col(ROW).alias(_FIRST + ROW))
    paired = keys.join(known, on=key, how="inner").filter(pl.col(_DIGEST) != pl.col(_FIRST + _DIGEST))
    standing = _rows(staged, paired[_FIRST + ROW].unique().alias(ROW)).drop(ROW)
    return _contradicting(_rows(staged, paired[ROW]), standing, staged.file.table)


def _compare_with_log(log: EventLog, staged: Staged, firsts: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Numbers of rows whose key the log lacks, and of those that differ from the log's row."""
    table, key = staged.file.table, list(staged.file.table.key)
    logged = _keys_with_digest(log.scan(table), table).rename({_DIGEST: _LOGGED + _DIGEST}).collect()
    paired = firsts.join(logged, on=key, how="left", maintain_order="left")
    is_new = pl.col(_LOGGED + _DIGEST).is_null()
    suspects = paired.filter(~is_new & (pl.col(_DIGEST) != pl.col(_LOGGED + _DIGEST)))
    return paired.filter(is_new)[ROW], _without_respelt(log, staged, suspects)


def _without_respelt(log: EventLog, staged: Staged, suspects: pl.DataFrame) -> pl.Series:
    """Suspects that differ by more than the spelling of JSON: the log may hold rows that no import respelt.

    Nor does it count what was heard in an event: another catalogue may have listened to the same words.
    """
    table = staged.file.table
    if suspects.is_empty():
        return suspects[ROW]
    key = list(table.key)
    logged = log.scan(table).join(suspects.lazy().select(key), on=key, how="semi").collect()
    respelt = logged.with_columns(respell(logged[column.name]) for column in table.columns if column.is_json)
    rows = _rows(staged, suspects[ROW])
    if table is EVENTS:
        respelt, rows = without_heard(respelt), without_heard(rows)
    return _contradicting(rows, respelt, table)


def _contradicting(rows: pl.DataFrame, standing: pl.DataFrame, table: Table) -> pl.Series:
    """Numbers of rows that say something else than the row that stands; what a row leaves out contradicts nothing."""
    key = list(table.key)
    paired = rows.join(standing, on=key, how="inner", suffix=_STANDING, maintain_order="left")
    said = [name for name in _said(table) if name not in key]
    differs = [pl.col(name).is_not_null() & pl.col(name).ne_missing(pl.col(name + _STANDING)) for name in said]
    return paired.filter(pl.any_horizontal(differs))[ROW]


def _rows(staged: Staged, numbers: pl.Series) -> pl.DataFrame:
    """Staged rows by their numbers."""
    return pl.scan_parquet(staged.parts).join(numbers.to_frame().lazy(), on=ROW, how="semi").collect()


def _refuse(staged: Staged, refusals: Refusals, numbers: pl.Series, rule: str) -> None:
    """Refuse staged rows by their numbers."""
    if numbers.is_empty():
        return
    table = staged.file.table
    rows = _rows(staged, numbers)
    reasons = rows.select(
        pl.lit(staged.file.path.name).alias("file"),
        pl.col(ROW).alias("row"),
        pl.lit(table.key[0]).alias("column"),
        pl.lit(rule).alias("rule"),
        pl.col(table.key[0]).alias("value"),
    )
    refusals.add(table, reasons.cast(REASONS_SCHEMA), rows)


def _append(log: EventLog, staged: Staged, numbers: pl.Series, on_progress: Callable[[float], None]) -> int:
    """Append rows by their numbers, a few parts at a time; how many the log took."""
    wanted = numbers.to_frame().lazy()
    inserted = 0
    for index, parts in enumerate(batched(staged.parts, PARTS_PER_COMMIT), start=1):
        rows = pl.scan_parquet(list(parts)).join(wanted, on=ROW, how="semi", maintain_order="left").drop(ROW).collect()
        inserted += log.append(staged.file.table, rows).inserted
        on_progress(min(1.0, index * PARTS_PER_COMMIT / len(staged.parts)))
    return inserted
