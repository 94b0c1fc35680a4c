"""Readouts of any table: a column with the arm, columns with metrics, and one with the unit where rows repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import polars as pl

from decisioning.catalogue.experiment import Inference
from decisioning.errors import InvalidInputError, UnknownNameError
from features.reports.readout_words import SPACE, format_number, format_percent
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
from training.experiments.comparisons import Looks, compare_arms, together
from training.experiments.covariates import with_covariate
from training.experiments.readout_checks import check_of, one_arm_check
from training.experiments.readouts import ReadoutInputs
from training.experiments.sample_ratios import check_sample_ratio
from training.experiments.tables.table_files import open_table
from training.experiments.tables.table_units import check_repeats, made_whole, usual
from training.experiments.tables.whole import Whole
from training.experiments.verdicts import HOLDS_ALWAYS, MetricName, conclude

MAX_ARMS = 20
_ARM = "arm"
_UNIT = "unit"
_MOST_MISSING = 0.05
_METRIC = "metric:"
_COVARIATE = "covariate:"
_LOOKS = {
    Inference.SEQUENTIAL: HOLDS_ALWAYS,
    Inference.FIXED: f"A 95{SPACE}% interval holds for one look that was planned beforehand; looking often finds "
    "differences that are not there.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDesign:
    """What to read from a table.

    Attributes:
        readout_id: Name to store the readout under.
        arm_column: Column that names each row's arm.
        control: The arm that others are compared with.
        metrics: Columns of numbers or flags; the first is the primary one.
        shares: Intended size per arm, on any scale; empty for equal shares.
        unit_column: Column that names whose row it is; None where every row is one customer.
        whole: How several rows of a unit become one; None for what is usual.
        is_row_a_unit: Whether somebody said that rows are independent, whatever ids repeat in them.
        covariates: Columns of numbers or flags known before the experiment.
        inference: Whether the file is one of many looks, or the one that was planned.
    """

    readout_id: str
    arm_column: str
    control: str
    metrics: tuple[str, ...]
    shares: Mapping[str, float]
    unit_column: str | None = None
    whole: Whole | None = None
    is_row_a_unit: bool = False
    covariates: tuple[str, ...] = ()
    inference: Inference = Inference.SEQUENTIAL

    @property
    def of(self) -> str:
        """What is counted and compared."""
        return "customer" if self.unit_column is None else "unit"


def read_table(path: Path, design: TableDesign, reading: ReadoutInputs) -> Readout:
    """Compute a readout of a Parquet or CSV file.

    Raises:
        InvalidInputError: The file cannot be read, a column is missing or not numeric, there are not two arms, or ids
            repeat and nobody said whose the rows are.
        UnknownNameError: A named column or arm is not in the file; the message offers the nearest.
    """
    loaded = _load(path, design)
    known = loaded.rows.filter(pl.col(_ARM).is_not_null())
    shares = _shares(known, design)
    found = dict(known.group_by(_ARM).len().iter_rows())
    counts = {arm: found[arm] for arm in shares}
    arms = tuple(_arm_count(arm, share, counts[arm], is_control=arm == design.control) for arm, share in shares.items())
    ratio = check_sample_ratio(counts, shares, "rows" if design.unit_column is None else "units", design.inference)
    refusal = _split_refusal(ratio, design)
    metrics, adjusted = ((), ()) if refusal else _metrics(known, design, tuple(shares))
    return Readout(
        readout_id=design.readout_id,
        kind=ReadoutKind.TABLE,
        control_arm_id=design.control,
        exposure=None,
        window_days=None,
        arms=arms,
        sample_ratio=ratio,
        assignment_ratio=None,
        checks=(
            _arm_check(loaded.rows, known, design),
            *loaded.checks,
            *_value_checks(known, counts, design),
            *adjusted,
        ),
        metrics=metrics,
        notes=(*loaded.notes, _LOOKS[design.inference]),
        first_exposure_at=None,
        last_exposure_at=None,
        catalogue_version=None,
        unit=design.unit_column or "customer",
        **conclude(metrics, refusal, design.control),
        **reading.circumstances(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """One row per unit: the arm as text, every metric as Float64, and what had to be done for it."""

    rows: pl.DataFrame
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ("Every row counts as one customer.",)


def _load(path: Path, design: TableDesign) -> _Loaded:
    if not design.metrics:
        raise InvalidInputError("metric must be given at least once, got none; add --metric COLUMN")
    file = open_table(path)
    named = [] if design.unit_column is None else [design.unit_column]
    for name in (design.arm_column, *design.metrics, *design.covariates, *named):
        file.check_name(name)
    arms = file.names_in(design.arm_column).alias(_ARM)
    metrics = [file.values_in(name).alias(_METRIC + name) for name in dict.fromkeys(design.metrics)]
    metrics += [file.values_in(name).alias(_COVARIATE + name) for name in dict.fromkeys(design.covariates)]
    if design.unit_column is None:
        if not design.is_row_a_unit:
            check_repeats(file, arms, (design.arm_column, *design.metrics, *design.covariates))
        return _Loaded(rows=pl.DataFrame([arms, *metrics]))
    return _by_unit(pl.DataFrame([file.ids_in(design.unit_column).alias(_UNIT), arms, *metrics]), design)


def _by_unit(rows: pl.DataFrame, design: TableDesign) -> _Loaded:
    known = rows.filter(pl.col(_UNIT).is_not_null())
    columns = [_METRIC + name for name in dict.fromkeys(design.metrics)]
    beforehand = [_COVARIATE + name for name in dict.fromkeys(design.covariates)]
    units, crossed = made_whole(known, [*columns, *beforehand], design.whole)
    ways = ", ".join(f"{name.removeprefix(_METRIC)} by {design.whole or usual(known[name])}" for name in columns)
    lost = rows.height - known.height
    said = f"{format_number(known.height)} rows are of {format_number(known[_UNIT].n_unique())} different"
    return _Loaded(
        rows=units,
        checks=(
            one_arm_check(crossed, "unit", per=design.unit_column or ""),
            *((_lost_check(lost, design),) if lost else ()),
        ),
        notes=(f"{said} {design.unit_column}; the rows of each are one unit ({ways}).",),
    )


def _value_checks(rows: pl.DataFrame, counts: Mapping[str, int], design: TableDesign) -> tuple[Check, ...]:
    """Are values missing unevenly, or more than a few? Then those that are left are not those that were drawn."""
    return tuple(
        _value_check(name, rows.filter(pl.col(_METRIC + name).is_not_null()), counts, design)
        for name in dict.fromkeys(design.metrics)
        if rows[_METRIC + name].null_count()
    )


def _value_check(name: str, known: pl.DataFrame, counts: Mapping[str, int], design: TableDesign) -> Check:
    total = sum(counts.values())
    by_arm = dict.fromkeys(counts, 0) | dict(known.group_by(_ARM).len().iter_rows())
    split = check_sample_ratio(by_arm, {arm: count / total for arm, count in counts.items()}, name)
    shares = ", ".join(f"{arm} {format_percent(by_arm[arm] / counts[arm]).lstrip('+')}" for arm in counts)
    is_uneven = split.status in {Health.WARN, Health.ALARM}
    is_thin = known.height < (1 - _MOST_MISSING) * total
    message = f"{name} is known for {shares} of an arm's {design.of}s."
    if is_uneven:
        message += " That differs by more than chance: those who are left are not comparable."
    if is_uneven or is_thin:
        message += f" Where nothing there means none, write 0: {design.of}s without a value are left out."
    return Check(title=f"Values of {name}", status=Health.WARN if is_uneven or is_thin else Health.OK, message=message)


def _lost_check(count: int, design: TableDesign) -> Check:
    message = f"{format_number(count)} rows name no {design.unit_column} and are left out."
    return Check(title="Every row has a unit", status=Health.WARN, message=message)


def _shares(rows: pl.DataFrame, design: TableDesign) -> dict[str, float]:
    arms = sorted(rows[_ARM].unique().to_list())
    _check_arms(arms, design)
    ordered = [design.control, *(arm for arm in arms if arm != design.control)]
    if not design.shares:
        return {arm: 1 / len(ordered) for arm in ordered}
    for arm in design.shares:
        if arm not in ordered:
            raise UnknownNameError("arm of --share", arm, ordered)
    weights = {arm: design.shares.get(arm, 0.0) for arm in ordered}
    for arm, weight in weights.items():
        if not 0 < weight < inf:
            raise InvalidInputError(
                f"share must be given for every arm as a number above 0, got {weight:g} for {arm!r}"
            )
    return {arm: weight / sum(weights.values()) for arm, weight in weights.items()}


def _check_arms(arms: Sequence[str], design: TableDesign) -> None:
    if not arms:
        raise InvalidInputError(f"arm column {design.arm_column!r} must name arms, got no value in any row")
    if len(arms) > MAX_ARMS:
        raise InvalidInputError(
            f"arm column {design.arm_column!r} must hold at most {MAX_ARMS} arms, got {len(arms):,}; "
            "check that it is the right column"
        )
    _check_spelling(arms, design)
    if design.control not in arms:
        raise UnknownNameError("control", design.control, arms)
    if len(arms) == 1:
        raise InvalidInputError(f"arm column {design.arm_column!r} must hold at least two arms, got only {arms[0]!r}")


def _check_spelling(arms: Sequence[str], design: TableDesign) -> None:
    spelled: dict[str, str] = {}
    for arm in arms:
        other = spelled.setdefault(" ".join(arm.casefold().split()), arm)
        if other != arm:
            raise InvalidInputError(
                f"arm column {design.arm_column!r} must write each arm in one way, got {other!r} and {arm!r}; "
                "write them alike, or give them different names"
            )


def _arm_count(arm: str, share: float, count: int, *, is_control: bool) -> ArmCount:
    counts = dict.fromkeys(("assigned_count", "exposed_count", "exposure_count", "complete_count"), count)
    return ArmCount(arm_id=arm, is_control=is_control, share=share, **counts)


def _metrics(
    rows: pl.DataFrame, design: TableDesign, arms: Sequence[str]
) -> tuple[tuple[Metric, ...], tuple[Check, ...]]:
    """Every metric compared, and what was found of the covariates for the first."""
    metrics, checks = list[Metric](), list[Check]()
    known = rows.select(pl.col(f"^{_COVARIATE}.*$")).to_numpy()
    for name in dict.fromkeys(design.metrics):
        values, check = with_covariate(rows.select(_ARM, value=_METRIC + name), known)
        checks += [check] if check is not None and not checks else []
        said = MetricName(
            metric_id=name,
            unit=_unit(rows[_METRIC + name]),
            currency=None,
            is_primary=name == design.metrics[0],
            of=design.of,
        )
        metrics.append(compare_arms(values, said, design.control, arms, Looks(inference=design.inference)))
    return together(metrics), tuple(checks)


def _unit(values: pl.Series) -> ReadoutUnit:
    """Zeros and ones only, as flags become, are a rate."""
    return ReadoutUnit.RATE if values.drop_nulls().is_in([0.0, 1.0]).all() else ReadoutUnit.NUMBER


def _split_refusal(ratio: SampleRatio, design: TableDesign) -> Refusal | None:
    if ratio.status is not Health.ALARM:
        return None
    advice = "" if design.shares else " If the arms were meant to differ in size, say so with --share."
    return Refusal(code=RefusalCode.SAMPLE_RATIO, message=ratio.message + advice)


def _arm_check(rows: pl.DataFrame, known: pl.DataFrame, design: TableDesign) -> Check:
    what = "row" if design.unit_column is None else "unit"
    missing = rows.height - known.height
    found = f"{format_number(missing)} {what}s name no arm and are left out."
    return check_of(f"Every {what} has an arm", missing, f"No {what} without an arm.", found)
