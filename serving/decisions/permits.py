"""Permission to send, requested at the time of sending: what has changed since the decision is checked.

A decision chooses and reserves; minutes or days later a tool sends. In between a customer may have withdrawn consent,
complained, been protected, or got other messages. The permit asks every gate about that one message again, as things
are now and with its own contact taken out of the book, and settles the reservation in the same atomic step: allowed
confirms the contact, denied releases it. Until it expires, a repeat gets the same answer.

What cannot be checked is denied: nothing may be sent that a gate would refuse.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import orjson
from pydantic import Field

from decisioning.customer import CustomerId
from decisioning.decision import Exclusion, Inputs
from decisioning.errors import InvalidInputError, UnavailableError, UnknownNameError
from decisioning.gates.reservation import Reservation, renewed_reservation
from decisioning.permit import WITHDRAWN, DecidedMessage, PermitVerdict, decided_of, permit
from serving.decisions.answer import because, closed
from serving.decisions.ask import Ask
from serving.decisions.known import unscored_inputs
from serving.decisions.race import MAX_ATTEMPTS
from serving.decisions.records import DecisionRecords
from serving.decisions.repeats import refusals_now
from serving.errors import UnknownDecisionError
from serving.in_force.policy_in_force import InForce
from serving.live.decision_hash import PermitContext
from serving.live.reader import Conflict, Known
from serving.live.store import STATE_LOST, Gone, LiveStore
from serving.live.writer import Settlement
from serving.log.archive import find_decisions
from serving.log.log_rows import decision_of_position, not_sent_row
from serving.metrics import Metrics

PERMIT_LASTS = timedelta(minutes=5)
"""How long an allowed permit may be used, and how long a repeat gets the same answer."""

STATE_UNAVAILABLE = "STATE_UNAVAILABLE"
"""Redis did not answer, so nothing can be checked."""

NOTHING_TO_SEND = "NOTHING_TO_SEND"
"""The decision was silence."""

TOO_OLD = "TOO_OLD"
"""The decision is no longer kept where permits look."""

CONTENDED = "CONTENDED"
"""Other decisions about this customer were committed first each time."""

_WORDS = {
    STATE_UNAVAILABLE: "nothing can be checked at the moment; ask again",
    NOTHING_TO_SEND: "the decision was to send nothing",
    TOO_OLD: "the decision is too old; ask for a new one",
    CONTENDED: "other decisions about this customer were committed first each time; ask again",
}


@closed
class PermitAnswer(TypedDict):
    """Permission to send a decision's message now."""

    decision_id: str
    permit: Literal["allowed", "denied"]
    reasons: list[str]
    details: Annotated[
        list[str], Field(description="What each reason means here; an empty text where the code says it all")
    ]
    because: Annotated[list[str], Field(description="The same in words")]
    retry_at: Annotated[str | None, Field(description="If only time prevents it: when to ask for a new decision")]
    permitted_at: Annotated[str, Field(description="When the permit was settled; repeats give the same time")]
    valid_until: Annotated[str | None, Field(description="Send before this; null if nothing may be sent")]
    replayed: Annotated[bool, Field(description="A repeat: the permit was settled before")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permits:
    """Answers permits; like decisions, it never raises because a component is down."""

    state: LiveStore
    records: DecisionRecords
    in_force: Callable[[], InForce]
    now: Callable[[], datetime]
    metrics: Metrics

    async def answer(self, decision_id: str, *, deadline_s: float) -> PermitAnswer:
        """Whether a decision's message, or that of a position of a slate, may be sent now.

        Args:
            decision_id: The decision, or a position of its slate.
            deadline_s: What cannot be checked by then is denied.

        Raises:
            UnknownDecisionError: Nobody knows the decision.
        """
        now, in_force = self.now(), self.in_force()
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._settled(in_force, decision_id, now)
        except TimeoutError:
            self.state.doubt()
            answer = _denied(decision_id, now, STATE_UNAVAILABLE)
        except UnavailableError:
            answer = _denied(decision_id, now, STATE_UNAVAILABLE)
        self.metrics.permits.labels(answer["permit"], next(iter(answer["reasons"]), "")).inc()
        return answer

    async def _settled(self, in_force: InForce, decision_id: str, now: datetime) -> PermitAnswer:
        """The answer, once it is in the log together with what it changes."""
        for _ in range(MAX_ATTEMPTS):
            context = await self.state.permit_context(decision_id, in_force.supply.query(now))
            if context is None:
                await asyncio.to_thread(_check_archive, self.records.log_path, decision_id)
                return _denied(decision_id, now, TOO_OLD)
            if context.answer is not None:
                return _again(context.answer)
            decided = await self._decided(context)
            if isinstance(decided, str):
                return _denied(decision_id, now, decided)
            person = await self._person(decided, context.known)
            answer, settlement = _judge(in_force, decided, context.known, person, now)
            told = await self.state.settle_permit(settlement) if settlement is not None else None
            if told is None:
                return answer
            if isinstance(told, Gone):
                raise UnknownDecisionError
            if not isinstance(told, Conflict):
                return _again(told)
            self.metrics.lost(1)
        return _denied(decision_id, now, CONTENDED)

    async def _decided(self, context: PermitContext) -> DecidedMessage | str:
        """The message, from the log where Redis kept no more than whose decision it was; or why there is none."""
        if context.decided is not None:
            return context.decided
        if context.is_silence:
            return NOTHING_TO_SEND
        try:
            decision = await self.records.decision(context.decision_id)
        except InvalidInputError:
            return TOO_OLD
        return decided_of(decision, 1 + decision_of_position(context.decision_id)[1])

    async def _person(self, decided: DecidedMessage, known: Known) -> Known | None:
        """What is known of the customer whom the decision's visitor turned out to be; None where nobody said so."""
        if known.person is None:
            return None
        [found] = await self.state.read_people([Ask(request=decided.request).lookup()])
        return found if found.of is not None else None


def _check_archive(log_path: Path, decision_id: str) -> None:
    """Refuse an id that the log does not know either."""
    if not find_decisions(log_path, [decision_id]):
        raise UnknownDecisionError


def _judge(
    in_force: InForce, decided: DecidedMessage, known: Known, person: Known | None, now: datetime
) -> tuple[PermitAnswer, Settlement | None]:
    """The answer, and what it writes; nothing where there is no contact to release.

    Raises:
        UnavailableError: It needs live state that was lost: the contact keeps its place until that is restored.
    """
    customer_id = decided.request.customer_id
    inputs = unscored_inputs(in_force, Ask(request=decided.request), known, now)
    found = _permitted(in_force, decided, inputs)
    if found.is_allowed and person is not None:
        found = _refused_by(in_force, decided, person, now) or found
    if Exclusion.STATE_LOST in found.reasons:
        raise UnavailableError(STATE_LOST)
    answer = _answer(decided.decision_id, now, found)
    reservation = _reservation(in_force, decided, inputs)
    if not reservation.contacts:
        return answer, None
    rows: tuple[tuple[str, bytes], ...] = ()
    if not found.is_allowed:
        row = not_sent_row(decided.decision_id, customer_id, now=now, cause="permit_denied")
        rows = (("outcomes", orjson.dumps(row)),)
    return answer, Settlement(
        decision_id=decided.decision_id,
        customer_id=customer_id,
        is_allowed=found.is_allowed,
        answer=orjson.dumps(answer),
        good_until=_good_until(found, now),
        reservation=reservation,
        supply=in_force.supply.query(now),
        rows=rows,
        book_lasts=in_force.book_lasts,
    )


def _refused_by(in_force: InForce, decided: DecidedMessage, person: Known, now: datetime) -> PermitVerdict | None:
    """What protects the customer whom a visitor turned out to be, against what was decided for the visitor."""
    request = replace(decided.request, customer_id=CustomerId(person.of or decided.request.customer_id))
    own, key = frozenset({decided.decision_id}), decided.message_key
    return refusals_now(in_force, Ask(request=request), person, [key], now=now, own=own).get(key)


def _permitted(in_force: InForce, decided: DecidedMessage, inputs: Inputs) -> PermitVerdict:
    """What the gates say now; a message or touchpoint that the catalogue no longer has is over."""
    touchpoint = in_force.fitting.get(decided.request.touchpoint_id)
    if touchpoint is None or not touchpoint.has(decided.message_key):
        return PermitVerdict(is_allowed=False, reasons=(Exclusion.EXPIRED,), details=(WITHDRAWN,))
    return permit(in_force.policy, decided, inputs)


def _reservation(in_force: InForce, decided: DecidedMessage, inputs: Inputs) -> Reservation:
    """The one contact as of now."""
    try:
        return renewed_reservation(in_force.catalogue, decided.decision_id, decided.message_key, inputs)
    except UnknownNameError:  # no longer in the catalogue: only to be released
        own = tuple(one for one in inputs.live.contacts if one.contact_id == decided.decision_id)
        return Reservation(contacts=own, version=inputs.live.version, household_version=inputs.live.household_version)


def _good_until(found: PermitVerdict, now: datetime) -> datetime:
    """Until when a repeat is told the same: a permit its whole life, a denial no longer than it holds."""
    ends_at = now + PERMIT_LASTS
    if found.is_allowed or found.retry_at is None:
        return ends_at
    return min(ends_at, found.retry_at)


def _again(stored: bytes) -> PermitAnswer:
    answer: PermitAnswer = orjson.loads(stored)
    return {**answer, "replayed": True}


def _answer(decision_id: str, now: datetime, found: PermitVerdict) -> PermitAnswer:
    return {
        "decision_id": decision_id,
        "permit": "allowed" if found.is_allowed else "denied",
        "reasons": [reason.value for reason in found.reasons],
        "details": list(found.details),
        "because": because(found.reasons, found.details),
        "retry_at": None if found.retry_at is None else found.retry_at.isoformat(),
        "permitted_at": now.isoformat(),
        "valid_until": (now + PERMIT_LASTS).isoformat() if found.is_allowed else None,
        "replayed": False,
    }


def _denied(decision_id: str, now: datetime, reason: str) -> PermitAnswer:
    """A denial that no gate spoke; nothing is written for it."""
    return {
        "decision_id": decision_id,
        "permit": "denied",
        "reasons": [reason],
        "details": [""],
        "because": [_WORDS[reason]],
        "retry_at": None,
        "permitted_at": now.isoformat(),
        "valid_until": None,
        "replayed": False,
    }
