"""Why an offer was not chosen: told from the record of the decision, or from what would be decided now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import BetterHour, Decision, Evaluated, Excluded, Reason
from decisioning.explanation.plain_words import exclusion_words, with_details

NOW_ID = "now"
"""Id of the decision that is made only to be looked at."""


class OfferStanding(StrEnum):
    """How far an offer got, the farthest first."""

    CHOSEN = "chosen"
    LOST_DRAW = "lost_draw"  # the best before chance, and chance chose another
    VALUED_LESS = "valued_less"  # permitted, and another was worth more or goes first
    EXCLUDED = "excluded"
    NOT_A_CANDIDATE = "not_a_candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStanding:
    """How far one message got.

    Attributes:
        message_key: Which.
        standing: How far.
        probability: Action probability; 0 where it was not permitted.
        obstacles: Gates that refused it, as code, words and detail, in the order of the gates.
        allowed_at: If only time prevented it, when the gates would let it pass.
        gap_minor: By how much its priority was below the best one's; None where it was not permitted.
        factors: By how much each factor was worse than the best message's (positive is worse), the largest first;
            empty where silence was the best, or it was not permitted.
    """

    message_key: str
    standing: OfferStanding
    probability: float = 0.0
    obstacles: tuple[tuple[str, str, str], ...] = ()
    allowed_at: datetime | None = None
    gap_minor: float | None = None
    factors: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """Why an offer was not chosen.

    Attributes:
        channel_id: The channel that was asked about; None for any.
        standing: How far its nearest message got.
        messages: All its messages, the nearest first; empty where it has none at the touchpoint.
        best_key: What was best before chance.
        chosen_key: What was chosen.
        is_ghost: A holdout or a silent arm held back this very offer.
        sentence: The answer in one sentence.
    """

    offer_id: str
    channel_id: str | None
    standing: OfferStanding
    messages: tuple[MessageStanding, ...]
    best_key: str
    chosen_key: str
    is_ghost: bool
    sentence: str


def why_not_then(decision: Decision, offer_id: str, channel_id: str | None = None) -> WhyNot:
    """Why an offer was not chosen, from the record alone.

    Args:
        decision: As made, or as `record.decision_from_record` brings it back.
        offer_id: The offer.
        channel_id: Only this channel; None for any.

    Returns:
        How far it came. An offer that the record does not know at all was no candidate: not at this touchpoint, not in
        the catalogue of that time, or without a creative.
    """
    messages = sorted(
        (_standing(decision, key) for key in _keys(decision, offer_id, channel_id)),
        key=lambda one: (
            list(OfferStanding).index(one.standing),
            one.gap_minor or 0.0,
            len(one.obstacles),
            one.message_key,
        ),
    )
    standing = messages[0].standing if messages else OfferStanding.NOT_A_CANDIDATE
    return WhyNot(
        offer_id=offer_id,
        channel_id=channel_id,
        standing=standing,
        messages=tuple(messages),
        best_key=decision.best.message_key,
        chosen_key=decision.message_key,
        is_ghost=decision.ghost is not None and _is_of(decision.ghost.message_key, offer_id, channel_id),
        sentence=_sentence(decision, messages[0] if messages else None, offer_id),
    )


def _keys(decision: Decision, offer_id: str, channel_id: str | None) -> list[str]:
    known = [one.message_key for one in (*decision.evaluated, *decision.excluded)]
    return [key for key in known if _is_of(key, offer_id, channel_id)]


def _is_of(message_key: str, offer_id: str, channel_id: str | None) -> bool:
    parts = message_parts(message_key)
    return parts is not None and parts[0] == offer_id and channel_id in (None, parts[1])


def _standing(decision: Decision, key: str) -> MessageStanding:
    excluded = next((one for one in decision.excluded if one.message_key == key), None)
    if excluded is not None:
        return _refused(excluded)
    own = next(one for one in decision.evaluated if one.message_key == key)
    return MessageStanding(
        message_key=key,
        standing=_permitted(decision, key),
        probability=own.probability,
        gap_minor=decision.best.priority_minor - own.priority_minor,
        factors=_factors(own, decision.best),
    )


def _refused(excluded: Excluded) -> MessageStanding:
    return MessageStanding(
        message_key=excluded.message_key,
        standing=OfferStanding.EXCLUDED,
        obstacles=tuple((code.value, exclusion_words(code), detail) for code, detail in with_details(excluded)),
        allowed_at=excluded.allowed_at,
    )


def _permitted(decision: Decision, key: str) -> OfferStanding:
    if key in (decision.message_key, *(position.message_key for position in decision.further)):
        return OfferStanding.CHOSEN
    return OfferStanding.LOST_DRAW if key == decision.best.message_key else OfferStanding.VALUED_LESS


def _factors(own: Evaluated, best: Evaluated) -> dict[str, float]:
    """What made the difference to the best message, in minor units, and as a ratio for weights."""
    if best.message_key in (SILENCE, own.message_key):
        return {}
    differences = {
        "uplift_minor": (best.uplift_minor or 0.0) - (own.uplift_minor or 0.0),
        "cost_minor": own.cost_minor - best.cost_minor,
        "fatigue_minor": own.fatigue_minor - best.fatigue_minor,
        "shadow_minor": own.shadow_minor - best.shadow_minor,
        "hour_minor": best.hour_minor - own.hour_minor,
        "opportunity_minor": own.opportunity_minor - best.opportunity_minor,
        "context_weight": best.context_weight - own.context_weight,
        "business_weight": best.business_weight - own.business_weight,
    }
    found = {name: difference for name, difference in differences.items() if difference}
    return dict(sorted(found.items(), key=lambda one: (-abs(one[1]), one[0])))


def _sentence(decision: Decision, nearest: MessageStanding | None, offer_id: str) -> str:
    if nearest is None:
        return f"{offer_id} was no candidate: it had no message at touchpoint {decision.touchpoint_id}."
    key = nearest.message_key
    match nearest.standing:
        case OfferStanding.CHOSEN:
            return f"{key} was chosen."
        case OfferStanding.LOST_DRAW:
            chance = f"with a probability of {nearest.probability:.1%}"
            return f"{key} was the best, {chance}; the draw chose {decision.message_key}."
        case OfferStanding.VALUED_LESS:
            return f"{key} was permitted; {_behind(decision, nearest)}."
        case _:
            return f"{key} was not permitted: {_obstacles(nearest)}."


def _behind(decision: Decision, nearest: MessageStanding) -> str:
    """What put the best message before it: its class, a plan, or worth."""
    best = decision.best.message_key
    if decision.reason is Reason.BETTER_HOUR and decision.better_hour is not None:
        return _put_off(decision.better_hour, nearest)
    if decision.reason is Reason.PRECEDENCE:
        return f"{best} belongs to a class that takes precedence, whatever the values"
    if decision.inputs.allocated == best:
        return f"the plan over all customers chose {best}"
    return f"it was worth {nearest.gap_minor or 0.0:.2f} minor units less than {best}{_main_factor(nearest)}"


def _put_off(better: BetterHour, nearest: MessageStanding) -> str:
    """What the ask waits for: this message at a later hour, or another one."""
    what = "it" if better.message_key == nearest.message_key else better.message_key
    return (
        f"the ask was put off, since {what} is worth {better.priority_minor:.2f} minor units from"
        f" {better.at.isoformat()} and the best choice now {better.present_minor:.2f}"
    )


def _main_factor(nearest: MessageStanding) -> str:
    """The largest disadvantage, if there is one."""
    worse = next((name for name, difference in nearest.factors.items() if difference > 0), None)
    return f"; what counted most is {worse.removesuffix('_minor').replace('_', ' ')}" if worse is not None else ""


def _obstacles(nearest: MessageStanding) -> str:
    told = [words + (f" ({detail})" if detail else "") for _, words, detail in nearest.obstacles]
    later = f"; it passes from {nearest.allowed_at.isoformat()}" if nearest.allowed_at is not None else ""
    return "; ".join(told) + later
