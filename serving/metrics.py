"""Numbers about the running server in Prometheus' form, summed over worker processes where there are several."""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from decisioning.decision import Action, Decision
from decisioning.errors import InvalidInputError
from features.models.catalogue_needs import Waits
from features.reports.drift import DRIFT_FILES, DriftKind, DriftVerdict
from features.reports.files import Dated, ReportFiles
from features.reports.kpis import KPI_FILES

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
AGE_BUCKETS_S = (60, 600, 3_600, 6 * 3_600, 86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400)


class _InForce(Collector):
    """What the answering process decides with.

    The library's gauges do not work here: over several processes they keep the label of every version there ever was.
    """

    def __init__(self) -> None:
        self.model_version = ""
        self.waits_for: frozenset[Waits] = frozenset()

    def collect(self) -> Iterator[Metric]:
        """One model version, at 1, and what the catalogue in force waits for."""
        model = GaugeMetricFamily("nextbest_model_info", "1 for the model version in force", labels=("version",))
        model.add_metric((self.model_version,), 1.0)
        yield model
        waits = GaugeMetricFamily(
            "nextbest_catalogue_waits",
            "1 while the catalogue in force waits for this to be renewed",
            labels=("waits_for",),
        )
        for one in Waits:
            waits.add_metric((one.value,), float(one in self.waits_for))
        yield waits


class _Newest[Report: Dated]:
    """The newest stored report of a kind, read again where it is another file than before."""

    def __init__(self, folder: Path, files: ReportFiles[Report]) -> None:
        self._folder, self._files = folder, files
        self._seen: tuple[str, int] | None = None
        self._report: Report | None = None

    def report(self) -> Report | None:
        """None where none is stored or it cannot be read."""
        try:
            newest = max(self._folder.glob("*.json"), default=None)
            seen = None if newest is None else (newest.name, newest.stat().st_mtime_ns)
            if seen != self._seen:
                self._seen, self._report = seen, self._files.newest(self._folder) if seen else None
        except (InvalidInputError, OSError):  # the page or command that shows it says what is wrong
            self._report = None
        return self._report


class _Drift(Collector):
    """What the newest stored drift report says."""

    def __init__(self, folder: Path) -> None:
        self._stored = _Newest(folder, DRIFT_FILES)

    def collect(self) -> Iterator[Metric]:
        """Findings by kind and verdict, shapes by name, and when; nothing where no report can be read."""
        report = self._stored.report()
        if report is None:
            return
        counts = GaugeMetricFamily(
            "nextbest_drift_findings", "Comparisons of the newest drift report", labels=("kind", "verdict")
        )
        for kind in DriftKind:
            for verdict in DriftVerdict:
                found = sum(one.kind is kind and one.verdict is verdict for one in report.findings)
                counts.add_metric((kind.value, verdict.value), float(found))
        yield counts
        shapes = GaugeMetricFamily(
            "nextbest_drift_psi", "Population stability index of features and scores", labels=("kind", "name")
        )
        for one in report.findings:
            if one.psi is not None:
                shapes.add_metric((one.kind.value, one.name), one.psi)
        yield shapes
        as_of = GaugeMetricFamily("nextbest_drift_as_of_seconds", "Moment that the newest drift report is about")
        as_of.add_metric((), report.as_of.timestamp())
        yield as_of


class _Machines(Collector):
    """What the newest stored KPIs say of opens and clicks that machines made."""

    def __init__(self, folder: Path) -> None:
        self._stored = _Newest(folder, KPI_FILES)

    def collect(self) -> Iterator[Metric]:
        """Shares by channel over the whole period, and when; nothing where no report can be read."""
        report = self._stored.report()
        if report is None:
            return
        share = GaugeMetricFamily(
            "nextbest_machine_engagement_ratio",
            "Share of reports of views and clicks that machines made, in the newest KPIs",
            labels=("channel", "type"),
        )
        for channel in sorted({week.channel for week in report.machines}):
            weeks = [week for week in report.machines if week.channel == channel]
            views = sum(week.views for week in weeks), sum(week.machine_views for week in weeks)
            clicks = sum(week.clicks for week in weeks), sum(week.machine_clicks for week in weeks)
            for kind, (reports, by_machines) in (("viewed", views), ("clicked", clicks)):
                if reports:
                    share.add_metric((channel, kind), by_machines / reports)
        yield share
        as_of = GaugeMetricFamily("nextbest_kpi_as_of_seconds", "Moment that the newest KPIs are about")
        as_of.add_metric((), report.as_of.timestamp())
        yield as_of


def _quick[M: (Counter, Histogram)](metric: M) -> M:
    """A metric that finds what it counts under the same labels at once; the library checks and locks every time."""
    metric.labels = cache(metric.labels)  # pyright: ignore[reportAttributeAccessIssue]
    return metric


class Metrics:
    """What the server counts; one set per app.

    Args:
        shared: Folder that `PROMETHEUS_MULTIPROC_DIR` names, where several processes add up; None for one process.
        drift: Folder of stored drift reports; None to say nothing of drift.
        kpis: Folder of stored KPIs; None to say nothing of machines.
    """

    def __init__(self, shared: Path | None = None, drift: Path | None = None, kpis: Path | None = None) -> None:
        self._shared = shared
        self.registry = CollectorRegistry()
        self.decisions = self._counter(
            "decisions", "Decisions made, by answer", "touchpoint", "action", "reason", "offer", "channel", "degraded"
        )
        self.replays = self._counter("replays", "Repeats answered with the decision made before", "touchpoint")
        self.silences = self._counter("silences", "Decisions to send nothing, by journey stage", "stage", "reason")
        self.deferred = self._counter("deferred", "Decisions that named a moment to ask again", "touchpoint")
        self.conflicts = self._counter("conflicts", "Commits that lost a race and were decided again")
        self.permits = self._counter("permits", "Permits asked for, by answer and first reason", "permit", "reason")
        self.degraded = self._counter("degraded", "Degraded decisions, by cause", "cause")
        self.shadowed = self._counter(
            "shadow_decisions", "Decisions that a shadow looked at, by what it would have done", "touchpoint", "result"
        )
        self.latency = _quick(
            Histogram(
                "nextbest_decision_seconds",
                "Time from parsed ask to answer",
                ("route",),
                buckets=LATENCY_BUCKETS_S,
                registry=self.registry,
            )
        )
        self.feature_age = Histogram(
            "nextbest_feature_age_seconds",
            "Age of the oldest feature group that a decision used",
            buckets=AGE_BUCKETS_S,
            registry=self.registry,
        )
        self.reports = self._counter("reports", "Outcomes and events reported, by result", "kind", "status")
        self.problems = self._counter("problems", "Requests refused, by code", "code")
        self.zone_rules = self._gauge("zone_rules_info", "1 for the release of the time zone rules", "version")
        self.zone_rules_old = self._gauge("zone_rules_old", "1 where the time zone rules are old")
        self.in_force = _InForce()
        self.shadow_price = self._gauge("shadow_price_minor", "Price of one unit of what is shared, by limit", "limit")
        self.supply_used = self._gauge("supply_used_ratio", "Part of what is shared that was used, by limit", "limit")
        self.open_cases = self._gauge("cases_open", "Cases of customers that are open, by kind", "kind")
        self.overdue_cases = self._gauge("cases_overdue", "Open cases that had no answer in time, by kind", "kind")
        self.residual_age = self._gauge(
            "residuals_age_seconds", "Age of what outcomes since training say, if it is used"
        )
        self.residual_messages = self._gauge(
            "residual_messages", "Messages whose price outcomes since training move, by touchpoint and stage", "at"
        )
        self.stream_length = self._gauge("stream_length", "Log entries that wait for the drain")
        self._redis_up: Gauge | None = None
        self._shown: dict[Gauge, frozenset[str]] = {}
        stored = [*([] if drift is None else [_Drift(drift)]), *([] if kpis is None else [_Machines(kpis)])]
        self._of_all = [self.in_force, *stored]
        if shared is None:
            for collector in self._of_all:
                self.registry.register(collector)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return _quick(Counter(f"nextbest_{name}", meaning, labels, registry=self.registry))

    def _gauge(
        self,
        name: str,
        meaning: str,
        *labels: str,
        over_workers: Literal["livemostrecent", "livemin"] = "livemostrecent",
    ) -> Gauge:
        return Gauge(f"nextbest_{name}", meaning, labels, registry=self.registry, multiprocess_mode=over_workers)

    def repeated(self, touchpoint_id: str) -> None:
        """Count an ask that got the decision it already had."""
        self.replays.labels(touchpoint_id).inc()

    def lost(self, commits: int) -> None:
        """Count commits that lost a race and were decided again."""
        self.conflicts.inc(commits)

    def decided(self, decision: Decision) -> None:
        """Count a decision that was logged."""
        self.decisions.labels(
            decision.touchpoint_id,
            decision.action.value,
            decision.reason.value,
            decision.offer_id or "",
            decision.channel_id or "",
            str(bool(decision.degraded)).lower(),
        ).inc()
        if decision.action is Action.HOLD:
            self.silences.labels(decision.stage_id or "", decision.reason.value).inc()
            if decision.retry_at is not None:
                self.deferred.labels(decision.touchpoint_id).inc()
        for cause in decision.degraded:
            self.degraded.labels(cause).inc()
        features = decision.inputs.features
        if features is not None:
            ages = [age for age in features.ages_seconds.values() if age is not None]
            if ages:
                self.feature_age.observe(max(ages))

    def set_redis_up(self, *, is_up: bool) -> None:
        """Whether this process reaches Redis; the least of all processes is shown.

        The gauge is made here, not at the start: it would say 0 for a process that has not looked yet.
        """
        if self._redis_up is None:
            self._redis_up = self._gauge("redis_up", "1 while Redis answers", over_workers="livemin")
        self._redis_up.set(int(is_up))

    def show(self, gauge: Gauge, values: Mapping[str, float]) -> None:
        """Set a gauge of one label to values by that label; what it showed before and is not there now has no value."""
        for gone in self._shown.get(gauge, frozenset()) - values.keys():
            gauge.labels(gone).set(float("nan"))
        for name, value in values.items():
            gauge.labels(name).set(value)
        self._shown[gauge] = frozenset(values)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text form."""
        if self._shared is None:
            return generate_latest(self.registry)
        _forget_the_dead(self._shared)
        merged = CollectorRegistry()
        MultiProcessCollector(merged, str(self._shared))
        for collector in self._of_all:
            merged.register(collector)
        return generate_latest(merged)


def _forget_the_dead(shared: Path) -> None:
    """Leave out what processes that are gone said of themselves: a worker that was killed says nothing any more."""
    for number in {path.stem.rpartition("_")[2] for path in shared.glob("gauge_live*.db")}:
        try:
            os.kill(int(number), 0)
        except (ProcessLookupError, PermissionError):  # the number may belong to somebody else by now
            mark_process_dead(int(number), str(shared))
