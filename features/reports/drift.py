"""Stored drift reports: what is not as it was, as JSON."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter

from features.reports.files import ReportFiles

FORMAT_VERSION = 1
READ = "nextbest drift read"


class DriftKind(StrEnum):
    """What is compared between two periods."""

    FEATURE = "feature"
    SCORE = "score"
    CALIBRATION = "calibration"
    REWARD = "reward"
    SILENT_ZERO = "silent_zero"


class DriftVerdict(StrEnum):
    """What may be said; what nobody can tell is never called steady."""

    ALARM = "alarm"
    WATCH = "watch"
    STEADY = "steady"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """One comparison of the newer period with the older one.

    Attributes:
        name: The feature, score, measure or message; for a silent zero, what is missing.
        group: Among whom: `all`, or such as `stage: book`, `channel: email`.
        before_count: Customers of the older period.
        now_count: Customers of the newer period.
        before: Mean of the older period (share of customers for a silent zero); None where nothing was known.
        now: The same of the newer period.
        psi: Population stability index; None where shapes are not compared.
        change: What the verdict looks at besides: change over the older period's mean size; None for shapes.
        p_value: Corrected for all comparisons of the report (Holm); None where there is no test.
        reason: Why nothing can be said.
    """

    kind: DriftKind
    name: str
    group: str
    before_count: int
    now_count: int
    before: float | None
    now: float | None
    psi: float | None = None
    change: float | None = None
    p_value: float | None = None
    verdict: DriftVerdict
    sentence: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """All comparisons of two periods that follow each other, worst first.

    Attributes:
        from_at: Begin of the older period.
        split_at: Its end, and the begin of the newer one.
        as_of: End of the newer one. Rewards and calibration are read a window earlier, when they are known.
        window_days: Of the measure; 0 where the catalogue learns nothing.
    """

    from_at: datetime
    split_at: datetime
    as_of: datetime
    computed_at: datetime
    catalogue_version: str
    currency: str
    measure_id: str | None
    window_days: float
    findings: tuple[DriftFinding, ...]
    notes: tuple[str, ...]
    command: str
    format_version: int = FORMAT_VERSION

    def having(self, verdict: DriftVerdict) -> tuple[DriftFinding, ...]:
        """Findings with a verdict."""
        return tuple(one for one in self.findings if one.verdict is verdict)

    @property
    def gaps(self) -> str:
        """How many comparisons gave no answer, in words; empty where all did."""
        count = len(self.having(DriftVerdict.UNKNOWN))
        return f"{count:,} of {len(self.findings):,} comparisons gave no answer: too few customers or values" * bool(
            count
        )


DRIFT_FILES = ReportFiles(TypeAdapter(DriftReport), name="drift report", command=READ, format_version=FORMAT_VERSION)
"""Drift reports as they are stored."""
