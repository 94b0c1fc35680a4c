"""The one way from asks to answers, for the API and for batches: read, decide, commit, answer.

A healthy decision reads (one round trip), decides (pure), commits (one atomic script) and answers; it is in the log
before its caller sees it. Asks that are there together travel together, see `rounds`: one read, one scoring, one
commit, each as if it were alone. What is wrong with one of them is its own affair. If another decision about the
customer was committed in between, it is decided again from the new state, see `race`. A repeated request gets the
original answer, see `repeats`.

While Redis is away, asks with a deadline are answered with silence, see `silence`; others are refused:

- Redis does not answer the read: silence, logged through the spool;
- Redis does not answer the commit: the same, and since the first decision may have reached the log anyway, an
  outcome `not_sent` is logged with it.

None of it takes longer than the deadline of each: a fifth of it is kept back for the spool.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from decisioning.decision import Decision
from decisioning.errors import InvalidInputError, UnavailableError
from serving.decisions.answer import Answer, explanation, unnamed
from serving.decisions.ask import Ask
from serving.decisions.caller import Caller, Failed, Outcome, Repeated, Seat
from serving.decisions.draft import Draft, draft_many, explained
from serving.decisions.known import CONTENDED, LOG_UNAVAILABLE, STATE_UNAVAILABLE
from serving.decisions.race import Race, Settled
from serving.decisions.records import DecisionRecords
from serving.decisions.repeats import repeat
from serving.decisions.rounds import MOST, Rounds
from serving.decisions.silence import SilentAnswers
from serving.errors import ReusedKeyError
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Known
from serving.live.redis_link import LostLinkError
from serving.live.store import LiveStore, RefusedError


class Counts(Protocol):
    """Counts what is decided."""

    def decided(self, decision: Decision) -> None:
        """A decision is in the log."""

    def repeated(self, touchpoint_id: str) -> None:
        """An ask got the decision that it already had."""

    def lost(self, commits: int) -> None:
        """So many commits came too late, and their asks were decided again."""


class Onlooker(Protocol):
    """Looks at decisions after they are in the log."""

    def saw(self, in_force: InForce, decision: Decision) -> None:
        """A decision is in the log."""


@dataclass(slots=True, kw_only=True)
class Orchestrator:
    """Answers asks.

    Attributes:
        in_force: Gives the policy and models in use.
        counts: Told of what is decided.
        silence: Answers while Redis is away; None to raise instead.
        records: Reads decisions back.
        most_together: Asks that travel together at most.
        onlooker: Told of what was decided with a rollout beside it; None for nobody.
    """

    state: LiveStore
    in_force: Callable[[], InForce]
    counts: Counts
    records: DecisionRecords
    silence: SilentAnswers | None = None
    most_together: int = MOST
    onlooker: Onlooker | None = None
    _rounds: Rounds = field(init=False)

    def __post_init__(self) -> None:
        """Nobody travels yet."""
        self._rounds = Rounds(self._hold, most=self.most_together)

    async def answer_many(
        self,
        asks: Sequence[Ask],
        *,
        now: Callable[[], datetime],
        deadline_s: float | None = None,
        prices_minor: Mapping[str, float] | None = None,
    ) -> list[Answer]:
        """Answer the asks of one caller, each as if it were alone, and those of one customer one after the other.

        Args:
            asks: n asks.
            now: The clock; it is read for each ask when its round starts.
            deadline_s: Time for all of them together; None where they wait.
            prices_minor: Shadow prices that the decisions pay; None for those that Redis holds.

        Returns:
            n answers in order.

        Raises:
            ReusedKeyError: An idempotency key belongs to another request.
            UnavailableError: Redis is away, and there is no silence to fall back on.
        """
        caller = Caller(asks, self.in_force(), now, deadline_s=deadline_s, prices_minor=prices_minor)
        self._rounds.join(caller.seats)
        late = await caller.wait()
        if late:
            self.state.doubt()  # check now whether Redis still answers
        for seat in late:
            seat.outcome = _late(seat)
        answers = await self._silent_answers(caller)
        found = [answers[seat] if seat in answers else await self._answer(seat) for seat in caller.seats]
        caller.seats.clear()  # each seat knows its caller: without the circle, what they hold goes at once
        return found

    async def read(
        self,
        in_force: InForce,
        asks: Sequence[Ask],
        moments: Sequence[datetime],
        *,
        prices_minor: Mapping[str, float] | None = None,
    ) -> tuple[list[Ask], list[Known]]:
        """What is known for each ask as of its moment; asks of visitors who are known customers are about these.

        Raises:
            ReusedKeyError: An idempotency key belongs to another request.
            UnavailableError: Redis is away.
        """
        known = await self._known(in_force, asks, moments)
        if not all(one.is_claimed for one in known):
            raise ReusedKeyError
        about = [ask.about(one) for ask, one in zip(asks, known, strict=True)]
        return about, [_paying(one, prices_minor) for one in known]

    async def _known(self, in_force: InForce, asks: Sequence[Ask], moments: Sequence[datetime]) -> list[Known]:
        query = in_force.supply.query
        return await self.state.read_people([ask.lookup(query(now)) for ask, now in zip(asks, moments, strict=True)])

    async def _hold(self, seats: list[Seat]) -> None:
        """One round: read, decide, commit; every seat gets its outcome as soon as it is there."""
        in_force = seats[0].in_force
        moments = [seat.caller.clock() for seat in seats]
        for seat, now in zip(seats, moments, strict=True):
            seat.now = now
        try:
            known = await self._known(in_force, [seat.ask for seat in seats], moments)
        except RefusedError as error:
            await self._hold_apart(seats, error)
            return
        except UnavailableError as error:
            for seat in seats:
                seat.settle(Failed(error=error, cause=STATE_UNAVAILABLE))
            return
        await self._decide(in_force, [pair for pair in zip(seats, known, strict=True) if _is_fresh(*pair)])

    async def _hold_apart(self, seats: list[Seat], error: RefusedError) -> None:
        """Redis refused to read all of it: whoever it was about, the others are read."""
        if len(seats) == 1:
            seats[0].settle(Failed(error=error, cause=STATE_UNAVAILABLE))
            return
        await asyncio.gather(*(self._hold([seat]) for seat in seats))

    async def _decide(self, in_force: InForce, fresh: list[tuple[Seat, Known]]) -> None:
        to_log: list[Seat] = []
        drafts: list[Draft] = []
        for seat, draft in _drafted(in_force, fresh):
            if draft.ask.is_dry_run:
                seat.settle(draft)
            else:
                to_log.append(seat)
                drafts.append(draft)
        race = Race(self.state, in_force, drafts)
        try:
            await self._race(race, to_log)
        finally:
            self.counts.lost(sum(race.conflicts.values()))

    async def _race(self, race: Race, seats: list[Seat]) -> None:
        """Commit, lap by lap; who settles does not wait for those who run again, and who is late runs no more."""
        while _line_up(race, seats):
            try:
                settled = await race.lap()
            except UnavailableError as error:
                for place in race.unsettled:
                    seats[place].settle(_unlogged(seats[place], error))
                return
            for place in race.unsettled:
                seats[place].conflicts = race.conflicts[place]
            for place, one in (*settled.items(), *race.decide_again().items()):
                seats[place].settle(_outcome(seats[place], one))

    async def _answer(self, seat: Seat) -> Answer:
        """What an ask is answered, logged or not; what is wrong with it is raised."""
        match seat.outcome:
            case Draft() as draft if draft.ask.is_dry_run:
                return explained(seat.in_force, draft, unnamed(draft.answer))
            case Draft() as draft:
                self.counts.decided(draft.decision)
                if self.onlooker is not None and seat.in_force.rollout is not None:
                    self.onlooker.saw(seat.in_force, draft.decision)
                return explained(seat.in_force, draft, draft.answer)
            case Repeated() as repeated:
                return await self._repeat(seat, repeated)
            case Failed() as failed:
                raise failed.error
            case Exception() as error:
                raise error
            case None:
                raise AssertionError("an ask must have an outcome, got none")

    async def _silent_answers(self, caller: Caller) -> dict[Seat, Answer]:
        """Silence in place of decisions that no log confirmed; nothing where there is no silence to fall back on."""
        causes: dict[str, list[tuple[Seat, Failed]]] = {}
        for seat in caller.seats:
            if isinstance(seat.outcome, Failed):
                causes.setdefault(seat.outcome.cause, []).append((seat, seat.outcome))
        answers: dict[Seat, Answer] = {}
        if self.silence is None or caller.ends_at is None:
            return answers
        for cause, failed in causes.items():
            seats = [seat for seat, _ in failed]
            withdrawn = [one.withdrawn for _, one in failed if one.withdrawn is not None]
            asks, now = [seat.ask for seat in seats], seats[0].now or caller.clock()
            found = await self.silence.answers(
                caller.in_force, asks, now, caller.ends_at, cause=cause, withdrawn=withdrawn
            )
            answers.update(zip(seats, found, strict=True))
        return answers

    async def _repeat(self, seat: Seat, repeated: Repeated) -> Answer:
        ask = repeated.ask
        answer = repeat(seat.in_force, ask, repeated.known, repeated.stored, seat.now or seat.caller.clock())
        self.counts.repeated(ask.request.touchpoint_id)
        if not ask.wants_explanation:
            return answer
        try:
            async with asyncio.timeout_at(seat.caller.redis_ends_at):
                decision = await self.records.decision(answer["decision_id"] or "")
        except (TimeoutError, UnavailableError, InvalidInputError):
            return {**answer, "explanation": None}
        policy, per_major = seat.in_force.policy, seat.in_force.per_major
        return {**answer, "explanation": explanation(decision, policy=policy, per_major=per_major)}


def _is_fresh(seat: Seat, known: Known) -> bool:
    """Whether an ask is still to be decided."""
    if seat.is_over:
        return False
    if not known.is_claimed:
        seat.settle(ReusedKeyError())
    elif known.stored is not None and not seat.ask.is_dry_run:
        seat.settle(Repeated(ask=seat.ask.about(known), known=known, stored=known.stored))
    return not seat.is_over


def _drafted(in_force: InForce, fresh: Sequence[tuple[Seat, Known]]) -> list[tuple[Seat, Draft]]:
    """Decide together; where that fails, each alone, so that a fault hits only the ask that has it."""
    seats = [seat for seat, _ in fresh]
    asks = [seat.ask.about(known) for seat, known in fresh]
    states = [_paying(known, seat.caller.prices_minor) for seat, known in fresh]
    moments = [seat.now or seat.caller.clock() for seat in seats]
    try:
        return list(zip(seats, draft_many(in_force, asks, states, moments), strict=True))
    except Exception as error:  # noqa: BLE001 - it is raised where the ask is waited for
        if len(seats) == 1:
            seats[0].settle(error)
            return []
    return [one for pair in fresh for one in _drafted(in_force, [pair])]


def _paying(known: Known, prices_minor: Mapping[str, float] | None) -> Known:
    if prices_minor is None:
        return known
    return replace(known, supply=replace(known.supply, prices_minor=dict(prices_minor)))


def _line_up(race: Race, seats: Sequence[Seat]) -> bool:
    """Note what is committed now; whether there is anything."""
    for place, draft in list(race.unsettled.items()):
        if seats[place].is_over:
            del race.unsettled[place]
        else:
            seats[place].committing = draft
    return bool(race.unsettled)


def _outcome(seat: Seat, settled: Settled) -> Outcome:
    draft, result = settled.draft, settled.result
    if isinstance(result, UnavailableError):
        return _unlogged(seat, result)
    if isinstance(result, bytes):
        return Repeated(ask=draft.ask, known=draft.known, stored=result)
    return draft if result is None else result


def _late(seat: Seat) -> Failed:
    error = TimeoutError()
    return Failed(error=error, cause=STATE_UNAVAILABLE) if seat.committing is None else _unlogged(seat, error)


def _unlogged(seat: Seat, error: TimeoutError | UnavailableError) -> Failed:
    """A commit that was not confirmed; where Redis was not heard to refuse, the decision may be in the log."""
    is_uncertain = isinstance(error, TimeoutError | LostLinkError)
    cause = CONTENDED if seat.conflicts else LOG_UNAVAILABLE
    return Failed(error=error, cause=cause, withdrawn=seat.committing if is_uncertain else None)
