"""A draft: a decision with the answer it would give, before any log has it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

import orjson
import structlog

from decisioning.catalogue.message import SILENCE
from decisioning.choice.waiting import left_put_off
from decisioning.decision import Action, Decision, Inputs
from decisioning.errors import InvalidPolicyError, ModelUnavailableError
from decisioning.gates.reservation import reservation_of
from decisioning.policy import decide
from decisioning.record.compact import compact_record
from decisioning.record.document import decision_to_record
from decisioning.residuals import NO_RESIDUALS
from features.online.redis_keys import shard_of
from features.templates.renderer import render_content
from serving.decisions.answer import Answer, answer_of, explanation, unnamed
from serving.decisions.ask import Ask
from serving.decisions.known import (
    CONTENDED,
    CONTENT_UNAVAILABLE,
    MODEL_UNAVAILABLE,
    Contents,
    blind_inputs,
    inputs_of,
)
from serving.in_force.content_fit import NOT_RENDERED
from serving.in_force.policy_in_force import InForce
from serving.live.decision_hash import ask_fields
from serving.live.live_hash import Word, put_off
from serving.live.reader import Conflict, Known
from serving.live.writer import FurtherRow, LogEntry
from serving.log.log_rows import decision_rows, packed_row

_LOG = structlog.get_logger("nextbest.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A decision that is not in the log yet, with the answer it would give.

    Attributes:
        known: What it was decided with.
        record: What the log keeps of it, as JSON.
        lasting_s: How long a repeat of the ask gets the same answer, in seconds; 0 where it is decided anew.
    """

    ask: Ask
    known: Known
    decision: Decision
    record: bytes
    answer: Answer
    lasting_s: float


def decide_many(
    in_force: InForce, asks: Sequence[Ask], known: Sequence[Known], now: datetime, *, decision_id: str | None = None
) -> list[Decision]:
    """Decide n asks without a word about it: nothing is written, rendered anew or logged.

    Ids are fresh, unless there is one for all of them.
    """
    return [
        _decide(in_force, inputs, decision_id or _new_id(ask))
        for ask, (inputs, _) in zip(asks, inputs_of(in_force, asks, known, [now] * len(asks)), strict=True)
    ]


def draft_many(
    in_force: InForce,
    asks: Sequence[Ask],
    known: Sequence[Known],
    moments: Sequence[datetime],
    *,
    decision_ids: Sequence[str] | None = None,
) -> list[Draft]:
    """Decide n asks, each as of its moment, and write what they would be answered; nothing is logged.

    Ids are fresh, unless given.
    """
    ids = decision_ids if decision_ids is not None else [_new_id(ask) for ask in asks]
    looked_at = inputs_of(in_force, asks, known, moments)
    return [_draft(in_force, *one) for one in zip(asks, known, looked_at, ids, strict=True)]


def redraft(in_force: InForce, draft: Draft, conflict: Conflict) -> Draft:
    """Decide a draft again that lost a race, with the state that the winner left."""
    decision = draft.decision
    [again] = draft_many(
        in_force,
        [draft.ask],
        [conflict.after(draft.known)],
        [decision.decided_at],
        decision_ids=[decision.decision_id],
    )
    return again


def draft_contended(in_force: InForce, draft: Draft) -> Draft:
    """Silence in place of a draft that lost every race; a repeat of the ask is decided anew."""
    decision = draft.decision
    inputs = blind_inputs(in_force, draft.ask, decision.decided_at, CONTENDED)
    silence = _decide(in_force, inputs, decision.decision_id)
    return _written(in_force, draft.ask, draft.known, silence, {}, lasting_s=0.0)


def draft_blind(in_force: InForce, ask: Ask, now: datetime, cause: str) -> Draft:
    """Silence for a customer of whom nothing is known now; a repeat of the ask is decided anew.

    `cause` is what was away, in the words of the log.
    """
    silence = _decide(in_force, blind_inputs(in_force, ask, now, cause), _new_id(ask))
    return _written(in_force, ask, Known(), silence, {}, lasting_s=0.0)


def draft_unknown(in_force: InForce, draft: Draft) -> Draft:
    """Silence for a customer who was erased, as for anybody unknown; it is for no log, so its answer has no id."""
    [unknown] = draft_many(in_force, [draft.ask], [Known()], [draft.decision.decided_at])
    return replace(unknown, answer=unlogged_answer(unknown))


def unlogged_answer(draft: Draft) -> Answer:
    """The answer of a draft that is for no log: a dry run's, or an erased customer's."""
    return {**unnamed(draft.answer), "dry_run": draft.ask.is_dry_run}


def entry_of(in_force: InForce, draft: Draft) -> LogEntry:
    """What the commit of a draft writes."""
    decision, is_lasting = draft.decision, draft.lasting_s > 0
    first, *further = decision_rows(decision, draft.record, in_force.catalogue)
    keys = (decision.message_key, *(position.message_key for position in decision.further))
    ask, *asks = (ask_fields(decision.inputs.request, key) for key in keys)
    return LogEntry(
        decision_id=decision.decision_id,
        customer_id=decision.customer_id,
        channel_id=decision.channel_id,
        row=packed_row(first),
        further=tuple(
            FurtherRow(decision_id=row["decision_id"], channel_id=row["channel"], row=packed_row(row), ask=ask)
            for row, ask in zip(further, asks, strict=True)
        ),
        ask=ask,
        answer=orjson.dumps(draft.answer) if is_lasting else b"",
        stored_at=draft.ask.lookup().stored_at if is_lasting else None,
        sticky_seconds=draft.lasting_s,
        reservation=reservation_of(in_force.catalogue, decision),
        supply=in_force.supply.query(decision.decided_at),
        book_lasts=in_force.book_lasts,
        exposures=in_force.policy.exposures(decision),
        put_off=_put_off(decision),
    )


def _put_off(decision: Decision) -> Word | None:
    """What the live state is told: what this decision puts off, or that nothing is put off any more."""
    left = left_put_off(decision)
    if left is None and decision.inputs.put_off is None:
        return None
    return put_off(decision.touchpoint_id, left)


def explained(in_force: InForce, draft: Draft, answer: Answer) -> Answer:
    """An answer to a draft's ask, with why where the ask wants it."""
    if not draft.ask.wants_explanation:
        return answer
    why = explanation(draft.decision, policy=in_force.policy, per_major=in_force.per_major)
    return {**answer, "explanation": why}


def rewritten(in_force: InForce, decision: Decision) -> tuple[Answer, float] | None:
    """The answer to a decision of the log, written anew from its record, and for how many seconds it stands.

    None where it does not stand, or its content can no longer be rendered with the templates in use now.
    """
    if decision.touchpoint_id not in in_force.fitting:
        return None
    try:
        contents, unrendered = _rendered(in_force, decision, {})
    except KeyError:  # the catalogue no longer has the message
        return None
    lasting_s = _lasting_s(in_force, decision)
    if unrendered is not None or lasting_s <= 0:
        return None
    return _answer(in_force, decision, contents, lasting_s), lasting_s


def _new_id(ask: Ask) -> str:
    """A fresh id that names the customer's shard, so that the id alone finds the decision."""
    return f"dec_{shard_of(ask.request.customer_id):02x}{uuid4().hex}"


def _decide(in_force: InForce, inputs: Inputs, decision_id: str) -> Decision:
    """The decision; scores that cannot be used are left out, and the record says so."""
    try:
        return decide(in_force.policy, inputs, decision_id)
    except ModelUnavailableError:  # scores that no message may be sent on
        degraded = (*inputs.degraded, MODEL_UNAVAILABLE)
        unscored = replace(inputs, expected_values=None, model_version=None, degraded=degraded, residuals=NO_RESIDUALS)
        return decide(in_force.policy, unscored, decision_id)


def _draft(in_force: InForce, ask: Ask, known: Known, looked_at: tuple[Inputs, Contents], decision_id: str) -> Draft:
    inputs, fitted = looked_at
    decision = _decide(in_force, inputs, decision_id)
    contents, unrendered = _rendered(in_force, decision, fitted)
    if unrendered is None:
        return _written(in_force, ask, known, decision, contents, lasting_s=_lasting_s(in_force, decision))
    # What cannot be put into words cannot be sent: it leaves the choice, and the choice is made again.
    _LOG.error("content_not_rendered", message=unrendered)
    note = () if CONTENT_UNAVAILABLE in inputs.degraded else (CONTENT_UNAVAILABLE,)
    without = replace(inputs, unfit={**inputs.unfit, unrendered: NOT_RENDERED}, degraded=(*inputs.degraded, *note))
    return _draft(in_force, ask, known, (without, fitted), decision_id)


def _rendered(in_force: InForce, decision: Decision, fitted: Contents) -> tuple[Contents, str | None]:
    """Content of the chosen messages, and the key of one that could not be rendered."""
    inputs = decision.inputs
    attributes = inputs.customer.attributes if inputs.customer is not None else {}
    contents = dict(fitted)
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
    in_force: InForce, ask: Ask, known: Known, decision: Decision, contents: Contents, *, lasting_s: float
) -> Draft:
    """A draft with its record and answer."""
    lasting_s = lasting_s if ask.dedupe_key is not None else 0.0
    return Draft(
        ask=ask,
        known=known,
        decision=decision,
        record=_record(in_force, decision),
        answer=_answer(in_force, decision, contents, lasting_s),
        lasting_s=lasting_s,
    )


def _record(in_force: InForce, decision: Decision) -> bytes:
    """What the log keeps: the compact form, once what it leaves out is archived."""
    vocabulary = in_force.vocabularies.get(decision.touchpoint_id)
    return orjson.dumps(decision_to_record(decision) if vocabulary is None else compact_record(decision, vocabulary))


def _answer(in_force: InForce, decision: Decision, contents: Contents, lasting_s: float) -> Answer:
    return answer_of(
        decision,
        contents=contents,
        policy=in_force.policy,
        measure_id=in_force.measure_of(decision.model_version),
        per_major=in_force.per_major,
        ttl_s=int(lasting_s),
    )
