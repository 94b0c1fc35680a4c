"""Incremental contribution of messages: by the universal holdout, and by the logged action probabilities.

Where a decision was drawn with known probabilities and silence could have been drawn, the decisions that came out
silent stand for all of them, each weighted by one over its probability (Hajek). With value v, n decisions, weights
w = 1{silent}/p::

    effect = mean(v) - sum(w v) / sum(w)

Reference:
    Hajek (1971); Swaminathan and Joachims (2015), The self-normalized estimator for counterfactual learning, eq. 5;
    variances by linearisation, summed by customer, or by household where the holdout keeps back households.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import polars as pl
from scipy import stats

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import AssignedUnit, Holdout
from decisioning.catalogue.measure import Measure
from features.computing.sources import Tables
from features.log.identities import by_person, people
from training.data.measures import decision_values, settled_at
from training.experiments.exposures import with_units
from training.intervals import MIN_CUSTOMERS, Interval
from training.kpis.contacts import KpiPeriod

_COVERED = 0.2
"""The silent decisions must stand for as many decisions as there are, to this share; else silence was impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """An effect and the return it means, or the reason why chance cannot say.

    Attributes:
        effect: Minor units a decision (a customer, of a holdout).
        roi: Effect over contact costs, minus 1; None where nothing was spent.
        unit_count: Decisions or customers behind it.
    """

    effect: Interval | None
    roi: Interval | None
    unit_count: int
    customer_count: int
    reason: str


def drawn_decisions(
    log: Tables, messages: pl.DataFrame, catalogue: Catalogue, measure: Measure, period: KpiPeriod
) -> pl.DataFrame:
    """Decisions between silence and messages that compete with it, drawn by chance, whose windows are over.

    Args:
        log: Canonical tables.
        messages: From `messages_of`, for what each cost.
        catalogue: Says which offers compete with silence, and the window.
        measure: A money measure.
        period: Decisions in it count.

    Returns:
        One row per decision: `customer_id`, `touchpoint`, `is_silent`, `weight`, `value`, `cost_minor`.
    """
    competing = [
        each.offer_id for each in catalogue.offers.values() if not catalogue.classes[each.message_class].has_precedence
    ]
    window = pl.duration(microseconds=round(catalogue.learning.window_days * 86_400e6)) if catalogue.learning else None
    is_silent = pl.col("offer_id").fill_null("") == ""
    probability = pl.col("action_probability")
    rows = (
        log.decisions.filter(period.holds("decided_at") & (probability > 0) & (probability < 1))
        .filter(is_silent | pl.col("offer_id").is_in(competing))
        .with_columns(starts_at="decided_at", ends_at=pl.coalesce("window_ends_at", pl.col("decided_at") + window))
        .filter(settled_at([measure]) <= period.as_of)
    )
    values = decision_values(log, rows.select("decision_id", "customer_id", "starts_at", "ends_at"), measure, cap=False)
    costs = messages.select("decision_id", "cost_minor")
    return (
        rows.join(values, on="decision_id", how="inner")
        .join(costs, on="decision_id", how="left")
        .select(
            "customer_id",
            pl.col("touchpoint").fill_null(""),
            is_silent.alias("is_silent"),
            pl.when(is_silent).then(1 / probability).otherwise(0.0).alias("weight"),
            "value",
            pl.col("cost_minor").fill_null(0.0),
        )
    )


def against_silence(drawn: pl.DataFrame) -> Increment:
    """What decisions brought beyond silence, from `drawn_decisions`."""
    silent, count = int(drawn["is_silent"].sum()), drawn.height
    customers = drawn["customer_id"].n_unique()
    reason = _thin("chance chose {} messages and {} times silence", count - silent, silent)
    if not reason and abs(float(drawn["weight"].sum()) / count - 1) > _COVERED:
        reason = "silence was not among what chance could choose"
    if reason:
        return Increment(effect=None, roi=None, unit_count=count, customer_count=customers, reason=reason)
    clusters = drawn["customer_id"].rank("dense").to_numpy().astype(np.int64) - 1
    return _increment(drawn["value"].to_numpy(), drawn["weight"].to_numpy(), drawn["cost_minor"].to_numpy(), clusters)


def _thin(what: str, one: int, other: int) -> str:
    if min(one, other) >= MIN_CUSTOMERS:
        return ""
    return f"not enough data: {what.format(f'{one:,}', f'{other:,}')}, and it takes {MIN_CUSTOMERS} each"


def _increment(values: FloatArray, weights: FloatArray, costs: FloatArray, clusters: np.ndarray) -> Increment:
    n, whole = len(values), float(weights.sum())
    silence = float(weights @ values) / whole
    effect = float(values.mean()) - silence
    parts = (values - values.mean()) / n - weights * (values - silence) / whole
    return _with_roi(effect, parts, float(costs.mean()), (costs - costs.mean()) / n, clusters)


def _with_roi(effect: float, parts: FloatArray, cost: float, cost_parts: FloatArray, clusters: np.ndarray) -> Increment:
    """Intervals from what each row adds to an estimate (its linearisation), summed by customer."""
    count = int(clusters.max()) + 1
    roi = None
    if cost > 0:
        roi = _interval(effect / cost - 1, (parts - effect / cost * cost_parts) / cost, clusters, count)
    return Increment(
        effect=_interval(effect, parts, clusters, count),
        roi=roi,
        unit_count=len(parts),
        customer_count=count,
        reason="",
    )


def _interval(value: float, parts: FloatArray, clusters: np.ndarray, count: int) -> Interval:
    sums = np.bincount(clusters, weights=parts, minlength=count)
    error = sqrt(float(sums @ sums) * count / max(count - 1, 1))
    reach = error * float(stats.t.ppf(0.975, max(count - 1, 1)))
    return Interval(value=value, lower=value - reach, upper=value + reach, error=error)


def held_out_customers(
    log: Tables, messages: pl.DataFrame, measure: Measure, period: KpiPeriod, holdout: Holdout | None
) -> pl.DataFrame:
    """Customers whom the engine decided about, with what they brought from their first decision in the period on.

    Contacts cost from that same moment on: what others sent before, and history that was imported, is no cost of what
    is counted here.

    Returns:
        One row per customer: `customer_id`, `unit` (what the holdout assigns: them, or their household),
        `is_held_out`, `value` and `cost_minor`.
    """
    known = people(log.events)
    firsts = (
        _of_people(log.decisions.filter(period.holds("decided_at") & pl.col("is_held_out").is_not_null()), known)
        .group_by("customer_id")
        .agg(
            starts_at=pl.col("decided_at").min(),
            decision_id=pl.col("customer_id").first(),
            is_held_out=pl.col("is_held_out").any(),
            is_crossed=pl.col("is_held_out").n_unique() > 1,
        )
        .filter(~pl.col("is_crossed"))
        .with_columns(ends_at=pl.lit(period.as_of).cast(pl.Datetime("us", "UTC")))
    )
    values = decision_values(log, firsts, measure, cap=False, whole=True).rename({"decision_id": "customer_id"})
    since = by_person(messages, known).join(firsts.select("customer_id", "starts_at"), on="customer_id")
    spent = since.filter(pl.col("decided_at") >= pl.col("starts_at"))
    spent = spent.group_by("customer_id").agg(pl.col("cost_minor").sum())
    unit = AssignedUnit.CUSTOMER if holdout is None else holdout.unit
    units = with_units(firsts.select("customer_id", decided_at="starts_at"), log.customers, unit)
    rows = firsts.join(values, on="customer_id").join(spent, on="customer_id", how="left")
    told = rows.join(units.select("customer_id", "unit"), on="customer_id")
    return told.select("customer_id", "unit", "is_held_out", "value", pl.col("cost_minor").fill_null(0.0))


def _of_people(decisions: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Decisions with visitors as the customers whom they turned out to be, held out as they were at first."""
    rows = by_person(decisions, known)
    first = pl.col("is_held_out").sort_by("decided_at").first().over("customer_id")
    is_joint = pl.col("customer_id").is_in(known["person"].to_list())
    return rows.with_columns(is_held_out=pl.when(is_joint).then(first).otherwise("is_held_out"))


def against_holdout(rows: pl.DataFrame) -> Increment:
    """What a messaged customer brought beyond a held-out one, from `held_out_customers`."""
    held = int(rows["is_held_out"].sum())
    reason = _thin("{} customers were held out and {} were not", held, rows.height - held)
    if reason:
        return Increment(effect=None, roi=None, unit_count=rows.height, customer_count=rows.height, reason=reason)
    clusters = rows["unit"].rank("dense").to_numpy().astype(np.int64) - 1
    values, held, costs = (rows[name].to_numpy() for name in ("value", "is_held_out", "cost_minor"))
    return _difference(values, held, costs, clusters)


def _difference(values: FloatArray, held: np.ndarray, costs: FloatArray, clusters: np.ndarray) -> Increment:
    """Messaged minus held out, and the same difference of contact costs under it."""

    def parts_of(column: FloatArray) -> tuple[float, FloatArray]:
        ours, theirs = float(column[~held].mean()), float(column[held].mean())
        parts = np.where(held, -(column - theirs) / held.sum(), (column - ours) / (~held).sum())
        return ours - theirs, parts

    effect, parts = parts_of(values)
    cost, cost_parts = parts_of(costs)
    return _with_roi(effect, parts, cost, cost_parts, clusters)
