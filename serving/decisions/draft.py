"""Drafts: decisions with the answers they would give, before any log has them; and earlier answers given again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson
import structlog

from decisioning.catalogue.message import SILENCE
from decisioning.customer import CustomerId
from decisioning.decision import Action, Decision, Request
from decisioning.errors import InvalidPolicyError
from decisioning.gates.reservation import reservation_of
from decisioning.record import Record, decision_to_record
from features.templates.renderer import render_content
from serving.decisions.answer import Answer, answer_of, keys_of, replayed, unnamed, withheld
from serving.decisions.known import (
    CONTENDED,
    CONTENT_UNAVAILABLE,
    Ask,
    Prepared,
    decide_blind,
    decide_prepared,
    new_decision_id,
    prepare_many,
    refusals_now,
)
from serving.in_force.fit import NOT_RENDERED
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Claim, Conflict, Known, Lookup, stored_answer_key
from serving.live.writer import FurtherRow, LogEntry
from serving.log.log_rows import decision_rows

_LOG = structlog.get_logger("nextbest.serving")

type Contents = Mapping[str, Mapping[str, str]]
"""Content by field, by message key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A checked ask.

    Attributes:
        dedupe_key: None where it cannot be repeated.
        claim: Binds an idempotency key to this very request; None without one.
    """

    request: Request
    dedupe_key: str | None
    claim: Claim | None = None
    is_dry_run: bool = False
    wants_explanation: bool = False

    @property
    def lookup(self) -> Lookup:
        """What to read for it of its customer alone; `lookup_of` adds what all customers share."""
        return Lookup(
            customer_id=self.request.customer_id,
            touchpoint_id=self.request.touchpoint_id,
            dedupe_key=self.dedupe_key,
            claim=self.claim,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A decision that is not in the log yet, with the answer it would give.

    Attributes:
        lasting_s: How long a repeat of the ask gets the same answer, in seconds; 0 where it is decided anew.
    """

    ticket: Ticket
    ask: Ask
    decision: Decision
    record: Record
    record_json: bytes
    answer: Answer
    lasting_s: float

    @property
    def known(self) -> Known:
        """What it was decided with."""
        return self.ask.known or Known()


def lookup_of(in_force: InForce, ticket: Ticket, now: datetime) -> Lookup:
    """What to read for an ask at a moment."""
    return replace(ticket.lookup, supply=in_force.supply.query(now))


def about(ticket: Ticket, known: Known) -> Ticket:
    """The ask, about the customer whom its visitor turned out to be."""
    if known.of is None:
        return ticket
    return replace(ticket, request=replace(ticket.request, customer_id=CustomerId(known.of)))


def draft_many(
    in_force: InForce,
    tickets: Sequence[Ticket],
    known: Sequence[Known],
    now: datetime,
    *,
    allocated: Sequence[str | None] | None = None,
) -> list[Draft]:
    """Decide n asks and write what they would be answered; nothing is logged.

    Args:
        in_force: Policy, schema and models.
        tickets: n asks.
        known: What Redis holds for each.
        now: Moment of the decisions.
        allocated: Message key that a plan over all customers gave each; None without a plan.
    """
    plan = allocated if allocated is not None else [None] * len(tickets)
    asks = [
        Ask(
            request=one.request,
            known=what,
            now=now,
            decision_id=new_decision_id(one.request.customer_id),
            allocated=key,
        )
        for one, what, key in zip(tickets, known, plan, strict=True)
    ]
    return _draft_asks(in_force, tickets, asks)


def redraft_many(in_force: InForce, drafts: Sequence[Draft], conflicts: Sequence[Conflict]) -> list[Draft]:
    """Decide again what lost a race, with the state that the winner left.

    Args:
        in_force: Policy, schema and models.
        drafts: n drafts that were not committed.
        conflicts: What Redis holds now, for each.
    """
    asks = [replace(draft.ask, known=lost.after(draft.known)) for draft, lost in zip(drafts, conflicts, strict=True)]
    return _draft_asks(in_force, [draft.ticket for draft in drafts], asks)


def draft_contended(in_force: InForce, draft: Draft) -> Draft:
    """Silence in place of a draft that lost every race; a repeat of the ask is decided anew."""
    return _draft_silence(in_force, draft.ticket, draft.ask, CONTENDED)


def draft_blind(in_force: InForce, ticket: Ticket, now: datetime, cause: str) -> Draft:
    """Silence for a customer of whom nothing is known now; a repeat of the ask is decided anew.

    Args:
        in_force: Policy, schema and models.
        ticket: The ask.
        now: Moment of the decision.
        cause: What was away, in the words of the log.
    """
    ask = Ask(request=ticket.request, known=None, now=now, decision_id=new_decision_id(ticket.request.customer_id))
    return _draft_silence(in_force, ticket, ask, cause)


def draft_unknown(in_force: InForce, ticket: Ticket, now: datetime) -> Draft:
    """Silence for a customer who was erased, as for anybody unknown; it is for no log, so its answer has no id.

    Args:
        in_force: Policy, schema and models.
        ticket: The ask.
        now: Moment of the decision.
    """
    [draft] = draft_many(in_force, [ticket], [Known()], now)
    return replace(draft, answer={**unnamed(draft.answer), "dry_run": ticket.is_dry_run})


def entry_of(in_force: InForce, draft: Draft, *, keeps_record: bool = True) -> LogEntry:
    """What the commit of a draft writes.

    Args:
        in_force: What the draft was made with.
        draft: The decision to log.
        keeps_record: Whether Redis keeps the record for reading back; the log has it in any case.
    """
    decision, is_lasting = draft.decision, draft.lasting_s > 0
    first, *further = decision_rows(decision, draft.record_json, in_force.catalogue)
    return LogEntry(
        decision_id=decision.decision_id,
        customer_id=decision.customer_id,
        channel_id=decision.channel_id,
        row=orjson.dumps(first),
        further=tuple(
            FurtherRow(decision_id=row["decision_id"], channel_id=row["channel"], row=orjson.dumps(row))
            for row in further
        ),
        record=draft.record_json if keeps_record else b"",
        answer=orjson.dumps(draft.answer) if is_lasting else b"",
        stored_at=draft.ticket.lookup.stored_at if is_lasting else None,
        sticky_seconds=draft.lasting_s,
        reservation=reservation_of(in_force.catalogue, decision),
        supply=in_force.supply.query(decision.decided_at),
        book_lasts=in_force.book_lasts,
        exposures=in_force.policy.exposures(decision),
    )


def answer_again(in_force: InForce, decision: Decision) -> tuple[str, bytes, float] | None:
    """What a repeat of a decision's ask gets, written anew from its record.

    Args:
        in_force: Policy in use now; content is rendered with its templates.
        decision: A decision of the log.

    Returns:
        Where Redis keeps it, the answer as JSON, and for how many seconds from the decision on; None where a repeat is
        decided anew, or its content can no longer be rendered.
    """
    request = decision.inputs.request
    if decision.touchpoint_id not in in_force.fitting:
        return None
    ask = Ask(request=request, known=None, now=decision.decided_at, decision_id=decision.decision_id)
    lasting_s = _lasting_s(in_force, decision)
    try:
        contents, unrendered = _contents(in_force, Prepared(ask=ask, inputs=decision.inputs, contents={}), decision)
    except KeyError:  # the catalogue no longer has the message
        return None
    if unrendered is not None or lasting_s <= 0:
        return None
    answer = answer_of(
        decision,
        contents=contents,
        policy=in_force.policy,
        measure_id=in_force.measure_of(decision.model_version),
        per_major=in_force.per_major,
        ttl_s=int(lasting_s),
    )
    stored_at = stored_answer_key(request.customer_id, request.touchpoint_id, request.request_key)
    return stored_at, orjson.dumps(answer), lasting_s


def repeat(in_force: InForce, ticket: Ticket, known: Known, stored: bytes, now: datetime) -> Answer:
    """The answer that an ask already got, unless its message may not be sent now: then hold, with the reasons.

    Args:
        in_force: Policy in use now.
        ticket: The repeated ask.
        known: What Redis holds of the customer now.
        stored: The answer given before, as JSON.
        now: Moment of the repeat.
    """
    answer = replayed(orjson.loads(stored), now=now)
    keys = keys_of(answer)
    if not keys:
        return answer
    ask = Ask(request=ticket.request, known=known, now=now, decision_id=answer["decision_id"] or "")
    refused = refusals_now(in_force, ask, keys, positions=max(1, len(answer["slate"])))
    return withheld(answer, refused) if refused else answer


def _draft_asks(in_force: InForce, tickets: Sequence[Ticket], asks: Sequence[Ask]) -> list[Draft]:
    prepared = prepare_many(in_force, asks)
    return [_draft(in_force, *pair) for pair in zip(tickets, prepared, strict=True)]


def _draft(in_force: InForce, ticket: Ticket, prepared: Prepared) -> Draft:
    decision = decide_prepared(in_force, prepared)
    contents, unrendered = _contents(in_force, prepared, decision)
    if unrendered is None:
        return _written(in_force, ticket, prepared.ask, decision, contents, lasting_s=_lasting_s(in_force, decision))
    # What cannot be put into words cannot be sent: it leaves the choice, and the choice is made again.
    _LOG.error("content_not_rendered", message=unrendered)
    inputs = prepared.inputs
    note = () if CONTENT_UNAVAILABLE in inputs.degraded else (CONTENT_UNAVAILABLE,)
    without = replace(inputs, unfit={**inputs.unfit, unrendered: NOT_RENDERED}, degraded=(*inputs.degraded, *note))
    return _draft(in_force, ticket, replace(prepared, inputs=without))


def _draft_silence(in_force: InForce, ticket: Ticket, ask: Ask, cause: str) -> Draft:
    return _written(in_force, ticket, ask, decide_blind(in_force, ask, degraded=[cause]), {}, lasting_s=0.0)


def _contents(in_force: InForce, prepared: Prepared, decision: Decision) -> tuple[Contents, str | None]:
    """Content of the chosen messages, and the key of one that could not be rendered."""
    inputs = prepared.inputs
    attributes = inputs.customer.attributes if inputs.customer is not None else {}
    contents = dict(prepared.contents)
    for key in (decision.message_key, *(position.message_key for position in decision.further)):
        if key == SILENCE or key in contents:
            continue
        message = in_force.fitting[decision.touchpoint_id].message(key)
        try:
            contents[key] = render_content(message, attributes, inputs.request.context)
        except InvalidPolicyError:
            return contents, key
    return contents, None


def _lasting_s(in_force: InForce, decision: Decision) -> float:
    """How long a decision stands: as the touchpoint says, but no longer than until what waits for time may go.

    Silence while live state is lost does not stand.
    """
    sticky_s = float(in_force.catalogue.touchpoints[decision.touchpoint_id].sticky_seconds)
    if decision.action is Action.HOLD and decision.inputs.live.is_lost:
        return 0.0
    if decision.action is Action.SEND or decision.retry_at is None:
        return sticky_s
    return max(0.0, min(sticky_s, (decision.retry_at - decision.decided_at).total_seconds()))


def _written(
    in_force: InForce, ticket: Ticket, ask: Ask, decision: Decision, contents: Contents, *, lasting_s: float
) -> Draft:
    """A draft with its record and answer."""
    lasting_s = lasting_s if ticket.dedupe_key is not None else 0.0
    record = decision_to_record(decision)
    return Draft(
        ticket=ticket,
        ask=ask,
        decision=decision,
        record=record,
        record_json=orjson.dumps(record),
        answer=answer_of(
            decision,
            contents=contents,
            policy=in_force.policy,
            measure_id=in_force.measure_of(decision.model_version),
            per_major=in_force.per_major,
            ttl_s=int(lasting_s),
        ),
        lasting_s=lasting_s,
    )
