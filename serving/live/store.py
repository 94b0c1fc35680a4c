"""Redis for the decision path: one read, one commit, and no waiting while the connection is down.

A supervisor maintains the connection: it connects, loads the scripts, pings every second or as soon as a request timed
out, and reconnects while Redis is down. A request never connects and never waits for a link that is known to be down;
it gets `UnavailableError` at once.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import batched

import hiredis
import structlog

from decisioning.catalogue.limits import Supply
from decisioning.errors import InvalidInputError, LogUnavailableError, UnavailableError
from features.log.tombstones import NO_TOKEN, Tombstones, tombstones_of
from features.online.redis_keys import (
    ERASED_KEY,
    SHARD_COUNT,
    STATE_KEY,
    decision_key,
    live_key,
    profile_key,
    stream_key,
)
from features.online.state_mark import StateMark, new_mark, state_mark_of
from features.settings import Settings
from serving.live.decision_hash import OWNED, DecisionField, Owner, PermitContext, owner_of, permit_context_of
from serving.live.encoding import time_text
from serving.live.live_hash import WordKind, person_of
from serving.live.patience import answer_within
from serving.live.reader import (
    Claim,
    Conflict,
    Known,
    Lookup,
    SupplyQuery,
    conflict_of,
    known_of,
    query_json,
    read_call,
    since_of,
    supply_of,
)
from serving.live.recent_events import RECENT
from serving.live.redis_link import Command, RedisLink, Reply, connect
from serving.live.scripts import COMMIT_DECISION, READ, READ_PERMIT, READ_SUPPLY, SETTLE_PERMIT, TAKE_IN, Script
from serving.live.writer import (
    LogEntry,
    Settlement,
    Taken,
    Taking,
    commit_call,
    settle_call,
    shard_in,
    take_in_call,
)

_PING_EVERY_S = 1.0
_PING_TIMEOUT_S = 0.5
_CONNECT_TIMEOUT_S = 2.0
_RETRY_EVERY_S = 0.2
_CLAIM_S = 86_400
_MOST_STEPS = 4
_TOKENS_TOGETHER = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SCRIPTS = (READ, READ_SUPPLY, COMMIT_DECISION, READ_PERMIT, SETTLE_PERMIT, TAKE_IN)


_LOG = structlog.get_logger("nextbest.serving")

STATE_LOST = "Redis must hold the live state of this home, got an emptied one; run `nextbest restore`"


class Gone(Enum):
    """Nothing was written: the customer was erased."""

    GONE = "gone"


GONE = Gone.GONE


class LiveStore:
    """Reads and writes of the decision path; every one raises `UnavailableError` while Redis is away.

    Attributes:
        problem: Why Redis does not answer.
        is_lost: Redis was emptied and not restored yet, as of the last look, which is at most a second old.
    """

    def __init__(
        self,
        url: str,
        *,
        decision_ttl: timedelta,
        erased: Tombstones | None = None,
        mark: StateMark | None = None,
        patience_s: float | None = None,
    ) -> None:
        """Name the server; nothing is connected yet.

        Args:
            url: Address of Redis.
            decision_ttl: How long decisions and marks of reports are kept.
            erased: Customers of whom nothing may be written; None for nobody.
            mark: Tells a Redis that was emptied; None to take it as it is.
            patience_s: How long Redis may be silent before the connection is given up; None for half a second.
        """
        self._patience_s = patience_s
        self._url = url
        self._erased = erased
        self._mark = mark
        self._decision_ttl_ms = int(decision_ttl.total_seconds() * 1000)
        self._link: RedisLink | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._doubt = asyncio.Event()
        self._came_up = asyncio.Event()
        self.problem = "not connected yet"
        self.is_lost = False

    @classmethod
    def of(cls, settings: Settings, url: str, *, patience_s: float | None = None) -> "LiveStore":
        """The live state of a home: it writes nothing about erased customers, and notices a Redis that was emptied."""
        return cls(
            url,
            decision_ttl=timedelta(days=settings.decision_ttl_days),
            erased=tombstones_of(settings),
            mark=state_mark_of(settings),
            patience_s=patience_s,
        )

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
        """Everything about several asks, in one round trip; an idempotency key is bound to its request on the way.

        What all customers share is read once for all of them.
        """
        query = _joint_query([one.supply for one in lookups if one.supply is not None])
        calls: list[tuple[Script, Command]] = [(READ, read_call(lookup)) for lookup in lookups]
        if query is not None:
            calls.append((READ_SUPPLY, (0, time_text(query.now), query_json(query))))
        claims = [one.claim for one in lookups if one.claim is not None]
        replies = await self._run(calls, [command for claim in claims for command in _claiming(claim)])
        supply = Supply() if query is None else supply_of(replies[len(lookups)])
        bound = iter(replies[len(calls) + 1 :: 2])
        return [
            known_of(lookup, reply, supply, is_claimed=_is_bound(lookup.claim, bound), is_lost=self._is_without_state)
            for lookup, reply in zip(lookups, replies, strict=False)
        ]

    async def read_people(self, lookups: Sequence[Lookup]) -> list[Known]:
        """As `read_many`; of a visitor who turned out to be a customer, what is known of that customer, see `Known.of`.

        Whoever asks must ask on about `Known.of`; a second round trip is made for such visitors alone.
        """
        found = await self.read_many(lookups)
        followed = [{one.customer_id} for one in lookups]
        for _ in range(_MOST_STEPS):
            places = [
                place
                for place, one in enumerate(found)
                if one.person is not None and one.person not in followed[place] and not self.has_erased(one.person)
            ]
            if not places:
                break
            people = [found[place].person or "" for place in places]
            again = await self.read_many(
                [replace(lookups[place], customer_id=who) for place, who in zip(places, people, strict=True)]
            )
            for place, who, known in zip(places, people, again, strict=True):
                found[place] = replace(known, of=who)
                followed[place].add(who)
        return found

    async def people(self, customer_ids: Sequence[str]) -> dict[str, str]:
        """The customers whom visitors turned out to be, by visitor; who is no such visitor is absent."""
        distinct = sorted(set(customer_ids))
        replies = await self._ask([("HGET", live_key(one), WordKind.PERSON) for one in distinct]) if distinct else []
        return {one: person_of(reply) for one, reply in zip(distinct, replies, strict=True) if reply is not None}

    async def commit(self, entries: Sequence[LogEntry]) -> list[bytes | Conflict | Gone | LogUnavailableError | None]:
        """Log decisions with their contacts and what they use up, each in one step.

        Returns:
            For each None where it was done; else nothing was written, and it is the answer that its ask already had,
            or what the state is now, where the decision was made by an older one, or `GONE`, or why Redis refused it.
        """
        calls = [
            (
                COMMIT_DECISION,
                commit_call(
                    one,
                    now=_moment_of(one),
                    decision_ttl_ms=self._decision_ttl_ms,
                    token=self._token(one.customer_id),
                ),
            )
            for one in entries
        ]
        return [
            LogUnavailableError(f"Redis must accept log entries, got {reply}")
            if isinstance(reply, hiredis.ReplyError)
            else self._committed(reply)
            for reply in await self._replies(calls)
        ]

    async def permit_context(self, decision_id: str, supply: SupplyQuery) -> PermitContext | None:
        """A decision with everything about its customer now, in one round trip.

        Returns:
            None where Redis does not hold the decision (any more).

        Raises:
            UnavailableError: Redis is away, or lost its live state and with it perhaps the decision.
        """
        shard = shard_in(decision_id)
        if shard is None:
            return None
        key = decision_key(decision_id, shard)
        told = (1, key, key.partition(":d:")[0], since_of(supply), time_text(supply.now), query_json(supply))
        [reply] = await self._run([(READ_PERMIT, told)])
        if reply is None and self.is_lost:
            raise UnavailableError(STATE_LOST)
        return None if reply is None else permit_context_of(decision_id, reply, self._is_without_state)

    async def settle_permit(self, settlement: Settlement) -> bytes | Conflict | Gone | None:
        """Write what a permit was answered, and confirm or release its contact, in one step with the log.

        Returns:
            As `commit`: None where it was done, the earlier answer that still stands, the state as it is now, or
            `GONE`.

        Raises:
            LogUnavailableError: Redis refuses to write.
        """
        try:
            token = self._token(settlement.customer_id)
            call = settle_call(settlement, decision_ttl_ms=self._decision_ttl_ms, token=token)
            [reply] = await self._run([(SETTLE_PERMIT, call)])
        except RefusedError as error:
            raise LogUnavailableError(f"Redis must accept log entries, got {error}") from error
        return self._committed(reply)

    async def owners(self, decision_ids: Sequence[str]) -> list[Owner | None]:
        """Whose decisions these are; None where Redis does not hold it (any more)."""
        keys = [decision_key(one, shard) if (shard := shard_in(one)) is not None else None for one in decision_ids]
        commands: list[Command] = [("HMGET", key, *OWNED) for key in keys if key]
        replies = iter(await self._ask(commands) if commands else [])
        return [owner_of(next(replies)) if key else None for key in keys]

    async def known_customers(self, customer_ids: Sequence[str]) -> frozenset[str]:
        """Those of some customers who have a profile."""
        distinct = sorted(set(customer_ids))
        replies = await self._ask([("EXISTS", profile_key(one)) for one in distinct]) if distinct else []
        return frozenset(one for one, reply in zip(distinct, replies, strict=True) if reply)

    async def row(self, decision_id: str) -> bytes | None:
        """The row of a decision that waits for the drain, as the stream carries it; None where none does (any more)."""
        shard = shard_in(decision_id)
        if shard is None:
            return None
        [entry] = await self._ask([("HGET", decision_key(decision_id, shard), DecisionField.ENTRY)])
        if entry is None:
            return None
        [found] = await self._ask([("XRANGE", stream_key(shard), entry, entry)])
        return found[0][1][3] if found else None

    async def take(self, table: str, takings: Sequence[Taking]) -> list[Taken]:
        """Take n reports in, each in one step: its row in the log, the mark that it was seen, and what it changes.

        Returns:
            What became of each.
        """
        calls = [
            (
                TAKE_IN,
                take_in_call(
                    table,
                    one,
                    mark_ttl_ms=self._decision_ttl_ms,
                    since=one.now - RECENT,
                    token=self._token(one.customer_id),
                ),
            )
            for one in takings
        ]
        return [Taken(reply) for reply in await self._run(calls)]

    async def stream_length(self) -> int:
        """Entries that wait for the drain, over all shards."""
        return sum(await self._ask([("XLEN", stream_key(shard)) for shard in range(SHARD_COUNT)]))

    def has_erased(self, customer_id: str, at: datetime | None = None) -> bool:
        """Whether nothing may be written about a customer, or nothing that happened at a moment.

        Raises:
            LogUnavailableError: The tombstones cannot be read.
        """
        if self._erased is None:
            return False
        return customer_id in self._erased if at is None else self._erased.refuses(customer_id, at)

    def _committed(self, reply: Reply) -> bytes | Conflict | Gone | None:
        if isinstance(reply, int):
            return GONE
        return conflict_of(reply, is_lost=self._is_without_state) if isinstance(reply, list) else reply

    def _is_without_state(self, found: bytes | None) -> bool:
        return self._mark is not None and self._mark.is_lost(found)

    def _token(self, customer_id: str) -> str:
        return NO_TOKEN if self._erased is None else self._erased.token(customer_id)

    async def _ask(self, commands: Sequence[Command]) -> list[Reply]:
        return _accepted(await self._send(commands))

    async def _send(self, commands: Sequence[Command]) -> list[Reply]:
        link = self._link
        if link is None:
            raise UnavailableError(f"Redis must be reachable, got: {self.problem}")
        return await link.send(commands)

    async def _run(self, calls: Sequence[tuple[Script, Command]], besides: Sequence[Command] = ()) -> list[Reply]:
        """Replies of scripts, then of other commands, in one round trip."""
        return _accepted(await self._replies(calls, besides))

    async def _replies(self, calls: Sequence[tuple[Script, Command]], besides: Sequence[Command] = ()) -> list[Reply]:
        """As `_run`; where Redis refuses a command, its error stands in place of the reply."""
        replies = await self._send([*(("EVALSHA", script.digest, *call) for script, call in calls), *besides])
        forgotten = [place for place in range(len(calls)) if _is_forgotten(replies[place])]
        if forgotten:  # a flush, a failover: these calls did not run
            again = await self._send([("EVAL", calls[place][0].text, *calls[place][1]) for place in forgotten])
            for place, reply in zip(forgotten, again, strict=True):
                replies[place] = reply
        return replies

    async def _supervise(self) -> None:
        while True:
            try:
                self._link = link = await answer_within(self._connected(), _CONNECT_TIMEOUT_S)
                self._came_up.set()
                await self._watch(link)
            except TimeoutError:
                self.problem = "no answer in time"
            except (UnavailableError, InvalidInputError) as error:
                self.problem = str(error)
            self._link = None
            await asyncio.sleep(_RETRY_EVERY_S)

    async def _connected(self) -> RedisLink:
        link = await connect(self._url)
        try:
            await link.send([*(("SCRIPT", "LOAD", one.text) for one in _SCRIPTS), *self._tombstones()])
            await self._look_for_state(link)
        except BaseException:
            link.close()
            raise
        return link

    async def _look_for_state(self, link: RedisLink) -> None:
        """Ask for a sign of life, and whether Redis holds this home's live state; a new home and its Redis are marked.

        If the state was lost while we were connected, so were the tombstones: they are written again.
        """
        mark = self._mark
        claim: list[Command] = []
        if mark is not None and mark.name is None:
            claim = [("SET", STATE_KEY, new_mark(), "NX")]
        *_, found = await link.send([("PING",), *claim, ("GET", STATE_KEY)])
        if mark is None or not isinstance(found, bytes | None):
            return
        if mark.name is None and found is not None:
            mark.keep(found)
        was_lost, self.is_lost = self.is_lost, mark.is_lost(found)
        if self.is_lost and not was_lost:
            _LOG.error("live_state_lost", problem=STATE_LOST)
            if tombstones := self._tombstones():
                await link.send(tombstones)

    def _tombstones(self) -> list[Command]:
        """Brings the tombstones back into a Redis that was emptied or replaced."""
        tokens = sorted(self._erased.tokens()) if self._erased is not None else []
        return [("SADD", ERASED_KEY, *some) for some in batched(tokens, _TOKENS_TOGETHER)]

    async def _watch(self, link: RedisLink) -> None:
        """Return, with the link closed, once Redis no longer answers."""
        try:
            while True:
                patience_s = _PING_TIMEOUT_S if self._patience_s is None else self._patience_s
                await answer_within(self._look_for_state(link), patience_s, heard=lambda: link.heard)
                self._doubt.clear()
                try:
                    async with asyncio.timeout(_PING_EVERY_S):
                        await self._doubt.wait()
                except TimeoutError:
                    continue
        finally:
            link.close()


class RefusedError(UnavailableError):
    """Redis answered, with an error."""


def _accepted(replies: list[Reply]) -> list[Reply]:
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise RefusedError(str(reply))
    return replies


def _is_forgotten(reply: Reply) -> bool:
    return isinstance(reply, hiredis.ReplyError) and "NOSCRIPT" in str(reply)


def _joint_query(queries: Sequence[SupplyQuery]) -> SupplyQuery | None:
    """What several asks want to know of what all share; None where they want nothing."""
    wanted = [one for one in queries if not one.is_empty]
    if not wanted:
        return None
    first = wanted[0]
    if all(one.counters == first.counters and one.wants_evidence == first.wants_evidence for one in wanted):
        return first
    return SupplyQuery(  # a day may begin between two of them
        now=max(one.now for one in wanted),
        counters=tuple(sorted({name for one in wanted for name in one.counters})),
        wants_evidence=any(one.wants_evidence for one in wanted),
    )


def _claiming(claim: Claim) -> tuple[Command, Command]:
    name = claim.claimed_at
    return ("SET", name, claim.fingerprint, "NX", "EX", _CLAIM_S), ("GET", name)


def _is_bound(claim: Claim | None, bound: Iterator[Reply]) -> bool:
    return claim is None or next(bound) == claim.fingerprint.encode()


def _moment_of(entry: LogEntry) -> datetime:
    """When an entry was decided; silence that asks for nothing needs no moment."""
    if entry.supply is not None:
        return entry.supply.now
    contacts = entry.reservation.contacts if entry.reservation is not None else ()
    return max((one.at for one in contacts), default=_EPOCH)
