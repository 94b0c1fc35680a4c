"""The one way from asks to answers, for the API and for batches: read, decide, commit, answer.

A healthy decision reads (one round trip), decides (pure), commits (one atomic script) and answers; it is in the log
before its caller sees it. If another decision about the customer was committed in between, it is decided again from the
new state, see `race`. A repeated request gets the original answer, see `repeats`.

While Redis is away, asks with a deadline are answered with silence, see `silence`; others are refused:

- Redis does not answer the read: silence, logged through the spool;
- Redis does not answer the commit: the same, and since the first decision may have reached the log anyway, an
  outcome `not_sent` is logged with it.

None of it takes longer than the deadline: a fifth of it is kept back for the spool.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import orjson

from decisioning.decision import Decision
from decisioning.errors import UnavailableError
from serving.decisions.answer import Answer, explanation, unnamed
from serving.decisions.ask import Ask, rounds_of
from serving.decisions.draft import Draft, draft_many, explained
from serving.decisions.known import CONTENDED, LOG_UNAVAILABLE, STATE_UNAVAILABLE
from serving.decisions.race import Race, Settled
from serving.decisions.repeats import repeat
from serving.decisions.silence import SilentAnswers
from serving.errors import ReusedKeyError
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Known
from serving.live.redis_link import LostLinkError
from serving.live.store import LiveStore

REDIS_SHARE = 0.8
"""Share of the deadline that Redis may use; the rest is the spool's."""


class Counts(Protocol):
    """Counts what is decided."""

    def decided(self, decision: Decision) -> None:
        """A decision is in the log."""

    def repeated(self, touchpoint_id: str) -> None:
        """An ask got the decision that it already had."""

    def lost(self, commits: int) -> None:
        """So many commits came too late, and their asks were decided again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """Asks about different customers that are handled together.

    Attributes:
        ends_at: When the callers stop waiting, by the clock of the event loop; None where they do not.
        redis_ends_at: When Redis is given up.
    """

    in_force: InForce
    now: datetime
    ends_at: float | None
    redis_ends_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestrator:
    """Answers asks.

    Attributes:
        in_force: Gives the policy and models in use.
        counts: Told of what is decided.
        silence: Answers while Redis is away; None to raise instead.
        keeps_record: Whether Redis keeps the records for reading back; the log has them in any case.
    """

    state: LiveStore
    in_force: Callable[[], InForce]
    counts: Counts
    silence: SilentAnswers | None = None
    keeps_record: bool = True

    async def answer_many(
        self,
        asks: Sequence[Ask],
        *,
        now: Callable[[], datetime],
        deadline_s: float | None = None,
        prices_minor: Mapping[str, float] | None = None,
    ) -> list[Answer]:
        """Answer asks that travel together, each as if it were alone, and those of one customer one after the other.

        Args:
            asks: n asks.
            now: The clock.
            deadline_s: Time for all of them together; None where they wait.
            prices_minor: Shadow prices that the decisions pay; None for those that Redis holds.

        Returns:
            n answers in order.

        Raises:
            ReusedKeyError: An idempotency key belongs to another request.
            UnavailableError: Redis is away, and there is no silence to fall back on.
        """
        loop_time = asyncio.get_running_loop().time()
        ends_at = None if deadline_s is None else loop_time + deadline_s
        redis_ends_at = None if deadline_s is None else loop_time + REDIS_SHARE * deadline_s
        in_force, answers = self.in_force(), dict[int, Answer]()
        for places in rounds_of(asks):
            one = _Round(in_force=in_force, now=now(), ends_at=ends_at, redis_ends_at=redis_ends_at)
            found = await self._answer_round(one, [asks[place] for place in places], prices_minor)
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(asks))]

    async def read(
        self,
        in_force: InForce,
        asks: Sequence[Ask],
        now: datetime,
        *,
        prices_minor: Mapping[str, float] | None = None,
    ) -> tuple[list[Ask], list[Known]]:
        """What is known for each ask; asks of visitors who turned out to be customers are about these.

        Raises:
            ReusedKeyError: An idempotency key belongs to another request.
            UnavailableError: Redis is away.
        """
        supply = in_force.supply.query(now)
        known = await self.state.read_people([ask.lookup(supply) for ask in asks])
        if not all(one.is_claimed for one in known):
            raise ReusedKeyError
        if prices_minor is not None:
            prices = dict(prices_minor)
            known = [replace(one, supply=replace(one.supply, prices_minor=prices)) for one in known]
        return [ask.about(one) for ask, one in zip(asks, known, strict=True)], known

    async def _answer_round(
        self, one: _Round, asks: Sequence[Ask], prices_minor: Mapping[str, float] | None
    ) -> list[Answer]:
        try:
            async with asyncio.timeout_at(one.redis_ends_at):
                asks, known = await self.read(one.in_force, asks, one.now, prices_minor=prices_minor)
        except (TimeoutError, UnavailableError) as error:
            self._doubt(error)
            return await self._answer_silence(one, asks, error, cause=STATE_UNAVAILABLE)
        answers = {
            place: await self._repeat(one, ask, what, what.stored)
            for place, (ask, what) in enumerate(zip(asks, known, strict=True))
            if what.stored is not None and not ask.is_dry_run
        }
        fresh = [place for place in range(len(asks)) if place not in answers]
        found = await self._decide(one, [asks[place] for place in fresh], [known[place] for place in fresh])
        answers.update(zip(fresh, found, strict=True))
        return [answers[place] for place in range(len(asks))]

    async def _decide(self, one: _Round, asks: Sequence[Ask], known: Sequence[Known]) -> list[Answer]:
        """Decide, log what must be logged, and give the answers, in order."""
        drafts = draft_many(one.in_force, asks, known, one.now)
        to_log = [draft for draft in drafts if not draft.ask.is_dry_run]
        race = Race(self.state, one.in_force, to_log, keeps_record=self.keeps_record)
        problem = await self._run(race, one.redis_ends_at)
        answers = {place: await self._settle(one, settled) for place, settled in race.settled.items()}
        if problem is not None:
            answers |= await self._withdraw(one, race, problem)
        logged = iter([answers[place] for place in sorted(answers)])
        return [
            explained(one.in_force, draft, unnamed(draft.answer)) if draft.ask.is_dry_run else next(logged)
            for draft in drafts
        ]

    async def _run(self, race: Race, ends_at: float | None) -> TimeoutError | UnavailableError | None:
        """Commit; what went wrong, where something did."""
        try:
            async with asyncio.timeout_at(ends_at):
                await race.run()
        except (TimeoutError, UnavailableError) as error:
            self._doubt(error)
            return error
        finally:
            self.counts.lost(sum(race.conflicts.values()))
        return None

    async def _settle(self, one: _Round, settled: Settled) -> Answer:
        """The draft's answer, or the one that a twin of the ask was given a moment ago."""
        draft = settled.draft
        if settled.twin is not None:
            return await self._repeat(one, draft.ask, draft.known, settled.twin)
        self.counts.decided(draft.decision)
        return explained(one.in_force, draft, draft.answer)

    async def _withdraw(self, one: _Round, race: Race, error: TimeoutError | UnavailableError) -> dict[int, Answer]:
        """Silence in place of decisions that no log confirmed."""
        drafts = list(race.unsettled.values())
        is_uncertain = isinstance(error, TimeoutError | LostLinkError) or len(drafts) > 1
        has_raced = all(race.conflicts[place] for place in race.unsettled)
        answers = await self._answer_silence(
            one,
            [draft.ask for draft in drafts],
            error,
            cause=CONTENDED if has_raced else LOG_UNAVAILABLE,
            withdrawn=drafts if is_uncertain else (),
        )
        return dict(zip(race.unsettled, answers, strict=True))

    async def _answer_silence(
        self,
        one: _Round,
        asks: Sequence[Ask],
        error: TimeoutError | UnavailableError,
        *,
        cause: str,
        withdrawn: Sequence[Draft] = (),
    ) -> list[Answer]:
        if self.silence is None or one.ends_at is None:
            raise error
        return await self.silence.answers(one.in_force, asks, one.now, one.ends_at, cause=cause, withdrawn=withdrawn)

    async def _repeat(self, one: _Round, ask: Ask, known: Known, stored: bytes) -> Answer:
        answer = repeat(one.in_force, ask, known, stored, one.now)
        self.counts.repeated(ask.request.touchpoint_id)
        if not ask.wants_explanation:
            return answer
        record = None
        try:
            async with asyncio.timeout_at(one.redis_ends_at):
                record = await self.state.record(answer["decision_id"] or "")
        except (TimeoutError, UnavailableError):
            self.state.doubt()
        if record is None:
            return {**answer, "explanation": None}
        policy, per_major = one.in_force.policy, one.in_force.per_major
        return {**answer, "explanation": explanation(orjson.loads(record), policy=policy, per_major=per_major)}

    def _doubt(self, error: TimeoutError | UnavailableError) -> None:
        """Who waited in vain looks now whether Redis still answers."""
        if isinstance(error, TimeoutError):
            self.state.doubt()
