"""Stored readouts: the computed result of an experiment, kept as JSON so that every page shows the same numbers.

`training` computes a readout, the command stores it, the console only renders what is stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, unquote

from pydantic import TypeAdapter, ValidationError

from decisioning.errors import InvalidInputError, UnknownNameError
from features.durability import replace_file

FORMAT_VERSION = 1
MAX_NAME_LENGTH = 120


class ReadoutKind(StrEnum):
    """What was read."""

    EXPERIMENT = "experiment"
    HOLDOUT = "holdout"
    TABLE = "table"


class Status(StrEnum):
    """What may be concluded; `refused` where a number would mean nothing."""

    CONCLUSIVE = "conclusive"
    INCONCLUSIVE = "inconclusive"
    REFUSED = "refused"


class RefusalCode(StrEnum):
    """Why a number would mean nothing."""

    NO_DECISIONS = "no_decisions"
    UNKNOWN_ARM = "unknown_arm"
    SAMPLE_RATIO = "sample_ratio"
    NO_EXPOSURES = "no_exposures"
    NO_COMPLETE_WINDOWS = "no_complete_windows"
    ARM_TOO_SMALL = "arm_too_small"
    NO_VARIANCE = "no_variance"
    TOO_FEW_EVENTS = "too_few_events"


class Health(StrEnum):
    """Answer of a check; `unknown` where there is too little to check."""

    OK = "ok"
    WARN = "warn"
    ALARM = "alarm"
    UNKNOWN = "unknown"


class ReadoutUnit(StrEnum):
    """Unit of a metric: money in minor units, a share in [0, 1], or a plain number."""

    MONEY_MINOR = "money_minor"
    RATE = "rate"
    NUMBER = "number"


class Method(StrEnum):
    """How an interval was made.

    `sequential` and `exact` hold at every look together, `exact` also for the rarest rates; `fixed` holds for one look
    that was planned beforehand.
    """

    SEQUENTIAL = "sequential"
    EXACT = "exact"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no number, for programs and for people."""

    code: RefusalCode
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCount:
    """The units of an arm.

    Attributes:
        share: Declared share of customers, in (0, 1].
        assigned_count: Customers with a decision in the experiment; rows of a table.
        exposed_count: Of those, customers with a first exposure.
        exposure_count: All exposures of those customers.
        complete_count: Exposed customers whose window was over at `as_of`: the ones that are compared.
    """

    arm_id: str
    is_control: bool
    share: float
    assigned_count: int
    exposed_count: int
    exposure_count: int
    complete_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """Does the split match the declared shares? Chi-square test; below 0.01 a warning, below 0.001 an alarm."""

    population: str
    status: Health
    p_value: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Another check of a readout's health, in plain words."""

    title: str
    status: Health
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMean:
    """A metric in an arm, per customer; no mean where no value is known."""

    arm_id: str
    customer_count: int
    missing_count: int
    mean: float | None
    standard_deviation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeLift:
    """Difference as a share of the control's mean, with its 95 % interval; 0.1 is ten per cent more."""

    lift: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedEffect:
    """The same difference with values capped at the 99th percentile of those that are not zero.

    Attributes:
        above: Larger values count as this; None where none is above zero.
        below: Smaller values count as this; None where none is below zero.
    """

    above: float | None
    below: float | None
    difference: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Mean of an arm minus mean of the control.

    Attributes:
        standard_error: Of the difference, variances not pooled.
        lower: Lower end of the 95 % interval.
        upper: Upper end of the 95 % interval.
        p_value: Two-sided, by the same method as the interval.
        adjusted_p_value: The same after Holm's correction: of the primary metric over its arms, of the others over all
            their arms together.
        relative: None where a mean is not clearly above zero, since a ratio would mean nothing.
        method: How interval and p-value were made.
        variance_reduction: Part of the variance that adjusting for covariates took away; None without covariates.
        capped: A second estimate that no few customers decide; None for rates, or where nothing was capped.
    """

    difference: float
    standard_error: float
    lower: float
    upper: float
    p_value: float
    adjusted_p_value: float
    relative: RelativeLift | None
    method: Method = Method.FIXED
    variance_reduction: float | None = None
    capped: CappedEffect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmComparison:
    """An arm against the control: an effect, or the reason why there is none; `sentence` says it in words."""

    arm_id: str
    effect: Effect | None
    refusal: Refusal | None
    is_conclusive: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measure of a readout; the primary one carries the verdict, the others explore."""

    metric_id: str
    unit: ReadoutUnit
    currency: str | None
    is_primary: bool
    arms: tuple[ArmMean, ...]
    comparisons: tuple[ArmComparison, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseReadout:
    """What one phase of an experiment says: a time in which customers came into its arms by one rule.

    Attributes:
        since: When it began; None for before anything was kept.
        until: When the next one began, or the experiment was taken out.
        change: What began it, in words.
        is_shown: Whether the readout shows this one in full.
        primary: The metric that decides; None where the phase is refused as a whole.
    """

    number: int
    since: datetime | None
    until: datetime | None
    change: str
    is_shown: bool
    status: Status
    verdict: str
    refusal: Refusal | None
    unit: str
    arms: tuple[ArmCount, ...]
    primary: Metric | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """The complete result of an experiment; rendering it computes nothing.

    Attributes:
        readout_id: Name of the experiment, `holdout`, or the name given to a table.
        refusal: Set where `status` is `refused`.
        exposure: `delivered` or `decided`; None for a table.
        window_days: Length of the window after the first exposure; None for a table.
        sample_ratio: Check on the customers that are compared.
        assignment_ratio: Check on all assigned customers; None for a table.
        metrics: Primary first; empty where the readout is refused as a whole.
        as_of: The moment that windows are complete or not.
        unit: Whom arms were given to and means are per: `customer`, `household`, or the unit of a table.
        phases: Every phase where the rule of the experiment changed; empty where it never did.
    """

    readout_id: str
    kind: ReadoutKind
    status: Status
    verdict: str
    refusal: Refusal | None
    control_arm_id: str
    exposure: str | None
    window_days: float | None
    arms: tuple[ArmCount, ...]
    sample_ratio: SampleRatio
    assignment_ratio: SampleRatio | None
    checks: tuple[Check, ...]
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...]
    first_exposure_at: datetime | None
    last_exposure_at: datetime | None
    as_of: datetime
    computed_at: datetime
    command: str
    source: str
    catalogue_version: str | None
    unit: str = "customer"
    phases: tuple[PhaseReadout, ...] = ()
    confidence_level: float = 0.95
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReadouts:
    """What a folder holds: readouts, newest first, and names of files that cannot be read."""

    readouts: tuple[Readout, ...]
    damaged: tuple[str, ...]


_ADAPTER = TypeAdapter(Readout)


def readout_to_json(readout: Readout) -> bytes:
    """The stored form: indented UTF-8 JSON, times in ISO 8601."""
    return _ADAPTER.dump_json(readout, indent=2)


def readout_from_json(payload: bytes) -> Readout:
    """Read the stored form.

    Raises:
        InvalidInputError: It is not a readout, or one of a newer format.
    """
    try:
        readout = _ADAPTER.validate_json(payload)
    except ValidationError as error:
        raise InvalidInputError(
            f"readout must be JSON written by `nextbest experiment read`, got {error.error_count()} problems"
        ) from error
    if readout.format_version != FORMAT_VERSION:
        raise InvalidInputError(f"readout format must be {FORMAT_VERSION}, got {readout.format_version}; read it again")
    return readout


def write_readout(folder: Path, readout: Readout) -> Path:
    """Store a readout in place of an earlier one of the same name, in one step: a reader never sees half of it.

    Raises:
        InvalidInputError: The name is empty or too long, or belongs to a stored readout of another kind.
    """
    if not _is_name(readout.readout_id):
        raise InvalidInputError(
            f"readout name must be 1 to {MAX_NAME_LENGTH} characters and not begin with a dot, "
            f"got {readout.readout_id[:40]!r}"
        )
    path = _path(folder, readout.readout_id)
    if path.is_file():
        _check_kind(path, readout)
    replace_file(path, readout_to_json(readout))
    return path


def read_readout(folder: Path, readout_id: str) -> Readout:
    """Read a stored readout.

    Raises:
        UnknownNameError: There is none of that name.
        InvalidInputError: The file is damaged.
    """
    path = _path(folder, readout_id) if _is_name(readout_id) else None
    if path is None or not path.is_file():
        raise UnknownNameError("readout", readout_id[:MAX_NAME_LENGTH], _names(folder))
    return readout_from_json(path.read_bytes())


def stored_readouts(folder: Path) -> StoredReadouts:
    """Everything that is stored; one damaged file does not hide the others."""
    readouts, damaged = [], []
    for name in _names(folder):
        try:
            readouts.append(read_readout(folder, name))
        except InvalidInputError:
            damaged.append(name)
    newest = sorted(readouts, key=lambda readout: readout.computed_at, reverse=True)
    return StoredReadouts(readouts=tuple(newest), damaged=tuple(damaged))


def _names(folder: Path) -> Iterator[str]:
    return (unquote(path.stem) for path in sorted(folder.glob("*.json")))


def _is_name(readout_id: str) -> bool:
    return 0 < len(quote(readout_id, safe="")) <= MAX_NAME_LENGTH and not readout_id.startswith(".")


def _path(folder: Path, readout_id: str) -> Path:
    return folder / f"{quote(readout_id, safe='')}.json"


def _check_kind(path: Path, readout: Readout) -> None:
    try:
        kind = readout_from_json(path.read_bytes()).kind
    except InvalidInputError:
        return
    if kind is not readout.kind:
        raise InvalidInputError(
            f"readout name must not be taken, got {readout.readout_id!r}, which is a stored {kind}; choose another name"
        )
