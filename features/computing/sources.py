"""Canonical tables as the rows that definitions look at: typed, with the moment each became known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from features.computing.attribute_columns import as_fact, as_number, is_unfit
from features.computing.definition import NEVER_US, Source
from features.computing.heard_sources import HEARD_COLUMNS, heard_columns
from features.computing.machines import first_by_people
from features.computing.rule_expressions import unfit_column
from features.computing.told_sources import told_rows
from features.log.customer_rows import attribute_text, carried, in_order, states, states_attribute
from features.log.identities import identities, with_visitors
from features.log.reported import settled_events, settled_outcomes

OUTCOME_MOMENTS: Mapping[str, tuple[str, ...]] = {
    "delivered": ("delivered",),
    "viewed": ("viewed",),
    "clicked": ("clicked",),
    "accepted": ("accepted", "converted", "referred", "reviewed", "answered"),
    "unsubscribed": ("unsubscribed",),
    "complained": ("complained",),
}
"""Which outcome types make each moment of a contact."""


class Tables(Protocol):
    """The four canonical tables (`features.history.History`, or anything shaped like it)."""

    @property
    def customers(self) -> pl.DataFrame:
        """Customer rows, any number per customer."""
        ...

    @property
    def events(self) -> pl.DataFrame:
        """What customers did."""
        ...

    @property
    def decisions(self) -> pl.DataFrame:
        """What was decided for them."""
        ...

    @property
    def outcomes(self) -> pl.DataFrame:
        """What became of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Rows by source; each has `customer_id`, `known_us` and what its definitions read."""

    frames: Mapping[Source, pl.DataFrame]

    def of(self, customers: pl.DataFrame) -> "Sources":
        """Only the rows of these customers (a frame with `customer_id`)."""
        kept = {
            name: frame.join(customers, on="customer_id", how="semi", maintain_order="none")
            for name, frame in self.frames.items()
        }
        return Sources(frames=kept)


def sources_of(history: Tables, catalogue: Catalogue) -> Sources:
    """Prepare a history once, for any number of anchors.

    What a visitor did is the customer's from the moment on at which we heard who they are.
    """
    known, contacts = identities(history.events), contact_rows(history.decisions, history.outcomes, catalogue)
    return Sources(
        frames={
            Source.CUSTOMERS: told_rows(customer_rows(history.customers, catalogue), history.events, catalogue),
            Source.EVENTS: with_visitors(event_rows(history.events), known),
            Source.CONTACTS: with_visitors(contacts, known),
        }
    )


def customer_rows(customers: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Customer rows, each with all that is known as of then.

    Returns:
        `joined_us`; per attribute `attribute_<name>` as a number, `customer.<name>` as rules see it, the column that
        says where it is of another kind, and `stated_us:<name>`, since when it is known.
    """
    attributes = catalogue.customer_attributes
    known = in_order(customers).select(
        "customer_id",
        _us("updated_at").alias("known_us"),
        carried(_us("joined_at"), states("joined_at")).alias("joined_us"),
        *(carried(attribute_text(one.name), states_attribute(one.name)).alias(one.name) for one in attributes),
        *(carried(_us("updated_at"), states_attribute(one.name)).alias(f"stated_us:{one.name}") for one in attributes),
    )
    return known.select(
        "customer_id",
        "known_us",
        "joined_us",
        *(as_number(one, pl.col(one.name)).alias(f"attribute_{one.name}") for one in attributes),
        *(as_fact(one, pl.col(one.name)).alias(f"customer.{one.name}") for one in attributes),
        *(is_unfit(one, pl.col(one.name)).alias(unfit_column(f"customer.{one.name}")) for one in attributes),
        *(f"stated_us:{one.name}" for one in attributes),
    )


def event_rows(events: pl.DataFrame) -> pl.DataFrame:
    """Events with type, time, amount and what was heard in them; none happened after it became known."""
    return heard_columns(settled_events(events)).select(
        "customer_id",
        _known_us().alias("known_us"),
        _us("occurred_at").alias("occurred_us"),
        pl.col("type").cast(pl.Categorical),
        pl.col("amount_minor").cast(pl.Float64),
        *HEARD_COLUMNS,
    )


def contact_rows(decisions: pl.DataFrame, outcomes: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Decisions with the kind of their offer and the first moment each of their outcomes was known.

    A decision has one row at any moment: that with `known_us` before and `until_us` not before it. Where later reports
    tell that a machine opened or clicked a message, it has one for each stretch of time in which a verdict stood.
    """
    kinds = {offer.offer_id: offer.kind for offer in catalogue.offers.values()}
    kind = pl.col("offer_id").replace_strict(kinds, default=None, return_dtype=pl.String)
    contacts = decisions.select(
        "decision_id",
        "customer_id",
        _us("decided_at").alias("known_us"),
        _us("decided_at").alias("occurred_us"),
        (pl.col("offer_id").fill_null("") != "").alias("is_message"),
        pl.col("channel").cast(pl.Categorical),
        kind.cast(pl.Categorical).alias("kind"),
    )
    settled = settled_outcomes(outcomes, decisions).with_columns(_known_us().alias("known_us"))
    by_people = first_by_people(settled, decisions, catalogue.engagement)
    never = [f"{moment}_us" for moment in (*OUTCOME_MOMENTS, "viewed_by_person", "clicked_by_person", "until")]
    return (
        contacts.join(_moments(settled), on="decision_id", how="left")
        .join(by_people, on="decision_id", how="left")
        .with_columns(pl.max_horizontal("known_us", "judged_us").alias("known_us"), pl.col(never).fill_null(NEVER_US))
        .drop("decision_id", "judged_us")
    )


def _moments(outcomes: pl.DataFrame) -> pl.DataFrame:
    return outcomes.group_by("decision_id").agg(
        pl.col("known_us").filter(pl.col("type").is_in(types)).min().alias(f"{moment}_us")
        for moment, types in OUTCOME_MOMENTS.items()
    )


def _us(column: str) -> pl.Expr:
    return pl.col(column).dt.epoch("us")


def _known_us() -> pl.Expr:
    return pl.max_horizontal(_us("occurred_at"), _us("recorded_at"))
