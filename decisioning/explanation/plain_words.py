"""The reason for a decision in one sentence for marketers."""

from collections import Counter
from typing import NamedTuple

from decisioning.consent import is_profiled
from decisioning.decision import Action, Decision, Evaluated, Excluded, Exclusion, Reason
from decisioning.policy import Policy
from decisioning.rules.fact_names import STAGE_FACT
from decisioning.rules.layer_rule import LayerRule
from decisioning.rules.predicate import explain

_WHY_EXCLUDED = {
    Exclusion.NOT_REACHABLE: "no valid address is known",
    Exclusion.NO_CONSENT: "there is no consent",
    Exclusion.UNSUBSCRIBED: "the customer has left the channel",
    Exclusion.NOT_YET_VALID: "the offer has not started",
    Exclusion.EXPIRED: "the offer has ended",
    Exclusion.WRONG_STAGE: "the offer is for another journey stage",
    Exclusion.OTHER_PURPOSE: "the channel serves another purpose at this stage",
    Exclusion.NOT_ELIGIBLE: "a rule of the offer is not met",
    Exclusion.EXCLUDED_BY_CALLER: "the caller ruled the offer out",
    Exclusion.CHANNEL_NOT_ASKED: "the caller asked for other channels",
    Exclusion.HOLDOUT: "the customer is in the universal holdout",
    Exclusion.EXPERIMENT_ARM: "an experiment keeps this customer silent",
    Exclusion.NOT_SCORED: "no model was available to score it",
    Exclusion.PROTECTED: "a customer protection rules it out",
    Exclusion.NOT_APPLICABLE: "it does not apply at the moment",
    Exclusion.NOT_SUITABLE: "it is not suitable for the customer",
    Exclusion.INCOMPATIBLE: "another offer rules it out",
    Exclusion.CASE_OPEN: "a service case is open",
    Exclusion.CASE_COOLING_DOWN: "a service case was solved only recently",
    Exclusion.STATE_LOST: "the customer's contact history is unavailable",
    Exclusion.CAP_REACHED: "a frequency cap is reached",
    Exclusion.PRESSURE_REACHED: "the contact pressure limit is reached",
    Exclusion.ROOM_KEPT: "capacity is reserved for a message that is due",
    Exclusion.SUPPRESSED: "it is suppressed after the customer's response",
    Exclusion.ALREADY_SEEN: "the customer has seen it already",
    Exclusion.ALREADY_KNOWN: "the customer has already answered what it asks",
    Exclusion.NOTHING_TO_FOLLOW: "it follows up on a message the customer has not seen",
    Exclusion.QUIET_HOURS: "the channel is in quiet hours",
    Exclusion.CAPACITY_FULL: "no capacity is left",
    Exclusion.BUDGET_SPENT: "the budget is spent",
    Exclusion.SHARE_REACHED: "the department's share is used up",
    Exclusion.CREATIVE_UNFIT: "its content cannot be sent to this customer",
    Exclusion.PROGRAMME_HOLDOUT: "the customer is in the programme's holdout",
    Exclusion.ALREADY_IN_SLATE: "another position already has the offer",
}


def exclusion_words(exclusion: Exclusion) -> str:
    """A reason code in plain words.

    Example:
        >>> exclusion_words(Exclusion.NO_CONSENT)
        'there is no consent'
    """
    return _WHY_EXCLUDED[exclusion]


def with_details(excluded: Excluded) -> tuple[tuple[Exclusion, str], ...]:
    """Each reason with what it means here; an empty text where the code says it all."""
    missing = len(excluded.reasons) - len(excluded.details)
    return tuple(zip(excluded.reasons, (*excluded.details, *[""] * missing), strict=False))


def plain_reason(
    decision: Decision, currency: str | None = None, *, per_major: float = 100.0, is_rate: bool = False
) -> str:
    """Why this was chosen, in one sentence without personal data.

    Args:
        decision: The decision.
        currency: ISO 4217 code to name with amounts.
        per_major: Minor units per major unit of the currency.
        is_rate: The model predicts a rate and not money.
    """
    amounts = _Amounts(currency, per_major, is_rate)
    sentence = _sent(decision, amounts) if decision.action is Action.SEND else _held(decision, amounts)
    notes = f" (degraded: {', '.join(decision.degraded)})" if decision.degraded else ""
    return f"{sentence}{notes}."


def rule_words(policy: Policy, decision: Decision, message_key: str, exclusion: Exclusion) -> str:
    """Which rule of a message was not met, with the facts it met.

    Args:
        policy: The policy that decided.
        decision: The decision.
        message_key: A message of its touchpoint.
        exclusion: NOT_ELIGIBLE, NOT_APPLICABLE or NOT_SUITABLE.
    """
    candidates = policy.compiled_candidates(decision.touchpoint_id)
    candidate = next(one for one in candidates if one.key == message_key)
    rules = {
        Exclusion.NOT_ELIGIBLE: candidate.eligibility,
        Exclusion.NOT_APPLICABLE: candidate.applicability,
        Exclusion.NOT_SUITABLE: candidate.suitability,
    }[exclusion]
    if any(_cannot_be_checked(rule, decision) for rule in rules):
        return f"a rule of the {rules[0].owner} refers to data that could not be read"
    inputs = decision.inputs
    now = policy.situation(inputs, policy.assignment(inputs.request, inputs.customer, inputs.now, inputs.live.kept))
    facts = {**now.facts, STAGE_FACT: decision.stage_id}
    told = (explain(rule.predicate, facts) for rule in rules)
    return "; and ".join(words for words in told if words)


def _cannot_be_checked(rule: LayerRule, decision: Decision) -> bool:
    features = decision.inputs.features if is_profiled(decision.inputs) else None
    if features is None:
        return bool(rule.features) or rule.needs_stage or rule.needs_behaviour
    return not rule.features <= set(features.names)


class _Amounts(NamedTuple):
    """How amounts read."""

    currency: str | None
    per_major: float
    is_rate: bool

    def money(self, minor: float) -> str:
        digits = len(f"{self.per_major:.0f}") - 1
        return f"{minor / self.per_major:.{digits}f}" + (f" {self.currency}" if self.currency else "")

    def uplift(self, uplift: float) -> str:
        return f"{uplift * 100:.2f} percentage points" if self.is_rate else self.money(uplift)


def _sent(decision: Decision, amounts: _Amounts) -> str:
    chance = f"with a chance of {decision.action_probability:.1%}"
    match decision.reason:
        case Reason.EXPERIMENT:
            why = f"an experiment drew it at random, {chance}"
        case Reason.EXPLORED:
            why = f"exploration drew it, {chance}, although another choice had a higher estimate"
        case reason:
            why = _WHY_SENT.get(reason) or _most_worth(decision, amounts)
    return f"Sent {decision.message_key}: {why}"


_WHY_SENT = {
    Reason.RULES: "no model was available, and its declared value is the highest",
    Reason.COLD_START: "there is no model yet; declared values and a random draw chose it, to collect data",
    Reason.NOT_PROFILED: "the customer is not profiled, and its declared value is the highest",
    Reason.PRECEDENCE: "its class takes precedence over all others, whatever their value",
    Reason.ALLOCATED: "the plan over all customers chose it",
}


def _most_worth(decision: Decision, amounts: _Amounts) -> str:
    chosen = next(one for one in decision.evaluated if one.message_key == decision.message_key)
    if chosen.uplift_minor is None:
        return f"its declared value is the most of {len(decision.evaluated) - 1} permitted"
    return f"{_worth(chosen, chosen.uplift_minor, amounts)}, the most of {len(decision.evaluated) - 1} permitted"


def _worth(chosen: Evaluated, uplift: float, amounts: _Amounts) -> str:
    told = f"expected to bring {amounts.uplift(uplift)} more than silence{_learned(chosen, amounts)}"
    return told + (f" before a contact cost of {amounts.money(chosen.cost_minor)}" if chosen.cost_minor else "")


def _learned(chosen: Evaluated, amounts: _Amounts) -> str:
    """What outcomes since training changed of an uplift."""
    if not chosen.residual_minor:
        return ""
    direction = "more" if chosen.residual_minor > 0 else "less"
    return (
        f" ({amounts.uplift(abs(chosen.residual_minor))} {direction} than the model says, by outcomes since training)"
    )


_WHY_HELD = {
    Reason.UNKNOWN_CUSTOMER: "nothing is known of this customer, so nothing may be sent",
    Reason.HOLDOUT: "the customer is in the universal holdout, which gets no marketing",
    Reason.DEGRADED: "a service the decision needs was unavailable, and nothing could be sent safely without it",
    Reason.RULES: "no model was available, and no permitted message has a declared value above its cost",
    Reason.COLD_START: "there is no model yet; declared values and a random draw chose silence, to collect data",
    Reason.NOT_PROFILED: "the customer is not profiled, and no permitted message has a declared value above its cost",
    Reason.PROGRAMME_HOLDOUT: "the customer is in the holdout of the programme that had a message",
    Reason.ALLOCATED: "the plan over all customers chose silence",
    Reason.CARE: "a service case comes before sales",
    Reason.DEFERRED: "only quiet hours prevent it; ask again later",
    Reason.CONTENDED: "other decisions about this customer were committed first each time",
}


def _held(decision: Decision, amounts: _Amounts) -> str:
    chance = f"with a chance of {decision.action_probability:.1%}"
    match decision.reason:
        case Reason.EXPERIMENT if len(decision.evaluated) == 1:
            why = "an experiment keeps this customer silent"
        case Reason.EXPERIMENT:
            why = f"an experiment drew silence at random, {chance}"
        case Reason.EXPLORED:
            why = f"exploration drew silence, {chance}"
        case Reason.NOTHING_PERMITTED:
            why = _nothing_permitted(decision)
        case Reason.BETTER_HOUR:
            why = _better_hour(decision, amounts)
        case reason:
            why = _WHY_HELD.get(reason) or f"silence is worth most{_runner_up(decision, amounts)}"
    return f"Held: {why}"


def _better_hour(decision: Decision, amounts: _Amounts) -> str:
    better = decision.better_hour
    if better is None:  # a record that was cut down
        return "a message does more at a later hour"
    return (
        f"{better.message_key} is expected to bring {amounts.money(better.priority_minor)} after its cost from"
        f" {better.at.isoformat(timespec='minutes')}, and the best choice now {amounts.money(better.present_minor)};"
        " ask again then"
    )


def _nothing_permitted(decision: Decision) -> str:
    if not decision.excluded:
        return "this touchpoint has no messages"
    counts = Counter(reason for excluded in decision.excluded for reason in excluded.reasons)
    most, count = counts.most_common(1)[0]
    return f"no message is permitted; for {count} of {len(decision.excluded)}, {exclusion_words(most)}"


def _runner_up(decision: Decision, amounts: _Amounts) -> str:
    best = decision.evaluated[1]  # where silence won, there was something to win against
    return f"; the best message, {best.message_key}, would bring {amounts.money(best.priority_minor)} after its cost"
