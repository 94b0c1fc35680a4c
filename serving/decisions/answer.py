"""What callers get: the full answer, its flat form for template languages, and the explanation."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import SILENCE
from decisioning.decision import Action, Decision, Evaluated, Excluded, Exclusion, Reason
from decisioning.explanation.plain_words import exclusion_words, plain_reason
from decisioning.gates.reservation import position_id
from decisioning.permit import PermitVerdict
from decisioning.policy import Policy
from decisioning.record import decision_from_record
from serving.log.log_rows import parts_of

type Answer = dict[str, Any]

RESERVED = frozenset(
    {
        "action", "reason", "decision_id", "touchpoint", "offer_id", "channel", "creative", "action_probability",
        "degraded", "replayed", "ttl_s", "retry_at",
    }
)  # fmt: skip
"""Fields of the flat form; content under one of these names gets the prefix `content_`."""


def answer_of(
    decision: Decision,
    *,
    contents: Mapping[str, Mapping[str, str]],
    policy: Policy,
    measure_id: str | None,
    per_major: float,
    ttl_s: int,
) -> Answer:
    """The answer to a fresh decision.

    What a holdout kept back is for the log alone: a campaign tool that knew it might send it.

    Args:
        decision: The decision.
        contents: Rendered content by field of every chosen message, by its key.
        policy: The policy it was made with.
        measure_id: What the model that was asked predicts; None where none was.
        per_major: Minor units per major unit of the currency.
        ttl_s: How long a repeat of the ask gets the same answer, in seconds.
    """
    money = Amounts(policy, per_major)
    slate = _slate(decision, contents, money)
    measure = measure_id if decision.model_version is not None else None
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
        "selected": slate[0]["selected"],
        "action_probability": decision.action_probability,
        "slate": slate if decision.further else [],
        "retry_at": _iso(decision.retry_at) if decision.action is Action.HOLD else None,
        "care": None if decision.care is None else decision.care.value,
        "stage": decision.stage_id,
        "experiments": [{"experiment": name, "arm": arm} for name, arm in sorted(decision.arms.items())],
        "held_out": decision.is_held_out,
        "model": {"version": decision.model_version, "measure": measure} if measure else None,
        "policy_version": decision.policy_version,
        "features_as_of": features_as_of(decision),
        "ttl_s": ttl_s,
    }


def replayed(stored: Answer, *, now: datetime) -> Answer:
    """A stored answer, given again: the same but for `replayed` and what is left of its time."""
    age = (now - datetime.fromisoformat(stored["decided_at"])).total_seconds()
    return {**stored, "replayed": True, "ttl_s": max(0, int(stored["ttl_s"] - age))}


def withheld(answer: Answer, refused: Mapping[str, PermitVerdict]) -> Answer:
    """A repeated answer with messages that may not be sent now: the decision stands in the log, and they do not go.

    Args:
        answer: The repeated answer.
        refused: What the gates say by key of the message they are against.
    """
    slate = [_withheld_position(position, refused) for position in answer["slate"]]
    denied = refused.get(key_of(answer["selected"]))
    if denied is None:
        return {**answer, "slate": slate}
    only_rests = set(denied.reasons) == {Exclusion.QUIET_HOURS} and denied.retry_at is not None
    told = {
        "action": Action.HOLD.value,
        "reason": (Reason.DEFERRED if only_rests else Reason.NOTHING_PERMITTED).value,
        "selected": None,
        "retry_at": None if denied.retry_at is None else denied.retry_at.isoformat(),
    }
    return {**answer, **told, "slate": slate, "withheld": [reason.value for reason in denied.reasons]}


def _withheld_position(position: Answer, refused: Mapping[str, PermitVerdict]) -> Answer:
    denied = refused.get(key_of(position["selected"]))
    if denied is None:
        return position
    return {**position, "selected": None, "withheld": [one.value for one in denied.reasons]}


def key_of(selected: Answer | None) -> str:
    """Key of the message that an answer names; `silence` where it names none."""
    return f"{selected['offer_id']}/{selected['channel']}/{selected['creative']}" if selected else SILENCE


def keys_of(answer: Answer) -> list[str]:
    """Keys of every message of an answer."""
    found = [key_of(answer["selected"]), *(key_of(position["selected"]) for position in answer["slate"])]
    return [key for key in dict.fromkeys(found) if key != SILENCE]


def unlogged(answer: Answer, reasons: Sequence[str]) -> Answer:
    """Silence that no log could take: no decision was made, so there is no id and nothing to remember."""
    silence = {"action": Action.HOLD.value, "selected": None, "slate": [], "decision_id": None, "ttl_s": 0}
    return {**answer, **silence, "degraded": True, "degraded_reasons": list(reasons)}


def unnamed(answer: Answer) -> Answer:
    """The answer of a dry run: no log has it, so neither it nor its positions have an id."""
    slate = [{**position, "decision_id": None} for position in answer["slate"]]
    return {**answer, "decision_id": None, "dry_run": True, "ttl_s": 0, "slate": slate}


def explanation(record: Mapping[str, Any], *, policy: Policy, per_major: float) -> Answer:
    """Why a decision came out as it did, from its record alone.

    Args:
        record: The full record.
        policy: For the currency and the unit of the amounts.
        per_major: Minor units per major unit of the currency.
    """
    decision, money = decision_from_record(record), Amounts(policy, per_major)
    currency = policy.catalogue.currency
    return {
        "summary": plain_reason(decision, currency, per_major=per_major, is_rate=not money.is_money),
        "evaluated": [_evaluated(one, money) for one in decision.evaluated],
        "excluded": [_excluded(one) for one in decision.excluded],
    }


def because(reasons: Sequence[Exclusion], details: Sequence[str]) -> list[str]:
    """Refusals in plain words, each with its detail where there is one."""
    told = [*details, *([""] * (len(reasons) - len(details)))]
    return [
        f"{exclusion_words(reason)} ({detail})" if detail else exclusion_words(reason)
        for reason, detail in zip(reasons, told, strict=False)
    ]


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
        "retry_at": answer["retry_at"],
    }
    content = selected.get("content", {})
    return flattened | {(f"content_{name}" if name in RESERVED else name): text for name, text in content.items()}


def features_as_of(decision: Decision) -> str | None:
    """Moment of the oldest feature group that was read; None without features."""
    features = decision.inputs.features
    ages = [age for age in features.ages_seconds.values() if age is not None] if features is not None else []
    return (decision.decided_at - timedelta(seconds=max(ages))).isoformat() if ages else None


class Amounts:
    """Values of the measure that models predict as callers read them: money in major units, rates as they are."""

    def __init__(self, policy: Policy, per_major: float) -> None:
        self.is_money = policy.unit is Unit.MONEY
        self._currency = policy.catalogue.currency
        self._per_major = per_major

    def value(self, number: float | None) -> Answer | None:
        """A value of the measure."""
        if number is None:
            return None
        return self.money(number) if self.is_money else {"amount": round(number, 9), "currency": None}

    def money(self, minor: float) -> Answer:
        """An amount of money; rounded, since nobody reads a billionth of a cent."""
        return {"amount": round(minor / self._per_major, 9), "currency": self._currency}


def _slate(decision: Decision, contents: Mapping[str, Mapping[str, str]], money: Amounts) -> list[Answer]:
    """Every position, the first included; a single placement is a slate of one."""
    placements = [one.placement_id for one in decision.inputs.request.placements]
    chosen = [
        (decision.message_key, decision.action_probability),
        *((one.message_key, one.action_probability) for one in decision.further),
    ]
    return [
        {
            "placement": placement,
            "decision_id": position_id(decision.decision_id, place),
            "selected": _selected(decision, key, probability, contents, money),
            "action_probability": probability,
            "withheld": [],
        }
        for place, (placement, (key, probability)) in enumerate(zip(placements, chosen, strict=False), start=1)
    ]


def _selected(
    decision: Decision, key: str, probability: float, contents: Mapping[str, Mapping[str, str]], money: Amounts
) -> Answer | None:
    if key == SILENCE:
        return None
    offer_id, channel_id, creative_id = parts_of(key)
    known = next((one for one in decision.evaluated if one.message_key == key), None)
    return {
        "offer_id": offer_id,
        "channel": channel_id,
        "creative": creative_id,
        "expected_value": money.value(known.expected_value_minor) if known else None,
        "uplift": money.value(known.uplift_minor) if known else None,
        "cost": money.money(known.cost_minor) if known else None,
        "action_probability": probability,
        "content": dict(contents.get(key, {})),
    }


def _evaluated(one: Evaluated, money: Amounts) -> Answer:
    """A candidate with every factor that arbitration multiplied or subtracted."""
    return {
        "message": one.message_key,
        "expected_value": money.value(one.expected_value_minor),
        "uplift": money.value(one.uplift_minor),
        "cost": money.money(one.cost_minor),
        "fatigue": money.money(one.fatigue_minor),
        "shadow_price": money.money(one.shadow_minor),
        "context_weight": one.context_weight,
        "business_weight": one.business_weight,
        "priority": money.money(one.priority_minor),
        "evidence_count": one.evidence_count,
        "action_probability": one.probability,
    }


def _excluded(one: Excluded) -> Answer:
    return {
        "message": one.message_key,
        "reasons": [reason.value for reason in one.reasons],
        "because": because(one.reasons, one.details),
        "allowed_at": _iso(one.allowed_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
