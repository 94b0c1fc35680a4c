"""What groups are compared on, as sums per customer, so that any split of customers can be estimated from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from features.catalogue.fairness_rules import FairnessMeasure, Guardrail
from features.computing.sources import Tables
from features.history import History
from features.log.cases import cases_of
from training.kpis.contacts import KpiPeriod, messages_of
from training.kpis.increments import drawn_decisions, held_out_customers
from training.kpis.kpi_report import money_measure
from training.kpis.service import case_times

LONGEST_HOURS = 168.0
"""A case that waited longer for its answer counts as this."""

MONTH_DAYS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureEvidence:
    """What is known of a measure.

    Attributes:
        rows: `customer_id`, `total` and `count` per customer; of a benefit, rows as `training.kpis.increments` needs.
        reason: Why there is nothing to compare; None where there is.
    """

    rows: pl.DataFrame
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureInputs:
    """What every measure is taken from."""

    log: Tables
    catalogue: Catalogue
    period: KpiPeriod
    messages: pl.DataFrame
    cases: pl.DataFrame

    @classmethod
    def of(cls, log: Tables, catalogue: Catalogue, period: KpiPeriod) -> "MeasureInputs":
        """Read messages and cases once for all comparisons."""
        log = History.of(log)
        known = cases_of(log.events, log.outcomes, log.decisions, catalogue, as_of=period.as_of)
        return cls(
            log=log,
            catalogue=catalogue,
            period=period,
            messages=messages_of(log, catalogue, period),
            cases=case_times(known, period),
        )


def evidence_of(ground: MeasureInputs, guardrail: Guardrail) -> MeasureEvidence:
    """What is known of a guardrail's measure."""
    return _MEASURES[guardrail.measure](ground, guardrail)


def _answered_in_time(ground: MeasureInputs, _: Guardrail) -> MeasureEvidence:
    """Cases whose time was up by the end of the period: answered by then, or not."""
    due = ground.cases.filter(pl.col("answer_due_at") <= ground.period.as_of)
    if ground.cases.height and ground.cases["answer_due_at"].null_count() == ground.cases.height:
        return MeasureEvidence(rows=due, reason="no kind of case promises an answer: declare answer_within_hours")
    in_time = (pl.col("answered_at") <= pl.col("answer_due_at")).fill_null(value=False)
    return MeasureEvidence(rows=_per_customer(due, in_time))


def _hours_to_answer(ground: MeasureInputs, _: Guardrail) -> MeasureEvidence:
    """Cases old enough for every wait up to the longest to be seen; the rest would only show their short waits."""
    old = ground.cases.filter(pl.col("opened_at") <= ground.period.as_of - timedelta(hours=LONGEST_HOURS))
    return MeasureEvidence(rows=_per_customer(old, pl.col("answer_hours").clip(0, LONGEST_HOURS)))


def _contact_burden(ground: MeasureInputs, guardrail: Guardrail) -> MeasureEvidence:
    marketing = _of_channel(ground.messages, guardrail).filter(pl.col("class") == MessageClass.MARKETING.value)
    counts = marketing.filter("is_delivered").group_by("customer_id").agg(pl.len().cast(pl.Float64).alias("total"))
    rows = _customers(ground).join(counts, on="customer_id", how="left").with_columns(pl.col("total").fill_null(0.0))
    reason = None if ground.messages.height else "no message was sent"
    return MeasureEvidence(rows=rows.filter(pl.col("count") > 0), reason=reason)


def _reached(ground: MeasureInputs, guardrail: Guardrail) -> MeasureEvidence:
    arrived = _of_channel(ground.messages, guardrail).filter("is_delivered")["customer_id"].unique().to_list()
    rows = _customers(ground).filter(pl.col("count") > 0)
    is_reached = pl.col("customer_id").is_in(arrived).cast(pl.Float64)
    reason = None if arrived else "no message arrived"
    return MeasureEvidence(rows=rows.select("customer_id", total=is_reached, count=pl.lit(1.0)), reason=reason)


def _rate_of_messages(flag: str) -> Callable[[MeasureInputs, Guardrail], MeasureEvidence]:
    def measured(ground: MeasureInputs, guardrail: Guardrail) -> MeasureEvidence:
        arrived = _of_channel(ground.messages, guardrail).filter("is_delivered")
        return MeasureEvidence(rows=_per_customer(arrived, pl.col(flag)))

    return measured


def _benefit(ground: MeasureInputs, _: Guardrail) -> MeasureEvidence:
    """Against the universal holdout where there is one, else against silence that chance chose."""
    measure = money_measure(ground.catalogue)
    if measure is None or ground.catalogue.learning is None:
        return MeasureEvidence(rows=pl.DataFrame(), reason="the catalogue declares no money to learn")
    held = held_out_customers(ground.log, ground.messages, measure, ground.period, ground.catalogue.holdout)
    if held["is_held_out"].any() and not held["is_held_out"].all():
        return MeasureEvidence(rows=held)
    return MeasureEvidence(rows=drawn_decisions(ground.log, ground.messages, ground.catalogue, measure, ground.period))


def _of_channel(messages: pl.DataFrame, guardrail: Guardrail) -> pl.DataFrame:
    return messages if guardrail.channel is None else messages.filter(pl.col("channel") == guardrail.channel)


def _per_customer(rows: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    sums = rows.group_by("customer_id").agg(
        value.cast(pl.Float64).sum().alias("total"), pl.len().cast(pl.Float64).alias("count")
    )
    return sums.sort("customer_id")


def _customers(ground: MeasureInputs) -> pl.DataFrame:
    """Every customer with the months (of 30 days) of the period that they were one: `customer_id`, `count`."""
    period = ground.period
    first = ground.log.customers.group_by("customer_id").agg(
        pl.coalesce(pl.col("joined_at").min(), pl.lit(period.from_at)).alias("since")
    )
    since = pl.max_horizontal("since", pl.lit(period.from_at).cast(pl.Datetime("us", "UTC")))
    days = (pl.lit(period.as_of).cast(pl.Datetime("us", "UTC")) - since).dt.total_seconds() / 86_400
    return first.select("customer_id", count=days / MONTH_DAYS).sort("customer_id")


_MEASURES: Mapping[FairnessMeasure, Callable[[MeasureInputs, Guardrail], MeasureEvidence]] = {
    FairnessMeasure.ANSWERED_IN_TIME: _answered_in_time,
    FairnessMeasure.HOURS_TO_ANSWER: _hours_to_answer,
    FairnessMeasure.CONTACT_BURDEN: _contact_burden,
    FairnessMeasure.UNWANTED_RATE: _rate_of_messages("is_unwanted"),
    FairnessMeasure.WANTED_RATE: _rate_of_messages("is_wanted"),
    FairnessMeasure.REACHED: _reached,
    FairnessMeasure.BENEFIT: _benefit,
}
