"""The explanation for a call agent: the choice and its reason, what was refused, when to try again, open cases."""

from datetime import datetime

from decisioning.catalogue.care import Case
from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import Action, Decision, Excluded, Reason
from decisioning.explanation.customer_texts import spoken_channel
from decisioning.explanation.plain_words import exclusion_words, with_details
from decisioning.explanation.spoken_names import spoken

_SENT = {
    Reason.MODEL: "it is expected to be worth most with this customer",
    Reason.EXPLORED: "it was drawn at random for exploration; another choice had a higher estimate",
    Reason.EXPERIMENT: "an experiment drew it at random",
    Reason.RULES: "no model was used, and its declared value is the highest",
    Reason.COLD_START: "there is no model yet; declared values and a random draw chose it, to collect data",
    Reason.NOT_PROFILED: "the customer is not profiled, and its declared value is the highest",
    Reason.PRECEDENCE: "its class takes precedence over marketing",
    Reason.ALLOCATED: "the plan over all customers chose it",
}

_HELD = {
    Reason.SILENCE_BEST: "no permitted message is worth a contact",
    Reason.KEPT_FOR_LATER: "a message would pay, but contacts are capped and this one is kept for a better moment",
    Reason.BETTER_HOUR: "a message is expected to do more at a later hour",
    Reason.ALLOCATED: "the plan over all customers chose silence",
    Reason.RULES: "no model was used, and no permitted message has a declared value above its cost",
    Reason.COLD_START: "there is no model yet; declared values and a random draw chose silence, to collect data",
    Reason.NOT_PROFILED: "the customer opted out of profiling, and no declared value is above its cost",
    Reason.NOTHING_PERMITTED: "no message is permitted",
    Reason.EXPLORED: "silence was drawn at random for exploration",
    Reason.EXPERIMENT: "an experiment chose silence",
    Reason.HOLDOUT: "the customer is in the universal holdout, which gets no marketing",
    Reason.PROGRAMME_HOLDOUT: "the customer is in the holdout of the programme",
    Reason.CARE: "a service case comes before sales",
    Reason.DEFERRED: "only quiet hours prevent it",
    Reason.CONTENDED: "other decisions about this customer were committed first each time",
    Reason.UNKNOWN_CUSTOMER: "nothing is known of this customer",
    Reason.DEGRADED: "a service the decision needs was unavailable",
}


def tell_agent(decision: Decision) -> tuple[str, ...]:
    """Sentences for a call agent, from the record alone."""
    sentences = [_chosen(decision), *_further(decision), *_obstacles(decision)]
    if decision.degraded:
        sentences.append(f"Unavailable at that moment: {', '.join(spoken(cause) for cause in decision.degraded)}.")
    better = decision.better_hour
    if better is not None:
        sentences.append(f"{_named(better.message_key)} is expected to do most from {_minute(better.at)}.")
    if decision.retry_at is not None:
        sentences.append(f"Try again from {_minute(decision.retry_at)}.")
    return (*sentences, *_cases(decision))


def _minute(at: datetime) -> str:
    return at.isoformat(timespec="minutes")


def _chosen(decision: Decision) -> str:
    if decision.action is Action.SEND:
        return f"Chosen: {_named(decision.message_key)}, because {_SENT.get(decision.reason, 'the policy chose it')}."
    return f"Nothing is sent, because {_HELD.get(decision.reason, 'the policy chose silence')}."


def _named(message_key: str) -> str:
    parts = message_parts(message_key)
    if parts is None:
        return SILENCE
    return f"{spoken(parts[0])} by {spoken_channel(parts[1])} (wording {spoken(parts[2])})"


def _further(decision: Decision) -> list[str]:
    return [
        f"For placement {spoken(position.placement_id)}: {_named(position.message_key)}."
        for position in decision.further
    ]


def _obstacles(decision: Decision) -> list[str]:
    """One sentence per offer and set of reasons; messages of an offer with the same reasons share a sentence."""
    told: dict[tuple[str, str], list[str]] = {}
    for excluded in decision.excluded:
        parts = message_parts(excluded.message_key)
        if parts is not None:
            told.setdefault((parts.offer_id, _reasons(excluded)), []).append(spoken_channel(parts.channel_id))
    return [_obstacle(offer_id, why, channels) for (offer_id, why), channels in told.items()]


def _obstacle(offer_id: str, why: str, channels: list[str]) -> str:
    return f"Not possible: {spoken(offer_id)} by {', '.join(dict.fromkeys(channels))}, because {why}."


def _reasons(excluded: Excluded) -> str:
    told = [exclusion_words(code) + (f" ({detail})" if detail else "") for code, detail in with_details(excluded)]
    later = f" (until {excluded.allowed_at.isoformat(timespec='minutes')})" if excluded.allowed_at is not None else ""
    return "; ".join(told) + later


def _cases(decision: Decision) -> list[str]:
    """Cases that are open, or were when they were last heard of."""
    open_cases = [case for case in decision.inputs.live.cases if _is_open(case)]
    state = [] if decision.care is None else [f"Service before sales: {spoken(decision.care.value)}."]
    return [*state, *(_case(case) for case in open_cases)]


def _is_open(case: Case) -> bool:
    return case.opened_at is not None and (case.resolved_at is None or case.resolved_at < case.opened_at)


def _case(case: Case) -> str:
    since = case.opened_at.isoformat(timespec="minutes") if case.opened_at is not None else "unknown"
    return f"Open case: {spoken(case.kind)}, severity {spoken(case.severity)}, since {since}."
