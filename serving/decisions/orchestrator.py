"""One ask after the other: read, decide, commit, answer; and what is answered when something behind is away.

The order of a healthy decision is read (one round trip), decide (pure), commit (one atomic script), answer. It is in
the log before the caller sees it. Where that fails:

- Redis does not answer the read: silence, decided with nothing known, logged through the spool on disk;
- Redis does not answer the commit: the same, and since the first decision may have reached the log all the same, an
  outcome `not_sent` goes along with it;
- the spool fails too: a decision that cannot be logged is not made, so the caller is told to hold, without an id;
- somebody else decided about the customer in between: it is decided again with what they left, see `race`.

None of it takes longer than the deadline: a fifth of it is kept back for the spool.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import orjson
import structlog

from decisioning.errors import LogUnavailableError, UnavailableError
from decisioning.record import Record
from serving.decisions.answer import Answer, ExplanationDocument, explanation, unlogged, unnamed
from serving.decisions.draft import Draft, Ticket, about, draft_blind, draft_many, lookup_of, repeat
from serving.decisions.known import CONTENDED, LOG_UNAVAILABLE, STATE_UNAVAILABLE
from serving.decisions.race import Race, Settled, rounds_of
from serving.errors import ReusedKeyError
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Known
from serving.live.redis_link import LostLinkError
from serving.live.store import LiveStore
from serving.log.fallback import FallbackLog
from serving.log.log_rows import StreamRow, decision_rows, not_sent_row, sent_positions
from serving.metrics import Metrics

REDIS_SHARE = 0.8
"""Share of the deadline that Redis may use; the rest is the spool's."""

_LOG = structlog.get_logger("nextbest.serving")


class DecisionService:
    """Answers asks; it never raises because something behind it is away."""

    def __init__(
        self,
        *,
        state: LiveStore,
        fallback: FallbackLog,
        in_force: Callable[[], InForce],
        now: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._state = state
        self._fallback = fallback
        self._in_force = in_force
        self._now = now
        self._metrics = metrics

    async def answer(self, ticket: Ticket, *, deadline_s: float) -> Answer:
        """Answer one ask within the deadline."""
        return (await self.answer_many([ticket], deadline_s=deadline_s))[0]

    async def answer_many(self, tickets: Sequence[Ticket], *, deadline_s: float) -> list[Answer]:
        """Answer asks that travel together, each as if it were alone, and those of one customer one after the other.

        Args:
            tickets: n asks.
            deadline_s: Time for all of them together.

        Returns:
            n answers in order.

        Raises:
            ReusedKeyError: An idempotency key that belongs to another request.
        """
        ends_at = asyncio.get_running_loop().time() + deadline_s
        redis_ends_at = ends_at - (1 - REDIS_SHARE) * deadline_s
        in_force, answers = self._in_force(), dict[int, Answer]()
        for places in rounds_of(tickets):
            found = await self._answer_round(in_force, [tickets[place] for place in places], ends_at, redis_ends_at)
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(tickets))]

    async def _answer_round(
        self, in_force: InForce, tickets: Sequence[Ticket], ends_at: float, redis_ends_at: float
    ) -> list[Answer]:
        """Answer asks of different customers."""
        now = self._now()
        known = await self._read(in_force, tickets, now, redis_ends_at)
        if known is None:
            return await self._answer_blind(in_force, tickets, now, ends_at, cause=STATE_UNAVAILABLE)
        tickets = [about(ticket, one) for ticket, one in zip(tickets, known, strict=True)]
        answers: list[Answer | None] = [
            await self._repeat(in_force, ticket, one, one.stored, now, redis_ends_at)
            if one.stored is not None and not ticket.is_dry_run
            else None
            for ticket, one in zip(tickets, known, strict=True)
        ]
        fresh = [place for place, answer in enumerate(answers) if answer is None]
        drafts = draft_many(in_force, [tickets[place] for place in fresh], [known[place] for place in fresh], now)
        for place, answer in zip(
            fresh, await self._conclude(in_force, drafts, now, ends_at, redis_ends_at), strict=True
        ):
            answers[place] = answer
        return [answer for answer in answers if answer is not None]

    async def _read(
        self, in_force: InForce, tickets: Sequence[Ticket], now: datetime, ends_at: float
    ) -> list[Known] | None:
        try:
            async with asyncio.timeout_at(ends_at):
                known = await self._state.read_people([lookup_of(in_force, ticket, now) for ticket in tickets])
        except TimeoutError:
            self._state.doubt()
            return None
        except UnavailableError:
            return None
        if not all(one.is_claimed for one in known):
            raise ReusedKeyError
        return known

    async def _conclude(
        self, in_force: InForce, drafts: Sequence[Draft], now: datetime, ends_at: float, redis_ends_at: float
    ) -> list[Answer]:
        """Log what must be logged and give the answers, in order."""
        race = Race(self._state, in_force, [draft for draft in drafts if not draft.ticket.is_dry_run])
        problem = await self._run(race, redis_ends_at)
        answers = {place: await self._settle(in_force, one, now, redis_ends_at) for place, one in race.settled.items()}
        if problem is not None:
            answers |= await self._withdraw(in_force, race, now, ends_at, problem)
        logged = iter([answers[place] for place in sorted(answers)])
        return [
            self._explained(in_force, draft, unnamed(draft.answer)) if draft.ticket.is_dry_run else next(logged)
            for draft in drafts
        ]

    async def _run(self, race: Race, ends_at: float) -> Exception | None:
        """Commit; what went wrong, where something did."""
        try:
            async with asyncio.timeout_at(ends_at):
                await race.run()
        except TimeoutError as error:
            self._state.doubt()
            return error
        except UnavailableError as error:
            return error
        finally:
            self._metrics.conflicts.inc(sum(race.conflicts.values()))
        return None

    async def _settle(self, in_force: InForce, settled: Settled, now: datetime, ends_at: float) -> Answer:
        """The draft's answer, or the one that a twin of the ask was given a moment ago."""
        draft = settled.draft
        if settled.twin is not None:
            return await self._repeat(in_force, draft.ticket, draft.known, settled.twin, now, ends_at)
        self._metrics.decided(draft.decision)
        return self._explained(in_force, draft, draft.answer)

    async def _withdraw(
        self, in_force: InForce, race: Race, now: datetime, ends_at: float, error: Exception
    ) -> dict[int, Answer]:
        """Silence in place of decisions that no log confirmed."""
        drafts = list(race.unsettled.values())
        is_uncertain = isinstance(error, TimeoutError | LostLinkError) or len(drafts) > 1
        rows: list[tuple[str, StreamRow]] = [
            ("outcomes", not_sent_row(position, draft.decision.customer_id, now=now, cause=LOG_UNAVAILABLE))
            for draft in drafts
            if is_uncertain
            for position in sent_positions(draft.decision)
        ]
        has_raced = all(race.conflicts[place] for place in race.unsettled)
        answers = await self._answer_blind(
            in_force,
            [draft.ticket for draft in drafts],
            now,
            ends_at,
            cause=CONTENDED if has_raced else LOG_UNAVAILABLE,
            rows=rows,
        )
        return dict(zip(race.unsettled, answers, strict=True))

    async def _answer_blind(
        self,
        in_force: InForce,
        tickets: Sequence[Ticket],
        now: datetime,
        ends_at: float,
        *,
        cause: str,
        rows: Sequence[tuple[str, StreamRow]] = (),
    ) -> list[Answer]:
        """Silence for everybody, logged through the spool."""
        drafts = [draft_blind(in_force, ticket, now, cause) for ticket in tickets]
        to_log = [draft for draft in drafts if self._is_for_log(draft)]
        decided = [
            ("decisions", row)
            for one in to_log
            for row in decision_rows(one.decision, one.record_json, in_force.catalogue)
        ]
        left_s = max(0.0, ends_at - asyncio.get_running_loop().time())
        try:
            if decided or rows:
                await self._fallback.append([*decided, *rows], within_s=left_s)
        except LogUnavailableError as error:
            _LOG.error("decisions_not_logged", count=len(to_log), problem=str(error))
            return [unlogged(draft.answer, [cause, LOG_UNAVAILABLE]) for draft in drafts]
        for draft in to_log:
            self._metrics.decided(draft.decision)
        return [
            self._explained(in_force, draft, draft.answer if self._is_for_log(draft) else _unlogged(draft))
            for draft in drafts
        ]

    def _is_for_log(self, draft: Draft) -> bool:
        """Neither a dry run nor about somebody who was erased."""
        return not draft.ticket.is_dry_run and not self._state.has_erased(draft.ticket.request.customer_id)

    async def _repeat(
        self, in_force: InForce, ticket: Ticket, known: Known, stored: bytes, now: datetime, ends_at: float
    ) -> Answer:
        answer = repeat(in_force, ticket, known, stored, now)
        self._metrics.replays.labels(ticket.request.touchpoint_id).inc()
        if not ticket.wants_explanation:
            return answer
        record = None
        try:
            async with asyncio.timeout_at(ends_at):
                record = await self._state.record(answer["decision_id"] or "")
        except (TimeoutError, UnavailableError):
            self._state.doubt()
        told = None if record is None else _explanation(in_force, orjson.loads(record))
        return {**answer, "explanation": told}

    @staticmethod
    def _explained(in_force: InForce, draft: Draft, answer: Answer) -> Answer:
        if not draft.ticket.wants_explanation:
            return answer
        return {**answer, "explanation": _explanation(in_force, draft.record)}


def _unlogged(draft: Draft) -> Answer:
    """The answer of a draft that is for no log: a dry run's, or an erased customer's."""
    return {**unnamed(draft.answer), "dry_run": draft.ticket.is_dry_run}


def _explanation(in_force: InForce, record: Record) -> ExplanationDocument:
    return explanation(record, policy=in_force.policy, per_major=in_force.per_major)
