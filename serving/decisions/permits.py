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
from decisioning.decision import Action, Decision, Exclusion, Inputs
from decisioning.errors import UnavailableError, UnknownNameError
from decisioning.gates.reservation import Reservation, reservation_of
from decisioning.permit import WITHDRAWN, PermitVerdict, permit
from decisioning.record.document import decision_from_record
from serving.decisions.answer import because, closed
from serving.decisions.ask import Ask
from serving.decisions.known import unscored_inputs
from serving.decisions.race import MAX_ATTEMPTS
from serving.decisions.repeats import refusals_now
from serving.errors import UnknownDecisionError
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Conflict, Known
from serving.live.store import STATE_LOST, Gone, LiveStore
from serving.live.writer import Settlement
from serving.log.archive import find_decisions
from serving.log.log_rows import decision_of_position, not_sent_row, parts_of
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
"""Other decisions about this customer kept being faster."""

_WORDS = {
    STATE_UNAVAILABLE: "nothing can be checked at the moment; ask again",
    NOTHING_TO_SEND: "the decision was to send nothing",
    TOO_OLD: "the decision is too old; ask for a new one",
    CONTENDED: "other decisions about this customer kept being faster; ask again",
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
    log_path: Path
    in_force: Callable[[], InForce]
    now: Callable[[], datetime]
    metrics: Metrics

    async def answer(self, decision_id: str, *, deadline_s: float, record: bytes | None = None) -> PermitAnswer:
        """Whether a decision's message, or that of a position of a slate, may be sent now.

        Args:
            decision_id: The decision, or a position of its slate.
            deadline_s: What cannot be checked by then is denied.
            record: The decision's record as JSON, where the caller read it from the log; Redis' own counts first.

        Raises:
            UnknownDecisionError: Nobody knows the decision.
        """
        now, in_force = self.now(), self.in_force()
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._settled(in_force, decision_id, now, record)
        except TimeoutError:
            self.state.doubt()
            answer = _denied(decision_id, now, STATE_UNAVAILABLE)
        except UnavailableError:
            answer = _denied(decision_id, now, STATE_UNAVAILABLE)
        self.metrics.permits.labels(answer["permit"], next(iter(answer["reasons"]), "")).inc()
        return answer

    async def _settled(self, in_force: InForce, decision_id: str, now: datetime, given: bytes | None) -> PermitAnswer:
        """The answer, once it is in the log together with what it changes."""
        for _ in range(MAX_ATTEMPTS):
            context = await self.state.permit_context(decision_id, in_force.supply.query(now))
            record = None if context is None else context.record or given
            if context is None or record is None:
                await asyncio.to_thread(_check_archive, self.log_path, decision_id)
                return _denied(decision_id, now, TOO_OLD)
            if context.answer is not None:
                return _again(context.answer)
            decision = _position(decision_from_record(orjson.loads(record)), decision_id)
            if decision.action is Action.HOLD:
                return _denied(decision_id, now, NOTHING_TO_SEND)
            person = await self._person(decision, context.known)
            answer, settlement = _judge(in_force, decision, context.known, person, now)
            told = await self.state.settle_permit(settlement) if settlement is not None else None
            if told is None:
                return answer
            if isinstance(told, Gone):
                raise UnknownDecisionError
            if not isinstance(told, Conflict):
                return _again(told)
            self.metrics.lost(1)
        return _denied(decision_id, now, CONTENDED)

    async def _person(self, decision: Decision, known: Known) -> Known | None:
        """What is known of the customer whom the decision's visitor turned out to be; None where nobody said so."""
        if known.person is None:
            return None
        request = decision.inputs.request
        [found] = await self.state.read_people([Ask(request=request).lookup()])
        return found if found.of is not None else None


def _check_archive(log_path: Path, decision_id: str) -> None:
    """Refuse an id that the log does not know either."""
    if not find_decisions(log_path, [decision_id]):
        raise UnknownDecisionError


def _position(decision: Decision, decision_id: str) -> Decision:
    """The decision as if the position of that id were all of it."""
    _, place = decision_of_position(decision_id)
    if place == 0:
        return replace(decision, further=(), ghost=None)
    if place > len(decision.further):
        raise UnknownDecisionError
    position = decision.further[place - 1]
    offer_id, channel_id, creative_id = parts_of(position.message_key)
    return replace(
        decision,
        decision_id=decision_id,
        action=Action.HOLD if offer_id is None else Action.SEND,
        message_key=position.message_key,
        offer_id=offer_id,
        channel_id=channel_id,
        creative_id=creative_id,
        action_probability=position.action_probability,
        further=(),
        ghost=None,
    )


def _judge(
    in_force: InForce, decision: Decision, known: Known, person: Known | None, now: datetime
) -> tuple[PermitAnswer, Settlement | None]:
    """The answer, and what it writes; nothing where there is no contact to release.

    Raises:
        UnavailableError: It needs live state that was lost: the contact keeps its place until that is restored.
    """
    inputs = unscored_inputs(in_force, Ask(request=decision.inputs.request), known, now)
    found = _permitted(in_force, decision, inputs)
    if found.is_allowed and person is not None:
        found = _refused_by(in_force, decision, person, now) or found
    if Exclusion.STATE_LOST in found.reasons:
        raise UnavailableError(STATE_LOST)
    answer = _answer(decision.decision_id, now, found)
    reservation = _reservation(in_force, decision, inputs)
    if not reservation.contacts:
        return answer, None
    rows: tuple[tuple[str, bytes], ...] = ()
    if not found.is_allowed:
        row = not_sent_row(decision.decision_id, decision.customer_id, now=now, cause="permit_denied")
        rows = (("outcomes", orjson.dumps(row)),)
    return answer, Settlement(
        decision_id=decision.decision_id,
        customer_id=decision.customer_id,
        is_allowed=found.is_allowed,
        answer=orjson.dumps(answer),
        good_until=_good_until(found, now),
        reservation=reservation,
        supply=in_force.supply.query(now),
        rows=rows,
        book_lasts=in_force.book_lasts,
    )


def _refused_by(in_force: InForce, decision: Decision, person: Known, now: datetime) -> PermitVerdict | None:
    """What protects the customer whom a visitor turned out to be, against what was decided for the visitor."""
    request = replace(decision.inputs.request, customer_id=CustomerId(person.of or decision.customer_id))
    own, key = frozenset({decision.decision_id}), decision.message_key
    return refusals_now(in_force, Ask(request=request), person, [key], now=now, own=own).get(key)


def _permitted(in_force: InForce, decision: Decision, inputs: Inputs) -> PermitVerdict:
    """What the gates say now; a message or touchpoint that the catalogue no longer has is over."""
    touchpoint = in_force.fitting.get(decision.touchpoint_id)
    if touchpoint is None or not touchpoint.has(decision.message_key):
        return PermitVerdict(is_allowed=False, reasons=(Exclusion.EXPIRED,), details=(WITHDRAWN,))
    return permit(in_force.policy, decision, inputs)


def _reservation(in_force: InForce, decision: Decision, inputs: Inputs) -> Reservation:
    """The one contact as of now; the decision has counted as evidence already."""
    try:
        now = replace(decision, decided_at=inputs.now, inputs=inputs)
        return replace(reservation_of(in_force.catalogue, now), evidence={})
    except UnknownNameError:  # no longer in the catalogue: only to be released
        own = tuple(one for one in inputs.live.contacts if one.contact_id == decision.decision_id)
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
