"""Every message of a period, what its customer did with it, what it cost, and what came after it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Measure
from features.computing.machines import with_machines
from features.computing.sources import Tables
from features.history import History
from features.log.identities import by_person, people
from training.data.measures import money_steps

VIEWED = ("viewed",)
CLICKED = ("clicked",)
CONVERTED = ("accepted", "converted")
WANTED = ("viewed", "clicked", "accepted", "converted", "answered", "referred", "reviewed")
UNWANTED = ("declined", "unsubscribed", "complained")
ARRIVED = ("delivered", *WANTED, *UNWANTED)
"""Outcomes that imply arrival, whether it was reported or not."""

NEVER_LEFT = ("not_sent",)
_BY_MACHINE = {"viewed_by_machine": VIEWED, "clicked_by_machine": CLICKED}
WEIGHTS = {"viewed": VIEWED, "clicked": CLICKED, "is_wanted_by": WANTED}
"""Outcomes that count less where a machine made them."""

FLAGS = {
    "viewed_raw": VIEWED,
    "clicked_raw": CLICKED,
    "converted": CONVERTED,
    "is_unwanted": UNWANTED,
    "referred": ("referred",),
    "reviewed": ("reviewed",),
    "is_delivered": ARRIVED,
    "is_not_sent": NEVER_LEFT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiPeriod:
    """Which decisions count: from `from_at` on, as far as things were known before `as_of` (both aware, UTC)."""

    from_at: datetime
    as_of: datetime

    @classmethod
    def of_days(cls, as_of: datetime, days: float) -> "KpiPeriod":
        """The days before a moment."""
        return cls(from_at=as_of - timedelta(days=days), as_of=as_of)

    def holds(self, column: str) -> pl.Expr:
        """Rows within the period."""
        return pl.col(column).is_between(self.from_at, self.as_of, closed="left")


def messages_of(log: Tables, catalogue: Catalogue, period: KpiPeriod) -> pl.DataFrame:
    """Messages that were decided in a period, with outcomes before its end.

    Returns:
        One row per decision that sent: `decision_id`, `customer_id`, `touchpoint`, `channel`, `decided_at`, `class`,
        the flags of `FLAGS`, `viewed`, `clicked` and `is_wanted` as numbers from 0 to 1 (what only a machine did
        counts as the catalogue says), `viewed_by_machine` and `clicked_by_machine` (nobody else did),
        `delivered_at` (null where it did not arrive) and `cost_minor`.
    """
    classes = {offer.offer_id: offer.message_class.value for offer in catalogue.offers.values()}
    sent = log.decisions.filter(period.holds("decided_at") & (pl.col("offer_id").fill_null("") != ""))
    rows = sent.select(
        "decision_id",
        "customer_id",
        pl.col("touchpoint").fill_null(""),
        pl.col("channel").fill_null(""),
        "decided_at",
        pl.col("offer_id").replace_strict(classes, default=None, return_dtype=pl.String).alias("class"),
        contact_cost(catalogue).alias("cost_minor"),
    )
    known = log.outcomes.filter(pl.col("occurred_at") < period.as_of)
    happened = _happened(with_machines(known, log.decisions, catalogue.engagement))
    joined = rows.join(happened, on="decision_id", how="left").with_columns(
        pl.col(*FLAGS, *_BY_MACHINE).fill_null(value=False), pl.col(*WEIGHTS).fill_null(0.0)
    )
    return joined.with_columns(
        pl.when("is_delivered").then(pl.coalesce("delivered_at", "decided_at")).alias("delivered_at"),
        pl.when("is_unwanted").then(0.0).otherwise("is_wanted_by").alias("is_wanted"),
        pl.when("is_not_sent").then(0.0).otherwise("cost_minor").alias("cost_minor"),
    ).drop("is_wanted_by")


def contact_cost(catalogue: Catalogue) -> pl.Expr:
    """Cost of the column `channel`, in minor units; 0 where the catalogue knows none."""
    costs = {channel.channel_id: float(channel.cost_minor) for channel in catalogue.channels.values()}
    return pl.col("channel").replace_strict(costs, default=0.0, return_dtype=pl.Float64)


def _happened(outcomes: pl.DataFrame) -> pl.DataFrame:
    kind = pl.col("type")
    is_machine = pl.col("machine").is_not_null()
    return outcomes.group_by("decision_id").agg(
        *(kind.is_in(types).any().alias(name) for name, types in FLAGS.items()),
        *(pl.col("weight").filter(kind.is_in(types)).max().alias(name) for name, types in WEIGHTS.items()),
        *(
            (kind.is_in(types).any() & is_machine.filter(kind.is_in(types)).all()).alias(name)
            for name, types in _BY_MACHINE.items()
        ),
        pl.col("occurred_at").filter(kind.is_in(ARRIVED)).min().alias("delivered_at"),
    )


def credited(
    log: Tables, messages: pl.DataFrame, measure: Measure, window_days: float, period: KpiPeriod
) -> pl.DataFrame:
    """What customers brought after messages: each amount goes to the last message that arrived before it.

    No amount counts twice, so touchpoints and channels add up; and nobody says that the message made the difference.

    Args:
        log: Canonical tables.
        messages: From `messages_of`.
        measure: A money measure.
        window_days: How long a message may take credit.
        period: Amounts before its end count.

    Returns:
        `decision_id` and `credited_minor` (Float64), for messages that have any.
    """
    known = known_by(log, period.as_of) if any(one.returns for one, _ in measure.plain) else log
    steps = money_steps(known, measure, cap=False).filter(pl.col("occurred_at") < period.as_of).sort("occurred_at")
    arrived = messages.filter("is_delivered").sort("delivered_at").select("decision_id", "customer_id", "delivered_at")
    arrived = by_person(arrived, people(log.events))
    found = steps.join_asof(
        arrived,
        left_on="occurred_at",
        right_on="delivered_at",
        by="customer_id",
        strategy="backward",
        tolerance=timedelta(days=window_days),
        check_sortedness=False,
    )
    return (
        found.filter(pl.col("decision_id").is_not_null())
        .group_by("decision_id")
        .agg(pl.col("step").sum().cast(pl.Float64).alias("credited_minor"))
    )


def known_by(log: Tables, as_of: datetime) -> History:
    """The log as it was: what came back later was not back yet."""
    past = pl.col("occurred_at") < as_of
    return History(
        customers=log.customers,
        events=log.events.filter(past),
        decisions=log.decisions,
        outcomes=log.outcomes.filter(past),
    )


def first_purchases(log: Tables, kinds: Collection[str], period: KpiPeriod) -> pl.DataFrame:
    """The first purchase of each customer in a period: `customer_id`, `bought_at`."""
    bought = log.events.filter(period.holds("occurred_at") & pl.col("type").is_in(sorted(kinds)))
    return bought.group_by("customer_id").agg(pl.col("occurred_at").min().alias("bought_at")).sort("customer_id")


def bought_again(log: Tables, kinds: Collection[str], firsts: pl.DataFrame, days: float) -> pl.DataFrame:
    """Who bought again on a later day within some days: `firsts` with `is_repeated`."""
    bought = log.events.filter(pl.col("type").is_in(sorted(kinds))).select("customer_id", "occurred_at")
    gap = pl.col("occurred_at") - pl.col("bought_at")
    is_later = pl.col("occurred_at").dt.date() > pl.col("bought_at").dt.date()
    again = firsts.join(bought, on="customer_id", how="inner").filter(is_later & (gap <= timedelta(days=days)))
    return firsts.with_columns(
        pl.col("customer_id").is_in(again["customer_id"].unique().to_list()).alias("is_repeated")
    )
