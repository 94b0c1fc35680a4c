"""The answer to an ask: one type, which callers get as JSON, repeats find in Redis, and the API's description shows.

Types whose names end in `Document` are parts of answers, named as the API's description names them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, NotRequired, TypedDict

from pydantic import ConfigDict, Field, with_config

from decisioning.catalogue.care import CaseState
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import Action, BetterHour, Decision, Evaluated, Excluded, Exclusion, Reason
from decisioning.explanation.plain_words import exclusion_words, plain_reason
from decisioning.gates.reservation import position_id
from decisioning.permit import PermitVerdict
from decisioning.policy import Policy

closed = with_config(ConfigDict(extra="forbid"))
"""Marks a type of which the description says that it has no other fields."""


@closed
class Amount(TypedDict):
    """An amount in major units; currency null for a rate."""

    amount: float
    currency: str | None


@closed
class SelectedDocument(TypedDict):
    """The chosen message; amounts are null where no model scored."""

    offer_id: str
    channel: str
    creative: str
    expected_value: Annotated[Amount | None, Field(description="Expected measure over the window if this is sent")]
    uplift: Annotated[Amount | None, Field(description="Expected value minus that of silence")]
    cost: Annotated[Amount | None, Field(description="Contact cost")]
    action_probability: Annotated[float, Field(ge=0, le=1)]
    content: dict[str, str]


@closed
class PositionDocument(TypedDict):
    """A position of a slate; report outcomes with its own `decision_id`."""

    placement: str
    decision_id: str | None
    selected: Annotated[SelectedDocument | None, Field(description="Null if the position stays empty")]
    action_probability: Annotated[
        float, Field(ge=0, le=1, description="Probability of this choice, given the positions before it")
    ]
    withheld: Annotated[
        list[str], Field(description="Why the message of a repeated answer may no longer be sent; else empty")
    ]


@closed
class ArmDocument(TypedDict):
    """The arm that a customer is in."""

    experiment: str
    arm: str


@closed
class ModelDocument(TypedDict):
    """The model that scored the candidates."""

    version: str
    measure: str


@closed
class EvaluatedDocument(TypedDict):
    """A permitted candidate, silence included, with every factor that arbitration multiplied or subtracted."""

    message: str
    expected_value: Amount | None
    uplift: Amount | None
    cost: Amount
    fatigue: Annotated[Amount, Field(description="Cost of one more contact in goodwill")]
    shadow_price: Annotated[Amount, Field(description="Shadow price of the capacity, budget and share it would use")]
    opportunity_cost: Annotated[
        Amount, Field(description="What the room it takes under the customer's caps is worth at a better moment")
    ]
    context_weight: Annotated[float, Field(description="Product of the levers whose rule holds")]
    business_weight: Annotated[float, Field(description="Product of the levers without a rule")]
    priority: Annotated[Amount, Field(description="What arbitration compared")]
    evidence_count: Annotated[int | None, Field(description="Decisions that sent the offer so far")]
    action_probability: float
    hour: NotRequired[
        Annotated[Amount, Field(description="What the hour of the customer's week adds, where it adds anything")]
    ]
    residual: NotRequired[
        Annotated[Amount, Field(description="Part of the uplift that outcomes since training added, where they did")]
    ]


@closed
class ExcludedDocument(TypedDict):
    """A candidate that a gate refused."""

    message: str
    reasons: list[str]
    because: Annotated[list[str], Field(description="The same in words")]
    allowed_at: Annotated[str | None, Field(description="If only time prevents it: when it may be sent")]


@closed
class BetterHourDocument(TypedDict):
    """What the ask was put off for, and what it is compared with."""

    message: str
    at: str
    priority: Annotated[Amount, Field(description="What arbitration takes the message to be worth then")]
    present: Annotated[Amount, Field(description="What the best choice is worth now")]


@closed
class ExplanationDocument(TypedDict):
    """Why the decision came out as it did."""

    summary: str
    evaluated: list[EvaluatedDocument]
    excluded: list[ExcludedDocument]
    better_hour: NotRequired[Annotated[BetterHourDocument, Field(description="Where the ask was put off: for what")]]


@closed
class Answer(TypedDict):
    """A decision, as its caller gets it."""

    decision_id: Annotated[
        str | None, Field(description="Null for a dry run, and where no log could take the decision")
    ]
    customer_id: str
    touchpoint: str
    decided_at: str
    action: Action
    reason: Reason
    degraded: Annotated[bool, Field(description="DecidedMessage although a component was down")]
    degraded_reasons: list[str]
    replayed: Annotated[bool, Field(description="A repeat: this decision was made before")]
    dry_run: bool
    withheld: Annotated[
        list[str], Field(description="Why the message of a repeated answer may no longer be sent; else empty")
    ]
    selected: Annotated[SelectedDocument | None, Field(description="The chosen message; null for hold")]
    action_probability: Annotated[float, Field(ge=0, le=1, description="Probability of this choice under the policy")]
    slate: Annotated[
        list[PositionDocument], Field(description="Every position where several were asked for; else empty")
    ]
    retry_at: Annotated[str | None, Field(description="Earliest time to ask again, if a message is only too early")]
    care: Annotated[CaseState | None, Field(description="State of the most serious service case")]
    stage: str | None
    experiments: list[ArmDocument]
    held_out: bool
    model: ModelDocument | None
    policy_version: str
    features_as_of: Annotated[str | None, Field(description="Moment of the oldest features used")]
    ttl_s: Annotated[int, Field(description="Seconds for which a repeated request gets the same answer")]
    explanation: NotRequired[ExplanationDocument | None]


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
    return {
        "decision_id": decision.decision_id,
        "customer_id": decision.customer_id,
        "touchpoint": decision.touchpoint_id,
        "decided_at": decision.decided_at.isoformat(),
        "action": decision.action,
        "reason": decision.reason,
        "degraded": bool(decision.degraded),
        "degraded_reasons": list(decision.degraded),
        "replayed": False,
        "dry_run": False,
        "withheld": [],
        "selected": slate[0]["selected"],
        "action_probability": decision.action_probability,
        "slate": slate if decision.further else [],
        "retry_at": _iso(decision.retry_at) if decision.action is Action.HOLD else None,
        "care": decision.care,
        "stage": decision.stage_id,
        "experiments": [{"experiment": name, "arm": arm} for name, arm in sorted(decision.arms.items())],
        "held_out": decision.is_held_out,
        "model": _model(decision, measure_id),
        "policy_version": decision.policy_version,
        "features_as_of": features_as_of(decision),
        "ttl_s": ttl_s,
    }


def replayed(stored: Answer, *, now: datetime) -> Answer:
    """A stored answer, given again: the same but for `replayed` and what is left of its time."""
    age = (now - datetime.fromisoformat(stored["decided_at"])).total_seconds()
    return {**stored, "replayed": True, "ttl_s": max(0, int(stored["ttl_s"] - age))}


def withheld(answer: Answer, refused: Mapping[str, PermitVerdict]) -> Answer:
    """A repeated answer without messages that may not be sent now, by what `refused` says of their keys.

    The decision stands in the log, and they do not go.
    """
    slate = [_withheld_position(position, refused) for position in answer["slate"]]
    denied = refused.get(key_of(answer["selected"]))
    if denied is None:
        return {**answer, "slate": slate}
    only_rests = set(denied.reasons) == {Exclusion.QUIET_HOURS} and denied.retry_at is not None
    return {
        **answer,
        "action": Action.HOLD,
        "reason": Reason.DEFERRED if only_rests else Reason.NOTHING_PERMITTED,
        "selected": None,
        "retry_at": _iso(denied.retry_at),
        "slate": slate,
        "withheld": [reason.value for reason in denied.reasons],
    }


def _withheld_position(position: PositionDocument, refused: Mapping[str, PermitVerdict]) -> PositionDocument:
    denied = refused.get(key_of(position["selected"]))
    if denied is None:
        return position
    return {**position, "selected": None, "withheld": [one.value for one in denied.reasons]}


def key_of(selected: SelectedDocument | None) -> str:
    """Key of the message that an answer names; `silence` where it names none."""
    return f"{selected['offer_id']}/{selected['channel']}/{selected['creative']}" if selected else SILENCE


def keys_of(answer: Answer) -> list[str]:
    """Keys of every message of an answer."""
    found = [key_of(answer["selected"]), *(key_of(position["selected"]) for position in answer["slate"])]
    return [key for key in dict.fromkeys(found) if key != SILENCE]


def unlogged(answer: Answer, reasons: Sequence[str]) -> Answer:
    """Silence that no log could take: no decision was made, so there is no id and nothing to remember."""
    return {
        **answer,
        "action": Action.HOLD,
        "selected": None,
        "slate": [],
        "decision_id": None,
        "ttl_s": 0,
        "degraded": True,
        "degraded_reasons": list(reasons),
    }


def unnamed(answer: Answer) -> Answer:
    """The answer of a dry run: no log has it, so neither it nor its positions have an id."""
    slate: list[PositionDocument] = [{**position, "decision_id": None} for position in answer["slate"]]
    return {**answer, "decision_id": None, "dry_run": True, "ttl_s": 0, "slate": slate}


def explanation(decision: Decision, *, policy: Policy, per_major: float) -> ExplanationDocument:
    """Why a decision came out as it did; `per_major` is minor units per major unit."""
    money = Amounts(policy, per_major)
    currency = policy.catalogue.currency
    found: ExplanationDocument = {
        "summary": plain_reason(decision, currency, per_major=per_major, is_rate=not money.is_money),
        "evaluated": [_evaluated(one, money) for one in decision.evaluated],
        "excluded": [_excluded(one) for one in decision.excluded],
    }
    better = decision.better_hour
    return found if better is None else {**found, "better_hour": _better_hour(better, money)}


def because(reasons: Sequence[Exclusion], details: Sequence[str]) -> list[str]:
    """Refusals in plain words, each with its detail where there is one."""
    told = [*details, *([""] * (len(reasons) - len(details)))]
    return [
        f"{exclusion_words(reason)} ({detail})" if detail else exclusion_words(reason)
        for reason, detail in zip(reasons, told, strict=False)
    ]


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

    def value(self, number: float | None) -> Amount | None:
        """A value of the measure."""
        if number is None:
            return None
        return self.money(number) if self.is_money else {"amount": round(number, 9), "currency": None}

    def money(self, minor: float) -> Amount:
        """An amount of money; rounded, since nobody reads a billionth of a cent."""
        return {"amount": round(minor / self._per_major, 9), "currency": self._currency}


def _slate(decision: Decision, contents: Mapping[str, Mapping[str, str]], money: Amounts) -> list[PositionDocument]:
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


def _model(decision: Decision, measure_id: str | None) -> ModelDocument | None:
    if decision.model_version is None or not measure_id:
        return None
    return {"version": decision.model_version, "measure": measure_id}


def _selected(
    decision: Decision, key: str, probability: float, contents: Mapping[str, Mapping[str, str]], money: Amounts
) -> SelectedDocument | None:
    parts = message_parts(key)
    if parts is None:
        return None
    offer_id, channel_id, creative_id = parts
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


def _evaluated(one: Evaluated, money: Amounts) -> EvaluatedDocument:
    found: EvaluatedDocument = {
        "message": one.message_key,
        "expected_value": money.value(one.expected_value_minor),
        "uplift": money.value(one.uplift_minor),
        "cost": money.money(one.cost_minor),
        "fatigue": money.money(one.fatigue_minor),
        "shadow_price": money.money(one.shadow_minor),
        "opportunity_cost": money.money(one.opportunity_minor),
        "context_weight": one.context_weight,
        "business_weight": one.business_weight,
        "priority": money.money(one.priority_minor),
        "evidence_count": one.evidence_count,
        "action_probability": one.probability,
    }
    if one.hour_minor:
        found = {**found, "hour": money.money(one.hour_minor)}
    learned = money.value(one.residual_minor) if one.residual_minor else None
    return found if learned is None else {**found, "residual": learned}


def _better_hour(better: BetterHour, money: Amounts) -> BetterHourDocument:
    return {
        "message": better.message_key,
        "at": better.at.isoformat(),
        "priority": money.money(better.priority_minor),
        "present": money.money(better.present_minor),
    }


def _excluded(one: Excluded) -> ExcludedDocument:
    return {
        "message": one.message_key,
        "reasons": [reason.value for reason in one.reasons],
        "because": because(one.reasons, one.details),
        "allowed_at": _iso(one.allowed_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
