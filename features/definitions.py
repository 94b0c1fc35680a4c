"""Feature definitions: what each number means, as Narwhals expressions over the rows known before a moment T.

A definition is an elementwise expression and an aggregate over it, or the ratio of two of those. Nothing here names an
engine: Polars runs them in process, and any other lazy engine that Narwhals knows can run the same ones. A source row
carries `occurred_us` and `known_us`, an anchor `at_us` (whole microseconds since 1970, since every engine agrees on
integers), and only rows with `known_us < at_us` ever reach an expression (`features.computing`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import narwhals as nw

from decisioning.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.errors import InvalidPolicyError
from features.feature_schema import FeatureGroup, FeatureSchema, fingerprint_of

DEFINITIONS_VERSION = 1
"""Raise it whenever a definition changes its meaning without changing its name."""

DAY_US = 86_400_000_000
NEVER_US = 2**62
"""Time of something that has not happened."""

PURCHASE_WINDOWS = (7, 30, 90, 365)
CONTACT_WINDOWS = (1, 7, 30, 90)
SERVICE_EVENTS = ("complaint", "service_ticket", "delivery", "return", "review")

STAGE_INDEX = "stage_index"
STAGE_AGE_DAYS = "stage_age_days"


class Source(StrEnum):
    """The rows that a definition looks at."""

    CUSTOMERS = "customers"  # the newest customer row
    EVENTS = "events"
    CONTACTS = "contacts"  # decisions, each with the moments its outcomes became known


class Group(StrEnum):
    """Feature groups, in the order of the schema."""

    PROFILE = "profile"
    PURCHASE = "purchase"
    ACTIVITY = "activity"
    ENGAGEMENT = "engagement"
    RESPONSE = "response"
    CONTACT = "contact"
    SERVICE = "service"
    JOURNEY = "journey"


MAX_AGE_DAYS = {
    Group.PROFILE: 90.0,
    Group.PURCHASE: 14.0,
    Group.ACTIVITY: 14.0,
    Group.ENGAGEMENT: 30.0,
    Group.RESPONSE: 30.0,
    Group.CONTACT: 14.0,
    Group.SERVICE: 14.0,
    Group.JOURNEY: 14.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """An aggregate of an elementwise expression over a source; rows where the expression is null do not count."""

    source: Source
    value: nw.Expr
    aggregate: Literal["sum", "min", "max"]

    def aggregated(self, name: str) -> nw.Expr:
        """The reduction, named."""
        return getattr(self.value, self.aggregate)().alias(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One feature.

    Attributes:
        name: `noun_aggregate_window`.
        group: Group it is written with.
        meaning: One sentence for people.
        term: The value, or the numerator.
        divisor: Denominator; the feature is missing where it is zero.
        is_count: A known customer without rows has 0, not a missing value.
    """

    name: str
    group: Group
    meaning: str
    term: Term
    divisor: Term | None = None
    is_count: bool = False


def feature_schema(catalogue: Catalogue) -> FeatureSchema:
    """The schema of a catalogue's features: a pure function, so every process agrees on names and order.

    Raises:
        InvalidPolicyError: Two features would have one name.
    """
    names_of: dict[Group, list[str]] = {group: [] for group in Group}
    for definition in definitions(catalogue):
        names_of[definition.group].append(definition.name)
    if catalogue.stages:
        names_of[Group.JOURNEY] += [STAGE_INDEX, STAGE_AGE_DAYS]
    groups = tuple(
        FeatureGroup(name=group.value, features=tuple(names), max_age_days=MAX_AGE_DAYS[group])
        for group, names in names_of.items()
        if names
    )
    names = tuple(name for group in groups for name in group.features)
    _refuse_repeats(names)
    meaning = (DEFINITIONS_VERSION, groups, catalogue.customer_attributes, catalogue.stages)
    return FeatureSchema(names=names, groups=groups, fingerprint=fingerprint_of(meaning))


def definitions(catalogue: Catalogue) -> tuple[Definition, ...]:
    """Every definition but the stage features, which are rules over these (`features.stages`)."""
    return (
        *_profile(catalogue),
        *_purchase(),
        *_activity(catalogue),
        *_engagement(catalogue),
        *_response(catalogue),
        *_contact(),
        *_service(),
    )


def word(name: str) -> str:
    """A catalogue name as part of a feature name.

    Example:
        >>> word("in-app")
        'in_app'
    """
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())


def _refuse_repeats(names: tuple[str, ...]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidPolicyError(
            f"feature names must be unique, got {', '.join(repeated)} more than once: "
            "rename the attribute, event type, offer kind or channel it comes from"
        )


def _within(days: int) -> nw.Expr:
    return (nw.col("at_us") - nw.col("occurred_us")) <= days * DAY_US


def _age_days(column: str = "occurred_us") -> nw.Expr:
    return (nw.col("at_us") - nw.col(column)) / DAY_US


def _known(*moments: str) -> nw.Expr:
    """True where any of these outcomes of a contact was known at the anchor."""
    first, *rest = (nw.col(f"{moment}_us") < nw.col("at_us") for moment in moments)
    for other in rest:
        first = first | other
    return first


def _count(source: Source, rows: nw.Expr) -> Term:
    return Term(source=source, value=nw.when(rows).then(nw.lit(1.0)), aggregate="sum")


def _recency(source: Source, rows: nw.Expr, column: str = "occurred_us") -> Term:
    return Term(source=source, value=nw.when(rows).then(_age_days(column)), aggregate="min")


def _amount(rows: nw.Expr, aggregate: Literal["sum", "max"] = "sum") -> Term:
    return Term(source=Source.EVENTS, value=nw.when(rows).then(nw.col("amount_minor")), aggregate=aggregate)


def _profile(catalogue: Catalogue) -> Iterator[Definition]:
    joined = nw.col("joined_us") <= nw.col("at_us")
    yield Definition(
        name="customer_tenure_days",
        group=Group.PROFILE,
        meaning="Days since the relation began.",
        term=_recency(Source.CUSTOMERS, joined, "joined_us"),
    )
    for attribute in catalogue.customer_attributes:
        yield Definition(
            name=f"attribute_{word(attribute.name)}",
            group=Group.PROFILE,
            meaning=_attribute_meaning(attribute),
            term=Term(source=Source.CUSTOMERS, value=nw.col(f"attribute_{attribute.name}"), aggregate="max"),
        )


def _attribute_meaning(attribute: Attribute) -> str:
    if attribute.kind is AttributeKind.CATEGORY:
        return f"Place of the customer's {attribute.name} in its declared values, from 0."
    return f"The customer's declared {attribute.name}."


def _purchase() -> Iterator[Definition]:
    bought = nw.col("type") == "purchase"
    group = Group.PURCHASE
    for days in PURCHASE_WINDOWS:
        yield Definition(
            name=f"purchase_count_{days}d",
            group=group,
            meaning=f"Purchases in the last {days} days.",
            term=_count(Source.EVENTS, bought & _within(days)),
            is_count=True,
        )
    for days in PURCHASE_WINDOWS:
        yield Definition(
            name=f"purchase_sum_minor_{days}d",
            group=group,
            meaning=f"Money spent in the last {days} days, minor units.",
            term=_amount(bought & _within(days)),
            is_count=True,
        )
    year = bought & _within(365)
    yield Definition(
        name="purchase_mean_minor_365d",
        group=group,
        meaning="Mean purchase of the last 365 days, minor units.",
        term=_amount(year),
        divisor=_count(Source.EVENTS, year & ~nw.col("amount_minor").is_null()),
    )
    yield Definition(
        name="purchase_max_minor_365d",
        group=group,
        meaning="Largest purchase of the last 365 days, minor units.",
        term=_amount(year, "max"),
    )
    yield Definition(
        name="purchase_recency_days",
        group=group,
        meaning="Days since the last purchase.",
        term=_recency(Source.EVENTS, bought),
    )


def _events_of(event_type: str, group: Group, *windows: int) -> Iterator[Definition]:
    rows = nw.col("type") == event_type
    for days in windows:
        yield Definition(
            name=f"{word(event_type)}_count_{days}d",
            group=group,
            meaning=f"Events of type {event_type} in the last {days} days.",
            term=_count(Source.EVENTS, rows & _within(days)),
            is_count=True,
        )
    yield Definition(
        name=f"{word(event_type)}_recency_days",
        group=group,
        meaning=f"Days since the last event of type {event_type}.",
        term=_recency(Source.EVENTS, rows),
    )


def _activity(catalogue: Catalogue) -> Iterator[Definition]:
    for event_type in catalogue.event_types:
        if event_type not in ("purchase", *SERVICE_EVENTS):
            yield from _events_of(event_type, Group.ACTIVITY, 7, 30)


def _engagement(catalogue: Catalogue) -> Iterator[Definition]:
    for channel_id in catalogue.channels:
        yield from _engagement_on(word(channel_id), (nw.col("channel") == channel_id) & nw.col("is_message"))
    yield from _engagement_on("message", nw.col("is_message"))
    yield Definition(
        name="click_recency_days",
        group=Group.ENGAGEMENT,
        meaning="Days since the customer last clicked a message.",
        term=_recency(Source.CONTACTS, _known("clicked"), "clicked_us"),
    )


def _engagement_on(noun: str, rows: nw.Expr) -> Iterator[Definition]:
    recent = rows & _within(90)
    arrived = _count(Source.CONTACTS, recent & _known("delivered", "viewed", "clicked", "accepted"))
    yield Definition(
        name=f"{noun}_delivered_count_90d",
        group=Group.ENGAGEMENT,
        meaning="Messages of the last 90 days that arrived: delivered, or reacted to.",
        term=arrived,
        is_count=True,
    )
    for reaction in ("viewed", "clicked"):
        yield Definition(
            name=f"{noun}_{reaction}_rate_90d",
            group=Group.ENGAGEMENT,
            meaning=f"Share {reaction} of the messages of the last 90 days that arrived.",
            term=_count(Source.CONTACTS, recent & _known(reaction)),
            divisor=arrived,
        )


def _response(catalogue: Catalogue) -> Iterator[Definition]:
    for kind in catalogue.offer_kinds:
        yield from _response_to(kind)
    yield Definition(
        name="accepted_count_90d",
        group=Group.RESPONSE,
        meaning="Messages of the last 90 days that were accepted or converted.",
        term=_count(Source.CONTACTS, _within(90) & _known("accepted")),
        is_count=True,
    )
    yield Definition(
        name="accepted_recency_days",
        group=Group.RESPONSE,
        meaning="Days since an offer was last accepted or converted.",
        term=_recency(Source.CONTACTS, _known("accepted"), "accepted_us"),
    )


def _response_to(kind: str) -> Iterator[Definition]:
    rows = (nw.col("kind") == kind) & nw.col("is_message")
    sent = _count(Source.CONTACTS, rows & _within(180))
    yield Definition(
        name=f"{word(kind)}_message_count_30d",
        group=Group.RESPONSE,
        meaning=f"Messages with an offer of kind {kind} in the last 30 days.",
        term=_count(Source.CONTACTS, rows & _within(30)),
        is_count=True,
    )
    for reaction in ("viewed", "accepted"):
        yield Definition(
            name=f"{word(kind)}_{reaction}_rate_180d",
            group=Group.RESPONSE,
            meaning=f"Share {reaction} of the offers of kind {kind} sent in the last 180 days.",
            term=_count(Source.CONTACTS, rows & _within(180) & _known(reaction)),
            divisor=sent,
        )
    yield Definition(
        name=f"{word(kind)}_message_recency_days",
        group=Group.RESPONSE,
        meaning=f"Days since the last message with an offer of kind {kind}.",
        term=_recency(Source.CONTACTS, rows),
    )


def _contact() -> Iterator[Definition]:
    sent = nw.col("is_message")
    for days in CONTACT_WINDOWS:
        yield Definition(
            name=f"message_count_{days}d",
            group=Group.CONTACT,
            meaning=f"Messages sent in the last {days} days.",
            term=_count(Source.CONTACTS, sent & _within(days)),
            is_count=True,
        )
    yield Definition(
        name="message_recency_days",
        group=Group.CONTACT,
        meaning="Days since the last message.",
        term=_recency(Source.CONTACTS, sent),
    )
    yield Definition(
        name="silence_count_30d",
        group=Group.CONTACT,
        meaning="Decisions of the last 30 days to send nothing.",
        term=_count(Source.CONTACTS, ~sent & _within(30)),
        is_count=True,
    )
    for reaction in ("unsubscribed", "complained"):
        yield Definition(
            name=f"message_{reaction}_count_365d",
            group=Group.CONTACT,
            meaning=f"Messages of the last 365 days that the customer {reaction} about or from.",
            term=_count(Source.CONTACTS, sent & _within(365) & _known(reaction)),
            is_count=True,
        )


def _service() -> Iterator[Definition]:
    yield from _events_of("complaint", Group.SERVICE, 30, 90)
    for event_type in SERVICE_EVENTS[1:]:
        yield from _events_of(event_type, Group.SERVICE, 90)
