"""From rows to figures: a number with its interval where there is enough data, else the reason why not."""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from features.reports.kpis import Basis, Figure, KpiUnit
from training.intervals import MIN_CASES, MIN_CUSTOMERS, Interval, rate, ratio, waiting_quantile
from training.kpis.definitions import DEFINITIONS
from training.kpis.increments import Increment
from training.kpis.service import promoter_points

MESSAGE_RATES = {
    "wanted_rate": "is_wanted",
    "unwanted_rate": "is_unwanted",
    "viewed_rate": "viewed",
    "viewed_raw_rate": "viewed_raw",
    "clicked_rate": "clicked",
    "clicked_raw_rate": "clicked_raw",
    "conversion_rate": "converted",
    "referral_rate": "referred",
    "review_rate": "reviewed",
}
MACHINE_SHARES = (
    ("machine_viewed_share", "viewed_by_machine", "viewed_raw"),
    ("machine_clicked_share", "clicked_by_machine", "clicked_raw"),
)
_SURVEYS = ("effort", "csat", "nps")

type _Size = tuple[int, int]  # of a sample, and customers behind it


def message_figures(messages: pl.DataFrame) -> Iterator[Figure]:
    """Counts, rates and costs of messages from `messages_of`."""
    arrived = messages.filter("is_delivered")
    yield counted("sent", float(messages.height), messages)
    yield rate_figure("delivered_rate", messages, "is_delivered", "messages")
    for kpi_id, flag in MESSAGE_RATES.items():
        yield rate_figure(kpi_id, arrived, flag, "messages that arrived")
    for kpi_id, by_machine, raw in MACHINE_SHARES:
        yield rate_figure(kpi_id, messages.filter(raw), by_machine, f"messages that were {raw.partition('_')[0]}")
    yield counted("cost", float(messages["cost_minor"].sum()), messages)


def money_figures(messages: pl.DataFrame, increment: Increment, *, has_measure: bool) -> Iterator[Figure]:
    """Contribution and ROI; `messages` with `credited_minor` of those whose window is over."""
    if not has_measure:
        reason = "the catalogue declares no measure of money"
        for kpi_id in ("contribution", "contribution_total", "incremental_contribution", "roi"):
            yield _missing(kpi_id, reason)
        return
    arrived = messages.filter(pl.col("is_delivered") & pl.col("is_complete"))
    credit, cost = _sums(arrived, "credited_minor"), _sums(arrived, "cost_minor")
    yield mean_figure("contribution", arrived, "credited_minor", "messages that arrived, with complete windows")
    yield counted("contribution_total", float(arrived["credited_minor"].sum()), arrived, basis=Basis.ATTRIBUTED)
    yield _increment_figure("incremental_contribution", increment.effect, increment)
    if increment.roi is not None:
        yield _increment_figure("roi", increment.roi, increment)
    elif len(credit[1]) < MIN_CUSTOMERS or cost[0].sum() <= 0:
        reason = "nothing was spent" if len(credit[1]) >= MIN_CUSTOMERS else _too_few(len(credit[1]), "customers")
        yield _missing("roi", reason, (arrived.height, len(credit[1])), Basis.ATTRIBUTED)
    else:
        found = ratio(credit[0] - cost[0], cost[0])
        yield _of_interval("roi", found, (arrived.height, len(credit[1])), Basis.ATTRIBUTED, increment.reason)


def case_figures(cases: pl.DataFrame) -> Iterator[Figure]:
    """Times and work of cases from `case_times` and `with_contacts`."""
    for kpi_id, hours, flag in (
        ("answer", "answer_hours", "is_answered"),
        ("resolution", "resolution_hours", "is_resolved"),
    ):
        for name, share in (("median", 0.5), ("p90", 0.9)):
            yield _waiting(f"hours_to_{kpi_id}_{name}", cases, hours, flag, share)
    yield mean_figure("contacts_per_case", cases, "contact_count", "cases", basis=Basis.COUNTED)


def survey_figures(answers: pl.DataFrame) -> Iterator[Figure]:
    """Satisfaction from `survey_answers`."""
    for survey in _SURVEYS:
        rows = answers.filter(pl.col("survey") == survey)
        if DEFINITIONS[survey].unit is KpiUnit.POINTS:
            rows = rows.with_columns(promoter_points(pl.col("score")).alias("score"))
        yield mean_figure(survey, rows, "score", "answers", basis=Basis.COUNTED)


def rate_figure(kpi_id: str, rows: pl.DataFrame, flag: str, what: str) -> Figure:
    """A share of rows, by customer."""
    return _estimated(kpi_id, rows, flag, what, rate, Basis.COUNTED)


def mean_figure(kpi_id: str, rows: pl.DataFrame, column: str, what: str, *, basis: Basis = Basis.ATTRIBUTED) -> Figure:
    """A mean over rows, by customer."""
    return _estimated(kpi_id, rows, column, what, ratio, basis)


def _estimated(
    kpi_id: str, rows: pl.DataFrame, column: str, what: str, estimate: Callable[..., Interval], basis: Basis
) -> Figure:
    totals, counts = _sums(rows, column)
    size = rows.height, len(counts)
    if len(counts) < MIN_CUSTOMERS:
        return _missing(kpi_id, _too_few(len(counts), f"customers with {what}"), size, basis)
    return _of_interval(kpi_id, estimate(totals, counts), size, basis)


def _of_interval(
    kpi_id: str, found: Interval, size: _Size, basis: Basis = Basis.COUNTED, reason: str | None = None
) -> Figure:
    ends = {"value": found.value, "lower": found.lower, "upper": found.upper}
    return Figure(
        kpi_id=kpi_id, sample_size=size[0], customer_count=size[1], basis=basis, reason=reason or None, **ends
    )


def counted(kpi_id: str, value: float, rows: pl.DataFrame, *, basis: Basis = Basis.COUNTED) -> Figure:
    """A figure that was counted, without an interval."""
    customers = rows["customer_id"].n_unique()
    return Figure(kpi_id=kpi_id, value=value, sample_size=rows.height, customer_count=customers, basis=basis)


def _missing(kpi_id: str, reason: str, size: _Size = (0, 0), basis: Basis = Basis.COUNTED) -> Figure:
    return Figure(kpi_id=kpi_id, value=None, sample_size=size[0], customer_count=size[1], basis=basis, reason=reason)


def _sums(rows: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of rows of each customer, in the same order every time."""
    sums = rows.group_by("customer_id").agg(pl.col(column).cast(pl.Float64).sum(), pl.len().cast(pl.Float64).alias("n"))
    sums = sums.sort("customer_id")  # sums of floats depend on their order
    return sums[column].to_numpy(), sums["n"].to_numpy()


def _too_few(count: int, what: str) -> str:
    return f"not enough data: {count:,} {what}, and it takes {MIN_CUSTOMERS}"


def _increment_figure(kpi_id: str, found: Interval | None, increment: Increment) -> Figure:
    basis, size = Basis.INCREMENTAL, (increment.unit_count, increment.customer_count)
    if found is None:
        return _missing(kpi_id, increment.reason, size, basis)
    return _of_interval(kpi_id, found, size, basis)


def _waiting(kpi_id: str, cases: pl.DataFrame, hours: str, flag: str, share: float) -> Figure:
    size = cases.height, cases["customer_id"].n_unique()
    if cases.height < MIN_CASES:
        reason = f"not enough data: {cases.height:,} cases, and it takes {MIN_CASES}"
        return _missing(kpi_id, reason, size)
    found = waiting_quantile(cases[hours].to_numpy(), cases[flag].to_numpy(), share)
    if found is None:
        over = int(cases[flag].sum())
        reason = f"beyond what was seen: {over:,} of {cases.height:,} cases are over"
        return _missing(kpi_id, reason, size)
    return _of_interval(kpi_id, found, size)
