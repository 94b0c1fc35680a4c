"""What a definition is made of: an elementwise expression over the rows known before a moment, and an aggregate.

Nothing here names an engine: Polars runs definitions in process, and any other lazy engine that Narwhals knows can run
the same ones. A source row carries `occurred_us` and `known_us`, an anchor `at_us` (whole microseconds since 1970, as
every engine agrees on integers), and only rows with `known_us < at_us` reach an expression: `computing.compute` sees to
that.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import narwhals as nw

DAY_US = 86_400_000_000
NEVER_US = 2**62
"""Time of something that has not happened."""


class Source(StrEnum):
    """The rows that a definition looks at."""

    CUSTOMERS = "customers"  # the newest customer row
    EVENTS = "events"
    CONTACTS = "contacts"  # decisions, each with the moments its outcomes became known, as it stood up to `until_us`


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
        term: The value, or the numerator.
        divisor: Denominator; the feature is missing where it is zero.
        is_count: A known customer without rows has 0, not a missing value.
        is_packed: The value is that of the newest row, packed behind its time (see `newest`).
        about: The declarations that the value depends on, as text: an attribute with its words, an event
            type, a channel, a kind of offer. Empty if it depends on none.
    """

    name: str
    group: Group
    meaning: str
    term: Term
    divisor: Term | None = None
    is_count: bool = False
    is_packed: bool = False
    about: str = ""


def within(days: int) -> nw.Expr:
    """True where a row happened at most so many days before the anchor."""
    return (nw.col("at_us") - nw.col("occurred_us")) <= days * DAY_US


def age_days(column: str = "occurred_us") -> nw.Expr:
    """Days from a moment to the anchor.

    Whole days come out exact, and one row gives the bits that many give: engines divide a column by a constant through
    its reciprocal, but a single value by division, so this multiplies and leaves them no choice.
    """
    age_us = nw.col("at_us") - nw.col(column)
    whole = age_us // DAY_US
    return whole + (age_us - whole * DAY_US) * (1.0 / DAY_US)


def known(*moments: str) -> nw.Expr:
    """True where any of these outcomes of a contact was known at the anchor."""
    first, *rest = (nw.col(f"{moment}_us") < nw.col("at_us") for moment in moments)
    for other in rest:
        first = first | other
    return first


def weighed(reaction: str, machine_weight: float) -> nw.Expr:
    """What a contact with this reaction counts for at the anchor: 1 where a person reacted, null where nobody did."""
    by_machine = nw.when(known(reaction)).then(nw.lit(machine_weight))
    return nw.when(known(f"{reaction}_by_person")).then(nw.lit(1.0)).otherwise(by_machine)


def count(source: Source, rows: nw.Expr) -> Term:
    """Number of such rows."""
    return Term(source=source, value=nw.when(rows).then(nw.lit(1.0)), aggregate="sum")


def amount(rows: nw.Expr, aggregate: Literal["sum", "max"] = "sum") -> Term:
    """Money of such events, minor units."""
    return Term(source=Source.EVENTS, value=nw.when(rows).then(nw.col("amount_minor")), aggregate=aggregate)


PACK = 1_000
"""What a time in whole microseconds is multiplied with, to leave room for a number behind it."""

PACK_DIGITS = 10.0
"""A packed number is kept in tenths."""


def newest(rows: nw.Expr, number: str) -> Term:
    """The number of the newest of such rows, packed behind its time: the greatest is the newest."""
    tenths = (nw.col(number) * PACK_DIGITS).round().cast(nw.Int64)
    value = nw.when(rows).then(nw.col("occurred_us") * PACK + tenths)
    return Term(source=Source.EVENTS, value=value, aggregate="max")


def mean(rows: nw.Expr, number: str) -> tuple[Term, Term]:
    """Sum and count of a number over such rows; rows without one do not count."""
    has_number = rows & ~nw.col(number).is_null()
    total = Term(source=Source.EVENTS, value=nw.when(has_number).then(nw.col(number)), aggregate="sum")
    return total, count(Source.EVENTS, has_number)


def counted(group: Group, name: str, meaning: str, source: Source, rows: nw.Expr, about: str = "") -> Definition:
    """The number of such rows; 0 for a known customer without any."""
    return Definition(name=name, group=group, meaning=meaning, term=count(source, rows), is_count=True, about=about)


def days_since(
    group: Group,
    name: str,
    meaning: str,
    source: Source,
    rows: nw.Expr,
    about: str = "",
    *,
    column: str = "occurred_us",
) -> Definition:
    """Days since the newest of such rows."""
    term = Term(source=source, value=nw.when(rows).then(age_days(column)), aggregate="min")
    return Definition(name=name, group=group, meaning=meaning, term=term, about=about)


def share(group: Group, name: str, meaning: str, counted_as: nw.Expr, of: nw.Expr, about: str) -> Definition:
    """What such contacts count for as a share of their number; missing where there are none of them."""
    top = Term(source=Source.CONTACTS, value=nw.when(of).then(counted_as), aggregate="sum")
    bottom = count(Source.CONTACTS, of)
    return Definition(name=name, group=group, meaning=meaning, term=top, divisor=bottom, about=about)


def word(name: str) -> str:
    """A catalogue name as part of a feature name.

    Example:
        >>> word("in-app")
        'in_app'
    """
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())
