"""From what Redis holds to decisions: the one path that the API and batch share, without any waiting in it.

Where something is missing, the decision still happens and its record says what was missing:

- no profile: the customer is unknown, so no channel counts as reachable and the answer is silence;
- no usable features, but a profile: rules over features and stages do not pass, and the model scores the rest with
  every feature missing, as it does for a newcomer;
- no model: messages that are not marketing compete by their declared value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

import numpy as np

from decisioning.customer import Consent, Customer
from decisioning.decision import Decision, Exclusion, Inputs, Request
from decisioning.draw import request_uniform
from decisioning.errors import FeatureUnavailableError, LogUnavailableError, ModelUnavailableError
from decisioning.policy import decide
from decisioning.scoring import FeatureVector, FloatArray
from features.online.profiles import decode_profile
from features.online.record import decode_record
from features.online.redis_keys import shard_of
from serving.in_force import InForce
from serving.live_state import Known

STATE_UNAVAILABLE = "state_unavailable"
"""Redis did not answer in time, so nothing is known of the customer."""

PROFILE_UNREADABLE = "profile_unreadable"
FEATURES_MISSING = "features_missing"
FEATURES_STALE = "features_stale"
"""A feature group is older than its greatest age and so counts as missing."""

FEATURES_UNAVAILABLE = FeatureUnavailableError.code
MODEL_UNAVAILABLE = ModelUnavailableError.code
CONTENT_UNAVAILABLE = "content_unavailable"
LOG_UNAVAILABLE = LogUnavailableError.code

LASTING_GATES = frozenset({Exclusion.NOT_REACHABLE, Exclusion.NO_CONSENT, Exclusion.UNSUBSCRIBED, Exclusion.EXPIRED})
"""Gates that a repeated answer has to pass again."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request with what is known at its moment; `known` is None where Redis is away."""

    request: Request
    known: Known | None
    now: datetime
    decision_id: str


def new_decision_id(customer_id: str) -> str:
    """A fresh id that names the customer's shard, so that the id alone finds the decision."""
    return f"dec_{shard_of(customer_id):02x}{uuid4().hex}"


def decide_many(in_force: InForce, asks: Sequence[Ask]) -> list[Decision]:
    """Decide n asks, each as if it were alone; those of one touchpoint are scored as one matrix.

    Args:
        in_force: Policy, schema and model.
        asks: n requests with what is known.

    Returns:
        n decisions in order.

    Raises:
        UnknownNameError: A touchpoint or stage that is not declared.
    """
    gathered = [_gather(in_force, ask) for ask in asks]
    scores = _score(in_force, gathered)
    return [
        _decide(in_force, ask, _inputs(in_force, ask, one, values))
        for ask, one, values in zip(asks, gathered, scores, strict=True)
    ]


def decide_blind(in_force: InForce, ask: Ask, *, degraded: Sequence[str]) -> Decision:
    """The decision about a customer of whom nothing is known now: silence, with the reasons in its record."""
    inputs = Inputs(
        request=ask.request,
        customer=None,
        features=None,
        expected_values=None,
        model_version=None,
        now=ask.now,
        uniform=request_uniform(in_force.policy.seed, ask.request),
        degraded=tuple(degraded),
    )
    return decide(in_force.policy, inputs, ask.decision_id)


def refusals_now(in_force: InForce, ask: Ask, message_key: str) -> tuple[Exclusion, ...]:
    """Why a message that was decided before may not be sent any more; empty where it may.

    A repeat keeps its decision when stage, score or eligibility moved on. It does not outlive the customer's leave to
    be written to, nor the offer.
    """
    gathered = _gather(in_force, ask)
    decision = decide(in_force.policy, _inputs(in_force, ask, gathered, None), ask.decision_id)
    reasons = {one.message_key: one.reasons for one in decision.excluded}
    if message_key not in reasons and message_key not in {one.message_key for one in decision.evaluated}:
        return (Exclusion.EXPIRED,)  # the catalogue no longer has it
    return tuple(reason for reason in reasons.get(message_key, ()) if reason in LASTING_GATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered:
    ask: Ask
    customer: Customer | None
    features: FeatureVector | None
    degraded: tuple[str, ...]


def _gather(in_force: InForce, ask: Ask) -> _Gathered:
    """Decode what Redis gave, as of the ask's moment."""
    if ask.known is None:
        return _Gathered(ask=ask, customer=None, features=None, degraded=(STATE_UNAVAILABLE,))
    if ask.known.profile is None:
        return _Gathered(ask=ask, customer=None, features=None, degraded=())
    try:
        customer = with_unsubscriptions(decode_profile(ask.known.profile), ask.known.unsubscribed_at)
    except FeatureUnavailableError:
        return _Gathered(ask=ask, customer=None, features=None, degraded=(PROFILE_UNREADABLE,))
    if ask.known.features is None:
        return _Gathered(ask=ask, customer=customer, features=None, degraded=(FEATURES_MISSING,))
    try:
        features = decode_record(ask.known.features, in_force.schema, ask.now)
    except FeatureUnavailableError:
        return _Gathered(ask=ask, customer=customer, features=None, degraded=(FEATURES_UNAVAILABLE,))
    is_stale = any(
        (age := features.ages_seconds[group.name]) is not None and age > group.max_age_days * _DAY_S
        for group in in_force.schema.groups
    )
    return _Gathered(ask=ask, customer=customer, features=features, degraded=(FEATURES_STALE,) if is_stale else ())


def with_unsubscriptions(customer: Customer, unsubscribed_at: Mapping[str, datetime]) -> Customer:
    """The profile with what happened since it was written: leaving a channel is a no to every purpose on it.

    The latest answer wins, so a yes given after the customer left counts again.
    """
    if not unsubscribed_at:
        return customer
    refusals = tuple(
        Consent(channel_id=one.channel_id, purpose=one.purpose, is_granted=False, recorded_at=left, source="live")
        for one in customer.consents
        if (left := unsubscribed_at.get(one.channel_id)) is not None
    )
    came_back = {
        one.channel_id
        for one in customer.consents
        if one.is_granted and one.recorded_at and one.recorded_at > unsubscribed_at.get(one.channel_id, one.recorded_at)
    }
    return replace(
        customer,
        consents=(*customer.consents, *refusals),
        unsubscribed_channels=customer.unsubscribed_channels | (unsubscribed_at.keys() - came_back),
    )


def _score(in_force: InForce, gathered: Sequence[_Gathered]) -> list[FloatArray | None]:
    """Expected values of every ask, one call of the model per touchpoint; None where there is nothing to score."""
    values: list[FloatArray | None] = [None] * len(gathered)
    if in_force.model is None:
        return values
    places: dict[str, list[int]] = {}
    for place, one in enumerate(gathered):
        if one.customer is not None and one.ask.request.touchpoint_id in in_force.message_columns:
            places.setdefault(one.ask.request.touchpoint_id, []).append(place)
    for touchpoint_id, members in places.items():
        columns = in_force.message_columns[touchpoint_id]
        designs = [
            in_force.model.design(columns, gathered[place].features or in_force.nothing_known, gathered[place].ask.now)
            for place in members
        ]
        for place, row in zip(members, in_force.model.expected_values_of(np.stack(designs)), strict=True):
            values[place] = row
    return values


def _inputs(in_force: InForce, ask: Ask, gathered: _Gathered, values: FloatArray | None) -> Inputs:
    without_model = values is None and gathered.customer is not None
    return Inputs(
        request=ask.request,
        customer=gathered.customer,
        features=gathered.features,
        expected_values=values,
        model_version=in_force.model.version if in_force.model is not None and values is not None else None,
        now=ask.now,
        uniform=request_uniform(in_force.policy.seed, ask.request),
        degraded=(*gathered.degraded, MODEL_UNAVAILABLE) if without_model else gathered.degraded,
    )


def _decide(in_force: InForce, ask: Ask, inputs: Inputs) -> Decision:
    try:
        return decide(in_force.policy, inputs, ask.decision_id)
    except ModelUnavailableError:  # scores that no message may be sent on
        degraded = (*inputs.degraded, MODEL_UNAVAILABLE)
        unscored = replace(inputs, expected_values=None, model_version=None, degraded=degraded)
        return decide(in_force.policy, unscored, ask.decision_id)
