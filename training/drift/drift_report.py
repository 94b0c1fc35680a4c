"""The drift report: what is not as it was, by how much, and whether that is more than chance.

An alarm needs both: a change beyond chance (5 % over all comparisons of the report together, Holm), and one of weight.
Shapes (features, scores) weigh by PSI, 0.1 to watch and 0.25 to alarm; rewards and calibration by their change over the
older period's mean size, a tenth to watch and a fifth to alarm. A group that gets nothing any more is an alarm. Fewer
customers than `FEWEST` on either side, and nobody can tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError
from features.history import History
from features.log.event_log import EventLog
from features.models.logged_decisions import LoggedDecisions
from features.reports.drift import DriftFinding, DriftKind, DriftReport, DriftVerdict
from training.data.datasets import learning_of
from training.data.measures import longest_days
from training.drift.evidence import (
    CHOSEN_VALUE,
    DriftReading,
    DriftSample,
    decisions_between,
    numbered,
    sample_of,
    with_segments,
    with_values,
)
from training.drift.silent_zeros import ASKED, CHANNEL, EVERYBODY, ZeroCheck, zero_checks
from training.drift.two_samples import (
    ALARMING_PSI,
    SIGNIFICANT,
    WATCHED_PSI,
    Sample,
    holm,
    mean_p_value,
    separation,
)
from training.kpis.contacts import KpiPeriod

FEWEST = 100
"""Customers on either side that a comparison takes."""

WATCHED_CHANGE = 0.1
ALARMING_CHANGE = 0.2

_ORDER = (DriftVerdict.ALARM, DriftVerdict.WATCH, DriftVerdict.UNKNOWN, DriftVerdict.STEADY)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A comparison before its p-value is corrected.

    Attributes:
        weight: What the verdict looks at, with the limits to watch and to alarm.
    """

    finding: DriftFinding
    p_value: float | None
    weight: float = 0.0
    watched: float = 0.0
    alarming: float = 0.0


def read_drift(log: EventLog, logged: LoggedDecisions, catalogue: Catalogue, reading: DriftReading) -> DriftReport:
    """Compare the days before a moment with those before them.

    Raises:
        InsufficientDataError: A period without decisions.
        LogUnavailableError: The log is away.
    """
    history = History.from_log(log)
    decisions = decisions_between(history, reading.from_at, reading.split_at, reading.as_of)
    _refuse_empty(decisions, reading)
    asked: list[_Asked] = []
    notes: list[str] = []
    sample = sample_of(decisions, history, catalogue, log, logged)
    asked += _features(sample)
    asked += _scores(sample)
    notes += _score_notes(sample)
    learned = None
    if catalogue.learning is not None:
        learned = _Learned.of(history, catalogue, reading)
        asked += learned.rewards()
        asked += learned.calibration(log, logged)
        notes += learned.notes()
    period = KpiPeriod(from_at=reading.from_at, as_of=reading.as_of)
    zeros = zero_checks(with_segments(decisions, history, catalogue, period), catalogue, reading.as_of)
    asked += [_zero(check) for check in zeros]
    found = _judged(asked)
    kept = [one for one in found if one.kind is not DriftKind.SILENT_ZERO or one.now == 0.0]
    notes.append(f"{len(zeros):,} groups that got something before were checked for getting nothing now")
    return DriftReport(
        from_at=reading.from_at,
        split_at=reading.split_at,
        as_of=reading.as_of,
        computed_at=reading.computed_at,
        catalogue_version=catalogue.version,
        currency=catalogue.currency,
        measure_id=catalogue.learning.measure_id if catalogue.learning else None,
        window_days=catalogue.learning.window_days if catalogue.learning else 0.0,
        findings=tuple(sorted(kept, key=lambda one: (_ORDER.index(one.verdict), -(one.psi or abs(one.change or 0.0))))),
        notes=tuple(notes),
        command=reading.command,
    )


def _refuse_empty(decisions: pl.DataFrame, reading: DriftReading) -> None:
    counts = {is_now: decisions.filter(pl.col("is_now") == is_now).height for is_now in (False, True)}
    if not min(counts.values()):
        raise InsufficientDataError(
            f"log must hold decisions on both sides of {reading.split_at:%Y-%m-%d %H:%M} UTC, got"
            f" {counts[False]:,} in the {reading.before_days:g} days before and {counts[True]:,} in the"
            f" {reading.days:g} days after; choose --days, --before-days or --as-of"
        )


def _sides(values: FloatArray, rows: pl.DataFrame, among: BoolArray | None = None) -> tuple[Sample, Sample]:
    """Values before and now."""
    is_now, whole = rows["is_now"].to_numpy(), Sample(values=values, customers=numbered(rows))
    some = np.ones(len(values), dtype=np.bool_) if among is None else among
    return whole.take(~is_now & some), whole.take(is_now & some)


def _features(sample: DriftSample) -> Iterator[_Asked]:
    for place, name in enumerate(sample.names):
        yield _shape(DriftKind.FEATURE, name, *_sides(sample.features[:, place], sample.rows))


def _scores(sample: DriftSample) -> Iterator[_Asked]:
    for name, values in sample.scores.items():
        yield _shape(DriftKind.SCORE, name, *_sides(values, sample.rows, np.isfinite(values)))


def _score_notes(sample: DriftSample) -> Iterator[str]:
    if not sample.scores:
        yield "no decision has a record with scores, so scores and calibration are not compared"
    before, now = (", ".join(sorted(one)) or "none" for one in sample.models)
    if sample.scores and before != now:
        yield f"the model changed (before: {before}; now: {now}), so scores may differ because of it"


def _shape(kind: DriftKind, name: str, before: Sample, now: Sample) -> _Asked:
    start = _start(kind, name, EVERYBODY, before, now)
    if start.p_value is None:
        return start
    found = separation(before, now)
    return replace(
        start,
        finding=replace(start.finding, psi=found.psi),
        p_value=found.p_value,
        weight=found.psi,
        watched=WATCHED_PSI,
        alarming=ALARMING_PSI,
    )


def _mean(kind: DriftKind, name: str, group: str, before: Sample, now: Sample, size: float) -> _Asked:
    """Compare two means; `size` is what a change is measured by."""
    start = _start(kind, name, group, before, now)
    if start.p_value is None or start.finding.before is None or start.finding.now is None:
        return start
    change = (start.finding.now - start.finding.before) / size if size > 0 else 0.0
    return replace(
        start,
        finding=replace(start.finding, change=change),
        p_value=mean_p_value(before, now),
        weight=abs(change),
        watched=WATCHED_CHANGE,
        alarming=ALARMING_CHANGE,
    )


def _start(kind: DriftKind, name: str, group: str, before: Sample, now: Sample) -> _Asked:
    """A comparison without a test yet; its p-value is None where there are too few customers for one."""
    counts = before.customer_count, now.customer_count
    is_enough = min(counts) >= FEWEST
    finding = DriftFinding(
        kind=kind,
        name=name,
        group=group,
        before_count=counts[0],
        now_count=counts[1],
        before=before.mean,
        now=now.mean,
        verdict=DriftVerdict.STEADY if is_enough else DriftVerdict.UNKNOWN,
        sentence="",
        reason=None if is_enough else f"it takes {FEWEST} customers on either side",
    )
    return _Asked(finding=finding, p_value=1.0 if is_enough else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """Decisions of both periods, a window earlier, with what came of them."""

    history: History
    catalogue: Catalogue
    rows: pl.DataFrame

    @classmethod
    def of(cls, history: History, catalogue: Catalogue, reading: DriftReading) -> "_Learned":
        learning, measure = learning_of(catalogue)
        shift = timedelta(days=longest_days(measure, learning.window_days))
        moments: Sequence[datetime] = [one - shift for one in (reading.from_at, reading.split_at, reading.as_of)]
        rows = with_values(decisions_between(history, *moments), history, catalogue)
        return cls(history=history, catalogue=catalogue, rows=rows)

    def notes(self) -> Iterator[str]:
        """What a reader of rewards must know."""
        learning, measure = learning_of(self.catalogue)
        days = longest_days(measure, learning.window_days)
        yield (
            f"rewards and calibration are of decisions {days:g} days earlier, since what came of later"
            " ones is not known yet"
        )

    def rewards(self) -> Iterator[_Asked]:
        """What decisions were worth, over all and by stage and channel."""
        if self.rows.is_empty():
            return
        values = self.rows["value"].to_numpy()
        size = self._size()
        yield self._reward(EVERYBODY, values, None, size)
        places = self.rows.select("stage", "channel").unique().sort("stage", "channel")
        for stage, channel in places.iter_rows():
            among = ((self.rows["stage"] == stage) & (self.rows["channel"] == channel)).to_numpy()
            yield self._reward(f"stage: {stage}, channel: {channel}", values, among, size)

    def _reward(self, group: str, values: FloatArray, among: BoolArray | None, size: float) -> _Asked:
        before, now = _sides(values, self.rows, among)
        own = before.mean
        learning, _ = learning_of(self.catalogue)
        return _mean(DriftKind.REWARD, learning.measure_id, group, before, now, abs(own) if own else size)

    def calibration(self, log: EventLog, logged: LoggedDecisions) -> Iterator[_Asked]:
        """What came less what was predicted for what was chosen, over all and by channel."""
        if self.rows.is_empty():
            return
        sample = sample_of(self.rows, self.history, self.catalogue, log, logged, has_features=False)
        if CHOSEN_VALUE not in sample.scores:
            return
        predicted, values = sample.scores[CHOSEN_VALUE], sample.rows["value"].to_numpy()
        gaps, is_scored = values - predicted, np.isfinite(predicted)
        channels = sample.rows["channel"]
        for name in (EVERYBODY, *channels.unique().sort().to_list()):
            among = is_scored & (np.ones(len(gaps), np.bool_) if name == EVERYBODY else (channels == name).to_numpy())
            group = name if name == EVERYBODY else f"channel: {name}"
            before, now = _sides(gaps, sample.rows, among)
            yield _mean(DriftKind.CALIBRATION, "realised less predicted", group, before, now, self._size())

    def _size(self) -> float:
        """What changes are measured by: the mean size of what came before."""
        before = self.rows.filter(~pl.col("is_now"))["value"].abs().mean()
        return float(before) if isinstance(before, float) else 0.0


def _zero(check: ZeroCheck) -> _Asked:
    finding = DriftFinding(
        kind=DriftKind.SILENT_ZERO,
        name=check.what,
        group=check.group,
        before_count=check.before_customers,
        now_count=0,
        before=check.before_share,
        now=check.now_share,
        verdict=DriftVerdict.STEADY,
        sentence="",
    )
    weight = 1.0 if check.is_zero else 0.0
    return _Asked(finding=finding, p_value=check.p_value, weight=weight, watched=0.5, alarming=0.5)


def _judged(asked: Sequence[_Asked]) -> list[DriftFinding]:
    """Findings with corrected p-values, verdicts and words."""
    tested = [one for one in asked if one.p_value is not None]
    corrected = dict(zip(map(id, tested), holm([one.p_value or 0.0 for one in tested]), strict=True))
    found = []
    for one in asked:
        p_value = corrected.get(id(one))
        finding = one.finding
        if p_value is not None:
            finding = replace(finding, p_value=p_value, verdict=_verdict(one, p_value))
        found.append(replace(finding, sentence=sentence_of(finding)))
    return found


def _verdict(one: _Asked, p_value: float) -> DriftVerdict:
    if p_value >= SIGNIFICANT or one.weight < one.watched:
        return DriftVerdict.STEADY
    return DriftVerdict.ALARM if one.weight >= one.alarming else DriftVerdict.WATCH


_WORDS: Mapping[DriftVerdict, str] = {
    DriftVerdict.ALARM: "has changed much",
    DriftVerdict.WATCH: "has changed",
    DriftVerdict.STEADY: "is as it was",
    DriftVerdict.UNKNOWN: "cannot be compared",
}


def sentence_of(finding: DriftFinding) -> str:
    """A finding in words."""
    where = "" if finding.group == EVERYBODY else f" ({finding.group})"
    if finding.kind is DriftKind.SILENT_ZERO:
        return _zero_sentence(finding)
    said = f"{finding.kind.value} {finding.name}{where} {_WORDS[finding.verdict]}"
    if finding.reason is not None:
        return f"{said}: {finding.reason}, and there are {finding.before_count:,} and {finding.now_count:,}"
    moved = (
        ""
        if finding.before is None or finding.now is None
        else f": {finding.before:,.4g} before, {finding.now:,.4g} now"
    )
    size = f", PSI {finding.psi:.2f}" if finding.psi is not None else ""
    if finding.change is not None:
        size = f", {finding.change:+.0%}"
    return f"{said}{moved}{size}"


def _zero_sentence(finding: DriftFinding) -> str:
    who = "nobody" if finding.group == EVERYBODY else f"nobody of {finding.group}"
    before = finding.before or 0.0
    if finding.now:
        return f"{finding.name} still comes ({finding.group})"
    if finding.name == ASKED:
        said = f"no decision is made about {finding.group} any more, which were {before:.1%} of all before"
    else:
        what = finding.name.replace(CHANNEL, "anything by ", 1)
        said = f"{who} gets {what} any more, which {before:.1%} of decisions gave before"
    if finding.verdict is DriftVerdict.ALARM:
        return said
    return f"{said}; with {finding.before_count:,} customers before, that may be chance"
