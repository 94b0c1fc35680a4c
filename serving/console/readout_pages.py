"""What the pages show: stored readouts with their numbers in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from features.reports.readout_words import (
    format_bounds,
    format_difference,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_value,
)
from features.reports.readouts import (
    ArmComparison,
    ArmMean,
    Health,
    Method,
    Metric,
    PhaseReadout,
    Readout,
    ReadoutKind,
    RefusalCode,
    Status,
)
from serving.console.forest import forest_of

KINDS = {
    ReadoutKind.EXPERIMENT: "Experiment",
    ReadoutKind.HOLDOUT: "Universal holdout",
    ReadoutKind.TABLE: "Table",
}
BROKEN = frozenset({RefusalCode.SAMPLE_RATIO, RefusalCode.UNKNOWN_ARM})
CUSTOMER = "customer"
HEALTH_WORDS = {Health.OK: "Fine", Health.WARN: "Look", Health.ALARM: "Stop", Health.UNKNOWN: "Unknown"}

type PageValues = dict[str, Any]
"""What a template shows, by the names that it uses; a name that is not there is an error of the template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A status in a word; `tone` is its class in the style sheet."""

    label: str
    tone: str


def card_of(readout: Readout) -> PageValues:
    """A readout's place in the list, with a small plot of its primary metric."""
    primary = readout.metrics[0] if readout.metrics else None
    label, count = _customers(readout)
    return {
        "name": readout.readout_id,
        "address": f"experiments/{quote(readout.readout_id, safe='')}",
        "kind": KINDS[readout.kind],
        "badge": badge_of(readout),
        "caution": "Check first" if _cautions(readout) else None,
        "verdict": readout.verdict,
        "metric": primary.metric_id if primary else None,
        "forest": forest_of(primary, _unit(readout)) if primary else None,
        "facts": f"{count} {label.lower()}, computed {_moment(readout.computed_at)}",
    }


def badge_of(readout: Readout | PhaseReadout) -> Badge:
    """Status in a word or two."""
    if readout.refusal is not None:
        is_broken = readout.refusal.code in BROKEN
        return Badge(label="Do not read", tone="alarm") if is_broken else Badge(label="No answer yet", tone="waiting")
    if readout.status is Status.CONCLUSIVE:
        return Badge(label="Conclusive", tone="clear")
    return Badge(label="Not conclusive yet", tone="open")


def page_of(readout: Readout) -> PageValues:
    """Everything that the page of a readout shows."""
    is_table = readout.kind is ReadoutKind.TABLE
    return {
        "name": readout.readout_id,
        "kind": KINDS[readout.kind],
        "badge": badge_of(readout),
        "verdict": readout.verdict,
        "cautions": _cautions(readout),
        "control": readout.control_arm_id,
        "facts": _facts(readout),
        "metrics": tuple(_metric(metric, _unit(readout)) for metric in readout.metrics),
        "phases": tuple(map(_phase, readout.phases)),
        "unit": _unit(readout),
        "health": _health(readout),
        "arm_columns": (f"{_unit(readout)}s".capitalize(),)
        if is_table
        else ("Assigned", "Exposed", "Exposures", "Compared"),
        "arms": _arms(readout, is_table=is_table),
        "notes": readout.notes,
        "computed": _computed(readout),
        "command": readout.command,
        "looks": _looks(readout),
    }


def _looks(readout: Readout) -> str:
    """When the intervals hold, as the end of a sentence."""
    effects = [one.effect for metric in readout.metrics for one in metric.comparisons if one.effect is not None]
    if any(effect.method is Method.FIXED for effect in effects):
        return "hold for one look that was planned beforehand (Welch's t-test)"
    return "hold at every look (confidence sequences)"


def _facts(readout: Readout) -> tuple[tuple[str, str], ...]:
    facts = [_customers(readout), ("Control", readout.control_arm_id)]
    if readout.kind is ReadoutKind.TABLE and readout.unit != CUSTOMER:
        facts.append(("Unit", readout.unit))
    shown = next((phase for phase in readout.phases if phase.is_shown), None)
    if shown is not None:
        facts.append(("Phase", f"{shown.number} of {len(readout.phases)}"))
    if readout.window_days is not None:
        facts.append(("Window", f"{readout.window_days:g} days after the first exposure"))
        facts.append(("Exposure", "message delivered" if readout.exposure == "delivered" else "decision made"))
    if readout.first_exposure_at is not None and readout.last_exposure_at is not None:
        facts.append(("First exposures", f"{_day(readout.first_exposure_at)} to {_day(readout.last_exposure_at)}"))
    return tuple(facts)


def _customers(readout: Readout) -> tuple[str, str]:
    """How many customers a readout is about: those with a value of the metric that decides; a refused one has none."""
    if readout.refusal is None:
        compared = sum(arm.customer_count for arm in readout.metrics[0].arms)
        return f"{_unit(readout)}s compared".capitalize(), format_number(compared)
    return f"{_unit(readout)}s assigned".capitalize(), format_number(sum(arm.assigned_count for arm in readout.arms))


def _unit(readout: Readout) -> str:
    """Whom means are per; a table names its unit by a column."""
    return "unit" if readout.kind is ReadoutKind.TABLE and readout.unit != CUSTOMER else readout.unit


def _phase(phase: PhaseReadout) -> PageValues:
    """A phase of an experiment: when, what began it, and what it says."""
    since = "From the start" if phase.since is None else f"From {_moment(phase.since)}"
    until = "" if phase.until is None else f" to {_moment(phase.until)}"
    return {
        "number": phase.number,
        "is_shown": phase.is_shown,
        "period": f"{since}{until}",
        "change": phase.change,
        "badge": badge_of(phase),
        "shares": ", ".join(f"{arm.arm_id} {100 * arm.share:.1f} %" for arm in phase.arms),
        "count": f"{format_number(sum(arm.assigned_count for arm in phase.arms))} {phase.unit}s",
        "verdict": phase.verdict,
        "forest": forest_of(phase.primary, phase.unit) if phase.primary else None,
    }


def _computed(readout: Readout) -> tuple[tuple[str, str], ...]:
    facts = [("Computed", _moment(readout.computed_at)), ("From", readout.source)]
    if readout.kind is not ReadoutKind.TABLE:
        facts.append(("As of", _moment(readout.as_of)))
    if readout.catalogue_version is not None:
        facts.append(("Catalogue", readout.catalogue_version[:12]))
    return tuple(facts)


def _metric(metric: Metric, unit: str) -> PageValues:
    comparisons = {comparison.arm_id: comparison for comparison in metric.comparisons}
    return {
        "name": metric.metric_id,
        "role": "Decides" if metric.is_primary else "Explores",
        "is_primary": metric.is_primary,
        "forest": forest_of(metric, unit),
        "rows": tuple(_metric_row(metric, arm, comparisons.get(arm.arm_id)) for arm in metric.arms),
        "sentences": _sentences(metric),
        "notes": metric.notes,
    }


def _sentences(metric: Metric) -> tuple[str, ...]:
    """What each arm did; nothing where the page's verdict is this very sentence."""
    if metric.is_primary and len(metric.comparisons) == 1:
        return ()
    return tuple(comparison.sentence for comparison in metric.comparisons)


def _metric_row(metric: Metric, arm: ArmMean, comparison: ArmComparison | None) -> PageValues:
    """An arm's line in the table of a metric; empty texts where there is nothing to say."""
    effect = comparison.effect if comparison else None
    relative = effect.relative if effect else None
    return {
        "arm": arm.arm_id,
        "is_control": comparison is None,
        "customers": format_number(arm.customer_count),
        "mean": "none" if arm.mean is None else format_value(arm.mean, metric.unit, metric.currency),
        "difference": format_difference(effect.difference, metric.unit, metric.currency) if effect else "",
        "interval": format_interval(effect.lower, effect.upper, metric.unit, metric.currency) if effect else "",
        "standard_error": format_bounds(0.0, effect.standard_error, metric.unit, metric.currency)[1] if effect else "",
        "relative": format_percent(relative.lift) if relative else "",
        "relative_interval": f"{format_percent(relative.lower)} to {format_percent(relative.upper)}"
        if relative
        else "",
        "p": format_p(effect.p_value) if effect else "",
    }


def _cautions(readout: Readout) -> tuple[str, ...]:
    """Checks to look at before acting; a refused readout says it all itself."""
    if readout.refusal is not None:
        return ()
    return tuple(row["title"] for row in _health(readout) if row["tone"] == Health.WARN.value)


def _health(readout: Readout) -> list[PageValues]:
    ratios = [ratio for ratio in (readout.sample_ratio, readout.assignment_ratio) if ratio is not None]
    named = [(f"Sample ratio of {one.population}", one) for one in ratios]
    return [
        {"title": title, "word": HEALTH_WORDS[one.status], "tone": one.status.value, "message": one.message}
        for title, one in (*named, *((check.title, check) for check in readout.checks))
    ]


def _arms(readout: Readout, *, is_table: bool) -> list[PageValues]:
    """The units counted in each arm."""
    rows: list[PageValues] = []
    for arm in readout.arms:
        counts = (arm.assigned_count, arm.exposed_count, arm.exposure_count, arm.complete_count)
        shown = [format_number(one) for one in (counts[:1] if is_table else counts)]
        rows.append(
            {"arm": arm.arm_id, "is_control": arm.is_control, "share": f"{100 * arm.share:.1f} %", "counts": shown}
        )
    return rows


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def _moment(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
