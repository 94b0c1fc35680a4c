"""Readouts of experiments and of the universal holdout, computed from the log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import AssignedUnit, Exposure, Inference
from decisioning.catalogue.measure import Measure, Unit
from features.computing.sources import Tables
from features.history import History
from features.log.identities import people
from features.log.reported import settled_outcomes
from features.reports.readout_words import SPACE, format_number, format_value
from features.reports.readouts import (
    ArmCount,
    Check,
    Health,
    Metric,
    Readout,
    ReadoutKind,
    ReadoutUnit,
    Refusal,
    RefusalCode,
    SampleRatio,
)
from training.data.measures import decision_values, settled_at
from training.experiments.comparisons import Looks, compare_arms, together
from training.experiments.covariates import with_covariate
from training.experiments.designs import Design, Kept, design_of, phases_in
from training.experiments.exposures import (
    Exposures,
    as_people,
    experiment_decisions,
    find_exposures,
    holdout_decisions,
    with_units,
)
from training.experiments.phase_readouts import by_phase
from training.experiments.phases import PhaseSpan, spans_of, with_phases
from training.experiments.readout_checks import check_readout, earliest, latest
from training.experiments.sample_ratios import check_sample_ratio
from training.experiments.verdicts import HOLDS_ALWAYS, MetricName, conclude

KnownBefore = Callable[[pl.DataFrame], FloatArray | None]
"""Features, shape (n, d), of n rows of `customer_id` and `event_timestamp`; None where there are none."""

UNITS = {Unit.MONEY: ReadoutUnit.MONEY_MINOR, Unit.RATE: ReadoutUnit.RATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadoutInputs:
    """The circumstances of a readout.

    Attributes:
        as_of: Only what happened before counts, and windows that were over by then.
        command: What to type to get it again.
        source: What is read, in words.
        is_capped: Whether a transaction counts for at most its measure's cap.
    """

    as_of: datetime
    computed_at: datetime
    command: str
    source: str
    is_capped: bool = False

    def circumstances(self) -> dict[str, Any]:
        """What a readout repeats of them."""
        return {name: getattr(self, name) for name in ("as_of", "computed_at", "command", "source")}


def read_experiment(
    log: Tables,
    catalogue: Catalogue,
    name: str,
    reading: ReadoutInputs,
    kept: Kept = Kept(),  # noqa: B008 - frozen
    known_before: KnownBefore | None = None,
) -> Readout:
    """Compute the readout of an experiment, also of one that was taken out, or of the universal `holdout`.

    Where the rule of the experiment changed, each phase is read by itself; the newest that has an answer is shown,
    with the others beside it.

    Args:
        log: What was logged.
        catalogue: What is in force.
        name: Of an experiment, or `holdout`.
        reading: The circumstances.
        kept: The recorded assignment.
        known_before: Features of customers as of moments, to adjust differences for; None to compare them as they are.

    Returns:
        The readout; where a number would mean nothing, its status is `refused` and its refusal says why.

    Raises:
        UnknownNameError: There is and was no such experiment.
        InvalidPolicyError: The catalogue declares no window, or not the measure.
    """
    log = History.of(log)
    phases = kept.phases(catalogue, name)
    spans = spans_of(phases, reading.as_of)
    designs = [design_of(catalogue, name, one.phase, last=phases[-1], closes_at=one.closes_at) for one in spans]
    if designs[0].kind is ReadoutKind.EXPERIMENT:
        assigned = experiment_decisions(log.decisions, name, as_of=reading.as_of)
    else:
        assigned = holdout_decisions(log.decisions, as_of=reading.as_of)
    by_policy = {version: phases_in(ledger, name) for version, ledger in kept.by_policy.items()}
    numbered = with_phases(assigned, [one.phase for one in spans], by_policy)
    return by_phase(
        spans,
        [
            _read(log, design, _cohort(log, numbered, one), reading, known_before)
            for one, design in zip(spans, designs, strict=True)
        ],
    )


def _cohort(log: History, numbered: pl.DataFrame, span: PhaseSpan) -> pl.DataFrame:
    """Decisions about the units whose first one fell into a phase, as long as nobody was moved."""
    unit = span.phase.unit
    rows = with_units(as_people(numbered, people(log.events), unit), log.customers, unit)
    is_first = pl.col("phase").min().over("unit") == span.number
    return rows.filter(is_first & (pl.col("phase") <= span.followed))


def _read(
    log: History, design: Design, assigned: pl.DataFrame, reading: ReadoutInputs, known_before: KnownBefore | None
) -> Readout:
    exposures = find_exposures(assigned, log.outcomes, design.exposure, as_of=reading.as_of)
    log = _after_exposures(log, exposures)
    windows = _windows(exposures.units, design, reading)
    arms = _arm_counts(exposures.units, windows, design)
    ratios = _sample_ratios(arms, design)
    refusal = _refusal(exposures.units, arms, ratios, design)
    known = None if refusal or known_before is None else _known(exposures, windows, known_before)
    found = (
        () if refusal else [_metric(log, design, exposures, windows, item, reading, known) for item in design.measures]
    )
    metrics = together([metric for metric, _ in found])
    adjusted = [check for _, check in found[:1] if check is not None]
    return Readout(
        readout_id=design.readout_id,
        kind=design.kind,
        control_arm_id=design.control,
        exposure=design.exposure.value,
        window_days=design.window_days,
        arms=arms,
        sample_ratio=ratios[1],
        assignment_ratio=ratios[0],
        checks=(
            *check_readout(log, exposures, windows, unit=design.unit, as_of=_read_until(design, reading)),
            *adjusted,
        ),
        metrics=metrics,
        notes=_notes(design, exposures, reading),
        first_exposure_at=earliest(windows["starts_at"]),
        last_exposure_at=latest(windows["starts_at"]),
        catalogue_version=design.catalogue_version,
        unit=design.unit.value,
        **conclude(metrics, refusal, design.control),
        **reading.circumstances(),
    )


def _after_exposures(log: History, exposures: Exposures) -> History:
    """What came of a first exposure came after it, whatever the clock said that told of it."""
    firsts = exposures.units.filter(pl.col("exposed_at").is_not_null())
    outcomes = settled_outcomes(log.outcomes, firsts.select("decision_id", decided_at="exposed_at"))
    return replace(log, outcomes=outcomes)


def _read_until(design: Design, reading: ReadoutInputs) -> datetime:
    return reading.as_of if design.closes_at is None else min(reading.as_of, design.closes_at)


def _windows(units: pl.DataFrame, design: Design, reading: ReadoutInputs) -> pl.DataFrame:
    """One row per exposed unit: `unit`, `arm`, `decision_id`, `starts_at`, `ends_at`, `is_complete`."""
    ends_at = pl.col("starts_at") + timedelta(days=design.window_days)
    exposed = units.filter(pl.col("exposed_at").is_not_null()).rename({"exposed_at": "starts_at"})
    return exposed.with_columns(ends_at=ends_at).with_columns(
        is_complete=settled_at(design.measures) <= _read_until(design, reading)
    )


def _arm_counts(units: pl.DataFrame, windows: pl.DataFrame, design: Design) -> tuple[ArmCount, ...]:
    assigned = _count(units)
    exposed, complete = _count(windows), _count(windows.filter("is_complete"))
    exposures = dict(units.group_by("arm").agg(pl.col("exposure_count").sum()).iter_rows())
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


def _sample_ratios(arms: Sequence[ArmCount], design: Design) -> tuple[SampleRatio, SampleRatio]:
    """Of all assigned units, and of those that were exposed."""
    shares = {arm.arm_id: arm.share for arm in arms}
    assigned = {arm.arm_id: arm.assigned_count for arm in arms}
    exposed = {arm.arm_id: arm.exposed_count for arm in arms}
    return (
        check_sample_ratio(assigned, shares, f"assigned {design.unit}s", design.inference),
        check_sample_ratio(exposed, shares, f"exposed {design.unit}s", design.inference),
    )


def _refusal(
    units: pl.DataFrame, arms: Sequence[ArmCount], ratios: tuple[SampleRatio, SampleRatio], design: Design
) -> Refusal | None:
    unknown = sorted(set(units["arm"].unique()) - set(design.shares))
    if unknown:
        message = f"the log has {design.unit}s in arm {unknown[0]!r}, which has no share in the catalogue"
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
        return f"Assigned {design.unit}s are split as declared."
    return (
        f"Assigned {design.unit}s are split as declared, so the arms deliver to different shares of theirs; "
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
                f"no {design.unit} of arm {arm.arm_id!r} has completed the {design.window_days:g} days after the first "
                f"exposure ({format_number(arm.exposed_count)} were exposed so far); read again later"
            )
            return Refusal(code=RefusalCode.NO_COMPLETE_WINDOWS, message=message)
    return None


def _no_exposures(arm: ArmCount, design: Design) -> str:
    advice = "" if design.exposure is Exposure.DECIDED else "; where an arm is silent, declare `exposure: decided`"
    return f"nobody in arm {arm.arm_id!r} was exposed, of {format_number(arm.assigned_count)} assigned{advice}"


def _metric(
    log: History,
    design: Design,
    exposures: Exposures,
    windows: pl.DataFrame,
    measure: Measure,
    reading: ReadoutInputs,
    known: FloatArray | None,
) -> tuple[Metric, Check | None]:
    values = _unit_values(log, exposures, windows.filter("is_complete"), measure, is_capped=reading.is_capped)
    name = MetricName(
        metric_id=measure.measure_id,
        unit=UNITS[measure.unit],
        currency=design.currency if measure.unit is Unit.MONEY else None,
        is_primary=measure is design.measures[0],
        of=design.unit.value,
    )
    values, check = (values, None) if known is None else with_covariate(values, known)
    return compare_arms(values, name, design.control, tuple(design.shares), _looks(design, reading)), check


def _known(exposures: Exposures, windows: pl.DataFrame, known_before: KnownBefore) -> FloatArray | None:
    """Shape (n, d): what was known, just before the first exposure, of the customer who was exposed, by unit."""
    complete = windows.filter("is_complete").sort("unit")
    customers = exposures.decisions.select("decision_id", "customer_id").unique("decision_id")
    moments = complete.join(customers, on="decision_id", how="left", maintain_order="left")
    return known_before(moments.select("customer_id", event_timestamp="starts_at"))


def _looks(design: Design, reading: ReadoutInputs) -> Looks:
    planned = design.reads_at
    return Looks(inference=design.inference, next_at=planned if planned and planned > reading.as_of else None)


def _unit_values(
    log: History, exposures: Exposures, windows: pl.DataFrame, measure: Measure, *, is_capped: bool
) -> pl.DataFrame:
    """One row per unit with `arm` and `value` in the window after the first exposure.

    The members of a household are one: their money is added up, and a rate holds where it holds for one of them.
    Outcomes of any of their decisions in the experiment count, not only of the first.
    """
    rows = exposures.decisions.join(windows.select("unit", "starts_at", "ends_at"), on="unit", how="inner")
    if measure.unit is Unit.MONEY:  # whatever a customer spends counts once
        rows = rows.sort("decision_id").unique(["unit", "customer_id"], keep="first", maintain_order=True)
    values = decision_values(log, rows, measure, cap=is_capped)
    value = pl.col("value").sum() if measure.unit is Unit.MONEY else pl.col("value").max()
    whole = values.join(rows.select("decision_id", "unit"), on="decision_id", how="inner").group_by("unit").agg(value)
    return windows.select("unit", "arm").join(whole, on="unit", how="left").sort("unit")


def _notes(design: Design, exposures: Exposures, reading: ReadoutInputs) -> tuple[str, ...]:
    notes = []
    if design.unit is AssignedUnit.HOUSEHOLD:
        notes.append(
            "Households were assigned, so households are compared: what their members spend is added up, and a rate "
            f"holds where it holds for one of them. {format_number(exposures.alone_count)} customers have no household "
            "and count as one each."
        )
    if design.inference is Inference.FIXED:
        notes.append(
            f"Planned to be read once, after {design.ends_at:%d %b %Y} and its windows: a 95{SPACE}% interval holds "
            "for that look alone, and nothing is concluded before."
        )
    else:
        notes.append(HOLDS_ALWAYS)
    caps = [item for item in design.measures if item.cap_minor is not None and reading.is_capped]
    for item in caps:
        cap = format_value(item.cap_minor or 0, ReadoutUnit.MONEY_MINOR, design.currency)
        notes.append(f"A transaction counts for at most {cap} in {item.measure_id}.")
    return tuple(notes)
