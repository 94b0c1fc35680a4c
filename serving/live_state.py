"""Redis as the decision path sees it: one read, one commit, and a link that is either up or costs nothing.

A supervisor keeps the link: it connects, loads the scripts, asks for a sign of life every second or as soon as
somebody waited in vain, and tries again while Redis is away. A request never connects and never waits for a link that
is known to be down; it gets `UnavailableError` at once.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import hiredis

from decisioning.errors import InvalidInputError, LogUnavailableError, UnavailableError
from features.online.redis_keys import (
    SHARD_COUNT,
    decision_key,
    feature_key,
    live_key,
    profile_key,
    request_key,
    seen_key,
    shard_of,
    stream_key,
)
from serving.redis_link import Command, RedisLink, Reply, connect
from serving.scripts import COMMIT_DECISION, TAKE_IN, UNSUBSCRIBE, Script

_PING_EVERY_S = 1.0
_PING_TIMEOUT_S = 0.5
_CONNECT_TIMEOUT_S = 2.0
_RETRY_EVERY_S = 0.2
_CLAIM_S = 86_400
_UNSUBSCRIBED = b"unsubscribed:"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_COMMIT, _TAKE_IN, _UNSUBSCRIBE = Script(COMMIT_DECISION), Script(TAKE_IN), Script(UNSUBSCRIBE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An idempotency key and the request that it stands for."""

    key: str
    fingerprint: str

    @property
    def claimed_at(self) -> str:
        """Redis key of the claim; it has no customer, so it may lie on any shard."""
        return f"nb:idempotency:{sha256(self.key.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What to read for one ask; `dedupe_key` is None where the ask cannot be repeated."""

    customer_id: str
    touchpoint_id: str
    dedupe_key: str | None = None
    claim: Claim | None = None

    @property
    def stored_at(self) -> str | None:
        """Redis key of the answer that this ask already got."""
        if self.dedupe_key is None:
            return None
        return stored_answer_key(self.customer_id, self.touchpoint_id, self.dedupe_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What Redis holds of a customer, undecoded, and the answer that the ask already got.

    Attributes:
        unsubscribed_at: When the customer left which channel.
        is_claimed: False where the idempotency key stands for another request.
    """

    features: bytes | None = None
    profile: bytes | None = None
    unsubscribed_at: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    stored: bytes | None = None
    is_claimed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A decision on its way into the log.

    Attributes:
        row: One row of the canonical table `decisions`, as JSON.
        channels: The channels of the message, empty for silence.
        record: The full record, as JSON; empty where the log alone keeps it.
        answer: What a repeat of the ask will get, as JSON.
        stored_at: Key of that answer; None where the ask cannot be repeated.
        sticky_seconds: How long the answer is kept.
    """

    decision_id: str
    customer_id: str
    channel_id: str | None
    row: bytes
    record: bytes
    answer: bytes = b""
    stored_at: str | None = None
    sticky_seconds: float = 0.0


def stored_answer_key(customer_id: str, touchpoint_id: str, dedupe_key: str) -> str:
    """Redis key of an ask's answer; texts of any content and length cannot collide in it."""
    digest = sha256("\0".join(f"{len(one)}:{one}" for one in (touchpoint_id, customer_id, dedupe_key)).encode())
    return request_key(customer_id, touchpoint_id, digest.hexdigest())


def shard_in(decision_id: str) -> int | None:
    """Shard that a decision id of ours names, `dec_<two hex digits><32 hex digits>`; None for any other id."""
    digits = decision_id[4:6]
    is_ours = decision_id.startswith("dec_") and all(one in "0123456789abcdef" for one in digits)
    shard = int(digits, 16) if is_ours and len(digits) == 2 else SHARD_COUNT  # noqa: PLR2004 - two digits
    return shard if shard < SHARD_COUNT else None


class LiveState:
    """Reads and writes of the decision path; every one raises `UnavailableError` while Redis is away."""

    def __init__(self, url: str, *, decision_ttl: timedelta) -> None:
        self._url = url
        self._decision_ttl_ms = int(decision_ttl.total_seconds() * 1000)
        self._link: RedisLink | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._doubt = asyncio.Event()
        self._came_up = asyncio.Event()
        self.problem = "not connected yet"

    @property
    def is_up(self) -> bool:
        """Whether Redis answers."""
        return self._link is not None and self._link.is_up

    async def start(self, *, wait_s: float = 2.0) -> None:
        """Start the supervisor and give Redis a moment to be there; its absence is no error."""
        self._supervisor = asyncio.create_task(self._supervise(), name="redis-supervisor")
        try:
            async with asyncio.timeout(wait_s):
                await self._came_up.wait()
        except TimeoutError:
            return

    async def stop(self) -> None:
        """Stop the supervisor and drop the link."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._link is not None:
            self._link.close()

    def doubt(self) -> None:
        """Somebody waited in vain: look now whether Redis still answers."""
        self._doubt.set()

    async def read(self, lookup: Lookup) -> Known:
        """Everything about one ask, in one round trip."""
        return (await self.read_many([lookup]))[0]

    async def read_many(self, lookups: Sequence[Lookup]) -> list[Known]:
        """Everything about several asks, in one round trip; an idempotency key is bound to its request on the way."""
        commands: list[Command] = []
        for lookup in lookups:
            keys = [feature_key(lookup.customer_id), profile_key(lookup.customer_id)]
            commands.append(("MGET", *keys, lookup.stored_at) if lookup.stored_at else ("MGET", *keys))
            commands.append(("HGETALL", live_key(lookup.customer_id)))
            if lookup.claim is not None:
                name = lookup.claim.claimed_at
                commands.append(("SET", name, lookup.claim.fingerprint, "NX", "EX", _CLAIM_S))
                commands.append(("GET", name))
        replies = iter(await self._ask(commands))
        return [_known(lookup, replies) for lookup in lookups]

    async def commit(self, entries: Sequence[Entry]) -> list[bytes | None]:
        """Log decisions; for each, the answer that its ask already had, and then nothing was logged for it.

        Raises:
            LogUnavailableError: Redis refuses to write.
        """
        calls = [_commit_call(entry, self._decision_ttl_ms) for entry in entries]
        try:
            return await self._run(_COMMIT, calls)
        except _RefusedError as error:
            raise LogUnavailableError(f"Redis must accept log entries, got {error}") from error

    async def owners(self, decision_ids: Sequence[str]) -> list[tuple[str, str | None] | None]:
        """Customer and channel of each decision; None where Redis does not hold it (any more)."""
        keys = [decision_key(one, shard) if (shard := shard_in(one)) is not None else None for one in decision_ids]
        commands: list[Command] = [("HMGET", key, "customer_id", "channel") for key in keys if key]
        replies = iter(await self._ask(commands) if commands else [])
        return [_owner(next(replies)) if key else None for key in keys]

    async def record(self, decision_id: str) -> bytes | None:
        """The record of a decision, as JSON; None where Redis does not hold it (any more)."""
        shard = shard_in(decision_id)
        if shard is None:
            return None
        return (await self._ask([("HGET", decision_key(decision_id, shard), "record")]))[0]

    async def unsubscribe(self, customer_id: str, channels: Sequence[str], at: datetime) -> None:
        """Remember that a customer left channels; the next decision sees it."""
        micros = (at - _EPOCH) // timedelta(microseconds=1)
        await self._run(_UNSUBSCRIBE, [(1, live_key(customer_id), micros, *channels)])

    async def take_in(self, table: str, rows: Mapping[str, bytes]) -> dict[str, bool]:
        """Append rows of a canonical table to the log, each in one step with the mark that it was seen.

        Args:
            table: Name of the table.
            rows: JSON of each row by its message id.

        Returns:
            Per message id, True where the row was new.
        """
        shards: dict[int, list[str]] = {}
        for message_id in rows:
            shards.setdefault(shard_of(message_id), []).append(message_id)
        calls: list[Command] = []
        for shard, ids in shards.items():
            keys = [stream_key(shard), *(seen_key(one, shard) for one in ids)]
            calls.append((len(keys), *keys, table, self._decision_ttl_ms, *(rows[one] for one in ids)))
        taken = await self._run(_TAKE_IN, calls)
        return {
            message_id: bool(flag)
            for ids, flags in zip(shards.values(), taken, strict=True)
            for message_id, flag in zip(ids, flags, strict=True)
        }

    async def stream_length(self) -> int:
        """Entries that wait for the drain, over all shards."""
        return sum(await self._ask([("XLEN", stream_key(shard)) for shard in range(SHARD_COUNT)]))

    async def _ask(self, commands: Sequence[Command]) -> list[Reply]:
        link = self._link
        if link is None:
            raise UnavailableError(f"Redis must be reachable, got: {self.problem}")
        replies = await link.send(commands)
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise _RefusedError(str(reply))
        return replies

    async def _run(self, script: Script, calls: Sequence[Command]) -> list[Reply]:
        try:
            return await self._ask([("EVALSHA", script.digest, *call) for call in calls])
        except _RefusedError as error:
            if "NOSCRIPT" not in str(error):
                raise
        # Redis forgot its scripts (a flush, a failover): every call of the pipeline was refused, so none ran.
        return await self._ask([("EVAL", script.text, *call) for call in calls])

    async def _supervise(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    link = await connect(self._url)
                    await link.send([("SCRIPT", "LOAD", one.text) for one in (_COMMIT, _TAKE_IN, _UNSUBSCRIBE)])
                self._link = link
                self._came_up.set()
                await self._watch(link)
            except TimeoutError:
                self.problem = "no answer in time"
            except (UnavailableError, InvalidInputError) as error:
                self.problem = str(error)
            self._link = None
            await asyncio.sleep(_RETRY_EVERY_S)

    async def _watch(self, link: RedisLink) -> None:
        """Return, with the link closed, once Redis no longer answers."""
        try:
            while True:
                async with asyncio.timeout(_PING_TIMEOUT_S):
                    await link.send([("PING",)])
                self._doubt.clear()
                try:
                    async with asyncio.timeout(_PING_EVERY_S):
                        await self._doubt.wait()
                except TimeoutError:
                    continue
        finally:
            link.close()


class _RefusedError(UnavailableError):
    """Redis answered, with an error."""


def _known(lookup: Lookup, replies: Iterator[Reply]) -> Known:
    values, live, is_claimed = next(replies), next(replies), True
    if lookup.claim is not None:
        next(replies)
        is_claimed = next(replies) == lookup.claim.fingerprint.encode()
    return Known(
        features=values[0],
        profile=values[1],
        unsubscribed_at=_unsubscribed(live),
        stored=values[2] if lookup.stored_at else None,
        is_claimed=is_claimed,
    )


def _unsubscribed(live: list[bytes]) -> dict[str, datetime]:
    return {
        name.removeprefix(_UNSUBSCRIBED).decode(): _EPOCH + timedelta(microseconds=int(value))
        for name, value in zip(live[::2], live[1::2], strict=True)
        if name.startswith(_UNSUBSCRIBED)
    }


def _owner(reply: list[bytes | None]) -> tuple[str, str | None] | None:
    customer, channel = reply
    return None if customer is None else (customer.decode(), channel.decode() if channel else None)


def _commit_call(entry: Entry, decision_ttl_ms: int) -> Command:
    shard = shard_of(entry.customer_id)
    keys = [stream_key(shard), decision_key(entry.decision_id, shard)]
    if entry.stored_at:
        keys.append(entry.stored_at)
    sticky_ms = max(1, int(entry.sticky_seconds * 1000))
    texts = (entry.row, entry.customer_id, entry.channel_id or "", entry.record)
    return (len(keys), *keys, *texts, decision_ttl_ms, entry.answer, sticky_ms)
