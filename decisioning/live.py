"""What happened to a customer since the profile was written: the live state that every decision sees."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from decisioning.catalogue.care import NO_CASE, CareStanding, Case, CaseState
from decisioning.catalogue.contact_policy import Contact, Due, Response
from decisioning.customer import Consent
from decisioning.rules.fact_names import LIVE_PREFIX
from decisioning.rules.predicate import FactValue
from decisioning.value_class import value_class

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)

NOTHING_KEPT: Mapping[str, str] = MappingProxyType({})
"""Kept by customers who were never exposed under another id."""


@value_class
class RecentEvent:
    """Something the customer did or experienced in the last day."""

    event_type: str
    at: datetime


@value_class
class StageMove:
    """A stage that an event named; it holds until features know better."""

    stage_id: str
    at: datetime


@value_class
class LiveState:
    """Everything live about one customer.

    Attributes:
        version: Of the customer's book of contacts: a commit is refused where it moved on.
        household_version: The same of the household's book.
        contacts: The customer's contacts within the longest window.
        household_contacts: The household's, its members' all together; empty without a household.
        due: Messages that are planned.
        responses: Latest outcome per type and message.
        cases: Open and recent cases.
        consents: Answers given since the profile was written; they count by their time like all others.
        protections: On or off, by name, since the profile was written.
        has_opted_out_of_profiling: The latest live word; None where there is none.
        stage: The latest stage an event named.
        events: Recent behaviour, oldest first.
        kept: Arms and holdouts of a first exposure under another id, see `assignment.Who.kept`.
        is_lost: The store of live state was emptied and not restored yet: contacts, cases and words may be missing.
    """

    version: int = 0
    household_version: int = 0
    contacts: tuple[Contact, ...] = ()
    household_contacts: tuple[Contact, ...] = ()
    due: tuple[Due, ...] = ()
    responses: tuple[Response, ...] = ()
    cases: tuple[Case, ...] = ()
    consents: tuple[Consent, ...] = ()
    protections: Mapping[str, bool] = field(default_factory=dict[str, bool])
    has_opted_out_of_profiling: bool | None = None
    stage: StageMove | None = None
    events: tuple[RecentEvent, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict[str, str])
    is_lost: bool = False


def stage_moved_to(live: LiveState, now: datetime) -> str | None:
    """The stage that an event named less than a day ago; None where none did.

    Example:
        >>> noon = datetime(2026, 11, 1, 12)
        >>> live = LiveState(stage=StageMove(stage_id="moving", at=noon))
        >>> stage_moved_to(live, noon), stage_moved_to(live, noon + DAY)
        ('moving', None)
    """
    move = live.stage
    return move.stage_id if move is not None and now - move.at < DAY else None


def live_facts(
    live: LiveState,
    now: datetime,
    *,
    care: CareStanding = NO_CASE,
    event_types: Iterable[str] = (),
    is_profiled: bool = True,
    wanted: frozenset[str] | None = None,
) -> dict[str, FactValue]:
    """What rules can ask about the live state.

    Args:
        live: The state. What is dated after `now` has happened.
        now: The moment of the decision (aware, UTC).
        care: Where service stands before sales, see `care.care_standing`.
        event_types: Types whose counts are 0, and not missing, where nothing happened.
        is_profiled: False leaves out what the customer did; what we sent and what we owe stays.
        wanted: Names of the facts that are asked for; others may be left out. None for all.

    Returns:
        `live.message_count_24h` (contacts that count), `live.open_case_count`, `live.open_case_kind` (of the gravest
        case while it is open) and `live.care` (`open` or `cooling_down`), each missing where there is none; and per
        event type `live.<type>_count_1h`, `live.<type>_count_24h` and `live.<type>_recency_minutes` (missing where
        there was none in 24 hours).
    """
    facts: dict[str, FactValue] = {f"{LIVE_PREFIX}open_case_count": care.open_count}
    if wanted is None or _MESSAGE_COUNT in wanted:
        facts[_MESSAGE_COUNT] = _message_count(live.contacts, now)
    if care.case is not None and care.state is CaseState.OPEN:
        facts[f"{LIVE_PREFIX}open_case_kind"] = care.case.kind
    if care.state is not None and care.state is not CaseState.CLOSED:
        facts[f"{LIVE_PREFIX}care"] = care.state.value
    types = None if wanted is None else _types_in(wanted)
    if is_profiled and (types is None or types):
        facts |= _behaviour(live.events, now, event_types, types)
    return facts


_MESSAGE_COUNT = f"{LIVE_PREFIX}message_count_24h"


class _Names(NamedTuple):
    """Names of the facts of one type of event."""

    count_1h: str
    count_24h: str
    recency: str


_BEHAVIOUR = _Names("_count_1h", "_count_24h", "_recency_minutes")


@lru_cache(maxsize=1024)
def _names(event_type: str) -> _Names:
    return _Names(*(f"{LIVE_PREFIX}{event_type}{ending}" for ending in _BEHAVIOUR))


@lru_cache(maxsize=64)
def _types_in(wanted: frozenset[str]) -> frozenset[str]:
    """Types of events that some facts are about."""
    return frozenset(
        name.removeprefix(LIVE_PREFIX).removesuffix(ending)
        for name in wanted
        for ending in _BEHAVIOUR
        if name.startswith(LIVE_PREFIX) and name.endswith(ending)
    )


def _message_count(contacts: Iterable[Contact], now: datetime) -> int:
    since = now - DAY
    recent = [contact for contact in contacts if contact.at > since]
    return sum([not contact.is_ghost and contact.counts_at(now) for contact in recent])


def _behaviour(
    events: Iterable[RecentEvent], now: datetime, event_types: Iterable[str], wanted: frozenset[str] | None
) -> dict[str, FactValue]:
    """Facts about the wanted types of events; None for all."""
    a_day_ago, an_hour_ago = now - DAY, now - HOUR
    found: dict[str, list[datetime]] = {one: [] for one in event_types if wanted is None or one in wanted}
    for event in events:
        if event.at > a_day_ago and (wanted is None or event.event_type in wanted):
            found.setdefault(event.event_type, []).append(event.at)
    facts: dict[str, FactValue] = {}
    for event_type, moments in found.items():
        names = _names(event_type)
        facts[names.count_1h] = sum([at > an_hour_ago for at in moments])
        facts[names.count_24h] = len(moments)
        if moments:
            facts[names.recency] = max((now - max(moments)).total_seconds(), 0.0) / 60
    return facts
