"""The fairness report: groups of customers compared with everybody else.

Each group is compared with the rest, by how much worse it fares (positive is worse, whatever the measure counts). All
intervals of a family hold together (Bonferroni over its groups and measures), so looking at many groups finds no gaps
that are not there. A gap is an interval wholly above the tolerance, fair one that lies wholly within it; anything else
is unknown, and unknown passes no guardrail.

Reference:
    Dunn (1961), Multiple comparisons among means; Schuirmann (1987), on showing that a difference is small.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import hypot

import polars as pl
from scipy import stats

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue.fairness_rules import (
    FairnessMeasure,
    FairnessRules,
    FairnessUnit,
    Grouping,
    Guardrail,
)
from features.computing.sources import Tables
from features.reports.fairness import FairnessComparison, FairnessReport, FairnessVerdict, GroupStanding
from training.fairness.group_measures import MeasureEvidence, MeasureInputs, evidence_of
from training.fairness.groups import OTHER, groups_of
from training.fairness.repair import repairs_of
from training.fairness.words import sentence_of
from training.intervals import CONFIDENCE, MIN_CUSTOMERS, Interval, rate, rate_difference, ratio
from training.kpis.contacts import KpiPeriod
from training.kpis.increments import against_holdout, against_silence
from training.kpis.kpi_report import KpiReading

TOLERANCES = {
    FairnessMeasure.ANSWERED_IN_TIME: 0.05,
    FairnessMeasure.HOURS_TO_ANSWER: 12.0,
    FairnessMeasure.CONTACT_BURDEN: 1.0,
    FairnessMeasure.UNWANTED_RATE: 0.02,
    FairnessMeasure.WANTED_RATE: 0.05,
    FairnessMeasure.BENEFIT: 100.0,
}
"""What is looked at where the catalogue declares no guardrail for it, and with which tolerance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """One group against the rest, before any interval."""

    group: str
    customer_count: int
    ours: pl.DataFrame
    theirs: pl.DataFrame
    reason: str | None


def read_fairness(log: Tables, catalogue: Catalogue, rules: FairnessRules, reading: KpiReading) -> FairnessReport:
    """Compare groups on everything that the catalogue guards, and on the rest of what can be looked at."""
    period = KpiPeriod.of_days(reading.as_of, reading.days)
    ground = MeasureInputs.of(log, catalogue, period)
    guarded = _compare_all(ground, rules.guardrails, is_guardrail=True)
    others = _compare_all(ground, tuple(_undeclared(rules)), is_guardrail=False)
    return FairnessReport(
        from_at=period.from_at,
        as_of=period.as_of,
        computed_at=reading.computed_at,
        currency=catalogue.currency,
        catalogue_version=catalogue.version,
        comparisons=(*guarded, *others),
        notes=_notes(guarded, others),
        command=reading.command,
    )


def _undeclared(rules: FairnessRules) -> Iterator[Guardrail]:
    declared = {(each.measure, each.groups) for each in rules.guardrails}
    for (measure, tolerance), groups in product(TOLERANCES.items(), Grouping):
        if (measure, groups.value) not in declared:
            yield Guardrail(
                guardrail_id="", measure=measure, groups=groups.value, tolerance=tolerance, blocks_promotion=False
            )


def _compare_all(
    ground: MeasureInputs, guardrails: Sequence[Guardrail], *, is_guardrail: bool
) -> tuple[FairnessComparison, ...]:
    """Compare a family, whose intervals hold together."""
    groups = {each.groups: groups_of(ground.log, ground.catalogue, each.groups, ground.period) for each in guardrails}
    splits = [(each, _splits(evidence_of(ground, each), groups[each.groups])) for each in guardrails]
    count = sum(split.reason is None for _, found in splits for split in found)
    confidence = 1 - (1 - CONFIDENCE) / max(count, 1)
    return tuple(_comparison(ground, each, found, confidence, is_guardrail=is_guardrail) for each, found in splits)


def _splits(evidence: MeasureEvidence, groups: pl.DataFrame) -> list[_Split]:
    if evidence.reason is not None:
        return [_nothing("", groups.height, evidence.reason)]
    groups = _with_small_ones_together(evidence.rows, groups)
    rows = evidence.rows.join(groups, on="customer_id", how="inner")
    sizes = dict(groups.group_by("group").len().sort("group").iter_rows())
    if len(sizes) < 2:  # noqa: PLR2004 - it takes two to compare
        return [_nothing("", groups.height, "all customers are in one group")]
    return [_split(group, size, rows) for group, size in sizes.items()]


def _with_small_ones_together(rows: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Groups with too little evidence of their own are judged together, as `other`."""
    seen = groups.join(rows.select("customer_id").unique(), on="customer_id", how="semi").group_by("group").len()
    counts = groups.select("group").unique().join(seen, on="group", how="left")
    small = counts.filter(pl.col("len").fill_null(0) < MIN_CUSTOMERS)["group"].to_list()
    if len(small) < 2:  # noqa: PLR2004 - one alone is what it is
        return groups
    return groups.with_columns(
        pl.when(pl.col("group").is_in(small)).then(pl.lit(OTHER)).otherwise("group").alias("group")
    )


def _nothing(group: str, size: int, reason: str) -> _Split:
    return _Split(group=group, customer_count=size, ours=pl.DataFrame(), theirs=pl.DataFrame(), reason=reason)


def _split(group: str, size: int, rows: pl.DataFrame) -> _Split:
    ours, theirs = rows.filter(pl.col("group") == group), rows.filter(pl.col("group") != group)
    fewest = min(ours["customer_id"].n_unique(), theirs["customer_id"].n_unique())
    reason = None
    if fewest < MIN_CUSTOMERS:
        reason = f"not enough data: {fewest:,} customers on one side, and it takes {MIN_CUSTOMERS}"
    return _Split(group=group, customer_count=size, ours=ours, theirs=theirs, reason=reason)


def _comparison(
    ground: MeasureInputs, guardrail: Guardrail, splits: Sequence[_Split], confidence: float, *, is_guardrail: bool
) -> FairnessComparison:
    standings = tuple(_standing(guardrail, split, confidence) for split in splits)
    verdict = _verdict(standings)
    found = FairnessComparison(
        guardrail=guardrail,
        is_guardrail=is_guardrail,
        verdict=verdict,
        sentence=sentence_of(guardrail, verdict, standings, ground.catalogue.currency),
        standings=standings,
    )
    if verdict is not FairnessVerdict.GAP:
        return found
    rows = {split.group: (split.ours, split.theirs) for split in splits}
    return replace(found, repairs=tuple(repairs_of(found, rows, ground.catalogue, ground.period)))


def _verdict(standings: Sequence[GroupStanding]) -> FairnessVerdict:
    verdicts = {standing.verdict for standing in standings}
    if FairnessVerdict.GAP in verdicts:
        return FairnessVerdict.GAP
    return FairnessVerdict.UNKNOWN if FairnessVerdict.UNKNOWN in verdicts or not verdicts else FairnessVerdict.FAIR


def _standing(guardrail: Guardrail, split: _Split, confidence: float) -> GroupStanding:
    if split.reason:
        return _unknown(split, split.reason)
    ours, theirs = (_estimate(guardrail, side, confidence) for side in (split.ours, split.theirs))
    if ours is None or theirs is None:
        return _unknown(split, "chance did not decide often enough to tell")
    ends = _worse_by(guardrail, ours, theirs, split, confidence)
    if ends is None:
        unknown = _unknown(split, "everybody has the same, so chance cannot be judged")
        return replace(unknown, value=ours.value, rest=theirs.value)
    sign = -1.0 if guardrail.measure.is_more_better else 1.0
    return GroupStanding(
        group=split.group,
        customer_count=split.customer_count,
        sample_size=_size(split.ours),
        value=ours.value,
        rest=theirs.value,
        worse_by=sign * (ours.value - theirs.value),
        lower=ends[0],
        upper=ends[1],
        verdict=_verdict_of(ends, guardrail.tolerance),
    )


def _unknown(split: _Split, reason: str) -> GroupStanding:
    return GroupStanding(
        group=split.group,
        customer_count=split.customer_count,
        sample_size=_size(split.ours),
        **dict.fromkeys(("value", "rest", "worse_by", "lower", "upper")),
        verdict=FairnessVerdict.UNKNOWN,
        reason=reason,
    )


def _size(rows: pl.DataFrame) -> int:
    return int(rows["count"].sum()) if "count" in rows.columns else rows.height


def _verdict_of(ends: tuple[float, float], tolerance: float) -> FairnessVerdict:
    if ends[0] > tolerance:
        return FairnessVerdict.GAP
    return FairnessVerdict.FAIR if ends[1] <= tolerance else FairnessVerdict.UNKNOWN


def _estimate(guardrail: Guardrail, rows: pl.DataFrame, confidence: float) -> Interval | None:
    """The measure over some customers; None where chance did not say."""
    if guardrail.measure is FairnessMeasure.BENEFIT:
        increment = against_holdout(rows) if "is_held_out" in rows.columns else against_silence(rows)
        return increment.effect
    totals, counts = rows["total"].to_numpy(), rows["count"].to_numpy()
    if guardrail.unit is FairnessUnit.RATE:
        return rate(totals, counts, confidence=confidence)
    return ratio(totals, counts, confidence=confidence)


def _worse_by(
    guardrail: Guardrail, ours: Interval, theirs: Interval, split: _Split, confidence: float
) -> tuple[float, float] | None:
    """Interval of how much worse the group fares.

    Where all customers of a side have the same there is no chance to judge by: a difference beyond the tolerance stands
    as it is, and a smaller one is not known (None).
    """
    is_more_better = guardrail.measure.is_more_better
    if guardrail.unit is FairnessUnit.RATE:
        return rate_difference(theirs, ours) if is_more_better else rate_difference(ours, theirs)
    error = hypot(ours.error or 0.0, theirs.error or 0.0)
    gap = theirs.value - ours.value if is_more_better else ours.value - theirs.value
    if error <= 0:
        return (gap, gap) if gap > guardrail.tolerance else None
    fewest = min(split.ours["customer_id"].n_unique(), split.theirs["customer_id"].n_unique())
    reach = error * float(stats.t.ppf(0.5 + confidence / 2, fewest - 1))
    return gap - reach, gap + reach


def _notes(guarded: Sequence[FairnessComparison], others: Sequence[FairnessComparison]) -> tuple[str, ...]:
    notes = []
    if not guarded:
        notes.append("The catalogue declares no guardrail under `fairness`; what follows is only looked at.")
    found = sum(each.verdict is FairnessVerdict.GAP for each in others)
    if found:
        notes.append(f"{found} comparisons beyond the guardrails show a gap: declare a guardrail to keep it closed.")
    return tuple(notes)
