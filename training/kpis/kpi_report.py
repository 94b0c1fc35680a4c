"""KPIs per touchpoint and channel, the customer's next to the company's, computed from the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Measure, Unit
from decisioning.errors import InvalidInputError
from features.computing.sources import Tables
from features.history import History
from features.log.cases import cases_of
from features.log.event_types import EventType
from features.reports.kpis import KpiReport, KpiRow
from training.data.measures import return_words
from training.kpis.contacts import (
    KpiPeriod,
    bought_again,
    credited,
    first_purchases,
    known_by,
    messages_of,
)
from training.kpis.definitions import DEFINITIONS, REPEAT_DAYS
from training.kpis.figures import case_figures, message_figures, money_figures, rate_figure, survey_figures
from training.kpis.increments import Increment, against_holdout, against_silence, drawn_decisions, held_out_customers
from training.kpis.machine_reports import engagement_reports, machine_weeks, machine_words
from training.kpis.service import case_times, reached_cases, survey_answers, with_contacts

_ONLY_TOUCHPOINTS = "see the touchpoints"
_NO_MEASURE = "the catalogue declares nothing to learn"

type Place = tuple[str | None, str | None]
"""Touchpoint and channel; None for all of them."""

_NO_CHANNEL = "see the touchpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiReading:
    """The circumstances of a report.

    Attributes:
        as_of: Only what happened before counts (aware, UTC).
        command: What to type to get it again.
    """

    as_of: datetime
    days: float
    computed_at: datetime
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """Everything that rows are made from."""

    messages: pl.DataFrame
    cases: pl.DataFrame
    answers: pl.DataFrame
    repeats: pl.DataFrame
    drawn: pl.DataFrame | None
    holdout: Increment | None
    has_measure: bool


def compute_kpis(log: Tables, catalogue: Catalogue, reading: KpiReading) -> KpiReport:
    """Compute every figure of a period.

    Raises:
        InvalidInputError: The period has no length.
    """
    if reading.days <= 0:
        raise InvalidInputError(f"days must be positive, got {reading.days:g}; name the length of the period")
    log = History.of(log)
    period = KpiPeriod.of_days(reading.as_of, reading.days)
    measure = money_measure(catalogue)
    window_days = catalogue.learning.window_days if catalogue.learning else 7.0
    facts = _facts(log, catalogue, measure, window_days, period)
    engaged = engagement_reports(log, catalogue, period)
    return KpiReport(
        from_at=period.from_at,
        as_of=period.as_of,
        computed_at=reading.computed_at,
        currency=catalogue.currency,
        measure_id=measure.measure_id if measure else None,
        window_days=window_days,
        catalogue_version=catalogue.version,
        definitions=tuple(DEFINITIONS.values()),
        rows=tuple(_row(facts, place) for place in _places(facts.messages)),
        notes=(
            *_notes(facts),
            *(return_words(known_by(log, period.as_of), measure) if measure else ()),
            *machine_words(engaged, catalogue.engagement.machine_weight),
        ),
        machines=tuple(machine_weeks(engaged, period)),
        command=reading.command,
    )


def money_measure(catalogue: Catalogue) -> Measure | None:
    """What contribution means here: the measure that is learned where it is money, else the first one of money."""
    learned = catalogue.measures.get(catalogue.learning.measure_id) if catalogue.learning else None
    if learned is not None and learned.unit is Unit.MONEY:
        return learned
    return next((each for each in catalogue.measures.values() if each.unit is Unit.MONEY), None)


def _facts(log: Tables, catalogue: Catalogue, measure: Measure | None, window_days: float, period: KpiPeriod) -> _Facts:
    messages = messages_of(log, catalogue, period)
    known = cases_of(log.events, log.outcomes, log.decisions, catalogue, as_of=period.as_of)
    drawn = drawn_decisions(log, messages, catalogue, measure, period) if measure and catalogue.learning else None
    holdout = (
        against_holdout(held_out_customers(log, messages, measure, period, catalogue.holdout)) if measure else None
    )
    return _Facts(
        messages=_with_credit(log, messages, measure, window_days, period),
        cases=with_contacts(log, case_times(known, period), period),
        answers=survey_answers(log, messages, known, period),
        repeats=_repeats(log, catalogue, measure, window_days, period),
        drawn=drawn,
        holdout=holdout,
        has_measure=measure is not None,
    )


def _with_credit(
    log: Tables, messages: pl.DataFrame, measure: Measure | None, window_days: float, period: KpiPeriod
) -> pl.DataFrame:
    """Messages with `credited_minor`, and whether the window in which they may take credit is over."""
    is_complete = pl.col("delivered_at") + timedelta(days=window_days) <= period.as_of
    rows = messages.with_columns(is_complete.fill_null(value=False).alias("is_complete"))
    if measure is None:
        return rows.with_columns(pl.lit(0.0).alias("credited_minor"))
    credit = credited(log, messages, measure, window_days, period)
    return rows.join(credit, on="decision_id", how="left").with_columns(pl.col("credited_minor").fill_null(0.0))


def _repeats(
    log: Tables, catalogue: Catalogue, measure: Measure | None, window_days: float, period: KpiPeriod
) -> pl.DataFrame:
    """First purchases of the period that ended `REPEAT_DAYS` earlier: `is_repeated`, and what message they followed."""
    kinds = measure.added_events if measure and measure.added_events else frozenset({EventType.PURCHASE.value})
    shift = timedelta(days=REPEAT_DAYS)
    earlier = KpiPeriod(from_at=period.from_at - shift, as_of=period.as_of - shift)
    firsts = bought_again(log, kinds, first_purchases(log, kinds, earlier), REPEAT_DAYS)
    before = KpiPeriod(from_at=earlier.from_at - timedelta(days=window_days), as_of=earlier.as_of)
    arrived = messages_of(log, catalogue, before).filter("is_delivered").sort("delivered_at")
    return firsts.sort("bought_at").join_asof(
        arrived.select("customer_id", "delivered_at", "touchpoint", "channel"),
        left_on="bought_at",
        right_on="delivered_at",
        by="customer_id",
        tolerance=timedelta(days=window_days),
        check_sortedness=False,
    )


def _places(messages: pl.DataFrame) -> Iterator[Place]:
    """Everything, then channels, then touchpoints, each followed by its channels."""
    pairs = sorted(messages.select("touchpoint", "channel").unique().rows())
    yield None, None
    yield from ((None, channel) for channel in sorted({channel for _, channel in pairs}))
    for touchpoint in sorted({touchpoint for touchpoint, _ in pairs}):
        yield touchpoint, None
        yield from ((touchpoint, channel) for name, channel in pairs if name == touchpoint)


def _at(place: Place) -> pl.Expr:
    named = {name: value for name, value in zip(("touchpoint", "channel"), place, strict=True) if value is not None}
    return pl.all_horizontal(*(pl.col(name) == value for name, value in named.items()), pl.lit(value=True))


def _row(facts: _Facts, place: Place) -> KpiRow:
    messages, repeats, answers = (rows.filter(_at(place)) for rows in (facts.messages, facts.repeats, facts.answers))
    found = (
        *message_figures(messages),
        *money_figures(messages, _increment(facts, place), has_measure=facts.has_measure),
        *case_figures(_cases(facts.cases, messages, place)),
        *survey_figures(answers),
        rate_figure("repeat_purchase_rate", repeats, "is_repeated", "a first purchase"),
    )
    figures = {figure.kpi_id: figure for figure in found}
    return KpiRow(touchpoint=place[0], channel=place[1], figures=tuple(figures[name] for name in DEFINITIONS))


def _cases(cases: pl.DataFrame, messages: pl.DataFrame, place: Place) -> pl.DataFrame:
    touchpoint, channel = place
    if touchpoint is not None:
        return reached_cases(cases, messages)
    return cases if channel is None else cases.filter(pl.col("channel") == channel)


def _increment(facts: _Facts, place: Place) -> Increment:
    touchpoint, channel = place
    if channel is not None or facts.drawn is None:
        reason = _NO_CHANNEL if touchpoint and channel else _ONLY_TOUCHPOINTS if channel else _NO_MEASURE
        return Increment(effect=None, roi=None, unit_count=0, customer_count=0, reason=reason)
    if touchpoint is None and facts.holdout is not None and facts.holdout.effect is not None:
        return facts.holdout
    drawn = facts.drawn if touchpoint is None else facts.drawn.filter(pl.col("touchpoint") == touchpoint)
    return against_silence(drawn)


def _notes(facts: _Facts) -> tuple[str, ...]:
    notes = []
    if facts.holdout is not None and facts.holdout.effect is not None:
        notes.append("Everything is compared with the universal holdout: its increment is a customer's in the period.")
    elif facts.drawn is not None:
        notes.append("There is no universal holdout to compare with: increments are a decision's in its window.")
    waiting = facts.messages.filter(pl.col("is_delivered") & ~pl.col("is_complete")).height
    if waiting and facts.has_measure:
        notes.append(f"{waiting:,} messages are left out of contribution and ROI: their window is not over yet.")
    return tuple(notes)
