"""Features of who customers are and what they do: profile, purchases, activity, service."""

from collections.abc import Iterable, Iterator

import narwhals as nw

from decisioning.catalogue.catalogue import Attribute, AttributeKind
from features.computing.definition import (
    Definition,
    Group,
    Source,
    Term,
    amount,
    count,
    counted,
    days_since,
    within,
    word,
)
from features.computing.windows import ACTIVITY_WINDOWS, PURCHASE_WINDOWS, SERVICE_WINDOWS


def profile(attributes: Iterable[Attribute]) -> Iterator[Definition]:
    """Tenure and declared attributes."""
    group, joined = Group.PROFILE, nw.col("joined_us") <= nw.col("at_us")
    meaning = "Days since the relation began."
    yield days_since(group, "customer_tenure_days", meaning, Source.CUSTOMERS, joined, column="joined_us")
    for attribute in attributes:
        meaning = f"The customer's declared {attribute.name}."
        if attribute.kind is AttributeKind.CATEGORY:
            meaning = f"Place of the customer's {attribute.name} in its declared values, from 0."
        term = Term(source=Source.CUSTOMERS, value=nw.col(f"attribute_{attribute.name}"), aggregate="max")
        name = f"attribute_{word(attribute.name)}"
        yield Definition(name=name, group=group, meaning=meaning, term=term, about=repr(attribute))


def purchases() -> Iterator[Definition]:
    """Recency, frequency and money over several windows."""
    bought, group = nw.col("type") == "purchase", Group.PURCHASE
    for days in PURCHASE_WINDOWS:
        meaning = f"Purchases in the last {days} days."
        yield counted(group, f"purchase_count_{days}d", meaning, Source.EVENTS, bought & within(days))
    for days in PURCHASE_WINDOWS:
        meaning = f"Money spent in the last {days} days, minor units."
        spent = amount(bought & within(days))
        yield Definition(name=f"purchase_sum_minor_{days}d", group=group, meaning=meaning, term=spent, is_count=True)
    year = bought & within(365)
    yield Definition(
        name="purchase_mean_minor_365d",
        group=group,
        meaning="Mean purchase of the last 365 days, minor units.",
        term=amount(year),
        divisor=count(Source.EVENTS, year & ~nw.col("amount_minor").is_null()),
    )
    meaning = "Largest purchase of the last 365 days, minor units."
    yield Definition(name="purchase_max_minor_365d", group=group, meaning=meaning, term=amount(year, "max"))
    yield days_since(group, "purchase_recency_days", "Days since the last purchase.", Source.EVENTS, bought)


def _events_of(event_type: str, group: Group, *windows: int) -> Iterator[Definition]:
    noun, rows = word(event_type), nw.col("type") == event_type
    for days in windows:
        name, meaning = f"{noun}_count_{days}d", f"Events of type {event_type} in the last {days} days."
        yield counted(group, name, meaning, Source.EVENTS, rows & within(days), event_type)
    meaning = f"Days since the last event of type {event_type}."
    yield days_since(group, f"{noun}_recency_days", meaning, Source.EVENTS, rows, event_type)


def activity(event_types: Iterable[str]) -> Iterator[Definition]:
    """Counts and recency of every event type that is neither a purchase nor service."""
    for event_type in event_types:
        if event_type not in ("purchase", *SERVICE_WINDOWS):
            yield from _events_of(event_type, Group.ACTIVITY, *ACTIVITY_WINDOWS)


def service() -> Iterator[Definition]:
    """Complaints, tickets, deliveries, returns, reviews."""
    for event_type, windows in SERVICE_WINDOWS.items():
        yield from _events_of(event_type, Group.SERVICE, *windows)
