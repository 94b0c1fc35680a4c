"""One sentence a marketer understands about why a decision came out as it did."""

from collections import Counter
from typing import NamedTuple

from decisioning.candidate import Candidate
from decisioning.decision import Action, Decision, Evaluated, Exclusion, Reason
from decisioning.errors import UnknownNameError
from decisioning.facts import STAGE_FACT, gather_facts
from decisioning.policy import Policy
from decisioning.predicate import explain

_WHY_EXCLUDED = {
    Exclusion.NOT_REACHABLE: "no working address is known",
    Exclusion.NO_CONSENT: "there is no consent",
    Exclusion.UNSUBSCRIBED: "the customer has left the channel",
    Exclusion.NOT_YET_VALID: "the offer has not started",
    Exclusion.EXPIRED: "the offer has ended",
    Exclusion.WRONG_STAGE: "the offer is for another journey stage",
    Exclusion.NOT_ELIGIBLE: "a rule of the offer is not met",
    Exclusion.EXCLUDED_BY_CALLER: "the caller ruled the offer out",
    Exclusion.CHANNEL_NOT_ASKED: "the caller asked for other channels",
    Exclusion.HOLDOUT: "the customer is in the universal holdout",
    Exclusion.EXPERIMENT_ARM: "an experiment keeps this customer silent",
    Exclusion.NOT_SCORED: "no model was there to score it",
}


def exclusion_words(exclusion: Exclusion) -> str:
    """A reason code in plain words.

    Example:
        >>> exclusion_words(Exclusion.NO_CONSENT)
        'there is no consent'
    """
    return _WHY_EXCLUDED[exclusion]


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


def why_not(policy: Policy, decision: Decision, message_key: str) -> tuple[str, ...]:
    """Why a message was not permitted, one sentence part per reason; empty where it was.

    A rule that was not met is told with the facts it met: show this only to people who may see those.

    Args:
        policy: The policy that decided.
        decision: The decision, as made or as `record.decision_from_record` brings it back.
        message_key: One of the touchpoint's messages.

    Raises:
        UnknownNameError: The touchpoint has no such message.
    """
    candidates = {candidate.key: candidate for candidate in policy.compiled_candidates(decision.touchpoint_id)}
    if message_key not in candidates:
        raise UnknownNameError("message", message_key, candidates)
    reasons = next((one.reasons for one in decision.excluded if one.message_key == message_key), ())
    return tuple(
        _unmet_rule(candidates[message_key], decision) if reason is Exclusion.NOT_ELIGIBLE else exclusion_words(reason)
        for reason in reasons
    )


def _unmet_rule(candidate: Candidate, decision: Decision) -> str:
    if decision.inputs.features is None and (candidate.needs_features or candidate.needs_stage):
        return "a rule of the offer looks at what could not be read"
    facts = gather_facts(decision.inputs) | {STAGE_FACT: decision.stage_id}
    return explain(candidate.rule, facts)


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
    chosen = next(one for one in decision.evaluated if one.message_key == decision.message_key)
    key, chance = decision.message_key, f"{decision.action_probability:.1%}"
    match decision.reason:
        case Reason.EXPERIMENT:
            return f"Sent {key}: an experiment drew it at random, with a chance of {chance}"
        case Reason.EXPLORED:
            return f"Sent {key}: exploration drew it, with a chance of {chance}, though another choice looked better"
        case Reason.RULES:
            return f"Sent {key}: no model was there, and its declared value is the highest"
        case _:
            return f"Sent {key}: {_worth(chosen, amounts)}, the most of {len(decision.evaluated) - 1} permitted"


def _worth(chosen: Evaluated, amounts: _Amounts) -> str:
    uplift = f"expected to bring {amounts.uplift(chosen.uplift_minor or 0.0)} more than silence"
    return uplift + (f" before a contact cost of {amounts.money(chosen.cost_minor)}" if chosen.cost_minor else "")


_WHY_HELD = {
    Reason.UNKNOWN_CUSTOMER: "nothing is known of this customer, so nothing may be sent",
    Reason.HOLDOUT: "the customer is in the universal holdout, which gets no marketing",
    Reason.DEGRADED: "something behind the decision was away, and nothing could be sent safely without it",
    Reason.RULES: "no model was there, and no permitted message has a declared value above its cost",
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
        case reason:
            why = _WHY_HELD.get(reason) or f"silence is worth most{_runner_up(decision, amounts)}"
    return f"Held: {why}"


def _nothing_permitted(decision: Decision) -> str:
    if not decision.excluded:
        return "this touchpoint has no messages"
    counts = Counter(reason for excluded in decision.excluded for reason in excluded.reasons)
    most, count = counts.most_common(1)[0]
    return f"no message is permitted; for {count} of {len(decision.excluded)}, {exclusion_words(most)}"


def _runner_up(decision: Decision, amounts: _Amounts) -> str:
    best = decision.evaluated[1]  # where silence won, there was something to win against
    return f"; the best message, {best.message_key}, would bring {amounts.money(best.priority_minor)} after its cost"
