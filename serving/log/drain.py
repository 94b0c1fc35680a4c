"""From the Redis streams, and the spool, into the event log: exactly once in effect.

An entry leaves its stream only after the log's files hold it on disk. A crash between the two repeats the append, which
changes nothing, since the log takes the first row of a key only. For the same reason the lock that keeps a home to one
drain at a time only saves work: two drains at once, say because one was frozen past the lock's expiry, store the same
rows once, and each trims no further than it has stored itself. So the lock needs no fencing token.

The log of a server is a `ChainedLog`: it chains every decision that it stores, before the entry leaves its stream, and
repeating the append chains whatever a crash left unchained. A decision is sealed here: of a row that comes twice, the
seal that the log stored first is the one that is chained.

Memory: an entry costs its JSON plus about 100 bytes in Redis until it is drained, some 2 KB for a decision. `/metrics`
counts the entries that wait: below two seconds' traffic while the drain runs, without bound while none runs.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import redis
import structlog
from redis.lock import Lock

from decisioning.errors import InvalidInputError, UnavailableError
from features.chain.audit_chain import AUDIT_CHAIN, open_log
from features.chain.decision_seal import sealed
from features.log.contracts import DECISIONS, TABLES
from features.log.event_log import EventLog
from features.log.rows import Row, frame_of, parse_row
from features.online.redis_keys import SHARD_COUNT, stream_key
from features.settings import Settings
from serving.log.dead_letters import DeadLetter, bury
from serving.log.spool import take_files

BATCH_SIZE = 1_000
"""Entries taken from one stream at a time, so at most 16,000 rows (about 30 MB) are in memory."""

LOCK_KEY = "nb:drain"
LOCK_SECONDS = 15.0
COMPACT_ABOVE_FILES = 400
PASSES_BETWEEN_COMPACTIONS = 100

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """What was taken: rows new to the log, rows it already had, and entries that were no rows (dead letters)."""

    inserted: int = 0
    duplicates: int = 0
    dead: int = 0

    def __add__(self, other: "DrainReport") -> "DrainReport":
        return DrainReport(
            inserted=self.inserted + other.inserted,
            duplicates=self.duplicates + other.duplicates,
            dead=self.dead + other.dead,
        )

    @property
    def taken(self) -> int:
        """Everything that left its stream or spool file."""
        return self.inserted + self.duplicates + self.dead


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One entry of a stream or line of a spool file; a field that was not there is None."""

    source: str
    entry_id: str
    table: str | None
    row: bytes | str | None
    fields: Mapping[Any, Any] | bytes

    @property
    def content(self) -> str:
        """All of it as text, for people."""
        if isinstance(self.fields, bytes):
            return _text(self.fields)
        return repr({_text(name): _text(value) for name, value in self.fields.items()})


def dead_letters_path(spool: Path) -> Path:
    """File of the entries that were no rows."""
    return spool / "dead" / "letters.jsonl"


def drain_streams(client: redis.Redis, log: EventLog, spool: Path) -> DrainReport:
    """Move what waits in the streams into the log, then trim it; what arrives meanwhile may wait for the next call.

    Raises:
        LogUnavailableError: The log could not be written; the entries stay.
        UnavailableError: Redis is away.
    """
    report = DrainReport()
    while True:
        with _redis_at_hand():
            batches = _read_batches(client)
        entries = [_stream_entry(key, *entry) for key, batch in batches.items() for entry in batch]
        report += _store(log, entries, dead_letters_path(spool))
        with _redis_at_hand():
            _trim(client, {key: _text(batch[-1][0]) for key, batch in batches.items() if batch})
        if all(len(batch) < BATCH_SIZE for batch in batches.values()):
            return report


def drain_spool(log: EventLog, spool: Path) -> DrainReport:
    """Move spooled rows into the log; a file goes only when the log holds its rows.

    Raises:
        LogUnavailableError: The log could not be written; the files stay.
    """
    report = DrainReport()
    for path in take_files(spool):
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:  # another drain was faster
            continue
        report += _store(
            log, (_spool_entry(path.name, *line) for line in enumerate(lines, 1)), dead_letters_path(spool)
        )
        path.unlink(missing_ok=True)
    return report


@contextmanager
def _redis_at_hand() -> Iterator[None]:
    """Translate what the Redis client raises; its messages may hold an address, so only the kind is named."""
    try:
        yield
    except redis.RedisError as error:
        raise UnavailableError(f"Redis must answer for the drain, got {type(error).__name__}; try again") from error


def open_redis(url: str) -> redis.Redis:
    """A client for draining: patient, since a batch may be large.

    Raises:
        UnavailableError: The URL names no Redis.
    """
    try:
        return redis.Redis.from_url(url, socket_timeout=30.0)
    except ValueError as error:
        raise UnavailableError("Redis URL must be redis://, rediss:// or unix://, got another one") from error


def run_drain(settings: Settings, redis_url: str, stop: threading.Event, *, interval_seconds: float = 1.0) -> None:
    """Drain until `stop` is set, and once more then; whatever is away is waited for.

    Many small appends make many small files, so it also compacts the log now and then.
    """
    log = open_log(settings)
    passes = 0
    with open_redis(redis_url) as client:
        while True:
            is_last = stop.is_set()
            passes += _drain_patiently(client, log, settings.spool_path)
            if is_last:
                return
            if passes >= PASSES_BETWEEN_COMPACTIONS:
                passes = 0
                _compact_where_scattered(log)
            stop.wait(interval_seconds)


def drain_alone(client: redis.Redis, log: EventLog, spool: Path, *, wait_seconds: float = 0.0) -> DrainReport:
    """Move all that waits now, in the spool and in the streams, into the log; the only drain of this home to do so.

    Raises:
        UnavailableError: Another drain is still at work, or Redis is away; the spool is drained all the same.
        LogUnavailableError: The log could not be written; what was not stored stays where it was.
    """
    spooled = drain_spool(log, spool)
    lock = client.lock(LOCK_KEY, timeout=LOCK_SECONDS, blocking_timeout=wait_seconds)
    with _redis_at_hand():
        is_ours = lock.acquire()
    if not is_ours:
        raise UnavailableError("drain must be the only one, and another one is at work; try again later")
    try:
        return spooled + drain_streams(client, log, spool)
    finally:
        _release(lock)


def _release(lock: Lock) -> None:
    """Give the lock back; one that expired meanwhile is somebody else's by now, which does no harm."""
    try:
        with _redis_at_hand():
            lock.release()
    except UnavailableError as error:
        _log.info("drain_lock_not_released", reason=str(error))


def _drain_patiently(client: redis.Redis, log: EventLog, spool: Path) -> bool:
    """One pass whose failures are reported and left to the next; whether it stored rows."""
    try:
        report = drain_alone(client, log, spool)
    except (UnavailableError, OSError) as error:
        _log.warning("drain_postponed", reason=f"{type(error).__name__}: {error}")
        return False
    if report.dead:
        _log.error("drain_dead_letters", count=report.dead, path=str(dead_letters_path(spool)))
    return report.inserted > 0


def _compact_where_scattered(log: EventLog) -> None:
    for table in (*TABLES.values(), AUDIT_CHAIN):
        try:
            if log.file_count(table) > COMPACT_ABOVE_FILES:
                log.compact(table)
        except UnavailableError as error:
            _log.warning("compaction_postponed", table=table.name, reason=str(error))


type _Batch = Sequence[tuple[bytes | str, Mapping[Any, Any]]]


def _read_batches(client: redis.Redis) -> dict[str, _Batch]:
    """The oldest entries of each stream: one command a stream, so that a cluster may spread them."""
    keys = [stream_key(shard) for shard in range(SHARD_COUNT)]
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.xrange(key, count=BATCH_SIZE)
    return dict(zip(keys, cast("list[_Batch]", pipeline.execute()), strict=True))


def _trim(client: redis.Redis, last_stored: Mapping[str, str]) -> None:
    """Remove what is stored: everything up to the last id that was read, and nothing that came later."""
    pipeline = client.pipeline(transaction=False)
    for key, entry_id in last_stored.items():
        milliseconds, number = entry_id.split("-")
        pipeline.xtrim(key, minid=f"{milliseconds}-{int(number) + 1}", approximate=False)
    pipeline.execute()


def _store(log: EventLog, entries: Iterable[_Entry], dead_letters: Path) -> DrainReport:
    """Append what is a row, bury the rest; nothing may leave its source before this returns."""
    rows: dict[str, list[Row]] = {}
    letters: list[DeadLetter] = []
    for entry in entries:
        try:
            table, row = _parse(entry)
            rows.setdefault(table, []).append(row)
        except InvalidInputError as error:
            letters.append(
                DeadLetter(source=entry.source, entry_id=entry.entry_id, reason=str(error), content=entry.content)
            )
    bury(dead_letters, letters)
    report = DrainReport(dead=len(letters))
    for name, found in rows.items():
        appended = log.append(TABLES[name], frame_of(TABLES[name], found))
        report += DrainReport(inserted=appended.inserted, duplicates=appended.duplicates)
    return report


def _parse(entry: _Entry) -> tuple[str, Row]:
    if entry.table is None or entry.row is None:
        raise InvalidInputError("entry must have the fields table and row, got others")
    table, row = parse_row(entry.table, entry.row)
    return table.name, sealed(row) if table is DECISIONS else row


def _stream_entry(key: str, entry_id: bytes | str, fields: Mapping[Any, Any] | None) -> _Entry:
    """An entry as Redis returns it, with or without decoding."""
    known = fields or {}
    table, row = (known.get(name.encode(), known.get(name)) for name in ("table", "row"))
    return _Entry(
        source=key, entry_id=_text(entry_id), table=None if table is None else _text(table), row=row, fields=known
    )


def _spool_entry(name: str, number: int, line: bytes) -> _Entry:
    """A line of a spool file; one that a crash tore has no fields."""
    try:
        fields = orjson.loads(line)
        table, row = fields["table"], orjson.dumps(fields["row"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        table, row = None, None
    return _Entry(source=name, entry_id=str(number), table=table, row=row, fields=line)


def _text(value: bytes | str) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
