"""Features of who customers are and what they do: profile, purchases, activity, service."""

from collections.abc import Iterable, Iterator

import narwhals as nw

from decisioning.catalogue.catalogue import Attribute, AttributeKind
from features.computing.definition import Definition, Group, Source, Term, amount, count, recency, within, word

PURCHASE_WINDOWS = (7, 30, 90, 365)
SERVICE_EVENTS = ("complaint", "service_ticket", "delivery", "return", "review")


def profile(attributes: Iterable[Attribute]) -> Iterator[Definition]:
    """Tenure and declared attributes."""
    joined = nw.col("joined_us") <= nw.col("at_us")
    yield Definition(
        name="customer_tenure_days",
        group=Group.PROFILE,
        meaning="Days since the relation began.",
        term=recency(Source.CUSTOMERS, joined, "joined_us"),
    )
    for attribute in attributes:
        yield Definition(
            name=f"attribute_{word(attribute.name)}",
            group=Group.PROFILE,
            meaning=_attribute_meaning(attribute),
            term=Term(source=Source.CUSTOMERS, value=nw.col(f"attribute_{attribute.name}"), aggregate="max"),
            about=repr(attribute),
        )


def _attribute_meaning(attribute: Attribute) -> str:
    if attribute.kind is AttributeKind.CATEGORY:
        return f"Place of the customer's {attribute.name} in its declared values, from 0."
    return f"The customer's declared {attribute.name}."


def purchases() -> Iterator[Definition]:
    """Recency, frequency and money over several windows."""
    bought = nw.col("type") == "purchase"
    group = Group.PURCHASE
    for days in PURCHASE_WINDOWS:
        yield Definition(
            name=f"purchase_count_{days}d",
            group=group,
            meaning=f"Purchases in the last {days} days.",
            term=count(Source.EVENTS, bought & within(days)),
            is_count=True,
        )
    for days in PURCHASE_WINDOWS:
        yield Definition(
            name=f"purchase_sum_minor_{days}d",
            group=group,
            meaning=f"Money spent in the last {days} days, minor units.",
            term=amount(bought & within(days)),
            is_count=True,
        )
    year = bought & within(365)
    yield Definition(
        name="purchase_mean_minor_365d",
        group=group,
        meaning="Mean purchase of the last 365 days, minor units.",
        term=amount(year),
        divisor=count(Source.EVENTS, year & ~nw.col("amount_minor").is_null()),
    )
    yield Definition(
        name="purchase_max_minor_365d",
        group=group,
        meaning="Largest purchase of the last 365 days, minor units.",
        term=amount(year, "max"),
    )
    yield Definition(
        name="purchase_recency_days",
        group=group,
        meaning="Days since the last purchase.",
        term=recency(Source.EVENTS, bought),
    )


def _events_of(event_type: str, group: Group, *windows: int) -> Iterator[Definition]:
    rows = nw.col("type") == event_type
    for days in windows:
        yield Definition(
            name=f"{word(event_type)}_count_{days}d",
            group=group,
            meaning=f"Events of type {event_type} in the last {days} days.",
            term=count(Source.EVENTS, rows & within(days)),
            is_count=True,
            about=event_type,
        )
    yield Definition(
        name=f"{word(event_type)}_recency_days",
        group=group,
        meaning=f"Days since the last event of type {event_type}.",
        term=recency(Source.EVENTS, rows),
        about=event_type,
    )


def activity(event_types: Iterable[str]) -> Iterator[Definition]:
    """Counts and recency of every event type that is neither a purchase nor service."""
    for event_type in event_types:
        if event_type not in ("purchase", *SERVICE_EVENTS):
            yield from _events_of(event_type, Group.ACTIVITY, 7, 30)


def service() -> Iterator[Definition]:
    """Complaints, tickets, deliveries, returns, reviews."""
    yield from _events_of("complaint", Group.SERVICE, 30, 90)
    for event_type in SERVICE_EVENTS[1:]:
        yield from _events_of(event_type, Group.SERVICE, 90)
