"""Which decisions belong to which phase of an experiment, and until when a phase can be read.

Customers belong to the phase in which they were first decided about, since only then did chance alone, under the rule
of that phase, put them into their arm. Until a later phase moves somebody they are followed; then their windows close.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from features.catalogue.assignment.ledger import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpan:
    """A phase as it can be read.

    Attributes:
        number: From 1 on.
        closes_at: When a later phase moved somebody, or the test was taken out; None where neither happened.
        followed: Number of the last phase whose decisions still are under its assignment.
    """

    number: int
    phase: Phase
    until: datetime | None
    closes_at: datetime | None
    followed: int


def spans_of(phases: Sequence[Phase], as_of: datetime) -> tuple[PhaseSpan, ...]:
    """The phases that had begun before a moment."""
    begun = [phase for phase in phases if phase.since is None or phase.since < as_of] or list(phases[:1])
    return tuple(_span(begun, index) for index in range(len(begun)))


def _span(phases: Sequence[Phase], index: int) -> PhaseSpan:
    followed = index
    while followed + 1 < len(phases) and not _ends(phases[followed], phases[followed + 1]):
        followed += 1
    ends_at = [_end(phases, place) for place in (index, followed)]
    return PhaseSpan(
        number=index + 1, phase=phases[index], until=ends_at[0], closes_at=ends_at[1], followed=followed + 1
    )


def _ends(phase: Phase, after: Phase) -> bool:
    return phase.until is not None or after.moves_from(phase)


def _end(phases: Sequence[Phase], index: int) -> datetime | None:
    following = phases[index + 1].since if index + 1 < len(phases) else None
    return phases[index].until or following


def with_phases(
    assigned: pl.DataFrame, phases: Sequence[Phase], by_policy: dict[str, tuple[Phase, ...]]
) -> pl.DataFrame:
    """Decisions with the number of their `phase`, from 1 on.

    A policy that was kept says under which rule it decided; time tells phases of the same rule apart, and stands in
    where nothing was kept.

    Args:
        assigned: With `policy_version` and `decided_at`.
        phases: All phases, the first one first.
        by_policy: The phases that were known while a policy decided, by policy version.
    """
    if len(phases) == 1:
        return assigned.with_columns(phase=pl.lit(1, dtype=pl.Int64))
    began = [phase.since for phase in phases[1:]]
    timed = assigned.with_columns(
        _timed=1 + pl.sum_horizontal((pl.col("decided_at") >= at).cast(pl.Int64) for at in began)
    )
    pairs = timed.select("policy_version", "_timed").unique()
    told = [_told(phases, by_policy.get(policy or "", ()), number) for policy, number in pairs.iter_rows()]
    numbers = pairs.with_columns(phase=pl.Series(told, dtype=pl.Int64))
    return timed.join(numbers, on=["policy_version", "_timed"], how="left", nulls_equal=True).drop("_timed")


def _told(phases: Sequence[Phase], known: Sequence[Phase], timed: int) -> int:
    alike = [number for number, phase in enumerate(phases, 1) if known and phase.has_rule_of(known[-1])]
    earlier = [number for number in alike if number <= timed]
    return max(earlier) if earlier else min(alike, default=timed)


def change_of(former: Phase | None, phase: Phase) -> str:
    """What began a phase, in words."""
    if former is None:
        return "the first rule"
    if former.until is not None:
        return "declared again"
    if former.salt != phase.salt:
        return "another salt: everybody drawn anew"
    if former.unit is not phase.unit:
        return f"another unit, {phase.unit} instead of {former.unit}: everybody drawn anew"
    changes = [
        word
        for word, differs in (
            ("another layer", former.layer != phase.layer),
            ("other traffic", former.layer == phase.layer and former.part != phase.part),
            (
                "other shares",
                {n: a.spans for n, a in former.arms.items()} != {n: a.spans for n, a in phase.arms.items()},
            ),
            (
                "arms that do something else",
                any(former.arms[n].does != a.does for n, a in phase.arms.items() if n in former.arms),
            ),
            ("other touchpoints", former.touchpoints != phase.touchpoints),
        )
        if differs
    ]
    return ", ".join(changes)
