"""Stored fairness reports: groups of customers compared with everybody else, as JSON."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter

from features.catalogue.fairness_rules import Guardrail
from features.reports.files import ReportFiles

FORMAT_VERSION = 1
READ = "nextbest fairness read"


class FairnessVerdict(StrEnum):
    """What may be said; what is not known is never called fair."""

    FAIR = "fair"
    GAP = "gap"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStanding:
    """How a group fares, and how much worse than everybody else.

    Attributes:
        group: Its name; `unknown` for customers of whom it is not known, `other` for small groups together.
        value: Of the measure; None where there is not enough data.
        rest: The same of everybody else.
        worse_by: How much worse than the rest; negative where better.
        lower: Lower end of its interval, 95 % for all groups and guardrails of the report together.
        upper: Upper end.
        sample_size: Cases, messages or customers behind `value`.
    """

    group: str
    customer_count: int
    sample_size: int
    value: float | None
    rest: float | None
    worse_by: float | None
    lower: float | None
    upper: float | None
    verdict: FairnessVerdict
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What it takes to bring the worst group within tolerance, with 95 % intervals.

    Attributes:
        how: What would be done, in words.
        amount: How much of it in 30 days.
        unit: What `amount` counts: `answers` or `contacts`.
        cost_minor: What that costs in 30 days; None where it has no price.
        side_effect: What others lose, in words; empty where nothing.
    """

    group: str
    how: str
    amount: float
    amount_lower: float
    amount_upper: float
    unit: str
    cost_minor: float | None
    cost_lower: float | None
    cost_upper: float | None
    side_effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessComparison:
    """One measure over one grouping.

    Attributes:
        guardrail: What was compared; its name is empty where the catalogue declares no guardrail for it.
        verdict: `gap` where any group fares worse beyond tolerance, `fair` where surely none does, else `unknown`.
    """

    guardrail: Guardrail
    is_guardrail: bool
    verdict: FairnessVerdict
    sentence: str
    standings: tuple[GroupStanding, ...]
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessReport:
    """All comparisons of a period; guardrails first."""

    from_at: datetime
    as_of: datetime
    computed_at: datetime
    currency: str
    catalogue_version: str
    comparisons: tuple[FairnessComparison, ...]
    notes: tuple[str, ...]
    command: str
    confidence_level: float = 0.95
    format_version: int = FORMAT_VERSION

    def not_passed(self) -> tuple[FairnessComparison, ...]:
        """Guardrails that are broken, or of which nobody can tell."""
        return tuple(
            each for each in self.comparisons if each.is_guardrail and each.verdict is not FairnessVerdict.FAIR
        )

    def of_guardrail(self, guardrail: Guardrail) -> FairnessComparison | None:
        """The comparison of exactly this guardrail; None where the report was made for another."""
        return next((each for each in self.comparisons if each.is_guardrail and each.guardrail == guardrail), None)


FAIRNESS_FILES = ReportFiles(
    TypeAdapter(FairnessReport), name="fairness report", command=READ, format_version=FORMAT_VERSION
)
"""Fairness reports as they are stored."""
