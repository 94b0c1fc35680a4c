"""What Redis holds about a customer, and its removal: keys, stream entries, contacts in household books."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, cast

import orjson
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from decisioning.errors import InvalidInputError, UnavailableError
from features.log.contracts import TABLES
from features.log.rows import fields_in
from features.online.redis_keys import (
    ERASED_KEY,
    SHARD_COUNT,
    book_key,
    decision_key,
    events_key,
    feature_key,
    household_pointer_key,
    live_key,
    profile_key,
    seen_key,
    shard_of,
    stream_key,
)
from features.privacy.spellings import standing_alone
from serving.live.book import VERSION
from serving.live.decision_hash import DecisionField
from serving.live.join import JOINING
from serving.live.live_hash import WordKind, person_of
from serving.live.scripts import ERASE
from serving.live.writer import shard_in

_SCAN_COUNT = 1_000
_STREAM_BATCH = 1_000
_REWRITE_SECONDS = 600.0
_POLL_SECONDS = 0.02
_PACKED = "aof-use-rdb-preamble"

OWN_KEYS = {
    "features": feature_key,
    "profile": profile_key,
    "live_state": live_key,
    "contacts": book_key,
    "recent_events": events_key,
    "household": household_pointer_key,
}
"""Keys that are one customer's alone, by what they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTraces:
    """Where Redis has something of a customer.

    Attributes:
        own: Keys that are theirs alone, by what they hold.
        decisions: Keys of decisions that can still be read back.
        answers: Keys of answers that a repeat of an ask gets.
        entries: Ids of stream entries that wait for the drain.
        books: Books of households that have a contact of theirs.
        contact_ids: Ids of their contacts, which are their decisions.
        seen: Keys of marks that a report of theirs was accepted.
    """

    own: Mapping[str, str] = field(default_factory=dict[str, str])
    decisions: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    books: tuple[str, ...] = ()
    contact_ids: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Keys, entries and books that have something."""
        return sum(map(len, (self.own, self.decisions, self.answers, self.entries, self.books, self.seen)))


@contextmanager
def redis_at_hand() -> Iterator[None]:
    """Translate what the Redis client raises; its messages may hold what was asked, so only the kind is named."""
    try:
        yield
    except RedisError as error:
        raise UnavailableError(f"Redis must answer, got {type(error).__name__}; try again") from error


@redis_at_hand()
def find_traces(
    client: Redis, customer_id: str, *, decision_ids: Iterable[str] = (), message_ids: Iterable[str] = ()
) -> RedisTraces:
    """Everything in Redis that is about a customer; it walks over all keys, a thousand at a time.

    Decisions and reports that the log knows of them are looked for by their ids, reports by `events:<id>` and
    `outcomes:<id>`.

    Raises:
        UnavailableError: Redis is away.
    """
    shard = shard_of(customer_id)
    entries, waiting = _entries(client, customer_id, shard)
    in_stream, reported = _ids_of(waiting)
    contacts = set(map(_text, _hash_names(client, book_key(customer_id)))) - {VERSION}
    own = {what: key_of(customer_id) for what, key_of in OWN_KEYS.items()}
    decisions, answers, books = set[str](), set[str](), list[str]()
    for keys in _all_keys(client):
        decisions.update(_decisions_of(client, keys, customer_id, shard))
        answers.update(key for key in keys if _is_answer_of(key, customer_id, shard))
        books += [key for key in keys if ":hb:" in key]
    named = {key.partition(":d:")[2] for key in decisions}.union(decision_ids, in_stream, contacts)
    by_id = (decision_key(one, shard) for one in sorted(named) if shard_in(one) is not None)
    marks = (seen_key(customer_id, one) for one in sorted({JOINING, *message_ids, *reported}))
    return RedisTraces(
        own={what: key for what, key in own.items() if client.exists(key)},
        decisions=tuple(sorted(decisions | set(_present(client, by_id)))),
        answers=tuple(sorted(answers)),
        entries=tuple(entries),
        books=tuple(sorted(key for key in set(books) if named & set(map(_text, _hash_names(client, key))))),
        contact_ids=tuple(sorted(named)),
        seen=tuple(_present(client, marks)),
    )


@redis_at_hand()
def shut_out(client: Redis, token: str) -> None:
    """Let Redis take nothing more about a customer; from then on what it has of them only gets less.

    Raises:
        UnavailableError: Redis is away.
    """
    client.sadd(ERASED_KEY, token)


@redis_at_hand()
def waiting_ids(client: Redis, customer_id: str) -> tuple[set[str], set[str]]:
    """Decisions and reports of a customer that wait in the stream: decision ids, and ids as `events:<id>`.

    Raises:
        UnavailableError: Redis is away.
    """
    _, rows = _entries(client, customer_id, shard_of(customer_id))
    return _ids_of(rows)


@redis_at_hand()
def waiting_mentions(client: Redis, customer_id: str) -> tuple[str, ...]:
    """Streams with rows, about any customer, that contain an id written since the last drain.

    Raises:
        UnavailableError: Redis is away.
    """
    pattern = re.compile(standing_alone(customer_id))
    return tuple(key for key in map(stream_key, range(SHARD_COUNT)) if _stands_in(client, key, pattern))


@redis_at_hand()
def erase_traces(client: Redis, customer_id: str, traces: RedisTraces) -> None:
    """Take everything out that was found, after the customer was shut out; it may be repeated.

    Raises:
        UnavailableError: Redis is away.
    """
    shard = shard_of(customer_id)
    books = [*traces.books]
    for some in batched(traces.decisions or ("",), _SCAN_COUNT):
        keys = [key for key in some if key]
        client.eval(ERASE.text, len(keys), *keys, len(books), *books, *(traces.contact_ids if books else ()))
    _part(client, customer_id)
    for some in batched((*traces.own.values(), *traces.answers, *traces.seen), _SCAN_COUNT):
        client.unlink(*some)
    for some in batched(traces.entries, _SCAN_COUNT):
        client.xdel(stream_key(shard), *some)


def _part(client: Redis, customer_id: str) -> None:
    """Remove the id from the live state of other ids of the same person."""
    for name in map(_text, _hash_names(client, live_key(customer_id))):
        kind, _, other = name.partition(":")
        if kind == WordKind.WAS:
            client.hdel(live_key(other), f"{WordKind.IS}:{customer_id}")
            person = cast("bytes | None", client.hget(live_key(other), WordKind.PERSON))
            if person is not None and person_of(person) == customer_id:
                client.hdel(live_key(other), WordKind.PERSON)
        elif kind == WordKind.IS:
            client.hdel(live_key(other), f"{WordKind.WAS}:{customer_id}")


@redis_at_hand()
def rewrite_file(client: Redis) -> str:
    """Have the append-only file written anew from what is in memory, as plain commands, and wait for it.

    What a deletion leaves in the file is the history of commands; and a packed file would keep the bytes of deleted
    stream entries. The list of slow commands is emptied as well, since it shows arguments.

    Returns:
        `rewritten`, `no append-only file`, or `refused` if this Redis does not allow it: then rewrite it in Redis.

    Raises:
        UnavailableError: Redis is away, or did not finish in ten minutes.
    """
    try:
        client.slowlog_reset()
        if not _persistence(client)["aof_enabled"]:
            return "no append-only file"
        known = cast("Mapping[str, str]", client.config_get(_PACKED))
        before = known.get(_PACKED, "yes")
        client.config_set(_PACKED, "no")
        try:
            _rewrite(client)
        finally:
            client.config_set(_PACKED, before)
    except ResponseError:
        return "refused"
    return "rewritten"


def _rewrite(client: Redis) -> None:
    """A rewrite that is under way may have begun too early, so one of our own follows it."""
    ends_at = time.monotonic() + _REWRITE_SECONDS
    _wait_for_rewrite(client, ends_at)
    client.bgrewriteaof()
    _wait_for_rewrite(client, ends_at)
    if _persistence(client)["aof_last_bgrewrite_status"] != "ok":
        raise UnavailableError("Redis must rewrite its append-only file, got a failure; look at its log and repeat it")


def _wait_for_rewrite(client: Redis, ends_at: float) -> None:
    while True:
        state = _persistence(client)
        if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
            return
        if time.monotonic() > ends_at:
            raise UnavailableError("Redis must rewrite its file within ten minutes, got a timeout; repeat it")
        time.sleep(_POLL_SECONDS)


def _persistence(client: Redis) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", client.info("persistence"))


def _ids_of(rows: Iterable[tuple[str, str]]) -> tuple[set[str], set[str]]:
    """Ids of decisions, and of reports as `events:<id>`."""
    decisions = {ident for table, ident in rows if table == "decisions"}
    return decisions, {f"{table}:{ident}" for table, ident in rows if table != "decisions"}


def _entries(client: Redis, customer_id: str, shard: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Entries of the stream that are about a customer: their ids, and table and key of their rows."""
    found, rows = list[str](), list[tuple[str, str]]()
    for entry_id, fields in _all_entries(client, stream_key(shard)):
        table = _text(fields.get(b"table", b""))
        row = _row(table, fields.get(b"row", b""))
        if row.get("customer_id") == customer_id:
            found.append(entry_id)
            rows.append((table, str(row.get(f"{table.removesuffix('s')}_id", ""))))
    return found, rows


def _stands_in(client: Redis, key: str, pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(_text(value)) for _, fields in _all_entries(client, key) for value in fields.values())


def _all_entries(client: Redis, key: str) -> Iterator[tuple[str, Mapping[bytes, bytes]]]:
    start = "-"
    while batch := cast("list[Any]", client.xrange(key, min=start, count=_STREAM_BATCH)):
        yield from ((_text(entry_id), fields or {}) for entry_id, fields in batch)
        start = f"({_text(batch[-1][0])}"


def _row(table: str, payload: bytes) -> Mapping[str, Any]:
    """The fields of an entry; none where it is no row."""
    try:
        return fields_in(TABLES[table], payload)
    except (KeyError, InvalidInputError, orjson.JSONDecodeError):
        return {}


def _all_keys(client: Redis) -> Iterator[list[str]]:
    for some in batched(client.scan_iter(match="nb:*", count=_SCAN_COUNT), _SCAN_COUNT):
        yield [_text(key) for key in some]


def _decisions_of(client: Redis, keys: list[str], customer_id: str, shard: int) -> Iterator[str]:
    ours = [key for key in keys if key.startswith(decision_key("", shard))]
    pipeline = client.pipeline(transaction=False)
    for key in ours:
        pipeline.hget(key, DecisionField.CUSTOMER_ID)
    for key, owner in zip(ours, pipeline.execute(), strict=True):
        if owner is not None and _text(owner) == customer_id:
            yield key


def _is_answer_of(key: str, customer_id: str, shard: int) -> bool:
    """Such a key reads `<tag>:k:<touchpoint>:<customer>:<digest>`."""
    prefix = decision_key("", shard).removesuffix("d:") + "k:"
    _, _, rest = key.removeprefix(prefix).partition(":")
    return key.startswith(prefix) and rest.rpartition(":")[0] == customer_id


def _hash_names(client: Redis, key: str) -> list[bytes]:
    return cast("list[bytes]", client.hkeys(key))


def _present(client: Redis, keys: Iterable[str]) -> Iterator[str]:
    for some in batched(keys, _SCAN_COUNT):
        pipeline = client.pipeline(transaction=False)
        for key in some:
            pipeline.exists(key)
        yield from (key for key, is_there in zip(some, pipeline.execute(), strict=True) if is_there)


def _text(value: bytes | str) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
