"""What is known of a customer at a moment, as the core takes it: from what Redis holds to the inputs of a decision.

Where something is missing, the decision still happens and its record says what was missing:

- no profile: the customer is unknown, so no channel counts as reachable and the answer is silence;
- no usable features, but a profile: rules over features and stages do not pass, and the model scores the rest with
  every feature missing, as it does for a newcomer;
- no model: messages that are not marketing compete by their declared value;
- no model yet, since none was ever in force: all messages do, with exploration; this does not count as degraded;
- no model for an experiment arm that names one of its own: the same, and never another model in its place.

Where a canary fails to score, the champion does it in its place.

A customer who opted out of profiling is not such a case: their features are not decoded and no model is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter

import numpy as np
import structlog

from decisioning.arrays import FloatArray
from decisioning.choice.reason import CONTENDED_WORD
from decisioning.customer import PROFILING, Consent, Customer, ToldAnswer
from decisioning.decision import Inputs, PutOff, Request, request_uniform
from decisioning.errors import FeatureUnavailableError, LogUnavailableError, ModelUnavailableError
from decisioning.live import LiveState
from decisioning.rules.predicate import FactValue
from decisioning.scoring import FeatureVector
from features.log.said import LONG_AGO, told_since
from features.models.rollout import ROLLOUT_ALIAS
from features.online.profiles import decode_profile
from serving.decisions.ask import Ask
from serving.in_force.content_fit import Fit
from serving.in_force.policy_in_force import InForce
from serving.live.live_hash import put_off_in
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
"""The customer is in an experiment arm with a model of its own, and that model is not available."""

CONTENT_UNAVAILABLE = "content_unavailable"
LOG_UNAVAILABLE = LogUnavailableError.code

CONTENDED = CONTENDED_WORD
"""Other decisions about this customer, or about what all share, were committed first each time."""

_DAY_S = 86_400.0
_LOG = structlog.get_logger("nextbest.serving")

type Contents = Mapping[str, Mapping[str, str]]
"""Content by field, by message key."""


def inputs_of(
    in_force: InForce, asks: Sequence[Ask], known: Sequence[Known], moments: Sequence[datetime]
) -> list[tuple[Inputs, Contents]]:
    """What n decisions look at, each as if it were alone; those of one touchpoint are scored as one matrix.

    Args:
        in_force: Policy, schema and models.
        asks: n asks.
        known: What Redis holds for each.
        moments: When each is decided.

    Returns:
        What `decide` takes, n in order, each with the content that was rendered on the way.

    Raises:
        UnknownNameError: A touchpoint that is not declared.
    """
    decoded = [_decode(in_force, *one) for one in zip(asks, known, moments, strict=True)]
    scored = _score(in_force, decoded)
    return [_inputs(in_force, one, *pair) for one, pair in zip(decoded, scored, strict=True)]


def unscored_inputs(in_force: InForce, ask: Ask, known: Known, now: datetime) -> Inputs:
    """What a message that was decided before is checked against now: everything but scores."""
    return _inputs(in_force, _decode(in_force, ask, known, now), None, None)[0]


def blind_inputs(in_force: InForce, ask: Ask, now: datetime, cause: str) -> Inputs:
    """Inputs about a customer of whom nothing is known now, and why."""
    return Inputs(
        request=ask.request,
        customer=None,
        features=None,
        expected_values=None,
        model_version=None,
        now=now,
        uniform=request_uniform(in_force.policy.seed, ask.request),
        degraded=(cause,),
    )


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


def with_told(customer: Customer, told: Mapping[str, tuple[ToldAnswer, FactValue]]) -> Customer:
    """The profile with what the customer told us since it was written; of each attribute the newest word stands."""
    if not told:
        return customer
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """What Redis held, as of a moment."""

    ask: Ask
    known: Known
    now: datetime
    customer: Customer | None
    features: FeatureVector | None = None
    degraded: tuple[str, ...] = ()
    is_profiled: bool = True


def _decode(in_force: InForce, ask: Ask, known: Known, now: datetime) -> _Decoded:
    """Decode what Redis gave, as of a moment."""
    if known.profile is None:
        return _Decoded(ask=ask, known=known, now=now, customer=None)
    try:
        customer = with_told(decode_profile(known.profile), known.told)
        customer = with_unsubscriptions(customer, known.unsubscribed_at, known.live.consents)
    except FeatureUnavailableError:
        return _Decoded(ask=ask, known=known, now=now, customer=None, degraded=(PROFILE_UNREADABLE,))
    if is_not_profiled(customer, known):
        return _Decoded(ask=ask, known=known, now=now, customer=customer, is_profiled=False)
    features, degraded = _features(in_force, known.features, now)
    return _Decoded(ask=ask, known=known, now=now, customer=customer, features=features, degraded=degraded)


def _features(in_force: InForce, payload: bytes | None, now: datetime) -> tuple[FeatureVector | None, tuple[str, ...]]:
    """Features as of a moment, and what is wrong with them."""
    if payload is None:
        return None, (FEATURES_MISSING,)
    try:
        features = in_force.reader.read(payload, now)
    except FeatureUnavailableError:
        return None, (FEATURES_UNAVAILABLE,)
    ages = features.ages_seconds
    for group in in_force.schema.groups:
        age = ages.get(group.name)
        if age is not None and age > group.max_age_days * _DAY_S:
            return features, (FEATURES_STALE,)
    return features, ()


type _Scored = tuple[FloatArray | None, str | None]
"""Expected values and the version of the model that gave them; what is missing is None."""


def _score(in_force: InForce, decoded: Sequence[_Decoded]) -> list[_Scored]:
    """Expected values of every ask, one call of a model per touchpoint; None where there is nothing to score."""
    scored: list[_Scored] = [(None, None)] * len(decoded)
    places: dict[tuple[str | None, str], list[int]] = {}
    for place, one in enumerate(decoded):
        if one.customer is not None and one.is_profiled:
            places.setdefault((_alias(in_force, one), one.ask.request.touchpoint_id), []).append(place)
    rows_of = _rows_beside_canary if in_force.has_canary else _rows
    for (alias, touchpoint_id), members in places.items():
        features = [decoded[place].features or in_force.nothing_known for place in members]
        found = rows_of(in_force, alias, touchpoint_id, features, [decoded[place].now for place in members])
        if found is None:
            continue
        rows, version = found
        for place, row in zip(members, rows, strict=True):
            scored[place] = (row, version)
    return scored


def _rows(
    in_force: InForce,
    alias: str | None,
    touchpoint_id: str,
    features: Sequence[FeatureVector],
    moments: Sequence[datetime],
) -> tuple[FloatArray, str] | None:
    """Values of a model for some customers, a row each, and its version; None where the model is not to be had."""
    scorer = in_force.scorer(alias)
    if scorer is None or touchpoint_id not in scorer.on_touchpoint:
        return None
    return scorer.on_touchpoint[touchpoint_id].of(features, moments), scorer.model.version


def _rows_beside_canary(
    in_force: InForce,
    alias: str | None,
    touchpoint_id: str,
    features: Sequence[FeatureVector],
    moments: Sequence[datetime],
) -> tuple[FloatArray, str] | None:
    """The same, with a count of how it went; where the canary fails, the champion decides, and no caller notices."""
    who = "canary" if alias == ROLLOUT_ALIAS else "champion"
    began = perf_counter()
    try:
        found = _rows(in_force, alias, touchpoint_id, features, moments)
        is_sound = found is not None and bool(np.isfinite(found[0]).all())
    except Exception as error:  # whatever a version on trial does, the champion decides
        if alias != ROLLOUT_ALIAS:
            raise
        _LOG.error("canary_failed", exc_info=error)
        found, is_sound = None, False
    if alias == ROLLOUT_ALIAS and not is_sound:
        in_force.tally["canary/failed"] += len(features)
        return _rows(in_force, None, touchpoint_id, features, moments)
    if alias in {None, ROLLOUT_ALIAS}:
        in_force.tally[f"{who}/scored"] += len(features)
        in_force.tally[f"{who}/seconds"] += perf_counter() - began  # pyright: ignore[reportArgumentType]
    return found


def _inputs(
    in_force: InForce, decoded: _Decoded, values: FloatArray | None, model_version: str | None
) -> tuple[Inputs, Contents]:
    ask, customer, known = decoded.ask, decoded.customer, decoded.known
    degraded = (STATE_LOST, *decoded.degraded) if known.live.is_lost else decoded.degraded
    alias = _alias(in_force, decoded) if values is None and customer is not None else None
    is_cold_start = in_force.is_cold_start and values is None and alias is None
    if values is None and customer is not None and decoded.is_profiled and not is_cold_start:
        degraded = (*degraded, MODEL_UNAVAILABLE if alias is None else ARM_MODEL_UNAVAILABLE)
    fit = _fit(in_force, ask.request, customer)
    inputs = Inputs(
        request=ask.request,
        customer=customer,
        features=decoded.features,
        expected_values=values,
        model_version=model_version,
        now=decoded.now,
        uniform=request_uniform(in_force.policy.seed, ask.request),
        degraded=degraded,
        live=live_after(customer, known),
        supply=known.supply,
        unfit=fit.unfit,
        allocated=ask.allocated,
        is_cold_start=is_cold_start,
        residuals=in_force.residuals_on(ask.request.touchpoint_id, model_version),
        foresight=None if values is None else in_force.foresight_of(model_version),
        put_off=_put_off(in_force, ask.request, known),
    )
    return inputs, fit.contents


def _put_off(in_force: InForce, request: Request, known: Known) -> PutOff | None:
    """What was put off at the touchpoint; not asked where nothing waits."""
    is_waiting = in_force.catalogue.touchpoints[request.touchpoint_id].wait_seconds > 0
    return put_off_in(known.words, request.touchpoint_id) if is_waiting else None


def _alias(in_force: InForce, decoded: _Decoded) -> str | None:
    """Alias of the model that the customer's experiment arm, or a canary, decides with; None for the champion."""
    request = decoded.ask.request
    alias = in_force.policy.model_alias(request, decoded.customer, decoded.now, decoded.known.live.kept)
    if alias is None and in_force.rollout is not None and in_force.rollout.takes(request.customer_id):
        return ROLLOUT_ALIAS
    return alias


def _fit(in_force: InForce, request: Request, customer: Customer | None) -> Fit:
    """Messages that their channel cannot carry to this customer, on the channels that reach them."""
    fitting = in_force.fitting.get(request.touchpoint_id)
    if fitting is None or customer is None:
        return Fit(unfit={}, contents={})
    channels = customer.reachable_channels
    if request.channels is not None:
        channels &= request.channels
    return fitting.fit(customer.attributes, request.context, channels)
