"""A decision as plain values: what the log keeps, and enough to replay the decision bit for bit.

A record holds only None, flags, numbers, texts, lists and mappings with text keys, so any JSON writer takes it; floats
come back exactly, since JSON carries their shortest exact form. What JSON cannot express is written differently: a
missing feature (NaN) is None, and a number that JSON writers refuse is a mapping such as {"number": "inf"}. Sets are
sorted lists, times are ISO 8601 texts with their offset. What came with version 2 is left out where it is empty.

A record holds the profile it looked at, and so personal data: it belongs to the customer and is erased with them.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isinf, nan
from typing import Any

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.care import CaseState
from decisioning.customer import Customer, CustomerId
from decisioning.decision import (
    ONE_PLACEMENT,
    Action,
    Decision,
    Evaluated,
    Excluded,
    Exclusion,
    Ghost,
    Inputs,
    Placement,
    Position,
    Reason,
    Request,
)
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy, decide
from decisioning.record.foresight_document import (
    better_from_plain,
    better_to_plain,
    foresight_from_plain,
    foresight_to_plain,
    put_off_from_plain,
    put_off_to_plain,
)
from decisioning.record.live_document import (
    consent_from_plain,
    consent_to_plain,
    live_from_plain,
    live_to_plain,
    residuals_from_plain,
    residuals_to_plain,
    supply_from_plain,
    supply_to_plain,
)
from decisioning.rules.predicate import FactValue
from decisioning.scoring import FeatureVector

type Record = dict[str, Any]

RECORD_VERSION = 2
"""Raised whenever an older reader could not read a new record."""

READABLE_VERSIONS = frozenset({1, 2})
"""Records of version 1 know nothing of live state, supply, slates and ghosts: there, these are empty."""


_LARGEST_INTEGER = 2**63


def decision_to_record(decision: Decision) -> Record:
    """Everything about a decision as plain values.

    Two decisions are the same, bit for bit, where their records are equal. (The dataclasses hold arrays, which `==`
    does not compare.)
    """
    record: Record = {
        "record_version": RECORD_VERSION,
        "decision_id": decision.decision_id,
        "customer_id": decision.customer_id,
        "touchpoint_id": decision.touchpoint_id,
        "decided_at": decision.decided_at.isoformat(),
        "action": decision.action.value,
        "reason": decision.reason.value,
        "message_key": decision.message_key,
        "offer_id": decision.offer_id,
        "channel_id": decision.channel_id,
        "creative_id": decision.creative_id,
        "action_probability": decision.action_probability,
        "stage_id": decision.stage_id,
        "arms": dict(decision.arms),
        "is_held_out": decision.is_held_out,
        "policy_version": decision.policy_version,
        "model_version": decision.model_version,
        "degraded": list(decision.degraded),
        "evaluated": [_evaluated_to_plain(evaluated) for evaluated in decision.evaluated],
        "excluded": [_excluded_to_plain(excluded) for excluded in decision.excluded],
        "inputs": inputs_to_record(decision.inputs),
    }
    if decision.further:
        record["further"] = [_position_to_plain(position) for position in decision.further]
    if decision.ghost is not None:
        ghost = decision.ghost
        record["ghost"] = {"message_key": ghost.message_key, "action_probability": ghost.action_probability}
    if decision.programme_holdouts:
        record["programme_holdouts"] = sorted(decision.programme_holdouts)
    if decision.retry_at is not None:
        record["retry_at"] = decision.retry_at.isoformat()
    if decision.care is not None:
        record["care"] = decision.care.value
    if decision.best_key is not None:
        record["best_key"] = decision.best_key
    if decision.better_hour is not None:
        record["better_hour"] = better_to_plain(decision.better_hour)
    return record


def inputs_to_record(inputs: Inputs) -> Record:
    """Everything that `decide` looked at as plain values."""
    values = inputs.expected_values
    record: Record = {
        "request": _request_to_plain(inputs.request),
        "customer": None if inputs.customer is None else _customer_to_plain(inputs.customer),
        "features": None if inputs.features is None else _features_to_plain(inputs.features),
        "expected_values": None if values is None else values.tolist(),
        "model_version": inputs.model_version,
        "now": inputs.now.isoformat(),
        "uniform": inputs.uniform,
        "degraded": list(inputs.degraded),
    }
    rest: Record = {
        "live": live_to_plain(inputs.live),
        "supply": supply_to_plain(inputs.supply),
        "unfit": dict(inputs.unfit),
        "allocated": inputs.allocated,
        **({"is_cold_start": True} if inputs.is_cold_start else {}),
        "residuals": {stage_id: residuals_to_plain(one) for stage_id, one in inputs.residuals.items()},
        "foresight": None if inputs.foresight is None else foresight_to_plain(inputs.foresight),
        "put_off": None if inputs.put_off is None else put_off_to_plain(inputs.put_off),
    }
    return record | {name: value for name, value in rest.items() if value}


def decision_from_record(record: Mapping[str, Any]) -> Decision:
    """The decision that a record holds.

    Raises:
        InvalidInputError: No record of this version, or a damaged one.
    """
    _check_version(record)
    try:
        return _read_decision(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(error) from error


def inputs_from_record(record: Mapping[str, Any]) -> Inputs:
    """What `decide` looked at, from the `inputs` of a record.

    Raises:
        InvalidInputError: A damaged record.
    """
    try:
        return _read_inputs(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(error) from error


def replay(policy: Policy, record: Mapping[str, Any]) -> Decision:
    """Decide again what a record decided.

    Args:
        policy: The policy of that time, built from the catalogue and seed of that time.
        record: From `decision_to_record`, also after a round trip through JSON.

    Returns:
        A decision whose record equals the given one, unless that one was changed or the engine broke its word.

    Raises:
        InvalidInputError: A damaged record, or the record of another policy version. To ask what a policy would decide
            in the situation of another's record, call `decide` on `inputs_from_record`.
    """
    decision = decision_from_record(record)
    if decision.policy_version != policy.version:
        raise InvalidInputError(
            f"policy_version must be {decision.policy_version} as in the record, got {policy.version}; "
            "replay with the catalogue and seed of that time"
        )
    return decide(policy, decision.inputs, decision.decision_id)


def _evaluated_to_plain(evaluated: Evaluated) -> Record:
    plain: Record = {
        "message_key": evaluated.message_key,
        "expected_value_minor": evaluated.expected_value_minor,
        "uplift_minor": evaluated.uplift_minor,
        "cost_minor": evaluated.cost_minor,
        "priority_minor": evaluated.priority_minor,
        "probability": evaluated.probability,
    }
    usual = ((name, getattr(evaluated, name)) for name in _UNUSUAL)
    return plain | {name: value for name, value in usual if value != _UNUSUAL[name]}


_UNUSUAL: Mapping[str, float | None] = {
    "fatigue_minor": 0.0,
    "shadow_minor": 0.0,
    "context_weight": 1.0,
    "business_weight": 1.0,
    "opportunity_minor": 0.0,
    "evidence_count": None,
    "residual_minor": 0.0,
    "hour_minor": 0.0,
}
"""What is written only where it says something, with what it is where it says nothing."""


def _excluded_to_plain(excluded: Excluded) -> Record:
    plain: Record = {
        "message_key": excluded.message_key,
        "reasons": [reason.value for reason in excluded.reasons],
    }
    if any(excluded.details):
        plain["details"] = list(excluded.details)
    if excluded.allowed_at is not None:
        plain["allowed_at"] = excluded.allowed_at.isoformat()
    return plain


def _position_to_plain(position: Position) -> Record:
    return {
        "placement_id": position.placement_id,
        "message_key": position.message_key,
        "action_probability": position.action_probability,
        "is_best": position.is_best,
    }


def _request_to_plain(request: Request) -> Record:
    plain: Record = {
        "customer_id": request.customer_id,
        "touchpoint_id": request.touchpoint_id,
        "request_key": request.request_key,
        "context": facts_to_plain(request.context),
        "channels": None if request.channels is None else sorted(request.channels),
        "excluded_offers": sorted(request.excluded_offers),
        "stage_id": request.stage_id,
    }
    if request.placements != ONE_PLACEMENT:
        plain["placements"] = [
            {"placement_id": one.placement_id, "channels": None if one.channels is None else sorted(one.channels)}
            for one in request.placements
        ]
    return plain


def _customer_to_plain(customer: Customer) -> Record:
    plain: Record = {
        "customer_id": customer.customer_id,
        "attributes": facts_to_plain(customer.attributes),
        "time_zone": customer.time_zone,
        "locale": customer.locale,
        "reachable_channels": sorted(customer.reachable_channels),
        "consents": [consent_to_plain(consent) for consent in customer.consents],
        "unsubscribed_channels": sorted(customer.unsubscribed_channels),
    }
    rest: Record = {
        "household_id": customer.household_id,
        "country": customer.country,
        "plausible_zones": list(customer.plausible_zones),
        "locale_zones": list(customer.locale_zones),
        "protections": sorted(customer.protections),
        "has_opted_out_of_profiling": customer.has_opted_out_of_profiling,
    }
    return plain | {name: value for name, value in rest.items() if value}


def _features_to_plain(features: FeatureVector) -> Record:
    return {
        "values": dict(zip(features.names, map(_plain, features.values.tolist()), strict=True)),
        "ages_seconds": dict(features.ages_seconds),
        "schema": features.schema,
    }


def facts_to_plain(facts: Mapping[str, FactValue]) -> Record:
    """Facts as a record has them."""
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: FactValue) -> Any:
    if isinstance(value, float):
        if value != value:  # noqa: PLR0124 (NaN alone differs from itself)
            return None
        return {"number": str(value)} if isinf(value) else value
    if isinstance(value, int) and not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
        return {"number": str(value)}
    return value


def _fact(plain: Any) -> FactValue:
    return _number(plain["number"]) if _is_wrapped(plain) else plain


def _is_wrapped(plain: Any) -> bool:
    return isinstance(plain, dict)


def _number(text: str) -> float:
    return float(text) if text.endswith("inf") else int(text)


def _feature_value(plain: Any) -> float:
    value = _fact(plain)
    return nan if value is None else float(value)


def _check_version(record: Mapping[str, Any]) -> None:
    version = record.get("record_version")
    if type(version) is not int or version not in READABLE_VERSIONS:
        known = " or ".join(map(str, sorted(READABLE_VERSIONS)))
        raise InvalidInputError(f"record_version must be {known}, got {version!r}; read it with its release")


def _damaged(error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f"record must be one that decision_to_record wrote, got {type(error).__name__}; it is damaged or cut short"
    )


def _read_decision(record: Mapping[str, Any]) -> Decision:
    return Decision(
        decision_id=record["decision_id"],
        customer_id=record["customer_id"],
        touchpoint_id=record["touchpoint_id"],
        decided_at=datetime.fromisoformat(record["decided_at"]),
        action=Action(record["action"]),
        reason=Reason(record["reason"]),
        message_key=record["message_key"],
        offer_id=record["offer_id"],
        channel_id=record["channel_id"],
        creative_id=record["creative_id"],
        action_probability=record["action_probability"],
        stage_id=record["stage_id"],
        arms=dict(record["arms"]),
        is_held_out=record["is_held_out"],
        policy_version=record["policy_version"],
        model_version=record["model_version"],
        degraded=tuple(record["degraded"]),
        evaluated=tuple(Evaluated(**evaluated) for evaluated in record["evaluated"]),
        excluded=tuple(_read_excluded(excluded) for excluded in record["excluded"]),
        inputs=_read_inputs(record["inputs"]),
        further=tuple(Position(**position) for position in record.get("further", ())),
        ghost=None if (ghost := record.get("ghost")) is None else Ghost(**ghost),
        programme_holdouts=frozenset(record.get("programme_holdouts", ())),
        retry_at=_read_moment(record.get("retry_at")),
        care=None if (care := record.get("care")) is None else CaseState(care),
        best_key=record.get("best_key"),
        better_hour=better_from_plain(record["better_hour"]) if "better_hour" in record else None,
    )


def _read_excluded(plain: Mapping[str, Any]) -> Excluded:
    reasons = tuple(map(Exclusion, plain["reasons"]))
    return Excluded(
        message_key=plain["message_key"],
        reasons=reasons,
        details=tuple(plain.get("details", ("",) * len(reasons))),
        allowed_at=_read_moment(plain.get("allowed_at")),
    )


def _read_moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _read_inputs(plain: Mapping[str, Any]) -> Inputs:
    customer, features, values = plain["customer"], plain["features"], plain["expected_values"]
    return Inputs(
        request=_read_request(plain["request"]),
        customer=None if customer is None else _read_customer(customer),
        features=None if features is None else _read_features(features),
        expected_values=None if values is None else _array(values),
        model_version=plain["model_version"],
        now=datetime.fromisoformat(plain["now"]),
        uniform=plain["uniform"],
        degraded=tuple(plain["degraded"]),
        live=live_from_plain(plain.get("live", {})),
        supply=supply_from_plain(plain.get("supply", {})),
        unfit=dict(plain.get("unfit", {})),
        allocated=plain.get("allocated"),
        is_cold_start=plain.get("is_cold_start", False),
        residuals={stage: residuals_from_plain(one) for stage, one in plain.get("residuals", {}).items()},
        foresight=foresight_from_plain(plain["foresight"]) if "foresight" in plain else None,
        put_off=put_off_from_plain(plain["put_off"]) if "put_off" in plain else None,
    )


def _read_request(plain: Mapping[str, Any]) -> Request:
    channels, placements = plain["channels"], plain.get("placements")
    return Request(
        customer_id=plain["customer_id"],
        touchpoint_id=plain["touchpoint_id"],
        request_key=plain["request_key"],
        context=facts_from_plain(plain["context"]),
        channels=None if channels is None else frozenset(channels),
        excluded_offers=frozenset(plain["excluded_offers"]),
        stage_id=plain["stage_id"],
        placements=ONE_PLACEMENT if placements is None else tuple(map(_read_placement, placements)),
    )


def _read_placement(plain: Mapping[str, Any]) -> Placement:
    channels = plain["channels"]
    return Placement(placement_id=plain["placement_id"], channels=None if channels is None else frozenset(channels))


def _read_customer(plain: Mapping[str, Any]) -> Customer:
    return Customer(
        customer_id=CustomerId(plain["customer_id"]),
        attributes=facts_from_plain(plain["attributes"]),
        time_zone=plain["time_zone"],
        locale=plain["locale"],
        reachable_channels=frozenset(plain["reachable_channels"]),
        consents=tuple(map(consent_from_plain, plain["consents"])),
        unsubscribed_channels=frozenset(plain["unsubscribed_channels"]),
        household_id=plain.get("household_id"),
        country=plain.get("country"),
        plausible_zones=tuple(plain.get("plausible_zones", ())),
        locale_zones=tuple(plain.get("locale_zones", ())),
        protections=frozenset(plain.get("protections", ())),
        has_opted_out_of_profiling=plain.get("has_opted_out_of_profiling", False),
    )


def _read_features(plain: Mapping[str, Any]) -> FeatureVector:
    values: Mapping[str, Any] = plain["values"]
    return FeatureVector(
        names=tuple(values),
        values=_array(map(_feature_value, values.values())),
        ages_seconds=dict(plain["ages_seconds"]),
        schema=plain["schema"],
    )


def facts_from_plain(plain: Mapping[str, Any]) -> dict[str, FactValue]:
    """Facts that `facts_to_plain` wrote."""
    return {name: _fact(value) for name, value in plain.items()}


def _array(values: Iterable[float]) -> FloatArray:
    return np.array(list(values), dtype=np.float64)
