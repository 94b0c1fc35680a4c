"""Drafts: decisions with the answers they would give, before any log has them; and earlier answers given again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import structlog

from decisioning.decision import Action, Decision, Request
from decisioning.errors import InvalidPolicyError
from decisioning.record import Record, decision_to_record
from features.content import render_content
from serving.answers import Answer, alternatives, answer_of, replayed, withheld
from serving.deciding import (
    CONTENT_UNAVAILABLE,
    Ask,
    decide_blind,
    decide_many,
    new_decision_id,
    refusals_now,
)
from serving.in_force import InForce
from serving.live_state import Claim, Entry, Known, Lookup
from serving.log_rows import decision_row

_LOG = structlog.get_logger("nextbest.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A checked ask.

    Attributes:
        dedupe_key: None where it cannot be repeated.
        claim: Binds an idempotency key to this very request; None without one.
        limit: Chosen message and next best together.
    """

    request: Request
    dedupe_key: str | None
    claim: Claim | None = None
    limit: int = 1
    is_dry_run: bool = False
    wants_explanation: bool = False

    @property
    def lookup(self) -> Lookup:
        """What to read for it."""
        return Lookup(
            customer_id=self.request.customer_id,
            touchpoint_id=self.request.touchpoint_id,
            dedupe_key=self.dedupe_key,
            claim=self.claim,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A decision that is not in the log yet, with the answer it would give."""

    ticket: Ticket
    known: Known
    decision: Decision
    record: Record
    record_json: bytes
    answer: Answer


def draft_many(in_force: InForce, tickets: Sequence[Ticket], known: Sequence[Known], now: datetime) -> list[Draft]:
    """Decide n asks and write what they would be answered; nothing is logged.

    Args:
        in_force: Policy, schema and model.
        tickets: n asks.
        known: What Redis holds for each.
        now: Moment of the decisions.
    """
    asks = [
        Ask(request=one.request, known=what, now=now, decision_id=new_decision_id(one.request.customer_id))
        for one, what in zip(tickets, known, strict=True)
    ]
    decisions = decide_many(in_force, asks)
    return [_draft(in_force, *three) for three in zip(tickets, asks, decisions, strict=True)]


def entry_of(in_force: InForce, draft: Draft, *, keeps_record: bool = True) -> Entry:
    """What the commit of a draft writes.

    Args:
        in_force: What the draft was made with.
        draft: The decision to log.
        keeps_record: Whether Redis keeps the record for reading back; the log has it in any case.
    """
    decision, ticket = draft.decision, draft.ticket
    return Entry(
        decision_id=decision.decision_id,
        customer_id=decision.customer_id,
        channel_id=decision.channel_id,
        row=orjson.dumps(decision_row(decision, draft.record_json, in_force.catalogue)),
        record=draft.record_json if keeps_record else b"",
        answer=orjson.dumps(draft.answer) if ticket.dedupe_key is not None else b"",
        stored_at=ticket.lookup.stored_at,
        sticky_seconds=in_force.catalogue.touchpoints[decision.touchpoint_id].sticky_seconds,
    )


def _draft(in_force: InForce, ticket: Ticket, ask: Ask, decision: Decision) -> Draft:
    try:
        content = _content(in_force, decision)
    except InvalidPolicyError as error:
        # What cannot be put into words cannot be sent, and a log that says otherwise would mislead.
        _LOG.error("content_not_rendered", message=decision.message_key, problem=str(error))
        blind = decide_blind(in_force, ask, degraded=(*decision.degraded, CONTENT_UNAVAILABLE))
        return _written(in_force, ticket, ask, blind, {}, is_lasting=True)
    return _written(in_force, ticket, ask, decision, content, is_lasting=True)


def draft_blind(in_force: InForce, ticket: Ticket, now: datetime, cause: str) -> Draft:
    """Silence for a customer of whom nothing is known now.

    Args:
        in_force: Policy, schema and model.
        ticket: The ask.
        now: Moment of the decision.
        cause: What was away, in the words of the log.
    """
    ask = Ask(request=ticket.request, known=None, now=now, decision_id=new_decision_id(ticket.request.customer_id))
    blind = decide_blind(in_force, ask, degraded=[cause])
    return _written(in_force, ticket, ask, blind, {}, is_lasting=False)


def _content(in_force: InForce, decision: Decision) -> dict[str, str]:
    if decision.action is Action.HOLD:
        return {}
    candidates = in_force.policy.candidates(decision.touchpoint_id)
    message = next(one for one in candidates if one.key == decision.message_key)
    customer = decision.inputs.customer
    return render_content(message, customer.attributes if customer else {}, decision.inputs.request.context)


def _written(
    in_force: InForce, ticket: Ticket, ask: Ask, decision: Decision, content: dict[str, str], *, is_lasting: bool
) -> Draft:
    """A draft with its record and answer; `is_lasting` where a repeat of the ask will get the same."""
    catalogue, per_major = in_force.catalogue, in_force.per_major
    sticky = catalogue.touchpoints[decision.touchpoint_id].sticky_seconds
    ttl_s = int(sticky) if is_lasting and ticket.dedupe_key is not None else 0
    answer = answer_of(decision, content=content, catalogue=catalogue, per_major=per_major, ttl_s=ttl_s)
    if ticket.limit > 1:
        answer["alternatives"] = alternatives(decision, limit=ticket.limit, catalogue=catalogue, per_major=per_major)
    record = decision_to_record(decision)
    return Draft(
        ticket=ticket,
        known=ask.known or Known(),
        decision=decision,
        record=record,
        record_json=orjson.dumps(record),
        answer=answer,
    )


def repeat(in_force: InForce, ticket: Ticket, known: Known, stored: bytes, now: datetime) -> Answer:
    """The answer that an ask already got, unless its message may no longer be sent: then hold, with the reasons.

    Args:
        in_force: Policy in use now.
        ticket: The repeated ask.
        known: What Redis holds of the customer now.
        stored: The answer given before, as JSON.
        now: Moment of the repeat.
    """
    answer = replayed(orjson.loads(stored), now=now)
    selected = answer["selected"]
    if selected is None:
        return answer
    ask = Ask(request=ticket.request, known=known, now=now, decision_id=answer["decision_id"])
    key = f"{selected['offer_id']}/{selected['channel']}/{selected['creative']}"
    reasons = refusals_now(in_force, ask, key)
    return withheld(answer, reasons) if reasons else answer
