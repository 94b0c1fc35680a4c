"""What callers get: the full answer, its flat form for template languages, and the explanation."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from decisioning.catalogue import Catalogue
from decisioning.decision import Action, Decision, Evaluated, Exclusion, Reason
from decisioning.measure import Unit
from decisioning.message import SILENCE
from decisioning.plain_words import exclusion_words, plain_reason
from decisioning.record import decision_from_record

type Answer = dict[str, Any]

RESERVED = frozenset(
    {
        "action", "reason", "decision_id", "touchpoint", "offer_id", "channel", "creative", "action_probability",
        "degraded", "replayed", "ttl_s",
    }
)  # fmt: skip
"""Fields of the flat form; content under one of these names gets the prefix `content_`."""


def answer_of(
    decision: Decision, *, content: Mapping[str, str], catalogue: Catalogue, per_major: float, ttl_s: int
) -> Answer:
    """The answer to a fresh decision.

    Args:
        decision: The decision.
        content: Rendered content of the chosen message; empty for silence.
        catalogue: The catalogue it was made with.
        per_major: Minor units per major unit of the currency.
        ttl_s: How long a repeat of the ask gets the same answer, in seconds.
    """
    money = _Amounts(catalogue, per_major)
    chosen = _chosen(decision)
    learned = catalogue.learning if decision.model_version is not None else None
    return {
        "decision_id": decision.decision_id,
        "customer_id": decision.customer_id,
        "touchpoint": decision.touchpoint_id,
        "decided_at": decision.decided_at.isoformat(),
        "action": decision.action.value,
        "reason": decision.reason.value,
        "degraded": bool(decision.degraded),
        "degraded_reasons": list(decision.degraded),
        "replayed": False,
        "dry_run": False,
        "withheld": [],
        "selected": None if chosen is None else {**_message(chosen, money), "content": dict(content)},
        "action_probability": decision.action_probability,
        "alternatives": [],
        "stage": decision.stage_id,
        "experiments": [{"experiment": name, "arm": arm} for name, arm in sorted(decision.arms.items())],
        "held_out": decision.is_held_out,
        "model": {"version": decision.model_version, "measure": learned.measure_id} if learned else None,
        "policy_version": decision.policy_version,
        "features_as_of": features_as_of(decision),
        "ttl_s": ttl_s,
    }


def replayed(stored: Answer, *, now: datetime) -> Answer:
    """A stored answer, given again: the same but for `replayed` and what is left of its time."""
    age = (now - datetime.fromisoformat(stored["decided_at"])).total_seconds()
    return {**stored, "replayed": True, "ttl_s": max(0, int(stored["ttl_s"] - age))}


def withheld(answer: Answer, reasons: Sequence[Exclusion]) -> Answer:
    """A repeated answer whose message may no longer be sent: the decision stands in the log, and nothing goes out."""
    told = {"reason": Reason.NOTHING_PERMITTED.value, "withheld": [reason.value for reason in reasons]}
    return {**answer, "action": Action.HOLD.value, "selected": None, "alternatives": [], **told}


def unlogged(answer: Answer, reasons: Sequence[str]) -> Answer:
    """Silence that no log could take: no decision was made, so there is no id and nothing to remember."""
    silence = {"action": Action.HOLD.value, "selected": None, "alternatives": [], "decision_id": None, "ttl_s": 0}
    return {**answer, **silence, "degraded": True, "degraded_reasons": list(reasons)}


def alternatives(decision: Decision, *, limit: int, catalogue: Catalogue, per_major: float) -> list[Answer]:
    """The next best permitted messages after the chosen one, at most `limit - 1`, best first."""
    money = _Amounts(catalogue, per_major)
    others = [one for one in decision.evaluated if one.message_key not in (SILENCE, decision.message_key)]
    return [_message(one, money) for one in others[: limit - 1]]


def explanation(record: Mapping[str, Any], *, catalogue: Catalogue, per_major: float) -> Answer:
    """Why a decision came out as it did, from its record alone.

    Args:
        record: The full record.
        catalogue: For the currency and the unit of the amounts.
        per_major: Minor units per major unit of the currency.
    """
    decision, money = decision_from_record(record), _Amounts(catalogue, per_major)
    return {
        "summary": plain_reason(decision, catalogue.currency, per_major=per_major, is_rate=not money.is_money),
        "evaluated": [_evaluated(one, money) for one in decision.evaluated],
        "excluded": [
            {
                "message": one.message_key,
                "reasons": [reason.value for reason in one.reasons],
                "because": [exclusion_words(reason) for reason in one.reasons],
            }
            for one in decision.excluded
        ],
    }


def flat(answer: Answer) -> Answer:
    """The answer without nesting, for template languages: content fields stand beside the others."""
    selected = answer["selected"] or {}
    flattened = {
        "action": answer["action"],
        "reason": answer["reason"],
        "decision_id": answer["decision_id"],
        "touchpoint": answer["touchpoint"],
        "offer_id": selected.get("offer_id"),
        "channel": selected.get("channel"),
        "creative": selected.get("creative"),
        "action_probability": answer["action_probability"],
        "degraded": answer["degraded"],
        "replayed": answer["replayed"],
        "ttl_s": answer["ttl_s"],
    }
    content = selected.get("content", {})
    return flattened | {(f"content_{name}" if name in RESERVED else name): text for name, text in content.items()}


def features_as_of(decision: Decision) -> str | None:
    """Moment of the oldest feature group that was read; None without features."""
    features = decision.inputs.features
    ages = [age for age in features.ages_seconds.values() if age is not None] if features is not None else []
    return (decision.decided_at - timedelta(seconds=max(ages))).isoformat() if ages else None


class _Amounts:
    """Values of the learned measure as callers read them: money in major units, rates as they are."""

    def __init__(self, catalogue: Catalogue, per_major: float) -> None:
        learning = catalogue.learning
        measure = catalogue.measures.get(learning.measure_id) if learning else None
        self.is_money = measure is None or measure.unit is Unit.MONEY
        self._currency = catalogue.currency
        self._per_major = per_major

    def value(self, number: float | None) -> Answer | None:
        """A value of the measure."""
        if number is None:
            return None
        return self.money(number) if self.is_money else {"amount": round(number, 9), "currency": None}

    def money(self, minor: float) -> Answer:
        """An amount of money; rounded, since nobody reads a billionth of a cent."""
        return {"amount": round(minor / self._per_major, 9), "currency": self._currency}


def _chosen(decision: Decision) -> Evaluated | None:
    if decision.action is Action.HOLD:
        return None
    return next(one for one in decision.evaluated if one.message_key == decision.message_key)


def _message(one: Evaluated, money: _Amounts) -> Answer:
    offer_id, channel_id, creative_id = one.message_key.split("/")
    return {
        "offer_id": offer_id,
        "channel": channel_id,
        "creative": creative_id,
        "expected_value": money.value(one.expected_value_minor),
        "uplift": money.value(one.uplift_minor),
        "cost": money.money(one.cost_minor),
        "action_probability": one.probability,
    }


def _evaluated(one: Evaluated, money: _Amounts) -> Answer:
    return {
        "message": one.message_key,
        "expected_value": money.value(one.expected_value_minor),
        "uplift": money.value(one.uplift_minor),
        "cost": money.money(one.cost_minor),
        "priority": money.money(one.priority_minor),
        "action_probability": one.probability,
    }
