"""Repeats of an ask: the original answer, unless a gate that protects the customer refuses its message by now."""

from collections.abc import Sequence
from datetime import datetime

import orjson

from decisioning.decision import Decision
from decisioning.gates.reservation import position_id
from decisioning.permit import REPEAT_LAYERS, PermitVerdict, hold_against_gates
from serving.decisions.answer import Answer, keys_of, replayed, withheld
from serving.decisions.ask import Ask
from serving.decisions.draft import rewritten
from serving.decisions.known import unscored_inputs
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Known, stored_answer_key


def repeat(in_force: InForce, ask: Ask, known: Known, stored: bytes, now: datetime) -> Answer:
    """The answer that an ask already got, unless its message may not be sent now: then hold, with the reasons."""
    answer = replayed(orjson.loads(stored), now=now)
    keys, decision_id = keys_of(answer), answer["decision_id"]
    if not keys or decision_id is None:
        return answer
    own = frozenset(position_id(decision_id, place) for place in range(1, max(1, len(answer["slate"])) + 1))
    refused = refusals_now(in_force, ask, known, keys, now=now, own=own)
    return withheld(answer, refused) if refused else answer


def refusals_now(
    in_force: InForce, ask: Ask, known: Known, message_keys: Sequence[str], *, now: datetime, own: frozenset[str]
) -> dict[str, PermitVerdict]:
    """Why messages that were decided before may not be sent now, by message key; those that may are absent.

    A repeat keeps its decision when scores, stage or what applies moved on. Every gate that protects the customer is
    asked again, with the contacts that the decision made, `own`, taken out of the book: one for each
    placement that it filled or left to silence.
    """
    inputs = unscored_inputs(in_force, ask, known, now)
    found = {
        key: hold_against_gates(in_force.policy, inputs, key, own=own, layers=REPEAT_LAYERS) for key in message_keys
    }
    return {key: answer for key, answer in found.items() if not answer.is_allowed}


def answer_again(in_force: InForce, decision: Decision) -> tuple[str, bytes, float] | None:
    """What a repeat of a decision's ask gets, written anew from its record with the templates in use now.

    Returns:
        Where Redis keeps it, the answer as JSON, and for how many seconds from the decision on; None where a repeat is
        decided anew, or its content can no longer be rendered.
    """
    found = rewritten(in_force, decision)
    if found is None:
        return None
    request, (answer, lasting_s) = decision.inputs.request, found
    stored_at = stored_answer_key(request.customer_id, request.touchpoint_id, request.request_key)
    return stored_at, orjson.dumps(answer), lasting_s
