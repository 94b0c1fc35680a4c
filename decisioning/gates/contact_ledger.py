"""A customer's contacts compared with the contact policy: which caps are reached, and until when.

A contact counts towards the caps that its own class names, in any window of the cap's length: it is in the window from
the moment it was made until exactly one window length later, when it is out. A contact dated in the future counts at
once. Whether a candidate is checked at all depends on its class's `bypasses`; a candidate that is checked must find
room in every cap that fits it, whether its own class counts there or not. So a cap of 0 means never.
"""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from decisioning.catalogue.contact_policy import (
    CapUnit,
    Contact,
    Due,
    Response,
    SuppressionScope,
    Touch,
    merge_contacts,
)
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope
from decisioning.decision import Exclusion
from decisioning.gates.contact_rules import TOUCH_SIDES, CapRule, ContactRules, SuppressionRule, span_words
from decisioning.gates.message_sets.grouping import MessageGroup, MessageSet
from decisioning.gates.sliding_window import SlidingWindow, WindowSpan, first_room, fits, keeps_plans

type BookRefusal = tuple[Exclusion, str, datetime | None]
"""Which code, what exactly is full, and the first moment there is room; None where there never is."""

GHOST_SUFFIX = "-ghost"
"""Ends the id of a ghost contact, so that it never meets the real one of the same decision."""


type TouchGroups = Mapping[str, Mapping[str, tuple[MessageGroup, ...]]]
"""Candidates by side and value, in groups of one class and one channel."""

type BookRefusals = list[tuple[MessageSet, BookRefusal]]
"""What is said against sets of messages that have none in common."""


class _Dimension:
    """The caps that look at one side of a message, and what they said so far about each value of it.

    Attributes:
        caps: With their recent contacts by value, as `ContactLedger._recent` finds them.
        needs_no_contact: They may refuse what nobody was contacted about: a limit is 0, or plans need the room.
    """

    __slots__ = ("caps", "needs_no_contact", "scope", "side", "value_of", "verdicts")

    def __init__(self, caps: Sequence[tuple[CapRule, Mapping[str, list[Contact]]]], *, has_plans: bool) -> None:
        rule, _ = caps[0]
        self.caps = caps
        self.needs_no_contact = has_plans or 0 in [one.cap.limit for one, _ in caps]
        self.side, self.scope, self.value_of = rule.side, rule.cap.scope, TOUCH_SIDES[rule.side]
        self.verdicts: dict[object, BookRefusal | None] = {}


class ContactLedger:
    """What one customer's book says about messages, at one moment.

    Everything is counted once, when first asked; asking again costs a look-up per scope.

    Attributes:
        rules: What is counted, and how.
    """

    __slots__ = (
        "_books",
        "_contacts",
        "_due",
        "_faded",
        "_fading",
        "_ghosts",
        "_household_contacts",
        "_load",
        "_near",
        "_now",
        "_own",
        "_pressure",
        "_responses",
        "_resting",
        "_weights",
        "rules",
    )

    def __init__(
        self,
        rules: ContactRules,
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
            rules: What is counted.
            contacts: The customer's; accounts of one contact are merged, order does not matter.
            household_contacts: The household's; the customer's own count in it whether they are listed or not.
            due: Messages that are planned; those before `now` keep nothing any more.
            responses: Outcomes that may suppress.
            now: The moment of the decision (aware, UTC).
            ghosts: Count what a held-out customer would have got as well, in place of what the same decision sent.
        """
        self.rules, self._now, self._ghosts = rules, now, ghosts
        self._contacts, self._household_contacts = tuple(contacts), tuple(household_contacts)
        self._due = tuple(plan for plan in due if now <= plan.due_at) if due and rules.look_ahead else ()
        self._responses = tuple(responses)
        self._books: dict[CapUnit, tuple[Contact, ...]] = {}
        self._pressure: dict[tuple[MessageClass, str], BookRefusal | None] = {}
        self._resting: Mapping[SuppressionScope, Mapping[str, BookRefusal]] | None = None
        self._near: tuple[_Dimension, ...] | None = None
        self._own: dict[str, Contact] | None = None
        self._weights: list[float] | None = None
        self._load: float | None = None
        self._fading: list[float] | None = None
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
        if self.rules.policy.pressure is not None:
            worst = _longer(worst, self._pressure_refusal(touch))
        return worst

    def refusals(self, groups: TouchGroups) -> BookRefusals:
        """As `refusal`, for all candidates at once."""
        refused: BookRefusals = []
        for dimension in self._dimensions():
            by_value = groups[dimension.side]
            for value in self._values_with_little_room(dimension, by_value):
                for group in self._hearing(dimension, value, by_value.get(value, ())):
                    found = self._verdict(dimension, value, group.example.touch)
                    refused = refused if found is None else _overlaid(refused, group.messages, found)
        for group in self._pressed_hard(groups["everything"].get("", ())):
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
            self.rules,
            (*self._contacts, made),
            self._household_contacts,
            self._due,
            self._responses,
            self._now,
            ghosts=self._ghosts,
        )
        ledger._books = {unit: (*book, made) for unit, book in self._books.items()}
        ledger._resting = self._resting
        weight = self.rules.pressing[touch.message_class, touch.channel_id]
        ledger._weights = None if self._weights is None else [*self._weights, weight]
        ledger._fading = None if self._fading is None else [*self._fading, weight]  # just made, it has not faded
        return ledger

    def fatigue_minor(self, touch: Touch) -> float:
        """What one more contact costs in goodwill, in minor units, see `contact_policy.Fatigue`."""
        fatigue = self.rules.policy.fatigue
        if fatigue is None or not self.rules.counts(touch, CapScope.PRESSURE):
            return 0.0
        if self._faded is None:
            self._faded = math.fsum(self._fading_weights(fatigue.half_life_seconds))
        return fatigue.cost_minor * self.rules.weight(touch) * self._faded

    def sent_offers(self, offers: Container[str]) -> Mapping[str, datetime]:
        """When each of some offers was last sent to the customer, of the contacts that count."""
        latest: dict[str, datetime] = {}
        for contact in self._book(CapUnit.CUSTOMER) if offers else ():
            offer_id, at = contact.touch.offer_id, contact.at
            if offer_id in offers and (offer_id not in latest or at > latest[offer_id]):
                latest[offer_id] = at
        return latest

    def ages_seconds(self, rule: CapRule, value: str) -> list[float]:
        """How long ago each contact was made that a cap counts now for one value of the side that it looks at."""
        since, value_of, uncounted = self._now - rule.length, TOUCH_SIDES[rule.side], self.rules.uncounted
        return [
            max((self._now - contact.at).total_seconds(), 0.0)
            for contact in self._book(rule.cap.unit)
            if contact.at > since
            and contact.touch.message_class not in uncounted[rule.cap.scope]
            and value_of(contact.touch) == value
        ]

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

    def _weights_in_book(self) -> Sequence[float]:
        """What each of the customer's contacts weighs; 0 where it does not count towards pressure."""
        if self._weights is None:
            weights, book = self.rules.pressing, self._book(CapUnit.CUSTOMER)
            self._weights = [weights[contact.touch.message_class, contact.touch.channel_id] for contact in book]
        return self._weights

    def _fading_weights(self, half_life: float) -> Sequence[float]:
        """The same, each faded since it was made."""
        if self._fading is None:
            now, contacts = self._now, zip(self._book(CapUnit.CUSTOMER), self._weights_in_book(), strict=True)
            self._fading = [
                weight * 0.5 ** (age / half_life) if (age := (now - contact.at).total_seconds()) > 0 else weight
                for contact, weight in contacts
            ]
        return self._fading

    def _dimensions(self) -> tuple[_Dimension, ...]:
        """The caps that may be full; most are not, since all contacts together do not fill them."""
        if self._near is None:
            by_side: dict[str, list[tuple[CapRule, Mapping[str, list[Contact]]]]] = {}
            for rule in self.rules.caps:
                recent = self._recent(rule)
                if recent is not None:
                    by_side.setdefault(rule.side, []).append((rule, recent))
            self._near = tuple([_Dimension(caps, has_plans=bool(self._due)) for caps in by_side.values()])
        return self._near

    def _recent(self, rule: CapRule) -> Mapping[str, list[Contact]] | None:
        """The contacts in a cap's window by value, as far as they fill it; with plans, all of them.

        None where all together do not fill it.
        """
        cap, least = rule.cap, 0 if self._due else rule.cap.limit
        listed = len(self._contacts) + (len(self._household_contacts) if cap.unit is CapUnit.HOUSEHOLD else 0)
        if listed < least or len(book := self._book(cap.unit)) < least:
            return None
        since = self._now - rule.length
        recent = [contact for contact in book if contact.at > since]
        if len(recent) < least:
            return None
        found: dict[str, list[Contact]] = {}
        of, value_of, uncounted = cap.of, TOUCH_SIDES[rule.side], self.rules.uncounted[cap.scope]
        for contact in recent:
            touch = contact.touch
            value = value_of(touch)
            if (of is None or of == value) and touch.message_class not in uncounted:
                found.setdefault(value, []).append(contact)
        return {value: contacts for value, contacts in found.items() if len(contacts) >= least}

    def _values_with_little_room(self, dimension: _Dimension, values: Iterable[str]) -> Iterable[str]:
        """Those that a cap can be full for, in the order in which they first count in the books."""
        if dimension.needs_no_contact:
            return values
        full = {value for _, recent in dimension.caps for value in recent}
        if len(full) <= 1:
            return full
        units, uncounted = dict.fromkeys(rule.cap.unit for rule, _ in dimension.caps), self.rules.uncounted
        touches = [contact.touch for unit in units for contact in self._book(unit)]
        counted = [touch for touch in touches if touch.message_class not in uncounted[dimension.scope]]
        return [value for value in dict.fromkeys(map(dimension.value_of, counted)) if value in full]

    def _hearing(self, dimension: _Dimension, value: str, groups: Sequence[MessageGroup]) -> Sequence[MessageGroup]:
        """Groups of one value that the caps may refuse; nothing but plans makes them refuse some and not others."""
        if not groups or (not self._due and self._verdict(dimension, value, groups[0].example.touch) is None):
            return ()
        return groups

    def _verdict(self, dimension: _Dimension, value: str, touch: Touch) -> BookRefusal | None:
        key = (value, touch.message_class, touch.channel_id) if self._due else value
        if key not in dimension.verdicts:
            dimension.verdicts[key] = self._caps_refusal(dimension, value, touch)
        return dimension.verdicts[key]

    def _suppressed(self) -> Mapping[SuppressionScope, Mapping[str, BookRefusal]]:
        if self._resting is None:
            self._resting = _resting(self.rules.suppressions, self._responses, self._now)
        return self._resting

    def _heavier(self, touch: Touch, scope: CapScope) -> list[Due]:
        """What is due, heavier than a candidate, and counts where the candidate would count."""
        rules = self.rules
        if not self._due or not rules.counts(touch, scope):
            return []
        rank = rules.rank(touch)
        return [plan for plan in self._due if rules.rank(plan.touch) > rank and rules.counts(plan.touch, scope)]

    def _caps_refusal(self, dimension: _Dimension, value: str, touch: Touch) -> BookRefusal | None:
        heavier = [plan for plan in self._heavier(touch, dimension.scope) if dimension.value_of(plan.touch) == value]
        worst: BookRefusal | None = None
        for rule, recent in dimension.caps:
            if rule.cap.of is None or rule.cap.of == value:
                worst = _longer(worst, self._cap_refusal(rule, recent.get(value, ()), heavier))
        return worst

    def _cap_refusal(self, rule: CapRule, recent: Sequence[Contact], heavier: Sequence[Due]) -> BookRefusal | None:
        cap, length, count = rule.cap, rule.length, len(recent)
        if count < cap.limit and not heavier:
            return None
        made = [self._span(contact, length, 1.0) for contact in recent]
        full = f"cap {cap.cap_id}: {count} of {rule.words}"
        planned = [WindowSpan(plan.due_at, plan.due_at + length) for plan in heavier]
        return self._judge(full, Exclusion.CAP_REACHED, made, planned, self._window(length, cap.limit), 1.0)

    def _pressure_refusal(self, touch: Touch) -> BookRefusal | None:
        key = (touch.message_class, touch.channel_id)
        if key not in self._pressure:
            self._pressure[key] = self._weigh(touch)
        return self._pressure[key]

    def _pressed_hard(self, groups: Sequence[MessageGroup]) -> Sequence[MessageGroup]:
        """Groups that contact pressure may refuse: none while nothing is planned and the heaviest has room."""
        pressure, weight = self.rules.policy.pressure, self.rules.weight
        if pressure is None or not groups:
            return ()
        if self._due:
            return groups
        heaviest = max([weight(group.example.touch) for group in groups])
        return () if fits(self._pressing_load() + heaviest, pressure.limit) else groups

    def _weigh(self, touch: Touch) -> BookRefusal | None:
        pressure, weight = self.rules.policy.pressure, self.rules.weight(touch)
        if pressure is None or weight == 0:
            return None
        length, load = self.rules.pressure_length, self._pressing_load()
        heavier = self._heavier(touch, CapScope.PRESSURE)
        if not heavier and fits(load + weight, pressure.limit):
            return None
        full = (
            f"pressure: {load:g} of {pressure.limit:g} in {span_words(pressure.window_seconds)}, this weighs {weight:g}"
        )
        planned = [WindowSpan(plan.due_at, plan.due_at + length, self.rules.weight(plan.touch)) for plan in heavier]
        since = self._now - length
        made = [
            self._span(contact, length, weighs)
            for contact, weighs in zip(self._book(CapUnit.CUSTOMER), self._weights_in_book(), strict=True)
            if contact.at > since and self.rules.counts(contact.touch, CapScope.PRESSURE)
        ]
        window = self._window(length, pressure.limit)
        return self._judge(full, Exclusion.PRESSURE_REACHED, made, planned, window, weight)

    def _pressing_load(self) -> float:
        """The weighted contacts in the window of pressure."""
        if self._load is None:
            since = self._now - self.rules.pressure_length
            contacts = zip(self._book(CapUnit.CUSTOMER), self._weights_in_book(), strict=True)
            self._load = math.fsum([weight for contact, weight in contacts if contact.at > since])
        return self._load

    def _span(self, contact: Contact, length: timedelta, weight: float) -> WindowSpan:
        """When a contact weighs, as far as is known: until it leaves the window or its reservation ends."""
        ends = contact.at + length
        if contact.reserved_until is not None and not contact.is_confirmed:
            ends = min(ends, contact.reserved_until)
        return WindowSpan(min(contact.at, self._now), ends, weight)

    def _window(self, length: timedelta, limit: float) -> SlidingWindow:
        return SlidingWindow(length, limit, self.rules.look_ahead)

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


def _counting(accounts: Mapping[str, Contact], now: datetime, *, ghosts: bool) -> tuple[Contact, ...]:
    # Most are confirmed; asking that first saves the call.
    counting = [contact for contact in accounts.values() if contact.is_confirmed or contact.counts_at(now)]
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
    suppressions: Sequence[SuppressionRule], responses: Sequence[Response], now: datetime
) -> dict[SuppressionScope, dict[str, BookRefusal]]:
    resting: dict[SuppressionScope, dict[str, BookRefusal]] = {}
    for rule in suppressions:
        after, cooldown, values = rule.after, rule.cooldown, resting.setdefault(rule.scope, {})
        for response in responses:
            if response.outcome != after:
                continue
            until = None if cooldown is None else response.at + cooldown
            if until is None or now < until:
                value = rule.value_of(response.touch)
                if value not in values or _is_later(until, values[value][2]):
                    values[value] = (Exclusion.SUPPRESSED, rule.words, until)
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
