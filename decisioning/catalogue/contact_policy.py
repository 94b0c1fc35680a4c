"""How often a customer or household may be contacted: sliding windows at several scopes.

This is what is declared, and what a book of contacts holds; `contact_ledger` counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from decisioning.catalogue.message import MessageClass, Offer, message_key
from decisioning.catalogue.message_classes import CapScope
from decisioning.errors import InvalidInputError, InvalidPolicyError
from decisioning.value_class import value_class

LONGEST_SECONDS = 100 * 366 * 86_400.0
"""No window, cooldown or half-life is longer: a century. Beyond it a number is a mistake."""

CONFIRMING_OUTCOMES = frozenset(
    {
        "delivered", "viewed", "clicked", "accepted", "declined", "converted", "returned", "unsubscribed", "complained",
        "referred", "reviewed", "answered",
    }
)  # fmt: skip
"""Outcomes that prove that a message reached its customer: its contact counts, whatever else is reported."""

RELEASING_OUTCOMES = frozenset({"not_sent", "bounced"})
"""Outcomes that give a contact's room back, unless the message is known to have arrived."""

_FADED_HALF_LIVES = 10.0


class CapUnit(StrEnum):
    """Whose contacts a cap counts."""

    CUSTOMER = "customer"
    HOUSEHOLD = "household"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """At most `limit` contacts in any window of `window_seconds`.

    Attributes:
        cap_id: Name.
        scope: What is counted.
        of: The one department, goal, class, channel, offer or creative it is for (a creative by its name, or by its
            message key where others bear the name); None counts each of them alone.
        limit: 0 means never. (No cap means no limit.)
        window_seconds: Length of the sliding window: a contact leaves it exactly this long after it was made.
        unit: Per customer or per household.
    """

    cap_id: str
    scope: CapScope
    limit: int
    window_seconds: float
    of: str | None = None
    unit: CapUnit = CapUnit.CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureBudget:
    """Contacts weigh class weight x channel weight (1 where not named); their sum in the window is at most `limit`."""

    limit: float
    window_seconds: float
    class_weights: Mapping[MessageClass, float] = field(default_factory=dict[MessageClass, float])
    channel_weights: Mapping[str, float] = field(default_factory=dict[str, float])


class SuppressionScope(StrEnum):
    """What a suppression covers, narrowest first."""

    CREATIVE = "creative"
    OFFER = "offer"
    GOAL = "goal"
    CHANNEL = "channel"
    CLASS = "class"
    DEPARTMENT = "department"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """After an outcome, messages that share `scope` with the message it answered rest for a while.

    Attributes:
        after: Outcome type: `declined`, `bounced`, `complained`, `unsubscribed`.
        cooldown_seconds: How long; None for ever.
    """

    after: str
    scope: SuppressionScope
    cooldown_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fatigue:
    """What one more contact costs in goodwill.

    `cost_minor` x its weight x the weighted contacts so far, each fading by half-life; weights are those of contact
    pressure, and what does not count towards pressure costs nothing.
    """

    cost_minor: float
    half_life_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPolicy:
    """All limits on contact.

    Attributes:
        look_ahead_seconds: A candidate leaves room for heavier messages that are due within this; 0 for none.
    """

    caps: tuple[Cap, ...] = ()
    pressure: PressureBudget | None = None
    suppressions: tuple[Suppression, ...] = ()
    look_ahead_seconds: float = 0.0
    fatigue: Fatigue | None = None


def limits_contacts(policy: ContactPolicy) -> bool:
    """Whether a policy has any cap or a contact pressure."""
    return bool(policy.caps) or policy.pressure is not None


@value_class
class Touch:
    """The parts of a message that the contact policy looks at."""

    message_class: MessageClass
    department: str
    goal_id: str
    channel_id: str
    offer_id: str
    creative_id: str

    @property
    def message_key(self) -> str:
        """Key of the message."""
        return message_key(self.offer_id, self.channel_id, self.creative_id)


def touch_words(touch: Touch) -> list[str]:
    """A touch as words, for records and stores; `touch_of_words` reads them."""
    return [
        touch.message_class.value,
        touch.department,
        touch.goal_id,
        touch.channel_id,
        touch.offer_id,
        touch.creative_id,
    ]


def touch_of_words(words: Sequence[str]) -> Touch:
    """The touch that `touch_words` wrote.

    Raises:
        ValueError: Another number of words, or a class that there is not.
    """
    message_class, department, goal_id, channel_id, offer_id, creative_id = words
    return Touch(
        message_class=MessageClass(message_class),
        department=department,
        goal_id=goal_id,
        channel_id=channel_id,
        offer_id=offer_id,
        creative_id=creative_id,
    )


@value_class
class Contact:
    """A contact in a customer's book.

    It counts when it was confirmed; or, until `reserved_until`, while it is reserved and was not released. A contact
    confirmed and released was sent: what reached a customer cannot be taken back. The two flags only ever rise, so
    duplicated, late and reordered feedback ends in the same contact.

    Attributes:
        contact_id: Decision id, with `-2`, `-3` ... for the further positions of a slate; `-ghost` for a ghost.
        at: When it was decided, or sent where that is known (aware, UTC).
        reserved_until: First moment at which the reservation no longer counts; None for no end.
        is_confirmed: The message was sent for sure: a permit was given, or it arrived.
        is_ghost: What a held-out customer would have got: counts among ghosts only.
    """

    contact_id: str
    touch: Touch
    at: datetime
    reserved_until: datetime | None = None
    is_confirmed: bool = False
    is_released: bool = False
    is_ghost: bool = False

    def counts_at(self, now: datetime) -> bool:
        """True where it counts at a moment, as far as is known now.

        Example:
            >>> from datetime import UTC
            >>> touch = Touch(message_class=MessageClass.MARKETING, department="sales", goal_id="loyalty",
            ...     channel_id="email", offer_id="free-coffee", creative_id="plain")
            >>> noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
            >>> contact = Contact(contact_id="d1", touch=touch, at=noon, reserved_until=noon.replace(hour=13))
            >>> contact.counts_at(noon), contact.counts_at(noon.replace(hour=13))
            (True, False)
        """
        return self.is_confirmed or (
            not self.is_released and (self.reserved_until is None or now < self.reserved_until)
        )


@value_class
class Due:
    """A message that is already planned, such as a boarding pass tomorrow."""

    due_id: str
    due_at: datetime
    touch: Touch


@value_class
class Response:
    """The latest outcome of one type to one message."""

    outcome: str
    touch: Touch
    at: datetime


def merge_contacts(contact: Contact, other: Contact) -> Contact:
    """Two accounts of one contact, brought together: what either knows to have happened, happened.

    Raises:
        InvalidInputError: They are not of one contact.
    """
    if contact.contact_id != other.contact_id:
        raise InvalidInputError("contacts must have one id to be merged, got two")
    if contact is other or contact == other:  # the usual case: a household's book repeats the customer's
        return contact
    return replace(
        min(contact, other, key=_origin),
        is_confirmed=contact.is_confirmed or other.is_confirmed,
        is_released=contact.is_released or other.is_released,
    )


def _origin(contact: Contact) -> tuple[float, float, bool, str]:
    """A total order of accounts of one contact; without an end last."""
    until = contact.reserved_until
    return (
        contact.at.timestamp(),
        math.inf if until is None else until.timestamp(),
        contact.is_ghost,
        repr(contact.touch),
    )


def book_seconds(policy: ContactPolicy, offers: Iterable[Offer] = ()) -> float:
    """How long a contact must stay in the book: beyond it no cap, pressure, fatigue or rule between offers sees it.

    Example:
        >>> cap = Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=3, window_seconds=604_800.0)
        >>> book_seconds(ContactPolicy(caps=(cap,)))
        604800.0
    """
    spans = [cap.window_seconds for cap in policy.caps]
    if policy.pressure is not None:
        spans.append(policy.pressure.window_seconds)
    if policy.fatigue is not None:
        spans.append(policy.fatigue.half_life_seconds * _FADED_HALF_LIVES)
    for offer in offers:
        spans.extend(offer.not_after.values())
    return max(spans, default=0.0)


def check_contact_policy(policy: ContactPolicy) -> None:
    """Refuse numbers that cannot work.

    Raises:
        InvalidPolicyError: A limit, window, weight, cooldown or cost that is negative, not finite or beyond a century;
            or a cap that names what it cannot count.
    """
    names = [cap.cap_id for cap in policy.caps]
    if len(set(names)) < len(names):
        raise InvalidPolicyError(f"caps must have names of their own, got {names}; rename one")
    for cap in policy.caps:
        _check_cap(cap)
    if policy.pressure is not None:
        _check_pressure(policy.pressure)
    for rule in policy.suppressions:
        if rule.cooldown_seconds is not None:
            _check_span(f"cooldown_seconds after {rule.after}", rule.cooldown_seconds)
    if policy.fatigue is not None:
        _check_amount("cost_minor of fatigue", policy.fatigue.cost_minor)
        _check_span("half_life_seconds of fatigue", policy.fatigue.half_life_seconds)
    if not 0 <= policy.look_ahead_seconds <= LONGEST_SECONDS:
        raise InvalidPolicyError(
            f"look_ahead_seconds must be in [0, {LONGEST_SECONDS:g}], got {policy.look_ahead_seconds}"
        )


def _check_cap(cap: Cap) -> None:
    if cap.limit < 0:
        raise InvalidPolicyError(f"limit of cap {cap.cap_id} must be 0 or more, got {cap.limit}; 0 means never")
    _check_span(f"window_seconds of cap {cap.cap_id}", cap.window_seconds)
    if cap.scope is CapScope.PRESSURE:
        raise InvalidPolicyError(
            f"scope of cap {cap.cap_id} must be something to count, got pressure; declare pressure"
        )
    if cap.scope is CapScope.EVERYTHING and cap.of is not None:
        raise InvalidPolicyError(f"cap {cap.cap_id} on everything must have no `of`, got {cap.of!r}; choose a scope")


def _check_pressure(pressure: PressureBudget) -> None:
    _check_amount("limit of pressure", pressure.limit)
    _check_span("window_seconds of pressure", pressure.window_seconds)
    for name, weight in (*pressure.class_weights.items(), *pressure.channel_weights.items()):
        _check_amount(f"pressure weight of {name}", weight)


def _check_span(name: str, seconds: float) -> None:
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidPolicyError(f"{name} must be in (0, {LONGEST_SECONDS:g}], got {seconds}")


def _check_amount(name: str, amount: float) -> None:
    if not (amount >= 0 and math.isfinite(amount)):
        raise InvalidPolicyError(f"{name} must be 0 or more and finite, got {amount}")
