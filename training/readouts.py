"""Readouts of experiments and of the universal holdout, computed from the log."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from decisioning.catalogue import Catalogue
from decisioning.errors import InvalidPolicyError, UnknownNameError
from decisioning.experiment import Experiment, Exposure
from decisioning.measure import Measure, Unit
from features.assignment_ledger import HELD_OUT, MESSAGED
from features.readout_words import SPACE, format_number, format_value
from features.readouts import (
    ArmCount,
    Health,
    Metric,
    Readout,
    ReadoutKind,
    ReadoutUnit,
    Refusal,
    RefusalCode,
    SampleRatio,
)
from features.reported import settled_events, settled_outcomes
from training.comparisons import MetricName, compare_arms
from training.exposures import (
    Exposures,
    Logged,
    experiment_decisions,
    find_exposures,
    holdout_decisions,
)
from training.measures import decision_values
from training.readout_checks import check_readout, earliest, latest
from training.sample_ratios import check_sample_ratio
from training.verdicts import conclude

HOLDOUT = "holdout"
UNITS = {Unit.MONEY: ReadoutUnit.MONEY_MINOR, Unit.RATE: ReadoutUnit.RATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The circumstances of a readout.

    Attributes:
        as_of: Only what happened before counts, and windows that were over by then.
        computed_at: When it is computed.
        command: What to type to get it again.
        source: What is read, in words.
        is_capped: Whether a transaction counts for at most its measure's cap.
    """

    as_of: datetime
    computed_at: datetime
    command: str
    source: str
    is_capped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What was declared: arms with their shares, who is compared with whom, on what, from when."""

    readout_id: str
    kind: ReadoutKind
    shares: dict[str, float]
    control: str
    exposure: Exposure
    measures: tuple[Measure, ...]
    window_days: float
    currency: str
    catalogue_version: str
    ends_at: datetime | None


def read_experiment(log: Logged, catalogue: Catalogue, name: str, reading: Reading) -> Readout:
    """Compute the readout of a declared experiment, or of the universal holdout under the name `holdout`.

    Args:
        log: Canonical decisions, events and outcomes.
        catalogue: Declares experiments, measures and the window.
        name: Name of the experiment.
        reading: When and how.

    Returns:
        The readout; where a number would mean nothing, its status is `refused` and its refusal says why.

    Raises:
        UnknownNameError: The catalogue declares no such experiment.
        InvalidPolicyError: The catalogue declares no window, or not the measure.
    """
    log = _Settled.of(log)
    experiment = next((item for item in catalogue.experiments if item.experiment_id == name), None)
    if experiment is not None:
        design = _experiment_design(catalogue, experiment)
        assigned = experiment_decisions(log.decisions, name, as_of=reading.as_of)
    else:
        design = _holdout_design(catalogue, name)
        assigned = holdout_decisions(log.decisions, as_of=reading.as_of)
    return _read(log, design, assigned, reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """A log in which nothing happened after it became known, and no outcome before its decision."""

    decisions: pl.DataFrame
    events: pl.DataFrame
    outcomes: pl.DataFrame

    @classmethod
    def of(cls, log: Logged) -> "_Settled":
        outcomes = settled_outcomes(log.outcomes, log.decisions)
        return cls(decisions=log.decisions, events=settled_events(log.events), outcomes=outcomes)


def readable_names(catalogue: Catalogue) -> tuple[str, ...]:
    """What `read_experiment` can be asked for."""
    declared = tuple(experiment.experiment_id for experiment in catalogue.experiments)
    return declared if not _has_holdout(catalogue) or HOLDOUT in declared else (*declared, HOLDOUT)


def _has_holdout(catalogue: Catalogue) -> bool:
    return catalogue.holdout is not None and 0 < catalogue.holdout.share < 1


def _experiment_design(catalogue: Catalogue, experiment: Experiment) -> Design:
    measures = (experiment.primary_measure_id, *experiment.secondary_measure_ids)
    return Design(
        readout_id=experiment.experiment_id,
        kind=ReadoutKind.EXPERIMENT,
        shares={arm.arm_id: arm.share for arm in experiment.arms if arm.share > 0},
        control=experiment.control_arm_id,
        exposure=experiment.exposure,
        measures=_measures(catalogue, measures),
        window_days=_window_days(catalogue),
        currency=catalogue.currency,
        catalogue_version=catalogue.version,
        ends_at=experiment.ends_at,
    )


def _holdout_design(catalogue: Catalogue, name: str) -> Design:
    if name != HOLDOUT or HOLDOUT not in readable_names(catalogue) or catalogue.holdout is None:
        raise UnknownNameError("experiment", name, readable_names(catalogue))
    measure_id = catalogue.learning.measure_id if catalogue.learning else ""
    share = catalogue.holdout.share
    return Design(
        readout_id=HOLDOUT,
        kind=ReadoutKind.HOLDOUT,
        shares={HELD_OUT: share, MESSAGED: 1 - share},
        control=HELD_OUT,
        exposure=Exposure.DECIDED,
        measures=_measures(catalogue, (measure_id,)),
        window_days=_window_days(catalogue),
        currency=catalogue.currency,
        catalogue_version=catalogue.version,
        ends_at=None,
    )


def _measures(catalogue: Catalogue, names: Sequence[str]) -> tuple[Measure, ...]:
    for name in names:
        if name not in catalogue.measures:
            raise InvalidPolicyError(f"measure must be declared in the catalogue, got {name!r}; add it under measures")
    return tuple(catalogue.measures[name] for name in names)


def _window_days(catalogue: Catalogue) -> float:
    if catalogue.learning is None:
        raise InvalidPolicyError("learning must be declared in the catalogue, got nothing; its window_days is needed")
    return catalogue.learning.window_days


def _read(log: _Settled, design: Design, assigned: pl.DataFrame, reading: Reading) -> Readout:
    exposures = find_exposures(assigned, log.outcomes, design.exposure, as_of=reading.as_of)
    log = _after_exposures(log, exposures)
    windows = _windows(exposures.customers, design, reading)
    arms = _arm_counts(exposures.customers, windows, design)
    ratios = _sample_ratios(arms)
    refusal = _refusal(exposures.customers, arms, ratios, design)
    metrics: tuple[Metric, ...] = (
        () if refusal else tuple(_metric(log, design, exposures, windows, item, reading) for item in design.measures)
    )
    conclusion = conclude(metrics, refusal, design.control)
    return Readout(
        readout_id=design.readout_id,
        kind=design.kind,
        status=conclusion.status,
        verdict=conclusion.verdict,
        refusal=conclusion.refusal,
        control_arm_id=design.control,
        exposure=design.exposure.value,
        window_days=design.window_days,
        arms=arms,
        sample_ratio=ratios[1],
        assignment_ratio=ratios[0],
        checks=check_readout(log, exposures, windows, as_of=reading.as_of),
        metrics=metrics,
        notes=_notes(design, reading),
        first_exposure_at=earliest(windows["starts_at"]),
        last_exposure_at=latest(windows["starts_at"]),
        as_of=reading.as_of,
        computed_at=reading.computed_at,
        command=reading.command,
        source=reading.source,
        catalogue_version=design.catalogue_version,
    )


def _after_exposures(log: _Settled, exposures: Exposures) -> _Settled:
    """What came of a first exposure came after it, whatever the clock said that told of it."""
    firsts = exposures.customers.filter(pl.col("exposed_at").is_not_null())
    outcomes = settled_outcomes(log.outcomes, firsts.select("decision_id", decided_at="exposed_at"))
    return replace(log, outcomes=outcomes)


def _windows(customers: pl.DataFrame, design: Design, reading: Reading) -> pl.DataFrame:
    """One row per exposed customer: `customer_id`, `arm`, `decision_id`, `starts_at`, `ends_at`, `is_complete`."""
    ends_at = pl.col("starts_at") + timedelta(days=design.window_days)
    exposed = customers.filter(pl.col("exposed_at").is_not_null()).rename({"exposed_at": "starts_at"})
    return exposed.with_columns(ends_at=ends_at).with_columns(is_complete=pl.col("ends_at") <= reading.as_of)


def _arm_counts(customers: pl.DataFrame, windows: pl.DataFrame, design: Design) -> tuple[ArmCount, ...]:
    assigned = _count(customers)
    exposed, complete = _count(windows), _count(windows.filter("is_complete"))
    exposures = dict(customers.group_by("arm").agg(pl.col("exposure_count").sum()).iter_rows())
    return tuple(
        ArmCount(
            arm_id=arm,
            is_control=arm == design.control,
            share=share,
            assigned_count=assigned.get(arm, 0),
            exposed_count=exposed.get(arm, 0),
            exposure_count=exposures.get(arm, 0),
            complete_count=complete.get(arm, 0),
        )
        for arm, share in design.shares.items()
    )


def _count(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by("arm").len().iter_rows())


def _sample_ratios(arms: Sequence[ArmCount]) -> tuple[SampleRatio, SampleRatio]:
    """Of all assigned customers, and of those that were exposed."""
    shares = {arm.arm_id: arm.share for arm in arms}
    return (
        check_sample_ratio({arm.arm_id: arm.assigned_count for arm in arms}, shares, "assigned customers"),
        check_sample_ratio({arm.arm_id: arm.exposed_count for arm in arms}, shares, "exposed customers"),
    )


def _refusal(
    customers: pl.DataFrame, arms: Sequence[ArmCount], ratios: tuple[SampleRatio, SampleRatio], design: Design
) -> Refusal | None:
    unknown = sorted(set(customers["arm"].unique()) - set(design.shares))
    if unknown:
        message = f"the log has customers in arm {unknown[0]!r}, which has no share in the catalogue"
        return Refusal(code=RefusalCode.UNKNOWN_ARM, message=message)
    empty = _empty_arm(arms, design)
    if empty is not None:
        return empty
    assigned, exposed = ratios
    if assigned.status is Health.ALARM:
        return Refusal(code=RefusalCode.SAMPLE_RATIO, message=assigned.message)
    if exposed.status is Health.ALARM:
        return Refusal(code=RefusalCode.SAMPLE_RATIO, message=f"{exposed.message} {_exposure_advice(design)}")
    return None


def _exposure_advice(design: Design) -> str:
    if design.exposure is Exposure.DECIDED:
        return "Assigned customers are split as declared."
    return (
        "Assigned customers are split as declared, so the arms deliver to different shares of theirs; "
        "declare `exposure: decided` to compare everyone who was assigned."
    )


def _empty_arm(arms: Sequence[ArmCount], design: Design) -> Refusal | None:
    if not any(arm.assigned_count for arm in arms):
        message = f"the log holds no decision of {design.readout_id!r} yet"
        return Refusal(code=RefusalCode.NO_DECISIONS, message=message)
    for arm in arms:
        if not arm.exposed_count:
            return Refusal(code=RefusalCode.NO_EXPOSURES, message=_no_exposures(arm, design))
    for arm in arms:
        if not arm.complete_count:
            message = (
                f"no customer of arm {arm.arm_id!r} has completed the {design.window_days:g} days after the first "
                f"exposure ({format_number(arm.exposed_count)} were exposed so far); read again later"
            )
            return Refusal(code=RefusalCode.NO_COMPLETE_WINDOWS, message=message)
    return None


def _no_exposures(arm: ArmCount, design: Design) -> str:
    advice = "" if design.exposure is Exposure.DECIDED else "; where an arm is silent, declare `exposure: decided`"
    return f"nobody in arm {arm.arm_id!r} was exposed, of {format_number(arm.assigned_count)} assigned{advice}"


def _metric(
    log: Logged, design: Design, exposures: Exposures, windows: pl.DataFrame, measure: Measure, reading: Reading
) -> Metric:
    values = _customer_values(log, exposures, windows.filter("is_complete"), measure, is_capped=reading.is_capped)
    name = MetricName(
        metric_id=measure.measure_id,
        unit=UNITS[measure.unit],
        currency=design.currency if measure.unit is Unit.MONEY else None,
        is_primary=measure is design.measures[0],
    )
    return compare_arms(values, name, design.control, tuple(design.shares))


def _customer_values(
    log: Logged, exposures: Exposures, windows: pl.DataFrame, measure: Measure, *, is_capped: bool
) -> pl.DataFrame:
    """One row per customer with `arm` and `value` in the window after the first exposure.

    Outcomes of any of the customer's decisions in the experiment count, not only of the first.
    """
    spans = windows.select("customer_id", "starts_at", "ends_at")
    rows = windows.select("decision_id", "customer_id", "starts_at", "ends_at")
    if measure.outcomes:
        rows = exposures.decisions.join(spans, on="customer_id", how="inner")
    values = decision_values(log, rows, measure, cap=is_capped).join(
        rows.select("decision_id", "customer_id"), on="decision_id", how="inner"
    )
    best = values.group_by("customer_id").agg(pl.col("value").max())
    return windows.select("customer_id", "arm").join(best, on="customer_id", how="left").sort("customer_id")


def _notes(design: Design, reading: Reading) -> tuple[str, ...]:
    notes = []
    if design.kind is ReadoutKind.EXPERIMENT and (design.ends_at is None or design.ends_at > reading.as_of):
        notes.append(
            f"Still running: a 95{SPACE}% interval holds for one look planned beforehand; "
            "looking often finds differences that are not there."
        )
    caps = [item for item in design.measures if item.cap_minor is not None and reading.is_capped]
    for item in caps:
        cap = format_value(item.cap_minor or 0, ReadoutUnit.MONEY_MINOR, design.currency)
        notes.append(f"A transaction counts for at most {cap} in {item.measure_id}.")
    return tuple(notes)
