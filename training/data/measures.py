"""The measured value of decisions: declared measures over the window after each decision."""

import polars as pl

from decisioning.catalogue.measure import Measure, Unit
from features.computing.sources import Tables
from features.log.identities import by_person, people


def decision_values(history: Tables, decisions: pl.DataFrame, measure: Measure, *, cap: bool) -> pl.DataFrame:
    """One row per decision: the value of a measure in its window, `starts_at <= occurred_at < ends_at`.

    Windows of one customer may overlap; whatever happens in both counts in both. A visitor's decision has what the
    customer did whom they turned out to be.

    Args:
        history: Canonical events and outcomes.
        decisions: One row per decision with `decision_id`, `customer_id`, `starts_at` and `ends_at` (UTC).
        measure: What to count.
        cap: Whether one transaction counts for at most the measure's `cap_minor` (in either direction).

    Returns:
        `decision_id` and `value` (Float64: minor units for money, 0 or 1 for a rate), in the order given.
    """
    decisions = by_person(decisions, people(history.events))
    if measure.unit is Unit.MONEY:
        steps = money_steps(history, measure, cap=cap)
        return decisions.select("decision_id", value=_window_sums(steps, decisions))
    happened = _outcome_happened(history.outcomes, decisions, measure) | _event_happened(
        history.events, decisions, measure
    )
    return decisions.select("decision_id", value=happened.cast(pl.Float64))


def money_steps(history: Tables, measure: Measure, *, cap: bool) -> pl.DataFrame:
    """Everything that a money measure adds or takes away.

    Returns:
        `customer_id`, `occurred_at` and `step` (Int64, minor units, negative where it is taken away); what a visitor
        brought is the customer's whom they turned out to be.
    """
    steps = _event_amounts(history.events, measure, cap=cap)
    whole = pl.concat([steps, _outcome_worths(history.outcomes, measure, cap=cap)]) if measure.outcomes else steps
    return by_person(whole, people(history.events))


def _event_amounts(events: pl.DataFrame, measure: Measure, *, cap: bool) -> pl.DataFrame:
    amount = _cut(pl.col("amount_minor").fill_null(0), measure, cap=cap)
    sign = pl.when(pl.col("type").is_in(sorted(measure.added_events))).then(1).otherwise(-1)
    counted = events.filter(pl.col("type").is_in(sorted(measure.added_events | measure.subtracted_events)))
    return counted.select("customer_id", "occurred_at", step=(amount * sign).cast(pl.Int64))


def _outcome_worths(outcomes: pl.DataFrame, measure: Measure, *, cap: bool) -> pl.DataFrame:
    """What outcomes are worth: the amount that was reported, else what one of their type is declared to be worth."""
    declared = pl.col("type").replace_strict(dict(measure.outcome_worth_minor), default=0.0, return_dtype=pl.Float64)
    worth = pl.coalesce(pl.col("amount_minor").cast(pl.Float64), declared).round().cast(pl.Int64)
    counted = outcomes.filter(pl.col("type").is_in(sorted(measure.outcomes)))
    return counted.select("customer_id", "occurred_at", step=_cut(worth, measure, cap=cap))


def _cut(amount: pl.Expr, measure: Measure, *, cap: bool) -> pl.Expr:
    return amount if not cap or measure.cap_minor is None else amount.clip(-measure.cap_minor, measure.cap_minor)


def _event_happened(events: pl.DataFrame, decisions: pl.DataFrame, measure: Measure) -> pl.Series:
    counted = events.filter(pl.col("type").is_in(sorted(measure.added_events)))
    steps = by_person(counted, people(events)).select("customer_id", "occurred_at", step=pl.lit(1, dtype=pl.Int64))
    return _window_sums(steps, decisions) > 0


def _outcome_happened(outcomes: pl.DataFrame, decisions: pl.DataFrame, measure: Measure) -> pl.Series:
    counted = outcomes.filter(pl.col("type").is_in(sorted(measure.outcomes))).select("decision_id", "occurred_at")
    inside = pl.col("occurred_at").is_between(pl.col("starts_at"), pl.col("ends_at"), closed="left")
    hits = counted.join(decisions, on="decision_id", how="inner").filter(inside)
    return decisions["decision_id"].is_in(hits["decision_id"].unique().to_list())


def _window_sums(steps: pl.DataFrame, decisions: pl.DataFrame) -> pl.Series:
    """Sum of steps per window: a running total per customer, read just before both ends of the window.

    Exact (whole numbers), and linear in rows where joining every event to every decision would not be.
    """
    totals = steps.sort("occurred_at").select(
        "customer_id", "occurred_at", total=pl.col("step").cum_sum().over("customer_id")
    )
    sums = _total_before(totals, decisions, "ends_at") - _total_before(totals, decisions, "starts_at")
    return sums.cast(pl.Float64)


def _total_before(totals: pl.DataFrame, decisions: pl.DataFrame, bound: str) -> pl.Series:
    moments = decisions.select("customer_id", at=bound).with_row_index("row").sort("at")
    found = moments.join_asof(
        totals,
        left_on="at",
        right_on="occurred_at",
        by="customer_id",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return found.sort("row")["total"].fill_null(0)
