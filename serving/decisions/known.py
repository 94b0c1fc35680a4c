"""From what Redis holds to decisions: the one path that the API and batch share, without any waiting in it.

Where something is missing, the decision still happens and its record says what was missing:

- no profile: the customer is unknown, so no channel counts as reachable and the answer is silence;
- no usable features, but a profile: rules over features and stages do not pass, and the model scores the rest with
  every feature missing, as it does for a newcomer;
- no model: messages that are not marketing compete by their declared value;
- no model yet, since none was ever in force: all messages do, and exploration draws; that is no fault;
- no model for an experiment arm that names one of its own: the same, and never another model in its place.

A customer who does not want to be profiled is no such case: no feature of theirs is decoded and no model is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.choice.reason import CONTENDED_WORD
from decisioning.customer import PROFILING, Consent, Customer, ToldAnswer
from decisioning.decision import Decision, Inputs, Request, request_uniform
from decisioning.errors import FeatureUnavailableError, LogUnavailableError, ModelUnavailableError
from decisioning.gates.reservation import position_id
from decisioning.live import NOTHING_KEPT, LiveState
from decisioning.permit import REPEAT_LAYERS, PermitVerdict, hold_against_gates
from decisioning.policy import decide
from decisioning.rules.predicate import FactValue
from decisioning.scoring import FeatureVector
from features.log.said import LONG_AGO, told_since
from features.online.profiles import decode_profile
from features.online.redis_keys import shard_of
from serving.in_force.fit import Fit
from serving.in_force.policy_in_force import ArmModel, InForce
from serving.live.reader import Known

STATE_UNAVAILABLE = "state_unavailable"
"""Redis did not answer in time, so nothing is known of the customer."""

STATE_LOST = "state_lost"
"""Redis was emptied and not restored yet: what the customer got and said may be missing."""

PROFILE_UNREADABLE = "profile_unreadable"
FEATURES_MISSING = "features_missing"
FEATURES_STALE = "features_stale"
"""A feature group is older than its greatest age and so counts as missing."""

FEATURES_UNAVAILABLE = FeatureUnavailableError.code
MODEL_UNAVAILABLE = ModelUnavailableError.code
ARM_MODEL_UNAVAILABLE = "arm_model_unavailable"
"""The customer is in an experiment arm with a model of its own, and that model is not to be had."""

CONTENT_UNAVAILABLE = "content_unavailable"
LOG_UNAVAILABLE = LogUnavailableError.code

CONTENDED = CONTENDED_WORD
"""Other decisions about this customer, or about what all share, kept being faster."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request with what is known at its moment.

    Attributes:
        known: None where Redis is away.
        allocated: Message key that a plan over all customers gave this one; None where there is no plan.
    """

    request: Request
    known: Known | None
    now: datetime
    decision_id: str
    allocated: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a decision looks at, and the content that was rendered on the way, by message key."""

    ask: Ask
    inputs: Inputs
    contents: Mapping[str, Mapping[str, str]]


def new_decision_id(customer_id: str) -> str:
    """A fresh id that names the customer's shard, so that the id alone finds the decision."""
    return f"dec_{shard_of(customer_id):02x}{uuid4().hex}"


def prepare_many(in_force: InForce, asks: Sequence[Ask]) -> list[Prepared]:
    """Gather what n decisions look at, each as if it were alone; those of one touchpoint are scored as one matrix.

    Args:
        in_force: Policy, schema and models.
        asks: n requests with what is known.

    Returns:
        What `decide` takes, n in order.

    Raises:
        UnknownNameError: A touchpoint that is not declared.
    """
    gathered = [_gather(in_force, ask) for ask in asks]
    scored = _score(in_force, gathered)
    return [_prepared(in_force, one, *pair) for one, pair in zip(gathered, scored, strict=True)]


def decide_prepared(in_force: InForce, prepared: Prepared) -> Decision:
    """The decision; scores that cannot be used are left out, and the record says so.

    Raises:
        UnknownNameError: A touchpoint or stage that is not declared.
    """
    try:
        return decide(in_force.policy, prepared.inputs, prepared.ask.decision_id)
    except ModelUnavailableError:  # scores that no message may be sent on
        degraded = (*prepared.inputs.degraded, MODEL_UNAVAILABLE)
        unscored = replace(prepared.inputs, expected_values=None, model_version=None, degraded=degraded)
        return decide(in_force.policy, unscored, prepared.ask.decision_id)


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


def inputs_now(in_force: InForce, ask: Ask) -> Inputs:
    """What a message that was decided before is checked against now: everything but scores."""
    gathered = _gather(in_force, ask)
    return _prepared(in_force, gathered, None, None).inputs


def refusals_now(
    in_force: InForce, ask: Ask, message_keys: Sequence[str], *, positions: int
) -> dict[str, PermitVerdict]:
    """Why messages that were decided before may not be sent now, by message key; those that may are absent.

    A repeat keeps its decision when scores, stage or what applies moved on. Every gate that protects the customer is
    asked again, with the contacts that the decision made taken out of the book.

    Args:
        in_force: Policy in use now.
        ask: The repeated ask, with the id of the decision that it got.
        message_keys: Its messages.
        positions: How many placements it filled, or left to silence.
    """
    inputs = inputs_now(in_force, ask)
    own = {position_id(ask.decision_id, position) for position in range(1, positions + 1)}
    found = {
        key: hold_against_gates(in_force.policy, inputs, key, own=own, layers=REPEAT_LAYERS) for key in message_keys
    }
    return {key: answer for key, answer in found.items() if not answer.is_allowed}


def is_not_profiled(customer: Customer, known: Known) -> bool:
    """True for who opted out of profiling; the latest live word counts before the profile's."""
    word = live_after(customer, known).has_opted_out_of_profiling
    return customer.has_opted_out_of_profiling if word is None else word


def live_after(customer: Customer | None, known: Known) -> LiveState:
    """The live state without words that lift what the profile heard of later: an import may know a newer refusal."""
    outdated = {
        name
        for name, lifted_at in known.lifted_at.items()
        if customer is not None and customer.refused_at.get(name, LONG_AGO) >= lifted_at
    }
    if not outdated:
        return known.live
    kept = {name: holds for name, holds in known.live.protections.items() if name not in outdated}
    word = None if PROFILING in outdated else known.live.has_opted_out_of_profiling
    return replace(known.live, protections=kept, has_opted_out_of_profiling=word)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered:
    ask: Ask
    customer: Customer | None
    features: FeatureVector | None = None
    degraded: tuple[str, ...] = ()
    is_profiled: bool = True


def _gather(in_force: InForce, ask: Ask) -> _Gathered:
    """Decode what Redis gave, as of the ask's moment."""
    if ask.known is None or ask.known.profile is None:
        return _Gathered(ask=ask, customer=None, degraded=(STATE_UNAVAILABLE,) if ask.known is None else ())
    try:
        customer = with_told(decode_profile(ask.known.profile), ask.known.told)
        customer = with_unsubscriptions(customer, ask.known.unsubscribed_at, ask.known.live.consents)
    except FeatureUnavailableError:
        return _Gathered(ask=ask, customer=None, degraded=(PROFILE_UNREADABLE,))
    if is_not_profiled(customer, ask.known):
        return _Gathered(ask=ask, customer=customer, is_profiled=False)
    if ask.known.features is None:
        return _Gathered(ask=ask, customer=customer, degraded=(FEATURES_MISSING,))
    try:
        features = in_force.reader.read(ask.known.features, ask.now)
    except FeatureUnavailableError:
        return _Gathered(ask=ask, customer=customer, degraded=(FEATURES_UNAVAILABLE,))
    is_stale = any(
        (age := features.ages_seconds.get(group.name)) is not None and age > group.max_age_days * _DAY_S
        for group in in_force.schema.groups
    )
    return _Gathered(ask=ask, customer=customer, features=features, degraded=(FEATURES_STALE,) if is_stale else ())


def with_told(customer: Customer, told: Mapping[str, tuple[ToldAnswer, FactValue]]) -> Customer:
    """The profile with what the customer told us since it was written; of each attribute the newest word stands."""
    newer = {
        name: word
        for name, word in told.items()
        if (known := customer.told.get(name)) is None or word[0].at >= known.at
    }
    newer = told_since(customer.attributes, customer.known_at, newer)
    if not newer:
        return customer
    return replace(
        customer,
        attributes={**customer.attributes, **{name: value for name, (_, value) in newer.items()}},
        told={**customer.told, **{name: one for name, (one, _) in newer.items()}},
    )


def with_unsubscriptions(
    customer: Customer, unsubscribed_at: Mapping[str, datetime], since: Sequence[Consent] = ()
) -> Customer:
    """The profile with what happened since it was written: leaving a channel is a no to every purpose on it.

    The latest answer wins, so a yes given after the customer left counts again.

    Args:
        customer: The profile.
        unsubscribed_at: As of when the customer left which channel.
        since: Answers given since the profile was written.
    """
    if not unsubscribed_at:
        return customer
    answers = (*customer.consents, *since)
    refusals = tuple(
        Consent(channel_id=channel, purpose=purpose, is_granted=False, recorded_at=left, source="live")
        for channel, purpose in dict.fromkeys((one.channel_id, one.purpose) for one in answers)
        if (left := unsubscribed_at.get(channel)) is not None
    )
    came_back = {
        one.channel_id
        for one in answers
        if one.is_granted and one.recorded_at and one.recorded_at > unsubscribed_at.get(one.channel_id, one.recorded_at)
    }
    return replace(
        customer,
        consents=(*customer.consents, *refusals),
        unsubscribed_channels=customer.unsubscribed_channels | (unsubscribed_at.keys() - came_back),
    )


type _Scored = tuple[FloatArray | None, str | None]
"""Expected values and the version of the model that gave them; what is missing is None."""


def _score(in_force: InForce, gathered: Sequence[_Gathered]) -> list[_Scored]:
    """Expected values of every ask, one call of a model per touchpoint; None where there is nothing to score."""
    scored: list[_Scored] = [(None, None)] * len(gathered)
    places: dict[tuple[str | None, str], list[int]] = {}
    for place, one in enumerate(gathered):
        if one.customer is not None and one.is_profiled:
            places.setdefault((_alias(in_force, one), one.ask.request.touchpoint_id), []).append(place)
    for (alias, touchpoint_id), members in places.items():
        scorer = in_force.scorer(alias)
        if scorer is None or touchpoint_id not in scorer.message_columns:
            continue
        rows = _rows(in_force, scorer, touchpoint_id, [gathered[place] for place in members])
        for place, row in zip(members, rows, strict=True):
            scored[place] = (row, scorer.model.version)
    return scored


def _rows(in_force: InForce, scorer: ArmModel, touchpoint_id: str, members: Sequence[_Gathered]) -> FloatArray:
    """Expected values of n asks of one touchpoint, shape (n, k + 1)."""
    columns = scorer.message_columns[touchpoint_id]
    designs = [scorer.model.design(columns, one.features or in_force.nothing_known, one.ask.now) for one in members]
    return scorer.model.expected_values_of(np.stack(designs))


def _prepared(in_force: InForce, gathered: _Gathered, values: FloatArray | None, model_version: str | None) -> Prepared:
    ask, customer, known = gathered.ask, gathered.customer, gathered.ask.known or Known()
    degraded = (STATE_LOST, *gathered.degraded) if known.live.is_lost else gathered.degraded
    alias = _alias(in_force, gathered) if values is None and customer is not None else None
    is_cold_start = in_force.is_cold_start and values is None and alias is None
    if values is None and customer is not None and gathered.is_profiled and not is_cold_start:
        degraded = (*degraded, MODEL_UNAVAILABLE if alias is None else ARM_MODEL_UNAVAILABLE)
    fit = _fit(in_force, ask.request, customer)
    inputs = Inputs(
        request=ask.request,
        customer=customer,
        features=gathered.features,
        expected_values=values,
        model_version=model_version,
        now=ask.now,
        uniform=request_uniform(in_force.policy.seed, ask.request),
        degraded=degraded,
        live=live_after(customer, known),
        supply=known.supply,
        unfit=fit.unfit,
        allocated=ask.allocated,
        is_cold_start=is_cold_start,
    )
    return Prepared(ask=ask, inputs=inputs, contents=fit.contents)


def _alias(in_force: InForce, gathered: _Gathered) -> str | None:
    """Alias of the model that the customer's experiment arm decides with; None for the champion."""
    ask = gathered.ask
    kept = ask.known.live.kept if ask.known is not None else NOTHING_KEPT
    return in_force.policy.model_alias(ask.request, gathered.customer, ask.now, kept)


def _fit(in_force: InForce, request: Request, customer: Customer | None) -> Fit:
    """Messages that their channel cannot carry to this customer, on the channels that reach them."""
    fitting = in_force.fitting.get(request.touchpoint_id)
    if fitting is None or customer is None:
        return Fit(unfit={}, contents={})
    channels = customer.reachable_channels
    if request.channels is not None:
        channels &= request.channels
    return fitting.fit(customer.attributes, request.context, channels)
