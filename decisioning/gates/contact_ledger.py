"""A customer's contacts compared with the contact policy: which caps are reached, and until when.

A contact counts towards the caps that its own class names, in any window of the cap's length: it is in the window from
the moment it was made until exactly one window length later, when it is out. A contact dated in the future counts at
once. Whether a candidate is checked at all depends on its class's `bypasses`; a candidate that is checked must find
room in every cap that fits it, whether its own class counts there or not. So a cap of 0 means never.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter

from decisioning.catalogue.contact_policy import (
    Cap,
    CapUnit,
    Contact,
    ContactPolicy,
    Due,
    Response,
    Suppression,
    SuppressionScope,
    Touch,
    merge_contacts,
)
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope, ClassRules
from decisioning.decision import Exclusion
from decisioning.gates.message_sets.grouping import MessageGroup, MessageSet
from decisioning.gates.sliding_window import SlidingWindow, WindowSpan, first_room, fits, keeps_plans
from decisioning.rules.number_words import number_words

type BookRefusal = tuple[Exclusion, str, datetime | None]
"""Which code, what exactly is full, and the first moment there is room; None where there never is."""

type ValueOf = Callable[[Touch], str]

GHOST_SUFFIX = "-ghost"
"""Ends the id of a ghost contact, so that it never meets the real one of the same decision."""

_DAY, _HOUR, _MINUTE = 86_400.0, 3_600.0, 60.0


def _everything(_: Touch) -> str:
    return ""


TOUCH_SIDES: Mapping[str, ValueOf] = {
    "everything": _everything,
    "department": attrgetter("department"),
    "goal": attrgetter("goal_id"),
    "class": attrgetter("message_class"),
    "channel": attrgetter("channel_id"),
    "offer": attrgetter("offer_id"),
    "creative": attrgetter("message_key"),  # creatives of different offers may bear one name
    "creative_name": attrgetter("creative_id"),
}
"""The sides of a message that caps and suppressions look at."""

type TouchGroups = Mapping[str, Mapping[str, tuple[MessageGroup, ...]]]
"""Candidates by side and value, in groups of one class and one channel."""

type BookRefusals = list[tuple[MessageSet, BookRefusal]]
"""What is said against sets of messages that have none in common."""


class _Dimension:
    """The caps that look at one side of a message, and what they said so far about each value of it."""

    __slots__ = ("caps", "members", "scope", "side", "value_of", "verdicts")

    def __init__(self, scope: CapScope, side: str) -> None:
        self.scope = scope
        self.side = side
        self.value_of = TOUCH_SIDES[side]
        self.caps: list[Cap] = []
        self.members: dict[CapUnit, dict[str, list[Contact]]] = {}
        self.verdicts: dict[object, BookRefusal | None] = {}


class ContactLedger:
    """What one customer's book says about messages, at one moment.

    Everything is counted once, when first asked; asking again costs a look-up per scope.
    """

    __slots__ = (
        "_books",
        "_classes",
        "_contacts",
        "_due",
        "_faded",
        "_ghosts",
        "_household_contacts",
        "_load",
        "_near",
        "_now",
        "_own",
        "_policy",
        "_pressed",
        "_pressure",
        "_responses",
        "_resting",
    )

    def __init__(
        self,
        policy: ContactPolicy,
        classes: Mapping[MessageClass, ClassRules],
        contacts: Iterable[Contact],
        household_contacts: Iterable[Contact],
        due: Iterable[Due],
        responses: Iterable[Response],
        now: datetime,
        *,
        ghosts: bool = False,
    ) -> None:
        """Open the book.

        Args:
            policy: Checked by `contact_policy.check_contact_policy`.
            classes: The matrix; a class that is not in it bypasses nothing and counts towards everything.
            contacts: The customer's; accounts of one contact are merged, order does not matter.
            household_contacts: The household's; the customer's own count in it whether they are listed or not.
            due: Messages that are planned; those before `now` keep nothing any more.
            responses: Outcomes that may suppress.
            now: The moment of the decision (aware, UTC).
            ghosts: Count what a held-out customer would have got as well, in place of what the same decision sent.
        """
        self._policy, self._classes, self._now, self._ghosts = policy, classes, now, ghosts
        self._contacts, self._household_contacts = tuple(contacts), tuple(household_contacts)
        horizon = now + timedelta(seconds=policy.look_ahead_seconds)
        self._due = tuple(plan for plan in due if now <= plan.due_at) if horizon > now else ()
        self._responses = tuple(responses)
        self._books: dict[CapUnit, tuple[Contact, ...]] = {}
        self._pressure: dict[tuple[MessageClass, str], BookRefusal | None] = {}
        self._resting: Mapping[SuppressionScope, Mapping[str, BookRefusal]] | None = None
        self._near: tuple[_Dimension, ...] | None = None
        self._own: dict[str, Contact] | None = None
        self._pressed: list[tuple[Contact, float]] | None = None
        self._load: float | None = None
        self._faded: float | None = None

    def refusal(self, touch: Touch) -> BookRefusal | None:
        """Why the contact policy refuses a message now; None where there is room.

        Returns:
            Code (`CAP_REACHED`, `PRESSURE_REACHED`, or `ROOM_KEPT` where only a heavier message that is due stands in
            the way), what is full and how full, and the first moment there is room; None where there never will be.
            Of several, the one that lasts longest.
        """
        worst: BookRefusal | None = None
        for dimension in self._dimensions():
            found = self._verdict(dimension, dimension.value_of(touch), touch)
            worst = worst if found is None else _longer(worst, found)
        if self._policy.pressure is not None:
            worst = _longer(worst, self._pressure_refusal(touch))
        return worst

    def refusals(self, groups: TouchGroups) -> BookRefusals:
        """As `refusal`, for all candidates at once."""
        refused: BookRefusals = []
        for dimension in self._dimensions():
            by_value = groups[dimension.side]
            for value in self._values_with_little_room(dimension, by_value):
                for group in by_value.get(value, ()):
                    found = self._verdict(dimension, value, group.example.touch)
                    refused = refused if found is None else _overlaid(refused, group.messages, found)
        if self._policy.pressure is not None:
            for group in groups["everything"].get("", ()):
                found = self._pressure_refusal(group.example.touch)
                refused = refused if found is None else _overlaid(refused, group.messages, found)
        return refused

    def suppression(self, touch: Touch) -> BookRefusal | None:
        """Why a message is suppressed after an outcome, and until when (None: for ever); None if it is not."""
        worst: BookRefusal | None = None
        for scope, resting in self._suppressed().items():
            found = resting.get(TOUCH_SIDES[scope](touch))
            worst = worst if found is None else _longer(worst, found)
        return worst

    def suppressions(self, groups: TouchGroups) -> BookRefusals:
        """As `suppression`, for all candidates at once."""
        refused: BookRefusals = []
        for scope, resting in self._suppressed().items():
            for value, found in resting.items():
                for group in groups[scope].get(value, ()):
                    refused = _overlaid(refused, group.messages, found)
        return refused

    def with_contact(self, touch: Touch) -> "ContactLedger":
        """The book with one more contact made now, as the earlier positions of a slate make them."""
        made = Contact(contact_id=f"now-{len(self._contacts)}", touch=touch, at=self._now, is_ghost=self._ghosts)
        ledger = ContactLedger(
            self._policy,
            self._classes,
            (*self._contacts, made),
            self._household_contacts,
            self._due,
            self._responses,
            self._now,
            ghosts=self._ghosts,
        )
        ledger._books = {unit: (*book, made) for unit, book in self._books.items()}
        return ledger

    def fatigue_minor(self, touch: Touch) -> float:
        """What one more contact costs in goodwill, in minor units, see `contact_policy.Fatigue`."""
        fatigue = self._policy.fatigue
        if fatigue is None or not self._counts(touch.message_class, CapScope.PRESSURE):
            return 0.0
        if self._faded is None:
            now, half_life = self._now, fatigue.half_life_seconds
            self._faded = math.fsum(
                [
                    weight * 0.5 ** (max((now - contact.at).total_seconds(), 0.0) / half_life)
                    for contact, weight in self._pressing()
                ]
            )
        return fatigue.cost_minor * self._weight(touch) * self._faded

    def sent_offers(self) -> Mapping[str, datetime]:
        """When each offer was last sent to the customer, of the contacts that count."""
        latest: dict[str, datetime] = {}
        for contact in self._book(CapUnit.CUSTOMER):
            offer_id, at = contact.touch.offer_id, contact.at
            if offer_id not in latest or at > latest[offer_id]:
                latest[offer_id] = at
        return latest

    def _book(self, unit: CapUnit) -> tuple[Contact, ...]:
        """The contacts that count now, each once."""
        if unit not in self._books:
            accounts = self._accounts()
            if unit is CapUnit.HOUSEHOLD:
                accounts = _merged(self._household_contacts, accounts, ghosts=self._ghosts)
            self._books[unit] = _counting(accounts, self._now, ghosts=self._ghosts)
        return self._books[unit]

    def _accounts(self) -> dict[str, Contact]:
        """The customer's contacts, each once, whether they count or not."""
        if self._own is None:
            self._own = _merged(self._contacts, {}, ghosts=self._ghosts)
        return self._own

    def _pressing(self) -> Sequence[tuple[Contact, float]]:
        """The customer's contacts that count towards pressure, each with its weight."""
        if self._pressed is None:
            pressed, weights = list[tuple[Contact, float]](), dict[tuple[MessageClass, str], float | None]()
            for contact in self._book(CapUnit.CUSTOMER):
                touch = contact.touch
                key = (touch.message_class, touch.channel_id)
                if key not in weights:
                    weights[key] = self._weight(touch) if self._counts(key[0], CapScope.PRESSURE) else None
                if (weight := weights[key]) is not None:
                    pressed.append((contact, weight))
            self._pressed = pressed
        return self._pressed

    def _dimensions(self) -> tuple[_Dimension, ...]:
        if self._near is None:
            self._near = _dimensions_of(filter(self._is_near, self._policy.caps))
        return self._near

    def _values_with_little_room(self, dimension: _Dimension, values: Iterable[str]) -> Iterable[str]:
        """Those that a cap can be full for: with contacts, unless plans or a limit of 0 need none."""
        if self._due or any(cap.limit == 0 for cap in dimension.caps):
            return values
        return dict.fromkeys(
            value
            for unit in dict.fromkeys(cap.unit for cap in dimension.caps)
            for value in self._members(dimension, unit)
        )

    def _verdict(self, dimension: _Dimension, value: str, touch: Touch) -> BookRefusal | None:
        key = (value, touch.message_class, touch.channel_id) if self._due else value
        if key not in dimension.verdicts:
            dimension.verdicts[key] = self._caps_refusal(dimension, value, touch)
        return dimension.verdicts[key]

    def _suppressed(self) -> Mapping[SuppressionScope, Mapping[str, BookRefusal]]:
        if self._resting is None:
            self._resting = _resting(self._policy.suppressions, self._responses, self._now)
        return self._resting

    def _is_near(self, cap: Cap) -> bool:
        """False for a cap that cannot be full, since all contacts together do not fill it: most are such caps."""
        if self._due or cap.limit == 0:
            return True
        book = self._book(cap.unit)
        if len(book) < cap.limit:
            return False
        since = self._now - timedelta(seconds=cap.window_seconds)
        return sum([contact.at > since for contact in book]) >= cap.limit

    def _counts(self, message_class: MessageClass, scope: CapScope) -> bool:
        rules = self._classes.get(message_class)
        return rules is None or scope in rules.counts_towards

    def _weight(self, touch: Touch) -> float:
        pressure = self._policy.pressure
        if pressure is None:
            return 1.0
        return pressure.class_weights.get(touch.message_class, 1.0) * pressure.channel_weights.get(
            touch.channel_id, 1.0
        )

    def _rank(self, touch: Touch) -> tuple[bool, float]:
        """How heavy a message is: a class with precedence before all others, then by weight."""
        rules = self._classes.get(touch.message_class)
        return (rules is not None and rules.has_precedence, self._weight(touch))

    def _heavier(self, touch: Touch, scope: CapScope) -> list[Due]:
        """What is due, heavier than a candidate, and counts where the candidate would count."""
        if not self._due or not self._counts(touch.message_class, scope):
            return []
        rank = self._rank(touch)
        return [
            plan
            for plan in self._due
            if self._rank(plan.touch) > rank and self._counts(plan.touch.message_class, scope)
        ]

    def _members(self, dimension: _Dimension, unit: CapUnit) -> dict[str, list[Contact]]:
        if unit not in dimension.members:
            members: dict[str, list[Contact]] = {}
            for contact in self._book(unit):
                if self._counts(contact.touch.message_class, dimension.scope):
                    members.setdefault(dimension.value_of(contact.touch), []).append(contact)
            dimension.members[unit] = members
        return dimension.members[unit]

    def _caps_refusal(self, dimension: _Dimension, value: str, touch: Touch) -> BookRefusal | None:
        heavier = [plan for plan in self._heavier(touch, dimension.scope) if dimension.value_of(plan.touch) == value]
        worst: BookRefusal | None = None
        for cap in dimension.caps:
            if cap.of is None or cap.of == value:
                contacts = self._members(dimension, cap.unit).get(value, [])
                worst = _longer(worst, self._cap_refusal(cap, contacts, heavier))
        return worst

    def _cap_refusal(self, cap: Cap, contacts: Sequence[Contact], heavier: Sequence[Due]) -> BookRefusal | None:
        length = timedelta(seconds=cap.window_seconds)
        since = self._now - length
        recent = [contact for contact in contacts if contact.at > since]
        count = len(recent)
        if count < cap.limit and not heavier:
            return None
        made = [self._span(contact, length, 1.0) for contact in recent]
        household = " per household" if cap.unit is CapUnit.HOUSEHOLD else ""
        full = f"cap {cap.cap_id}: {count} of {cap.limit} in {span_words(cap.window_seconds)}{household}"
        planned = [WindowSpan(plan.due_at, plan.due_at + length) for plan in heavier]
        return self._judge(full, Exclusion.CAP_REACHED, made, planned, self._window(length, cap.limit), 1.0)

    def _pressure_refusal(self, touch: Touch) -> BookRefusal | None:
        key = (touch.message_class, touch.channel_id)
        if key not in self._pressure:
            self._pressure[key] = self._weigh(touch)
        return self._pressure[key]

    def _weigh(self, touch: Touch) -> BookRefusal | None:
        pressure, weight = self._policy.pressure, self._weight(touch)
        if pressure is None or weight == 0:
            return None
        length = timedelta(seconds=pressure.window_seconds)
        since = self._now - length
        planned = [
            WindowSpan(plan.due_at, plan.due_at + length, self._weight(plan.touch))
            for plan in self._heavier(touch, CapScope.PRESSURE)
        ]
        if self._load is None:
            self._load = math.fsum([weight for contact, weight in self._pressing() if contact.at > since])
        load = self._load
        if not planned and fits(load + weight, pressure.limit):
            return None
        full = (
            f"pressure: {load:g} of {pressure.limit:g} in {span_words(pressure.window_seconds)}, this weighs {weight:g}"
        )
        made = [self._span(contact, length, weighs) for contact, weighs in self._pressing() if contact.at > since]
        window = self._window(length, pressure.limit)
        return self._judge(full, Exclusion.PRESSURE_REACHED, made, planned, window, weight)

    def _span(self, contact: Contact, length: timedelta, weight: float) -> WindowSpan:
        """When a contact weighs, as far as is known: until it leaves the window or its reservation ends."""
        ends = contact.at + length
        if contact.reserved_until is not None and not contact.is_confirmed:
            ends = min(ends, contact.reserved_until)
        return WindowSpan(min(contact.at, self._now), ends, weight)

    def _window(self, length: timedelta, limit: float) -> SlidingWindow:
        return SlidingWindow(length, limit, timedelta(seconds=self._policy.look_ahead_seconds))

    def _judge(
        self,
        full: str,
        code: Exclusion,
        made: list[WindowSpan],
        planned: list[WindowSpan],
        window: SlidingWindow,
        weight: float,
    ) -> BookRefusal | None:
        """Full now, or kept free for what is due; and the first moment there is room."""
        load = math.fsum(span.weight for span in made)
        if not fits(load + weight, window.limit):
            return (code, full, first_room(made, planned, window, weight=weight, now=self._now))
        if keeps_plans(made, planned, window, weight=weight, at=self._now):
            return None
        room = first_room(made, planned, window, weight=weight, now=self._now)
        return (Exclusion.ROOM_KEPT, f"{full}, and heavier messages are due", room)


def _dimensions_of(caps: Iterable[Cap]) -> tuple[_Dimension, ...]:
    dimensions: dict[str, _Dimension] = {}
    for cap in caps:
        is_name = cap.scope is CapScope.CREATIVE and cap.of is not None and "/" not in cap.of
        name = "creative_name" if is_name else cap.scope.value
        if name not in dimensions:
            dimensions[name] = _Dimension(cap.scope, name)
        dimensions[name].caps.append(cap)
    return tuple(dimensions.values())


def _counting(accounts: Mapping[str, Contact], now: datetime, *, ghosts: bool) -> tuple[Contact, ...]:
    counting = [contact for contact in accounts.values() if contact.counts_at(now)]
    if ghosts:
        counting = [contact for contact in counting if contact.contact_id + GHOST_SUFFIX not in accounts]
    return tuple(counting)


def _merged(contacts: Iterable[Contact], accounts: Mapping[str, Contact], *, ghosts: bool) -> dict[str, Contact]:
    """The contacts with other accounts of them, each once, by id."""
    merged = {**accounts}
    for contact in contacts:
        if ghosts or not contact.is_ghost:
            known = merged.setdefault(contact.contact_id, contact)
            if known is not contact:
                merged[contact.contact_id] = merge_contacts(known, contact)
    return merged


def _resting(
    suppressions: Sequence[Suppression], responses: Sequence[Response], now: datetime
) -> dict[SuppressionScope, dict[str, BookRefusal]]:
    resting: dict[SuppressionScope, dict[str, BookRefusal]] = {}
    for rule in suppressions:
        seconds, values = rule.cooldown_seconds, resting.setdefault(rule.scope, {})
        for response in responses:
            if response.outcome != rule.after:
                continue
            until = None if seconds is None else response.at + timedelta(seconds=seconds)
            if until is None or now < until:
                value = TOUCH_SIDES[rule.scope](response.touch)
                if value not in values or _is_later(until, values[value][2]):
                    span = "for ever" if seconds is None else f"for {span_words(seconds)}"
                    values[value] = (Exclusion.SUPPRESSED, f"{rule.after}: {rule.scope} rests {span}", until)
    return resting


def _overlaid(refused: BookRefusals, messages: MessageSet, found: BookRefusal) -> BookRefusals:
    """The refusals with one more, where the one that lasts longer counts for messages that have two."""
    overlaid: BookRefusals = []
    left = messages
    for known, former in refused:
        both = known & left
        left &= ~both
        if both and _longer(former, found) is found:
            overlaid += [(both, found), (known & ~both, former)]
        else:
            overlaid.append((known, former))
    if left:
        overlaid.append((left, found))
    return overlaid


def _longer(worst: BookRefusal | None, found: BookRefusal | None) -> BookRefusal | None:
    if worst is None or found is None:
        return worst if found is None else found
    return found if _is_later(found[2], worst[2]) else worst


def _is_later(moment: datetime | None, other: datetime | None) -> bool:
    """None is for ever: later than all, and not later than itself."""
    return other is not None and (moment is None or moment > other)


def span_words(seconds: float) -> str:
    """A length of time in the largest unit that fits it wholly.

    Example:
        >>> span_words(604_800), span_words(86_400), span_words(129_600), span_words(90)
        ('7 days', '1 day', '36 hours', '90 seconds')
    """
    for unit, length in (("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE)):
        if seconds >= length and seconds % length == 0:
            return f"{number_words(seconds / length)} {unit}{'' if seconds == length else 's'}"
    return f"{number_words(seconds)} second{'' if seconds == 1 else 's'}"
