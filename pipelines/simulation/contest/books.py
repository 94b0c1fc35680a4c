"""What a server would hold of every customer, kept in memory: profiles, live state, the book of contacts, counters.

Reports are turned into changes by the functions that intake uses, and changes into live state by those that read Redis,
so a simulated campaign decides on what a real one would know. Only the store is another: a dictionary per customer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Contact, Touch, book_seconds
from decisioning.catalogue.conversation import SEEN_OUTCOMES
from decisioning.catalogue.limits import Supply
from decisioning.customer import Customer
from decisioning.errors import InvalidInputError
from decisioning.live import LiveState, RecentEvent
from features.computing.sources import Tables
from features.log.event_types import StateEventType
from features.log.outcome_types import OutcomeType
from serving.decisions.known import with_unsubscriptions
from serving.forms import EventItem, OutcomeItem
from serving.live.changes import REMEMBERED, Changes, changes_of_event, changes_of_outcome, touch_in_catalogue
from serving.live.live_hash import WordKind, unsubscriptions_in
from serving.live.reader import live_of
from serving.live.recent_events import RECENT

_STATE_EVENTS = frozenset(one.value for one in StateEventType)
_SENT = ("decision_id", "customer_id", "decided_at", "offer_id", "channel", "creative_id")
_EVENT = ("event_id", "customer_id", "type", "occurred_at", "channel", "properties")
_OUTCOME = ("outcome_id", "decision_id", "customer_id", "type", "occurred_at", "properties")


class Books:
    """Everything live about n customers."""

    def __init__(self, catalogue: Catalogue, customers: Sequence[Customer]) -> None:
        """Begin with profiles and nothing live."""
        rules = catalogue.contact_policy
        self._catalogue = catalogue
        self._profiles = tuple(customers)
        self._customers = list(customers)
        self._places = {str(one.customer_id): place for place, one in enumerate(customers)}
        self._contacts: list[tuple[Contact, ...]] = [()] * len(customers)
        self._words: list[dict[str, str]] = [{} for _ in customers]
        self._live: dict[int, LiveState] = {}
        self._recent: dict[int, tuple[RecentEvent, ...]] = {}
        self._touches: dict[str, Touch] = {}
        self._span = timedelta(seconds=book_seconds(rules, catalogue.offers.values()))
        care = catalogue.care.kinds.values()
        self._asking = sorted(_STATE_EVENTS.union(*(kind.opened_by | kind.resolved_by for kind in care)))
        heard = SEEN_OUTCOMES if catalogue.conversation is not None else frozenset[str]()
        self._outcomes = sorted(REMEMBERED | {one.after for one in rules.suppressions} | heard)
        self.counters: dict[str, float] = {}

    def __len__(self) -> int:
        """Number of customers."""
        return len(self._customers)

    def customer(self, place: int) -> Customer:
        """The profile, with the channels that the customer left since."""
        return self._customers[place]

    def live(self, place: int) -> LiveState:
        """Live state as of the last `forward`."""
        known = self._live.get(place)
        if known is None:
            known = self._live[place] = replace(
                live_of([_flat(self._words[place]), [], [], None, []]),
                contacts=self._contacts[place],
                events=self._recent.get(place, ()),
            )
        return known

    def supply(self, prices_minor: Mapping[str, float] | None = None) -> Supply:
        """What all customers share, with what was used of it."""
        return Supply(used=self.counters, prices_minor=prices_minor or {})

    def take_in(self, news: Tables) -> None:
        """Take in canonical rows: contacts from decisions, and what events and outcomes change.

        Raises:
            InvalidInputError: A state event that the intake would refuse, so the world that sent it is wrong.
        """
        sent = news.decisions.filter(pl.col("offer_id").is_not_null()).select(_SENT)
        for decision_id, customer_id, at, *message in sent.iter_rows():
            self._send(self._places[customer_id], decision_id, at, *message)
        told = news.events.filter(pl.col("type").is_in(self._asking)).select(_EVENT)
        for event_id, customer_id, kind, at, channel, text in told.iter_rows():
            item = EventItem(
                message_id=event_id,
                customer_id=customer_id,
                type=kind,
                occurred_at=at,
                channel=channel,
                properties=_properties(text),
            )
            changes = changes_of_event(item, self._catalogue)
            if not isinstance(changes, Changes):
                raise InvalidInputError(f"event {kind} must be one that intake takes, got a fault: {changes.detail}")
            self._change(self._places[customer_id], changes)
        heard = news.outcomes.filter(pl.col("type").is_in(self._outcomes)).select(_OUTCOME)
        for row in heard.iter_rows():
            self._hear(*row)

    def forward(self, now: datetime, events: pl.DataFrame) -> None:
        """Move to a later moment: old contacts leave the books, and recent behaviour is that of the day before.

        Args:
            now: The moment (aware, UTC).
            events: Canonical events that hold at least those of the day before.
        """
        for place, contacts in enumerate(self._contacts):
            if contacts and contacts[0].at <= now - self._span:
                self._contacts[place] = tuple([one for one in contacts if one.at > now - self._span])
        recent: dict[int, list[RecentEvent]] = {}
        day = events.filter((pl.col("occurred_at") > now - RECENT) & (pl.col("occurred_at") <= now))
        ordinary = day.filter(~pl.col("type").is_in(sorted(_STATE_EVENTS))).sort("occurred_at")
        for customer_id, kind, at in ordinary.select("customer_id", "type", "occurred_at").iter_rows():
            recent.setdefault(self._places[customer_id], []).append(RecentEvent(event_type=kind, at=at))
        self._recent = {place: tuple(found) for place, found in recent.items()}
        self._live.clear()

    def _send(self, place: int, decision_id: str, at: datetime, offer: str, channel: str, creative: str) -> None:
        touch = touch_in_catalogue(self._catalogue, offer, channel, creative)
        if touch is None:
            return
        self._touches[decision_id] = touch
        self._contacts[place] += (Contact(contact_id=decision_id, touch=touch, at=at, is_confirmed=True),)
        self._live.pop(place, None)

    def _hear(self, outcome_id: str, decision_id: str, customer_id: str, kind: str, at: datetime, text: str) -> None:
        item = OutcomeItem(
            message_id=outcome_id,
            decision_id=decision_id,
            type=OutcomeType(kind),
            occurred_at=at,
            properties=_properties(text),
        )
        touch = self._touches.get(decision_id)
        channel_id = None if touch is None else touch.channel_id
        self._change(
            self._places[customer_id], changes_of_outcome(item, self._catalogue, touch=touch, channel_id=channel_id)
        )

    def _change(self, place: int, changes: Changes) -> None:
        words = self._words[place]
        for name, value in changes.greatest:
            words[name] = max(words.get(name, value), value)
        if any(name.startswith(f"{WordKind.UNSUBSCRIBED}:") for name, _ in changes.greatest):
            left = unsubscriptions_in(_flat(words))
            self._customers[place] = with_unsubscriptions(self._profiles[place], left)
        self._live.pop(place, None)


def _flat(words: Mapping[str, str]) -> list[bytes]:
    return [text.encode() for pair in words.items() for text in pair]


def _properties(text: str | None) -> dict[str, Any]:
    return orjson.loads(text) if text else {}
