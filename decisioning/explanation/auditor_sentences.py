"""The explanation for an auditor: everything in the record, with figures. Amounts are in minor units."""

from collections.abc import Iterator, Mapping, Sequence

from decisioning.catalogue.message import SILENCE
from decisioning.customer import Consent, Customer
from decisioning.decision import Decision, Evaluated, Excluded, Inputs
from decisioning.explanation.plain_words import exclusion_words, with_details
from decisioning.live import LiveState
from decisioning.rules.predicate import is_missing


def tell_auditor(decision: Decision) -> tuple[str, ...]:
    """Sentences for an auditor, from the record alone."""
    return tuple(
        sentence
        for part in (_identity, _versions, _choice, _tests, _slate, _values, _refusals, _standing)
        for sentence in part(decision)
    ) + tuple(_basis(decision.inputs))


def _identity(decision: Decision) -> Iterator[str]:
    yield (
        f"Decision {decision.decision_id} about customer {decision.customer_id} at touchpoint "
        f"{decision.touchpoint_id}, made at {decision.decided_at.isoformat()} (stage: {decision.stage_id})."
    )


def _versions(decision: Decision) -> Iterator[str]:
    yield (
        f"Policy {decision.policy_version}; model {decision.model_version}; "
        f"degraded: {', '.join(decision.degraded) or 'nothing'}."
    )


def _choice(decision: Decision) -> Iterator[str]:
    request = decision.inputs.request
    yield (
        f"Action {decision.action}, reason {decision.reason}: {decision.message_key} with action probability "
        f"{decision.action_probability!r}; best before chance: {decision.best.message_key}."
    )
    yield f"Draw: uniform {decision.inputs.uniform!r} from request key {request.request_key}."
    if decision.better_hour is not None:
        better = decision.better_hour
        yield (
            f"Put off: {better.message_key} has priority {better.priority_minor!r} at {better.at.isoformat()}, the "
            f"best choice now {better.present_minor!r}."
        )
    if decision.inputs.put_off is not None:
        former = decision.inputs.put_off
        yield f"Put off before: at {former.asked_at.isoformat()} until {former.until.isoformat()}."
    if decision.inputs.allocated is not None:
        yield f"Plan over all customers: {decision.inputs.allocated}."


def _tests(decision: Decision) -> Iterator[str]:
    arms = ", ".join(f"{name}: {arm}" for name, arm in sorted(decision.arms.items())) or "none"
    programmes = ", ".join(sorted(decision.programme_holdouts)) or "none"
    yield (
        f"Experiment arms: {arms}; universal holdout: {'yes' if decision.is_held_out else 'no'}; "
        f"programme holdouts: {programmes}."
    )
    if decision.ghost is not None:
        yield (
            f"Ghost, never sent: {decision.ghost.message_key} with probability {decision.ghost.action_probability!r}."
        )


def _slate(decision: Decision) -> Iterator[str]:
    for number, position in enumerate(decision.further, start=2):
        best = "the best left" if position.is_best else "not the best left"
        yield (
            f"Position {number} (placement {position.placement_id}): {position.message_key} with probability "
            f"{position.action_probability!r} given those before it; {best}."
        )


def _values(decision: Decision) -> Iterator[str]:
    for evaluated in decision.evaluated:
        yield f"Permitted: {evaluated.message_key}, probability {evaluated.probability!r}{_sum(evaluated)}."


def _sum(evaluated: Evaluated) -> str:
    """The factors of a priority, as arbitration multiplied them."""
    if evaluated.message_key == SILENCE:
        return "" if evaluated.expected_value_minor is None else f", expected value {evaluated.expected_value_minor!r}"
    uplift = (
        "as declared" if evaluated.uplift_minor is None else f"uplift {evaluated.uplift_minor!r}{_learned(evaluated)}"
    )
    value = "" if evaluated.expected_value_minor is None else f", expected value {evaluated.expected_value_minor!r}"
    evidence = "" if evaluated.evidence_count is None else f", evidence {evaluated.evidence_count}"
    return (
        f", priority {evaluated.priority_minor!r} = (worth {_worth(evaluated)}, {uplift}{_hour(evaluated)} - contact "
        f"cost {evaluated.cost_minor!r} - fatigue {evaluated.fatigue_minor!r} - shadow price {evaluated.shadow_minor!r}"
        f"{_opportunity(evaluated)}) x context weight {evaluated.context_weight!r} x business weight "
        f"{evaluated.business_weight!r} where that is a "
        f"gain{value}{evidence}"
    )


def _learned(evaluated: Evaluated) -> str:
    """The part of an uplift that came from outcomes since training; as money, or as a rate, like the uplift."""
    residual = evaluated.residual_minor
    return f" (of which {residual!r} from outcomes since training)" if residual else ""


def _hour(evaluated: Evaluated) -> str:
    """What the hour adds, where it adds anything."""
    return f" + hour {evaluated.hour_minor!r}" if evaluated.hour_minor else ""


def _opportunity(evaluated: Evaluated) -> str:
    """What was kept for a better moment, where anything was."""
    return f" - kept for a better moment {evaluated.opportunity_minor!r}" if evaluated.opportunity_minor else ""


def _worth(evaluated: Evaluated) -> str:
    """What arbitration took the message to be worth: in money also where the uplift is one of a rate."""
    weight = evaluated.context_weight * evaluated.business_weight
    net = evaluated.priority_minor
    if net >= 0 and weight == 0:
        return "unknown, since it weighs nothing"
    net = net / weight if net > 0 else net
    charged = evaluated.cost_minor + evaluated.fatigue_minor + evaluated.shadow_minor
    return f"{net + charged + evaluated.opportunity_minor - evaluated.hour_minor:.4f}"


def _refusals(decision: Decision) -> Iterator[str]:
    for excluded in decision.excluded:
        yield f"Refused: {excluded.message_key}: {_codes(excluded)}{_later(excluded)}."


def _codes(excluded: Excluded) -> str:
    return "; ".join(f"{code} ({detail or exclusion_words(code)})" for code, detail in with_details(excluded))


def _later(excluded: Excluded) -> str:
    return "" if excluded.allowed_at is None else f"; passes from {excluded.allowed_at.isoformat()}"


def _standing(decision: Decision) -> Iterator[str]:
    yield f"Service before sales: {decision.care.value if decision.care is not None else 'no case'}."
    if decision.retry_at is not None:
        yield f"Ask again at {decision.retry_at.isoformat()}."


def _basis(inputs: Inputs) -> Iterator[str]:
    """What was looked at."""
    request = inputs.request
    yield f"Asked: channels {_listed(request.channels)}; offers ruled out {_listed(request.excluded_offers)}."
    yield _profile(inputs.customer)
    if inputs.customer is not None:
        yield f"Consents: {_consents((*inputs.customer.consents, *inputs.live.consents))}."
    features = inputs.features
    if features is None:
        yield "Features: none could be read, or none may be."
    else:
        known = sum(not is_missing(value) for value in features.values.tolist())
        ages = _numbers({name: age for name, age in features.ages_seconds.items() if age is not None})
        yield f"Features: {known} of {len(features.names)} known, schema {features.schema}, ages in seconds {ages}."
    yield from _live(inputs.live)
    if inputs.supply.used or inputs.supply.prices_minor:
        yield f"Shared supply: used {_numbers(inputs.supply.used)}; prices {_numbers(inputs.supply.prices_minor)}."


def _profile(customer: Customer | None) -> str:
    if customer is None:
        return "Profile: none."
    profiling = "refused" if customer.has_opted_out_of_profiling else "not refused"
    return (
        f"Profile: reachable by {_listed(customer.reachable_channels)}; left "
        f"{_listed(customer.unsubscribed_channels)}; protections {_listed(customer.protections)}; "
        f"profiling {profiling}; zone {customer.time_zone}; country {customer.country}."
    )


def _consents(consents: Sequence[Consent]) -> str:
    return "; ".join(map(_consent, consents)) or "none"


def _consent(consent: Consent) -> str:
    when = consent.recorded_at.isoformat() if consent.recorded_at is not None else "at an unknown time"
    answer = "yes" if consent.is_granted else "no"
    return f"{consent.channel_id} for {consent.purpose}: {answer}, {when}, source {consent.source or 'unknown'}"


def _live(live: LiveState) -> Iterator[str]:
    yield (
        f"Book: version {live.version}, {len(live.contacts)} contacts; household version {live.household_version}, "
        f"{len(live.household_contacts)} contacts."
    )
    yield (
        f"Live: {len(live.due)} messages due, {len(live.responses)} responses, {len(live.events)} recent events, "
        f"{len(live.cases)} cases, stage move {live.stage.stage_id if live.stage is not None else 'none'}, "
        f"profiling {live.has_opted_out_of_profiling}."
    )
    for case in live.cases:
        dates = f"opened {case.opened_at}, resolved {case.resolved_at}"
        yield f"Case {case.case_id}: {case.kind}, {case.severity}, {dates}."


def _listed(names: frozenset[str] | None) -> str:
    return "any" if names is None else ", ".join(sorted(names)) or "none"


def _numbers(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number!r}" for name, number in sorted(numbers.items())) or "none"
