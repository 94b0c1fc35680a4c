"""Recent behaviour: a sorted set of events by their time, and how many of each type it keeps.

A rule counts no further than what is kept, and more is kept than the rule compares with, so its result is exact.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

from decisioning.catalogue.catalogue import Catalogue
from decisioning.live import RecentEvent
from decisioning.rules.fact_names import LIVE_PREFIX
from decisioning.rules.predicate import Predicate
from decisioning.rules.predicate_analysis import comparisons_of
from serving.live.encoding import EPOCH

RECENT = timedelta(hours=24)
"""How far recent behaviour goes back."""

RECENT_MS = 25 * 3_600_000
"""How long recent behaviour is kept after its newest event: a day, and an hour for clocks."""

MOST_EVENTS = 200
"""Events of one type that recent behaviour keeps, the newest, unless a rule counts further."""

MOST_COUNTED = 10_000
"""No count of one type goes further, whatever a rule asks."""

AFTER_TYPE = "\0"
"""Ends the type in a member."""

_COUNT = re.compile(rf"{re.escape(LIVE_PREFIX)}(?P<type>.+)_count_(1h|24h)")


def event_text(event_type: str, message_id: str) -> str:
    """An event as a member of the set; its score is its time."""
    return f"{event_type}{AFTER_TYPE}{message_id}"


def event_in(member: bytes, score: bytes) -> RecentEvent:
    """The event that `event_text` wrote."""
    event_type = member.partition(AFTER_TYPE.encode())[0].decode()
    return RecentEvent(event_type=event_type, at=EPOCH + timedelta(0, 0, int(score)))


def events_kept(catalogue: Catalogue) -> Mapping[str, int]:
    """The newest events to keep of each type that rules count further than `MOST_EVENTS`.

    A count stops at what is kept, and that is more than anything it is compared with; so no comparison can tell.
    """
    most: dict[str, int] = {}
    for rule in _rules(catalogue):
        for compare in comparisons_of(rule):
            counted = _COUNT.fullmatch(compare.fact)
            if counted is None:
                continue
            values = compare.value if isinstance(compare.value, tuple) else (compare.value,)
            asked = max((math.ceil(one) + 1 for one in values if isinstance(one, int | float)), default=0)
            if asked > most.get(counted["type"], MOST_EVENTS):
                most[counted["type"]] = min(asked, MOST_COUNTED)
    return most


def _rules(catalogue: Catalogue) -> Iterator[Predicate]:
    for one in (*catalogue.offers.values(), *catalogue.creatives):
        yield from (one.eligibility, one.applicability, one.suitability)
    yield from (stage.entry for stage in catalogue.stages)
    yield from (lever.when for lever in catalogue.levers)
