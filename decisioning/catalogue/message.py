"""What can be sent: offer x channel x creative, and silence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from decisioning.catalogue.channel import Channel
from decisioning.errors import InvalidInputError
from decisioning.rules.predicate import ALWAYS, FactValue, Predicate

SILENCE = "silence"
"""Key of the candidate that sends nothing. It is always there, with a value of its own."""


class MessageClass(StrEnum):
    """What a message is for, and so what it may bypass."""

    MANDATORY = "mandatory"
    TRANSACTIONAL = "transactional"
    RECOVERY = "recovery"
    SERVICE = "service"
    MARKETING = "marketing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A proposition.

    Attributes:
        offer_id: Name.
        goal_id: The goal it serves; the goal's department owns it.
        kind: Kind of offer, from the catalogue's `offer_kinds`; features and models group by it.
        message_class: Mandatory to marketing.
        purpose: Purpose that needs the customer's consent; None only for classes that bypass consent.
        stages: Journey stages it fits; empty means every stage.
        valid_from: First moment it may be sent (aware, UTC), inclusive; None for no bound.
        valid_until: First moment it may no longer be sent (aware, UTC); None for no bound.
        value_minor: Declared money value, used where no model can say; in minor units.
        attributes: Numbers and words that describe it to the model, so that a new offer can be scored.
        eligibility: Rule over facts: may this customer have it.
        applicability: Rule over facts: does it make sense for them now.
        suitability: Rule over facts: is it good for them.
        never_with: Offers that the customer must not also have: in one slate, or within the window of the contact book.
        not_after: Seconds for which this offer rests after each of these offers.
        urgency: Order among messages of a class with precedence, highest first; nothing else looks at it.
        asks: Attributes of the customer that it asks for; it is not sent where all of them are known.
        answers_in_kind: Of its messages, that on the channel where the customer told of the trouble goes first; only
            for classes with precedence.
    """

    offer_id: str
    goal_id: str
    kind: str
    message_class: MessageClass
    purpose: str | None
    stages: frozenset[str] = frozenset()
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    value_minor: float = 0.0
    attributes: Mapping[str, FactValue] = field(default_factory=dict[str, FactValue])
    eligibility: Predicate = ALWAYS
    applicability: Predicate = ALWAYS
    suitability: Predicate = ALWAYS
    never_with: frozenset[str] = frozenset()
    not_after: Mapping[str, float] = field(default_factory=dict[str, float])
    urgency: float = 0.0
    asks: frozenset[str] = frozenset()
    answers_in_kind: bool = False


def message_key(offer_id: str, channel_id: str, creative_id: str) -> str:
    """Identity of a message in records and logs.

    Example:
        >>> message_key("free-coffee", "email", "short")
        'free-coffee/email/short'
    """
    return f"{offer_id}/{channel_id}/{creative_id}"


class MessageParts(NamedTuple):
    """What a message is made of, by name; a creative has its name within an offer and a channel."""

    offer_id: str
    channel_id: str
    creative_id: str

    @property
    def key(self) -> str:
        """Identity of the message, see `message_key`."""
        return message_key(*self)


def message_parts(key: str) -> MessageParts | None:
    """The parts of a message by its key; None for silence.

    Raises:
        InvalidInputError: A key that is not offer/channel/creative.

    Example:
        >>> message_parts("free-coffee/email/short").channel_id, message_parts("silence")
        ('email', None)
    """
    if key == SILENCE:
        return None
    parts = key.split("/")
    if len(parts) != len(MessageParts._fields):
        raise InvalidInputError(f"message key must be offer/channel/creative, got {key!r}")
    return MessageParts(*parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creative:
    """The wording of an offer on one channel; `content` holds Liquid templates by field.

    Attributes:
        place: Order among the messages of an offer that goes before others, lowest first, as it was written down;
            nothing else looks at it.
        requires: Fields of customer and context without which it is not sent, such as `customer.first_name`.
    """

    creative_id: str
    offer_id: str
    channel_id: str
    content: Mapping[str, str]
    eligibility: Predicate = ALWAYS
    applicability: Predicate = ALWAYS
    suitability: Predicate = ALWAYS
    place: int = 0
    requires: tuple[str, ...] = ()

    @property
    def parts(self) -> MessageParts:
        """The message that carries it, by the names of its parts."""
        return MessageParts(self.offer_id, self.channel_id, self.creative_id)

    @property
    def message_key(self) -> str:
        """Key of that message."""
        return self.parts.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing that can be sent."""

    offer: Offer
    channel: Channel
    creative: Creative

    @property
    def parts(self) -> MessageParts:
        """What it is made of, by name."""
        return MessageParts(self.offer.offer_id, self.channel.channel_id, self.creative.creative_id)

    @property
    def key(self) -> str:
        """Identity in records and logs, such as `free-coffee/email/short`."""
        return self.parts.key
