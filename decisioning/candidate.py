"""The messages a touchpoint can send, with everything about them that does not depend on the customer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from decisioning.catalogue import Catalogue
from decisioning.errors import InvalidPolicyError, UnknownNameError
from decisioning.facts import STAGE_FACT, is_feature
from decisioning.journey import Touchpoint
from decisioning.measure import Unit
from decisioning.message import Channel, Creative, Message, MessageClass, Offer
from decisioning.predicate import AllOf, Predicate, Rule, compile_predicate, facts_of

LARGEST_AMOUNT_MINOR = 1e15
"""No amount is larger: ten trillion units. Beyond it a number is a mistake, and sums would lose cents."""

LARGEST_WEIGHT = 1e6
"""No weight is larger."""

_CLASSES_WITHOUT_CONSENT = frozenset({MessageClass.MANDATORY, MessageClass.TRANSACTIONAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A message with its rules compiled.

    Attributes:
        consent: The channel and purpose that need the customer's yes; None where none is needed.
        stages: Stages it fits; empty means every stage.
        rule: The offer's and the creative's rule in one; `is_eligible` is the same compiled.
        needs_features: The rule looks at features, so it cannot be checked without them.
        needs_stage: The rule looks at the stage.
        cost_minor: Contact cost of its channel.
        declared_value_minor: What it is worth where no model can say.
        unit_value_minor: What one unit of the learned measure is worth: 1 where money is learned, the declared value
            of the offer where a rate is.
        weight: Offer weight times goal weight.
    """

    message: Message
    key: str
    offer_id: str
    channel_id: str
    consent: tuple[str, str] | None
    is_marketing: bool
    valid_from: datetime | None
    valid_until: datetime | None
    stages: frozenset[str]
    rule: Predicate
    is_eligible: Rule
    needs_features: bool
    needs_stage: bool
    cost_minor: float
    declared_value_minor: float
    unit_value_minor: float
    weight: float


def compile_candidates(catalogue: Catalogue, touchpoint: Touchpoint) -> tuple[Candidate, ...]:
    """Every message of a touchpoint's channels, in the order of their keys.

    The order depends on names alone: it is that of `Inputs.expected_values` and of the draw, and neither may change
    because somebody moved a line in a file.

    Raises:
        InvalidPolicyError: Two messages with one key, or a message that could not be judged.
        UnknownNameError: An offer, channel or goal that is not declared.
    """
    candidates = [
        _candidate(catalogue, creative)
        for creative in catalogue.creatives
        if creative.channel_id in touchpoint.channels
    ]
    candidates.sort(key=lambda candidate: candidate.key)
    for former, latter in pairwise(candidates):
        if former.key == latter.key:
            raise InvalidPolicyError(f"message must have a key of its own, got {latter.key!r} twice; rename a creative")
    return tuple(candidates)


def _candidate(catalogue: Catalogue, creative: Creative) -> Candidate:
    offer = _find("offer", creative.offer_id, catalogue.offers)
    channel = _find("channel", creative.channel_id, catalogue.channels)
    goal = _find("goal", offer.goal_id, catalogue.goals)
    declared = _number(
        f"value of offer {offer.offer_id}",
        offer.value_minor,
        lowest=-LARGEST_AMOUNT_MINOR,
        highest=LARGEST_AMOUNT_MINOR,
    )
    rule = AllOf(parts=(offer.eligibility, creative.eligibility))
    needed = facts_of(rule)
    message = Message(offer=offer, channel=channel, creative=creative)
    return Candidate(
        message=message,
        key=message.key,
        offer_id=offer.offer_id,
        channel_id=channel.channel_id,
        consent=_needed_consent(offer, channel),
        is_marketing=offer.message_class is MessageClass.MARKETING,
        valid_from=_moment(offer, offer.valid_from),
        valid_until=_moment(offer, offer.valid_until),
        stages=offer.stages,
        rule=rule,
        is_eligible=compile_predicate(rule),
        needs_features=any(map(is_feature, needed)),
        needs_stage=STAGE_FACT in needed,
        cost_minor=_number(f"cost of channel {channel.channel_id}", channel.cost_minor, highest=LARGEST_AMOUNT_MINOR),
        declared_value_minor=declared,
        unit_value_minor=declared if _learns_rate(catalogue) else 1.0,
        weight=_number(f"weight of offer {offer.offer_id}", offer.weight, highest=LARGEST_WEIGHT)
        * _number(f"weight of goal {goal.goal_id}", goal.weight, highest=LARGEST_WEIGHT),
    )


def _find[T](kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


def _learns_rate(catalogue: Catalogue) -> bool:
    measure = catalogue.measures.get(catalogue.learning.measure_id) if catalogue.learning else None
    return measure is not None and measure.unit is Unit.RATE


def _needed_consent(offer: Offer, channel: Channel) -> tuple[str, str] | None:
    if offer.purpose is not None:
        return (channel.channel_id, offer.purpose)
    if offer.message_class not in _CLASSES_WITHOUT_CONSENT:
        raise InvalidPolicyError(
            f"purpose of {offer.message_class} offer {offer.offer_id} must be named, got None; "
            "only mandatory and transactional offers go without consent"
        )
    return None


def _moment(offer: Offer, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.utcoffset() is None:
        raise InvalidPolicyError(f"validity of offer {offer.offer_id} must be a time with an offset, got {moment}")
    return moment


def _number(name: str, value: float, *, lowest: float = 0.0, highest: float) -> float:
    if not lowest <= value <= highest:
        raise InvalidPolicyError(f"{name} must be in [{lowest:g}, {highest:g}], got {value}")
    return float(value)
