"""Names and kinds of the live facts that rules may use: behaviour of the last day, and messages due."""

from collections.abc import Iterable, Mapping

from decisioning.catalogue.care import CaseState
from decisioning.rules.fact_names import LIVE_PREFIX

MESSAGE_COUNT = f"{LIVE_PREFIX}message_count_24h"
OPEN_CASE_COUNT = f"{LIVE_PREFIX}open_case_count"
OPEN_CASE_KIND = f"{LIVE_PREFIX}open_case_kind"
CARE = f"{LIVE_PREFIX}care"
CARE_WORDS = (CaseState.OPEN.value, CaseState.COOLING_DOWN.value)


def live_numbers(event_types: Iterable[str]) -> frozenset[str]:
    """Names of every live fact that is a number: counts and minutes per event type, and two more.

    Example:
        >>> sorted(live_numbers(["browse"]))[:2]
        ['live.browse_count_1h', 'live.browse_count_24h']
    """
    endings = ("count_1h", "count_24h", "recency_minutes")
    per_type = {f"{LIVE_PREFIX}{each}_{ending}" for each in event_types for ending in endings}
    return frozenset(per_type | {MESSAGE_COUNT, OPEN_CASE_COUNT})


def live_words(case_kinds: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The live facts that are words, and which words each can be.

    Example:
        >>> live_words(["outage"])["live.open_case_kind"]
        ('outage',)
    """
    return {OPEN_CASE_KIND: tuple(sorted(case_kinds)), CARE: CARE_WORDS}
