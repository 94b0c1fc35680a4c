"""Findings of a catalogue check: errors, which refuse it, and warnings."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from features.catalogue.reading.problems import CatalogueProblem


class Severity(StrEnum):
    """An error refuses the catalogue; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Proof(StrEnum):
    """What was found; the words that programs can count on."""

    MISTAKE = "mistake"
    RULE_ALWAYS_HOLDS = "rule_always_holds"
    RULE_ASKS_NOTHING = "rule_asks_nothing"
    RULE_PART_NEVER_HOLDS = "rule_part_never_holds"
    RULE_UNPROVEN = "rule_unproven"
    STAGE_NOBODY_ENTERS = "stage_nobody_enters"
    STAGE_NOBODY_LEAVES = "stage_nobody_leaves"
    OFFER_UNREACHABLE = "offer_unreachable"
    OFFER_OVER = "offer_over"
    OFFER_EXCLUDES_ITSELF = "offer_excludes_itself"
    CREATIVE_UNREACHABLE = "creative_unreachable"
    CREATIVE_BREAKS_CHANNEL = "creative_breaks_channel"
    CREATIVE_MISSING = "creative_missing"
    CHANNEL_FOR_OTHER_GOALS = "channel_for_other_goals"
    NOTHING_BEGINS = "nothing_begins"
    CREATIVE_NEEDS_FIELD = "creative_needs_field"
    CREATIVE_READS_LIKE_MARKETING = "creative_reads_like_marketing"
    CAP_STARVES = "cap_starves"
    CLASS_STARVES = "class_starves"
    LIMIT_CLOSED = "limit_closed"
    LIMIT_OVER = "limit_over"
    SHARE_IMPOSSIBLE = "share_impossible"
    NEVER_AWAKE = "never_awake"
    LEVER_OVER = "lever_over"
    LEVER_ENDS_SOON = "lever_ends_soon"
    FLOOR_OUT_OF_REACH = "floor_out_of_reach"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check found.

    Attributes:
        severity: Whether it refuses the catalogue.
        proof: What kind of thing it is.
        file: Name of the file, relative to the catalogue's folder.
        line: 1-based line in it.
        field: Dotted path of the field.
        found: What is so, in a sentence.
        advice: What to do about it; empty where `found` says it already.
    """

    severity: Severity
    proof: Proof
    file: str
    line: int
    field: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        """The one line that people read."""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.file}:{self.line}: {self.field}: {self.found}{advice}"

    def as_row(self) -> dict[str, str | int]:
        """Plain values for JSON."""
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in asdict(self).items()}


def from_problem(problem: CatalogueProblem) -> Finding:
    """A mistake as a finding."""
    hint = f"did you mean {' or '.join(map(repr, problem.nearest))}?" if problem.nearest else ""
    return Finding(
        severity=Severity.ERROR,
        proof=Proof.MISTAKE,
        file=problem.file,
        line=problem.line,
        field=problem.field,
        found=f"{problem.rule}, got {problem.got}",
        advice=hint,
    )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then by file and line."""
    return tuple(
        sorted(findings, key=lambda each: (each.severity.value, each.file, each.line, each.field, each.proof.value))
    )
