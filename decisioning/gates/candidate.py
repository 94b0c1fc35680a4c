"""The messages a touchpoint can send, with everything about them that does not depend on the customer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.contact_policy import LONGEST_SECONDS, Touch
from decisioning.catalogue.experiment import ProgrammeHoldout
from decisioning.catalogue.journey import Touchpoint
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import Creative, Message, MessageClass, Offer
from decisioning.catalogue.message_classes import CLASS_ORDER, ClassRules, Layer, check_classes
from decisioning.errors import InvalidPolicyError, UnknownNameError
from decisioning.gates.capacity import SharedUse
from decisioning.local_time import find_zone
from decisioning.rules.layer_rule import LayerRule, layer_rules

LARGEST_AMOUNT_MINOR = 1e15
"""No amount is larger: ten trillion units. Beyond it a number is a mistake, and sums would lose cents."""

_MINUTES_A_DAY = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A message with everything about it compiled once.

    Attributes:
        touch: What the contact policy, limits and levers look at.
        bypasses: Layers of gates that its class passes unasked.
        precedence: Place of its class among those that go before others, 0 first; None without precedence.
        urgency: Order among messages of a class with precedence, highest first.
        consent: The channel and purpose that need the customer's yes; None where none is needed.
        stages: Stages it fits; empty means every stage.
        eligibility: Rules of the offer and the creative that have something to say.
        applicability: The same.
        suitability: The same.
        asks: Attributes that it asks the customer for.
        never_with: Offers that it must not meet, whichever of the two names the other.
        not_after: How long it rests after each of these offers.
        programmes: Programme holdouts that it belongs to.
        cost_minor: Contact cost of its channel.
        shared: What it uses of limits and shares.
        declared_value_minor: What it is worth where no model can say.
        is_follow_up: It carries on what the customer saw of its offer, and makes no sense before.
        unit_value_minor: What one unit of the learned measure is worth: 1 where money is learned, the declared value
            of the offer where a rate is.
    """

    message: Message
    key: str
    offer_id: str
    channel_id: str
    goal_id: str
    department: str
    message_class: MessageClass
    touch: Touch
    bypasses: frozenset[Layer]
    precedence: int | None
    urgency: float
    consent: tuple[str, str] | None
    valid_from: datetime | None
    valid_until: datetime | None
    stages: frozenset[str]
    eligibility: tuple[LayerRule, ...]
    applicability: tuple[LayerRule, ...]
    suitability: tuple[LayerRule, ...]
    never_with: frozenset[str]
    not_after: Mapping[str, timedelta]
    programmes: frozenset[str]
    cost_minor: float
    shared: SharedUse
    declared_value_minor: float
    unit_value_minor: float
    asks: frozenset[str] = frozenset()
    is_follow_up: bool = False

    @property
    def is_marketing(self) -> bool:
        """True for what competes by value alone, and may bypass nothing."""
        return self.message_class is MessageClass.MARKETING


def compile_candidates(
    catalogue: Catalogue, touchpoint: Touchpoint, *, unit: Unit = Unit.MONEY
) -> tuple[Candidate, ...]:
    """Every message of a touchpoint's channels, in the order of their keys.

    The order depends on names alone: it is that of `Inputs.expected_values` and of the draw, and neither may change
    because somebody moved a line in a file.

    Args:
        catalogue: What is declared.
        touchpoint: Whose channels.
        unit: Of what models predict: a unit of a rate is worth the declared value of the offer.

    Raises:
        InvalidPolicyError: Two messages with one key, a message that could not be judged, or classes that may bypass
            what they must not.
        UnknownNameError: An offer, channel or goal that is not declared.
    """
    check_classes(catalogue.classes)
    opponents = _opponents(catalogue)
    candidates = [
        _candidate(catalogue, creative, opponents, unit)
        for creative in catalogue.creatives
        if creative.channel_id in touchpoint.channels
    ]
    candidates.sort(key=lambda candidate: candidate.key)
    for former, latter in pairwise(candidates):
        if former.key == latter.key:
            raise InvalidPolicyError(f"message must have a key of its own, got {latter.key!r} twice; rename a creative")
    return tuple(candidates)


def _candidate(
    catalogue: Catalogue, creative: Creative, opponents: Mapping[str, frozenset[str]], unit: Unit
) -> Candidate:
    offer = _find("offer", creative.offer_id, catalogue.offers)
    channel = _checked_channel(_find("channel", creative.channel_id, catalogue.channels))
    goal = _find("goal", offer.goal_id, catalogue.goals)
    rules = catalogue.classes[offer.message_class]
    declared = _number(
        f"value of offer {offer.offer_id}",
        offer.value_minor,
        lowest=-LARGEST_AMOUNT_MINOR,
        highest=LARGEST_AMOUNT_MINOR,
    )
    message = Message(offer=offer, channel=channel, creative=creative)
    touch = catalogue.touch(message.parts)
    cost = _number(f"cost of channel {channel.channel_id}", channel.cost_minor, highest=LARGEST_AMOUNT_MINOR)
    return Candidate(
        message=message,
        key=message.key,
        offer_id=offer.offer_id,
        channel_id=channel.channel_id,
        goal_id=goal.goal_id,
        department=goal.department,
        message_class=offer.message_class,
        touch=touch,
        bypasses=rules.bypasses,
        precedence=CLASS_ORDER.index(offer.message_class) if rules.has_precedence else None,
        urgency=_urgency(offer),
        consent=_needed_consent(offer, channel, rules),
        valid_from=_moment(offer, offer.valid_from),
        valid_until=_moment(offer, offer.valid_until),
        stages=offer.stages,
        eligibility=layer_rules(offer.eligibility, creative.eligibility),
        applicability=layer_rules(offer.applicability, creative.applicability),
        suitability=layer_rules(offer.suitability, creative.suitability),
        asks=offer.asks,
        never_with=opponents[offer.offer_id],
        not_after=_rests(catalogue, offer),
        programmes=programmes_of(catalogue.programme_holdouts, touch),
        cost_minor=cost,
        shared=SharedUse(catalogue, touch, cost),
        declared_value_minor=declared,
        unit_value_minor=declared if unit is Unit.RATE else 1.0,
        is_follow_up=catalogue.conversation is not None and message.key in catalogue.conversation.follow_ups,
    )


def programmes_of(holdouts: Iterable[ProgrammeHoldout], touch: Touch) -> frozenset[str]:
    """Programmes that a message belongs to: by its offer, its goal or its goal's department."""
    return frozenset(
        one.programme_id
        for one in holdouts
        if touch.offer_id in one.offers or touch.goal_id in one.goals or touch.department in one.departments
    )


def _opponents(catalogue: Catalogue) -> Mapping[str, frozenset[str]]:
    """Offers by offer that never go together, whichever of the two says so."""
    found: dict[str, set[str]] = {offer_id: set() for offer_id in catalogue.offers}
    for offer in catalogue.offers.values():
        for other in offer.never_with:
            _find("offer", other, catalogue.offers)
            found[offer.offer_id].add(other)
            found[other].add(offer.offer_id)
    return {offer_id: frozenset(others) for offer_id, others in found.items()}


def _rests(catalogue: Catalogue, offer: Offer) -> Mapping[str, timedelta]:
    for other, seconds in offer.not_after.items():
        _find("offer", other, catalogue.offers)
        _number(f"rest of offer {offer.offer_id} after {other}", seconds, highest=LONGEST_SECONDS)
    return {other: timedelta(seconds=seconds) for other, seconds in offer.not_after.items() if seconds}


def _checked_channel(channel: Channel) -> Channel:
    name = f"of channel {channel.channel_id}"
    _number(f"lead time {name}", channel.lead_time_seconds, highest=LONGEST_SECONDS)
    if channel.cut_off_minute is not None and not 0 <= channel.cut_off_minute < _MINUTES_A_DAY:
        raise InvalidPolicyError(f"cut-off {name} must be a minute of the day, got {channel.cut_off_minute}")
    if find_zone(channel.zone) is None:
        raise InvalidPolicyError(f"zone {name} must be an IANA name, got {channel.zone!r}")
    return channel


def _find[T](kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


def _needed_consent(offer: Offer, channel: Channel, rules: ClassRules) -> tuple[str, str] | None:
    if offer.purpose is not None:
        return (channel.channel_id, offer.purpose)
    if Layer.CONSENT not in rules.bypasses:
        raise InvalidPolicyError(
            f"purpose of {offer.message_class} offer {offer.offer_id} must be named, got None; "
            "only classes that bypass consent (mandatory and transactional may) go without"
        )
    return None


def _urgency(offer: Offer) -> float:
    if not isfinite(offer.urgency):
        raise InvalidPolicyError(f"urgency of offer {offer.offer_id} must be a finite number, got {offer.urgency}")
    return offer.urgency


def _moment(offer: Offer, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.utcoffset() is None:
        raise InvalidPolicyError(f"validity of offer {offer.offer_id} must be a time with an offset, got {moment}")
    return moment


def _number(name: str, value: float, *, lowest: float = 0.0, highest: float) -> float:
    if not lowest <= value <= highest:
        raise InvalidPolicyError(f"{name} must be in [{lowest:g}, {highest:g}], got {value}")
    return float(value)
