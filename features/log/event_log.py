"""The event log: one Delta table per canonical table, appended to by key, never twice.

Appends are optimistic. A writer reads the keys of the newest version, drops the rows it already has, and commits
under one application transaction id; Delta refuses the commit if another writer committed under that id meanwhile, and
the writer starts over. So two writers can never both insert one key, on local disk or object storage, without a lock.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from decisioning.errors import InvalidInputError, LogUnavailableError
from features.durability import make_durable
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.customer_rows import without_former_yeses
from features.log.table import LogTable
from features.log.tombstones import Tombstones

APPEND_ATTEMPTS = 60
"""How often an append starts over when others keep committing first; they would have to win every time for minutes."""

BACKOFF_SECONDS = 0.02
RETENTION = timedelta(hours=24)
"""How long compaction leaves replaced files to readers that still use them."""

_OPENED = (OUTCOMES, EVENTS, DECISIONS, CUSTOMERS)
"""What refers to other rows comes first, so that these are there, too."""

_APPENDER = "nextbest-append"
_WRITER = WriterProperties(compression="ZSTD", compression_level=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What an append did: rows that are new, and rows whose key the log or the same batch already had."""

    inserted: int
    duplicates: int
    erased: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction did, in files."""

    files_before: int
    files_after: int
    files_deleted: int


class EventLog:
    """Customers, events, decisions and outcomes as Delta tables below one folder.

    A row is identified by its table's key and the first row of a key stands: appending a row again changes nothing, so
    every writer may repeat itself after a crash. Rows of customers who were erased are never taken back.

    Every method raises `LogUnavailableError` where the log could not be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.erased = Tombstones(path / "erased")

    def append(self, table: Table, rows: pl.DataFrame) -> Appended:
        """Add the rows whose key is new, in one atomic commit that survives a power cut.

        Args:
            table: Canonical table.
            rows: shape (n, columns); optional columns may be absent, order does not matter.

        Raises:
            InvalidInputError: A column is unknown, of a wrong type, or required and missing.
            LogUnavailableError: The log could not be written.
        """
        canonical = conform(table, rows)
        if canonical.is_empty():
            return Appended(inserted=0, duplicates=0)
        with _available(table, "written"), self.erased.appending():
            kept = without_customers(canonical, self.erased)
            distinct = kept.unique(subset=list(table.key), keep="first", maintain_order=True)
            inserted = 0
            if not distinct.is_empty():
                _, inserted = self._commit_built(table, lambda stored: _without_known_keys(distinct, stored, table))
        return Appended(inserted=inserted, duplicates=kept.height - inserted, erased=canonical.height - kept.height)

    def read(
        self, table: Table, *, columns: Sequence[str] | None = None, customer_ids: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Rows of a table, unordered, of these columns and customers or of all; empty where nothing was logged yet."""
        frame = self.scan(table)
        if customer_ids is not None:
            frame = frame.filter(pl.col("customer_id").is_in(list(customer_ids)))
        if columns is not None:
            frame = frame.select(columns)
        return self.collect(table, frame)

    def collect(self, table: Table, frame: pl.LazyFrame) -> pl.DataFrame:
        """What a query over `scan(table)` gives."""
        with _available(table, "read"):
            return frame.collect()

    def batches(self, table: Table, frame: pl.LazyFrame, *, size: int) -> Iterator[pl.DataFrame]:
        """What a query over `scan(table)` gives, in frames of about `size` rows: a large log needs no memory."""
        with _available(table, "read"):
            yield from frame.collect_batches(chunk_size=size, maintain_order=True)

    def find(self, table: Table, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
        """Rows whose text column has one of some values, as plain values; unordered."""
        found = self.scan(table).filter(pl.col(column).is_in(list(values)))
        return self.collect(table, found).to_dicts()

    def newest(self, table: Table, count: int) -> pl.DataFrame:
        """The rows with the latest times, newest first: at most `count`."""
        rows = self.scan(table).top_k(count, by=table.time_column)
        with _available(table, "read"):
            return rows.collect().sort(table.time_column, descending=True)

    def scan(self, table: Table, *, version: int | None = None) -> pl.LazyFrame:
        """A version of a table, default the newest, as a lazy frame with the canonical columns."""
        with _available(table, "opened"):
            stored = self._open(table, version)
            if stored is None:
                return pl.LazyFrame(schema=table.schema)
            return _with_canonical_columns(pl.scan_delta(stored), table)

    def compact(self, table: Table, *, retention: timedelta = RETENTION) -> Compacted:
        """Rewrite many small files as few, and delete files that no version within `retention` needs.

        Appends may go on meanwhile. Readers that started before `retention` ago may lose files under their feet.
        """
        hours = int(retention.total_seconds() // 3600)
        with _available(table, "compacted"), self.erased.appending():
            stored = self._open(table)
            if stored is None:
                return Compacted(files_before=0, files_after=0, files_deleted=0)
            before = len(stored.file_uris())
            stored.optimize.compact()
            deleted = stored.vacuum(retention_hours=hours, enforce_retention_duration=False, dry_run=False, full=True)
            stored.create_checkpoint()
            return Compacted(files_before=before, files_after=len(stored.file_uris()), files_deleted=len(deleted))

    def version_of(self, table: Table) -> str:
        """Which table it is, and which version of it is the newest; empty where nobody wrote it yet."""
        with _available(table, "opened"):
            stored = self._open(table)
            return "" if stored is None else f"{stored.metadata().id}@{stored.version()}"

    def version_number(self, table: Table) -> int | None:
        """Number of the newest version of a table; None where nobody wrote it yet."""
        with _available(table, "opened"):
            stored = self._open(table)
            return None if stored is None else stored.version()

    def file_count(self, table: Table) -> int:
        """Number of data files of the newest version; many small ones make reading slow."""
        with _available(table, "opened"):
            stored = self._open(table)
            return 0 if stored is None else len(stored.file_uris())

    def extend(self, table: Table, build: Callable[[int, pl.LazyFrame], pl.DataFrame]) -> int:
        """Append what `build` makes of the newest version; where another writer commits first, build again on theirs.

        Args:
            table: A table.
            build: Gets the newest version's number and rows, returns the rows to append, with all columns.

        Returns:
            The number of the version that this writer committed, or of the newest one where there was nothing to add.
        """
        with _available(table, "written"):
            return self._commit_built(table, lambda stored: build(stored.version(), pl.scan_delta(stored)))[0]

    def _table_path(self, table: Table) -> Path:
        return self.path / table.name

    def _open(self, table: Table, version: int | None = None) -> LogTable | None:
        """A version of a table, default the newest; None where nobody wrote it yet."""
        try:
            return LogTable(self._table_path(table), version=version)
        except TableNotFoundError:
            return None

    def _commit_built(self, table: Table, build: Callable[[LogTable], pl.DataFrame]) -> tuple[int, int]:
        """Commit what `build` makes of the newest version, again while others commit first: version and rows."""
        for attempt in range(APPEND_ATTEMPTS):
            stored = self._open_or_create(table)
            version, fresh = stored.version(), build(stored)
            if fresh.is_empty():
                return version, 0
            before = set(stored.file_uris())
            try:
                self._commit(stored, fresh)
            except CommitFailedError:
                time.sleep(BACKOFF_SECONDS * min(attempt + 1, 10))
                continue
            _flush_to_disk(LogTable(self._table_path(table)), before)
            return version + 1, fresh.height
        raise LogUnavailableError(f"log table {table.name} is being written by others all the time; try again later")

    def _commit(self, stored: LogTable, rows: pl.DataFrame) -> None:
        transaction = Transaction(_APPENDER, stored.version() + 1)
        write_deltalake(
            stored,
            rows,
            mode="append",
            schema_mode="merge",
            writer_properties=_WRITER,
            commit_properties=CommitProperties(app_transactions=[transaction]),
        )

    def _open_or_create(self, table: Table) -> LogTable:
        if (stored := self._open(table)) is not None:
            return stored
        path = self._table_path(table)
        path.mkdir(parents=True, exist_ok=True)
        with suppress(DeltaError):  # another process may create it in the same moment
            LogTable.create(path, pl.DataFrame(schema=table.schema).to_arrow().schema, mode="ignore")
        return LogTable(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSnapshot:
    """One version of each table of a log: whoever commits meanwhile, every read gives the same rows.

    Attributes:
        versions: Number of the Delta version by name of the table; None where nobody had written the table yet.
    """

    log: EventLog
    versions: Mapping[str, int | None]

    @classmethod
    def of(cls, log: EventLog) -> "LogSnapshot":
        """The newest version of every table.

        Raises:
            LogUnavailableError: A table could not be opened.
        """
        return cls(log=log, versions={table.name: log.version_number(table) for table in _OPENED})

    def scan(self, table: Table) -> pl.LazyFrame:
        """A table as a lazy frame with the canonical columns.

        Raises:
            LogUnavailableError: It could not be opened.
        """
        version = self.versions[table.name]
        return pl.LazyFrame(schema=table.schema) if version is None else self.log.scan(table, version=version)

    def read(self, table: Table, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows of a table, unordered, of these columns or of all.

        Raises:
            LogUnavailableError: It could not be read, or its files are gone: an erasure deletes them at once.
        """
        frame = self.scan(table)
        return self.log.collect(table, frame if columns is None else frame.select(columns))


@contextmanager
def _available(table: Table, done: str) -> Iterator[None]:
    """Translate what goes wrong with files and commits."""
    try:
        yield
    except (DeltaError, OSError, ValueError, pl.exceptions.ComputeError) as error:
        raise LogUnavailableError(f"log table {table.name} could not be {done}: {error}") from error


def conform(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with exactly the canonical columns, types and order.

    Raises:
        InvalidInputError: A column is unknown, of a wrong type, or required and missing.
    """
    unknown = sorted(set(rows.columns) - set(table.schema))
    if unknown:
        raise InvalidInputError(f"columns of {table.name} must be canonical ones, got {', '.join(unknown)}")
    try:
        frame = _with_canonical_columns(rows.lazy(), table).cast(pl.Schema(table.schema)).collect()
    except pl.exceptions.PolarsError as error:
        raise InvalidInputError(f"{table.name} must have the canonical column types: {error}") from error
    for column in table.columns:
        if column.is_required and frame[column.name].null_count():
            raise InvalidInputError(f"{table.name}.{column.name} must be given in every row, got missing values")
    return frame


def without_customers(rows: pl.DataFrame, erased: Tombstones) -> pl.DataFrame:
    """Rows of customers who were not erased, and newer rows of those who were readmitted. Other tables stay whole.

    Raises:
        LogUnavailableError: The tombstones cannot be read.
    """
    if "customer_id" not in rows.columns or not (erased.tokens() or erased.readmitted()):
        return rows
    ids = rows["customer_id"].drop_nulls().unique().to_list()
    gone = erased.among(ids)
    kept = rows.filter(~pl.col("customer_id").is_in(sorted(gone))) if gone else rows
    return _without_former_lives(kept, ids, erased)


def _without_former_lives(rows: pl.DataFrame, ids: Sequence[str], erased: Tombstones) -> pl.DataFrame:
    """Rows without those of readmitted customers that are older than their return."""
    since = erased.readmitted()
    back = {one: since[token] for one in ids if (token := erased.token(one)) in since} if since else {}
    moment = next((name for name in ("occurred_at", "decided_at", "updated_at") if name in rows.columns), None)
    if not back or moment is None:
        return rows
    is_former = [(pl.col("customer_id") == one) & (pl.col(moment) < pl.lit(at)) for one, at in back.items()]
    return _without_former_yeses(rows.filter(~pl.any_horizontal(is_former)), back)


def _without_former_yeses(rows: pl.DataFrame, back: Mapping[str, datetime]) -> pl.DataFrame:
    """New rows of readmitted customers in which another system repeats what they once agreed to."""
    if "consents" not in rows.columns:
        return rows
    texts = [
        text if (since := back.get(who)) is None else without_former_yeses(text, since)
        for who, text in rows.select("customer_id", "consents").iter_rows()
    ]
    return rows.with_columns(pl.Series("consents", texts, dtype=pl.String))


def _with_canonical_columns(frame: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """Canonical columns in order; one that an older writer did not know is missing in every row."""
    present = set(frame.collect_schema().names())
    columns = [
        pl.col(name) if name in present else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in table.schema.items()
    ]
    return frame.select(columns)


def _without_known_keys(rows: pl.DataFrame, stored: LogTable, table: Table) -> pl.DataFrame:
    """Rows whose key the version lacks; file statistics skip files whose keys lie outside the rows' range."""
    keys = list(table.key)
    in_range = reduce(and_, (pl.col(key).is_between(pl.lit(rows[key].min()), pl.lit(rows[key].max())) for key in keys))
    known = pl.scan_delta(stored).select(keys).filter(in_range).collect()
    return rows.join(known, on=keys, how="anti", maintain_order="left")


def _flush_to_disk(stored: LogTable, known_files: set[str]) -> None:
    """Force new data files and their commit to the disk: Delta leaves them in the page cache.

    The drain trims the Redis stream after an append, so from then on these files are the only copy.
    """
    root = stored.root
    if root is None:  # object storage is durable once it has answered
        return
    files = [Path(one) for one in set(stored.file_uris()) - known_files]
    commit = root / "_delta_log" / f"{stored.version():020d}.json"
    for path in (*files, commit, root, commit.parent):
        with suppress(FileNotFoundError):  # compacted away by another process, which makes its own copy durable
            make_durable(path)
