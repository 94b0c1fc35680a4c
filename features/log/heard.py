"""The property of an event that holds what was read from its text; only the server sets it."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from features.log.event_types import EventType

HEARD = "heard"
"""Property that holds it; what a caller puts there is replaced."""

HEARD_PREFIX = "heard:"
"""Begins the id of a case that a text opened and nobody had given a number."""

OPENS = "opens"
CASE_ID = "case_id"
SENTIMENT = "sentiment"
LABEL = "sentiment_label"

TEXT_TYPES: tuple[str, ...] = (
    EventType.REVIEW.value,
    EventType.SOCIAL_POST.value,
    EventType.SURVEY_ANSWER.value,
    EventType.SERVICE_TICKET.value,
    EventType.CALL_NOTE.value,
    EventType.COMPLAINT.value,
)
"""Types of events that may carry words of a customer in their property `text`."""


def heard_field(name: str) -> pl.Expr:
    """What was heard, as text, of events with their `properties`; null where there is nothing."""
    return pl.col("properties").str.json_path_match(f"$.{HEARD}.{name}")


def heard_case(event_type: str, properties: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and id of the case that an event was heard to open; None where it opens none.

    Example:
        >>> heard_case("review", {"heard": {"opens": "lost_item", "case_id": "heard:r-1"}})
        ('lost_item', 'heard:r-1')
    """
    heard = properties.get(HEARD) if event_type in TEXT_TYPES else None
    if not isinstance(heard, Mapping):
        return None
    kind, case_id = heard.get(OPENS), heard.get(CASE_ID)
    return (kind, case_id) if isinstance(kind, str) and isinstance(case_id, str) else None
