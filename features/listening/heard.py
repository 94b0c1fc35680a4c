"""Where an event keeps what was heard in it: one object in its properties, made by us and by nobody else."""

import polars as pl

from features.contracts import EventType

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
