"""Readouts of any table: one row per customer, a column with the arm, columns with metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import polars as pl

from decisioning.errors import InvalidInputError, UnknownNameError
from features.readout_words import format_number
from features.readouts import (
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
from training.comparisons import MetricName, compare_arms
from training.readouts import Reading
from training.sample_ratios import check_sample_ratio
from training.verdicts import conclude

MAX_ARMS = 20
_ARM = "arm"
_METRIC = "metric:"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDesign:
    """What to read from a table.

    Attributes:
        readout_id: Name to store the readout under.
        arm_column: Column that names each row's arm.
        control: The arm that others are compared with.
        metrics: Columns of numbers or flags; the first is the primary one.
        shares: Intended size per arm, on any scale; empty for equal shares.
    """

    readout_id: str
    arm_column: str
    control: str
    metrics: tuple[str, ...]
    shares: Mapping[str, float]


def read_table(path: Path, design: TableDesign, reading: Reading) -> Readout:
    """Compute a readout of a Parquet or CSV file.

    Raises:
        InvalidInputError: The file cannot be read, a column is missing or not numeric, or there are not two arms.
        UnknownNameError: A named column or arm is not in the file; the message offers the nearest.
    """
    rows = _load(path, design)
    known = rows.filter(pl.col(_ARM).is_not_null())
    shares = _shares(known, design)
    counts = dict(known.group_by(_ARM).len().iter_rows())
    arms = tuple(_arm_count(arm, share, counts[arm], design) for arm, share in shares.items())
    ratio = check_sample_ratio(counts, shares, "rows")
    refusal = _split_refusal(ratio, design)
    metrics = () if refusal else _metrics(known, design, tuple(shares))
    conclusion = conclude(metrics, refusal, design.control)
    return Readout(
        readout_id=design.readout_id,
        kind=ReadoutKind.TABLE,
        status=conclusion.status,
        verdict=conclusion.verdict,
        refusal=conclusion.refusal,
        control_arm_id=design.control,
        exposure=None,
        window_days=None,
        arms=arms,
        sample_ratio=ratio,
        assignment_ratio=None,
        checks=(_arm_check(rows, known),),
        metrics=metrics,
        notes=("Every row counts as one customer.",),
        first_exposure_at=None,
        last_exposure_at=None,
        as_of=reading.as_of,
        computed_at=reading.computed_at,
        command=reading.command,
        source=reading.source,
        catalogue_version=None,
    )


def _load(path: Path, design: TableDesign) -> pl.DataFrame:
    """The arm as text and every metric as Float64 (null where it is not a finite number)."""
    if not design.metrics:
        raise InvalidInputError("metric must be given at least once, got none; add --metric COLUMN")
    frame = _scan(path)
    try:
        known = frame.collect_schema()
        for name in (design.arm_column, *design.metrics):
            if name not in known:
                raise UnknownNameError("column", name, known.names())
        for name in design.metrics:
            _check_numeric(name, known[name])
        columns = [pl.col(name).cast(pl.Float64).alias(_METRIC + name) for name in dict.fromkeys(design.metrics)]
        rows = frame.select(pl.col(design.arm_column).cast(pl.String).alias(_ARM), *columns).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidInputError(_unreadable(path, error)) from error
    metrics = pl.col(f"^{_METRIC}.*$")
    return rows.with_columns(pl.when(metrics.is_finite()).then(metrics))


def _scan(path: Path) -> pl.LazyFrame:
    if not path.is_file():
        raise InvalidInputError(f"table must be a file, got {str(path)!r}, which is not there or not a file")
    if path.stat().st_size == 0:
        raise InvalidInputError(f"table must hold rows, got the empty file {path.name!r}")
    if path.suffix.lower() == ".parquet":
        return pl.scan_parquet(path)
    if path.suffix.lower() == ".csv":
        return pl.scan_csv(path, infer_schema_length=None)
    raise InvalidInputError(f"table must be a .parquet or .csv file, got {path.name!r}")


def _unreadable(path: Path, error: Exception) -> str:
    """Our own words: the library's would quote rows of the file."""
    kind = "Parquet" if path.suffix.lower() == ".parquet" else "UTF-8 CSV with a header"
    return f"table must be a complete {kind} file, got {path.name!r}, which cannot be read ({type(error).__name__})"


def _check_numeric(name: str, dtype: pl.DataType) -> None:
    if dtype.is_numeric() or dtype == pl.Boolean:
        return
    raise InvalidInputError(f"metric {name!r} must be a column of numbers or flags, got {dtype}")


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
            "is it the right column?"
        )
    if design.control not in arms:
        raise UnknownNameError("control", design.control, arms)
    if len(arms) == 1:
        raise InvalidInputError(f"arm column {design.arm_column!r} must hold at least two arms, got only {arms[0]!r}")


def _arm_count(arm: str, share: float, count: int, design: TableDesign) -> ArmCount:
    return ArmCount(
        arm_id=arm,
        is_control=arm == design.control,
        share=share,
        assigned_count=count,
        exposed_count=count,
        exposure_count=count,
        complete_count=count,
    )


def _metrics(rows: pl.DataFrame, design: TableDesign, arms: Sequence[str]) -> tuple[Metric, ...]:
    return tuple(
        compare_arms(
            rows.select(_ARM, value=_METRIC + name),
            MetricName(
                metric_id=name, unit=_unit(rows[_METRIC + name]), currency=None, is_primary=name == design.metrics[0]
            ),
            design.control,
            arms,
        )
        for name in dict.fromkeys(design.metrics)
    )


def _unit(values: pl.Series) -> ReadoutUnit:
    """Zeros and ones only, as flags become, are a rate."""
    return ReadoutUnit.RATE if values.drop_nulls().is_in([0.0, 1.0]).all() else ReadoutUnit.NUMBER


def _split_refusal(ratio: SampleRatio, design: TableDesign) -> Refusal | None:
    if ratio.status is not Health.ALARM:
        return None
    advice = "" if design.shares else " If the arms were meant to differ in size, say so with --share."
    return Refusal(code=RefusalCode.SAMPLE_RATIO, message=ratio.message + advice)


def _arm_check(rows: pl.DataFrame, known: pl.DataFrame) -> Check:
    title = "Every row has an arm"
    missing = rows.height - known.height
    if not missing:
        return Check(title=title, status=Health.OK, message="No row without an arm.")
    return Check(
        title=title, status=Health.WARN, message=f"{format_number(missing)} rows name no arm and are left out."
    )
