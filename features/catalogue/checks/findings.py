"""Findings of a catalogue check: errors, which refuse it, and warnings."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

from features.catalogue.reading.problems import CatalogueProblem


class Severity(StrEnum):
    """An error refuses the catalogue; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Proof(StrEnum):
    """What was found: the word that programs can count on, and what it is called."""

    words: str

    def __new__(cls, word: str, words: str) -> Self:
        """A member: its value, and its words."""
        self = str.__new__(cls, word)
        self._value_, self.words = word, words
        return self

    MISTAKE = "mistake", "mistake"
    RULE_ALWAYS_HOLDS = "rule_always_holds", "rule that does nothing"
    RULE_ASKS_NOTHING = "rule_asks_nothing", "rule that asks nothing"
    RULE_PART_NEVER_HOLDS = "rule_part_never_holds", "rule nobody meets"
    RULE_UNPROVEN = "rule_unproven", "rule beyond proof"
    STAGE_NOBODY_ENTERS = "stage_nobody_enters", "stage nobody enters"
    STAGE_NOBODY_LEAVES = "stage_nobody_leaves", "stage nobody leaves"
    OFFER_UNREACHABLE = "offer_unreachable", "offer nobody can get"
    OFFER_OVER = "offer_over", "offer that is over"
    OFFER_EXCLUDES_ITSELF = "offer_excludes_itself", "offer that excludes itself"
    CREATIVE_UNREACHABLE = "creative_unreachable", "wording nobody can get"
    CREATIVE_BREAKS_CHANNEL = "creative_breaks_channel", "wording that breaks its channel"
    CREATIVE_MISSING = "creative_missing", "wording that is missing"
    CHANNEL_FOR_OTHER_GOALS = "channel_for_other_goals", "channel that is for something else"
    NOTHING_BEGINS = "nothing_begins", "follow-up without a beginning"
    CREATIVE_NEEDS_FIELD = "creative_needs_field", "creatives that need a field"
    CREATIVE_READS_LIKE_MARKETING = "creative_reads_like_marketing", "marketing under another name"
    CAP_STARVES = "cap_starves", "limit that lets nothing through"
    CLASS_STARVES = "class_starves", "message that starves the others"
    LIMIT_CLOSED = "limit_closed", "capacity or budget that is closed"
    LIMIT_OVER = "limit_over", "capacity or budget that is over"
    SHARE_IMPOSSIBLE = "share_impossible", "share nobody can reach"
    NEVER_AWAKE = "never_awake", "channel that never wakes"
    LEVER_OVER = "lever_over", "lever that is over"
    LEVER_ENDS_SOON = "lever_ends_soon", "lever that ends soon"
    FLOOR_OUT_OF_REACH = "floor_out_of_reach", "exploration that promises more than it may take"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check found.

    Attributes:
        file: Name of the file, relative to the catalogue's folder.
        field: Dotted path of the field.
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
