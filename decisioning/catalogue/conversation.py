"""One conversation across channels: an offer that a customer has seen is not repeated but followed up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from decisioning.catalogue.contact_policy import LONGEST_SECONDS, Response
from decisioning.errors import InvalidPolicyError
from decisioning.value_class import value_class

SEEN_OUTCOMES = frozenset({"viewed", "clicked", "answered"})
"""Outcomes by which a customer shows that a message was not only delivered but seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """How long a seen offer is remembered, and which messages follow it up.

    Attributes:
        seen_seconds: An offer that was seen is not repeated for so long, and may be followed up.
        follow_ups: Keys of the messages that follow up: possible only once their offer was seen.
    """

    seen_seconds: float
    follow_ups: frozenset[str] = frozenset()


@value_class
class Sighting:
    """The latest that a customer saw of an offer.

    Attributes:
        channel_id: Where.
        until: First moment at which it no longer counts.
    """

    channel_id: str
    until: datetime


@value_class
class Seen:
    """What a customer has seen lately, by offer.

    Attributes:
        offers: The latest sighting in any wording, follow-ups included.
        followed: The latest sighting of a follow-up.
    """

    offers: Mapping[str, Sighting] = field(default_factory=dict[str, Sighting])
    followed: Mapping[str, Sighting] = field(default_factory=dict[str, Sighting])


NOTHING_SEEN = Seen()


def seen_lately(conversation: Conversation | None, responses: Iterable[Response], now: datetime) -> Seen:
    """What a customer has seen within the memory of a conversation; what is dated after `now` was seen.

    Args:
        conversation: None remembers nothing.
        responses: Outcomes so far; those that do not show that a message was seen are passed over.
        now: The moment of the decision (aware).

    Example:
        >>> from datetime import UTC
        >>> from decisioning.catalogue.contact_policy import Touch
        >>> from decisioning.catalogue.message import MessageClass
        >>> touch = Touch(message_class=MessageClass.MARKETING, department="sales", goal_id="sell",
        ...     channel_id="email", offer_id="deal", creative_id="plain")
        >>> noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
        >>> view = Response(outcome="viewed", touch=touch, at=noon)
        >>> seen = seen_lately(Conversation(seen_seconds=60.0), [view], noon)
        >>> list(seen.offers), list(seen.followed)
        (['deal'], [])
    """
    if conversation is None:
        return NOTHING_SEEN
    memory = timedelta(seconds=conversation.seen_seconds)
    offers, followed = dict[str, Sighting](), dict[str, Sighting]()
    for one in responses:
        if one.outcome not in SEEN_OUTCOMES or now >= one.at + memory:
            continue
        sighting = Sighting(channel_id=one.touch.channel_id, until=one.at + memory)
        _keep_latest(offers, one.touch.offer_id, sighting)
        if one.touch.message_key in conversation.follow_ups:
            _keep_latest(followed, one.touch.offer_id, sighting)
    return Seen(offers=offers, followed=followed)


def check_conversation(conversation: Conversation) -> None:
    """Refuse a memory that cannot work.

    Raises:
        InvalidPolicyError: It is not positive, or longer than a century.
    """
    if not 0 < conversation.seen_seconds <= LONGEST_SECONDS:
        raise InvalidPolicyError(
            f"seen_seconds of the conversation must be in (0, {LONGEST_SECONDS:g}], got {conversation.seen_seconds}"
        )


def _keep_latest(found: dict[str, Sighting], offer_id: str, sighting: Sighting) -> None:
    known = found.get(offer_id)
    if known is None or known.until < sighting.until:
        found[offer_id] = sighting
