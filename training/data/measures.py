"""The measured value of decisions: declared measures over the window after each decision."""

from collections.abc import Mapping, Sequence

import polars as pl

from decisioning.catalogue.measure import ENGAGED, Measure, Unit
from features.computing.machines import with_machines
from features.computing.sources import Tables
from features.log.identities import by_person, people
from features.log.outcome_types import OutcomeType
from training.data.returned import ReturnCounts, bought_rows, return_counts, taken_back

UNTIL = "until"
"""Column of windows before which whatever counts must have happened, whatever window a measure has of its own."""

_ONCE = (OutcomeType.UNSUBSCRIBED.value, OutcomeType.COMPLAINED.value)  # a decision, however often it is reported


def decision_values(
    history: Tables, decisions: pl.DataFrame, measure: Measure, *, cap: bool, whole: bool = False
) -> pl.DataFrame:
    """One row per decision: the value of a measure in its window, `starts_at <= occurred_at < ends_at`.

    Windows of one customer may overlap; whatever happens in both counts in both. A visitor's decision has what the
    customer did whom they turned out to be. A measure with a window of its own looks at that in place of `ends_at`.

    Args:
        history: Canonical tables.
        decisions: One row per decision with `decision_id`, `customer_id`, `starts_at` and `ends_at` (UTC), and
            optionally `UNTIL`.
        measure: What to count.
        cap: Whether one transaction counts for at most the measure's `cap_minor` (in either direction).
        whole: Whether the windows are periods that hold for every measure, whatever window it has of its own.

    Returns:
        `decision_id` and `value` (Float64: minor units for money, a number from 0 to 1 for a rate), in the order given.
    """
    decisions = by_person(decisions, people(history.events))
    parts = [times * _plain_values(history, decisions, part, cap=cap, whole=whole) for part, times in measure.plain]
    value = parts[0] if len(parts) == 1 else pl.Series(sum(parts[1:], parts[0]))
    return decisions.select("decision_id", value=value)


def settled_at(measures: Sequence[Measure]) -> pl.Expr:
    """The moment from which on nothing changes what a decision with `starts_at` and `ends_at` is worth."""
    moments = [pl.col("ends_at")]
    for measure, _ in (pair for one in measures for pair in one.plain):
        back = pl.duration(microseconds=round((measure.returns.window_days if measure.returns else 0.0) * 86_400e6))
        moments.append(_own_end(measure) + back)
    return pl.max_horizontal(moments)


def longest_days(measure: Measure, window_days: float) -> float:
    """Days after a decision until nothing changes what it is worth, where windows have `window_days`."""
    days = (
        (one.window_days or window_days) + (one.returns.window_days if one.returns else 0.0) for one, _ in measure.plain
    )
    return max(window_days, *days)


def money_steps(history: Tables, measure: Measure, *, cap: bool) -> pl.DataFrame:
    """Everything that a money measure adds or takes away, whatever windows its parts have.

    Returns:
        `customer_id`, `occurred_at` and `step` (minor units, negative where it is taken away; whole without parts);
        what a visitor brought is the customer's whom they turned out to be.
    """
    if not measure.parts:
        return _plain_steps(history, measure, cap=cap)
    steps = [_plain_steps(history, one, cap=cap).with_columns(pl.col("step") * times) for one, times in measure.plain]
    return pl.concat(steps)


def counted_returns(history: Tables, measure: Measure) -> ReturnCounts | None:
    """What became of the returns of a log; None where the measure takes none."""
    taking = [one for one, _ in measure.plain if one.returns is not None]
    if not taking:
        return None
    counts = [return_counts(history, one, _bought(history, one)) for one in taking]
    return max(counts, key=lambda one: one.reversing)


def return_words(history: Tables, measure: Measure) -> tuple[str, ...]:
    """What became of the returns of a log, for readers of a measure of money."""
    counts = counted_returns(history, measure)
    if counts is not None:
        return counts.words
    idle = history.outcomes.filter(pl.col("type") == OutcomeType.RETURNED.value).height
    if not idle or measure.unit is not Unit.MONEY:
        return ()
    return (f"{idle:,} outcomes `returned` take nothing back: declare `returns` in measure {measure.measure_id}.",)


def _plain_values(history: Tables, decisions: pl.DataFrame, measure: Measure, *, cap: bool, whole: bool) -> pl.Series:
    """Of a measure without parts, in the order of the decisions."""
    if not whole:
        decisions = decisions.with_columns(ends_at=_own_end(measure))
    if UNTIL in decisions.columns:
        decisions = decisions.with_columns(ends_at=pl.min_horizontal("ends_at", UNTIL))
    if measure.unit is Unit.MONEY:
        return _window_sums(_plain_steps(history, measure, cap=cap), decisions)
    happened = _event_happened(history.events, decisions, measure).cast(pl.Float64)
    if not measure.outcomes:
        return happened
    return pl.select(pl.max_horizontal(happened, _outcome_weight(history, decisions, measure))).to_series()


def _own_end(measure: Measure) -> pl.Expr:
    if measure.window_days is None:
        return pl.col("ends_at")
    return pl.col("starts_at") + pl.duration(microseconds=round(measure.window_days * 86_400e6))


def _plain_steps(history: Tables, measure: Measure, *, cap: bool) -> pl.DataFrame:
    events, outcomes = _event_amounts(history.events, measure), _outcome_worths(history, measure)
    steps = [events, outcomes] if measure.outcomes else [events]
    if measure.returns is not None:
        back = taken_back(history, measure, _bought(history, measure))
        steps = [_less(one, back, source) for one, source in zip(steps, ("event", "outcome"), strict=False)]
    cut = [one.select("customer_id", "occurred_at", step=_cut(pl.col("worth"), measure, cap=cap)) for one in steps]
    signed = [cut[0].with_columns(pl.col("step") * events["sign"]), *cut[1:]]
    return by_person(pl.concat(signed), people(history.events))


def _bought(history: Tables, measure: Measure) -> pl.DataFrame:
    added = _event_amounts(history.events, measure).filter(pl.col("sign") == 1)
    return bought_rows(added, _outcome_worths(history, measure))


def _less(rows: pl.DataFrame, back: pl.DataFrame, source: str) -> pl.DataFrame:
    """Purchases without what came back of them, in the order given."""
    of_source = back.filter(pl.col("source") == source).select(pl.col("row_id").alias(f"{source}_id"), "whose", "back")
    joined = rows.join(
        of_source, left_on=[f"{source}_id", "customer_id"], right_on=[f"{source}_id", "whose"], how="left",
        maintain_order="left",
    )  # fmt: skip
    is_bought = pl.col("sign") == 1 if "sign" in rows.columns else pl.lit(value=True)
    return joined.with_columns(
        pl.when(is_bought).then(pl.col("worth") - pl.col("back").fill_null(0)).otherwise("worth")
    )


def _event_amounts(events: pl.DataFrame, measure: Measure) -> pl.DataFrame:
    """Events that count, with `worth` (Int64) and `sign`."""
    counted = events.filter(pl.col("type").is_in(sorted(measure.added_events | measure.subtracted_events)))
    worth = _declared(measure.event_worth_minor).round()
    amount = pl.coalesce(pl.col("amount_minor"), worth.cast(pl.Int64)).cast(pl.Int64)
    sign = pl.when(pl.col("type").is_in(sorted(measure.added_events))).then(1).otherwise(-1)
    return counted.with_columns(worth=amount, sign=sign.cast(pl.Int64))


def _outcome_worths(history: Tables, measure: Measure) -> pl.DataFrame:
    """Outcomes that count, with what they are worth: the amount reported, else what one of their type is worth."""
    counted = history.outcomes.filter(pl.col("type").is_in(sorted(measure.outcomes)))
    once = pl.col("type").is_in(_ONCE)
    if counted.select(once.any()).item():
        firsts = counted.filter(once).sort("occurred_at", "outcome_id").unique(["decision_id", "type"], keep="first")
        counted = pl.concat([counted.filter(~once), firsts])
    worth = pl.coalesce(pl.col("amount_minor").cast(pl.Float64), _declared(measure.outcome_worth_minor))
    if measure.outcomes & ENGAGED:
        counted = _weighed(history, counted, measure)
        worth = worth * pl.col("weight")
    return counted.with_columns(worth=worth.round().cast(pl.Int64))


def _declared(worth: Mapping[str, float]) -> pl.Expr:
    if not worth:
        return pl.lit(0.0)
    return pl.col("type").replace_strict(dict(worth), default=0.0, return_dtype=pl.Float64)


def _weighed(history: Tables, counted: pl.DataFrame, measure: Measure) -> pl.DataFrame:
    """Outcomes with `weight`: less than 1 for what a machine opened or clicked."""
    of = history.outcomes.filter(pl.col("decision_id").is_in(counted["decision_id"].unique().implode()))
    decisions = history.decisions if measure.engagement.scanned_channels else None
    weights = with_machines(of, decisions, measure.engagement).select("outcome_id", "customer_id", "weight")
    weights = weights.unique(["outcome_id", "customer_id"], keep="first")
    return counted.join(weights, on=["outcome_id", "customer_id"], how="left", maintain_order="left")


def _cut(amount: pl.Expr, measure: Measure, *, cap: bool) -> pl.Expr:
    return amount if not cap or measure.cap_minor is None else amount.clip(-measure.cap_minor, measure.cap_minor)


def _event_happened(events: pl.DataFrame, decisions: pl.DataFrame, measure: Measure) -> pl.Series:
    counted = events.filter(pl.col("type").is_in(sorted(measure.added_events)))
    steps = by_person(counted, people(events)).select("customer_id", "occurred_at", step=pl.lit(1, dtype=pl.Int64))
    return _window_sums(steps, decisions) > 0


def _outcome_weight(history: Tables, decisions: pl.DataFrame, measure: Measure) -> pl.Series:
    """What the best of the outcomes of each decision counts for."""
    counted = history.outcomes.filter(pl.col("type").is_in(sorted(measure.outcomes)))
    if measure.outcomes & ENGAGED:
        counted = _weighed(history, counted, measure)
    else:
        counted = counted.with_columns(weight=pl.lit(1.0))
    inside = pl.col("occurred_at").is_between(pl.col("starts_at"), pl.col("ends_at"), closed="left")
    hits = counted.select("decision_id", "occurred_at", "weight").join(decisions, on="decision_id", how="inner")
    best = hits.filter(inside).group_by("decision_id").agg(pl.col("weight").max())
    found = decisions.select("decision_id").join(best, on="decision_id", how="left", maintain_order="left")
    return found["weight"].fill_null(0.0)


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
