"""One sentence a marketer understands about why a decision came out as it did."""

from collections import Counter

from decisioning.decision import Action, Decision, Evaluated, Exclusion, Reason

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


def plain_reason(decision: Decision, currency: str | None = None) -> str:
    """Why this was chosen, in one sentence without personal data.

    Args:
        decision: The decision.
        currency: ISO 4217 code to name with amounts.
    """
    sentence = _sent(decision, currency) if decision.action is Action.SEND else _held(decision, currency)
    notes = f" (degraded: {', '.join(decision.degraded)})" if decision.degraded else ""
    return f"{sentence}{notes}."


def _sent(decision: Decision, currency: str | None) -> str:
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
            return f"Sent {key}: {_worth(chosen, currency)}, the most of {len(decision.evaluated) - 1} permitted"


def _worth(chosen: Evaluated, currency: str | None) -> str:
    uplift = f"{_money(chosen.uplift_minor or 0.0, currency)} more than silence"
    return f"expected to bring {uplift}" + (
        f" before a contact cost of {_money(chosen.cost_minor, currency)}" if chosen.cost_minor else ""
    )


_WHY_HELD = {
    Reason.UNKNOWN_CUSTOMER: "nothing is known of this customer, so nothing may be sent",
    Reason.HOLDOUT: "the customer is in the universal holdout, which gets no marketing",
    Reason.DEGRADED: "something behind the decision was away, and nothing could be sent safely without it",
    Reason.RULES: "no model was there, and no permitted message has a declared value above its cost",
}


def _held(decision: Decision, currency: str | None) -> str:
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
            why = _WHY_HELD.get(reason) or f"silence is worth most{_runner_up(decision, currency)}"
    return f"Held: {why}"


def _nothing_permitted(decision: Decision) -> str:
    if not decision.excluded:
        return "this touchpoint has no messages"
    counts = Counter(reason for excluded in decision.excluded for reason in excluded.reasons)
    most, count = counts.most_common(1)[0]
    return f"no message is permitted; for {count} of {len(decision.excluded)}, {exclusion_words(most)}"


def _runner_up(decision: Decision, currency: str | None) -> str:
    best = decision.evaluated[1]  # where silence won, there was something to win against
    return f"; the best message, {best.message_key}, would bring {_money(best.priority_minor, currency)} after its cost"


def _money(minor: float, currency: str | None) -> str:
    return f"{minor / 100:.2f}" + (f" {currency}" if currency else "")
