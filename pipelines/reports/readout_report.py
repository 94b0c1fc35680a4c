"""A stored readout on the terminal."""

from collections.abc import Iterable, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from features.reports.readout_words import (
    format_bounds,
    format_difference,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_value,
)
from features.reports.readouts import ArmComparison, Metric, Readout, ReadoutKind
from pipelines.reports.terminal import titled


def print_readout(readout: Readout) -> None:
    """Write a readout to stdout: verdict, arms, metrics, checks."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{readout.readout_id}: {readout.status.value}", style="bold", markup=False)
    console.print(readout.verdict, markup=False)
    console.print(_arms(readout))
    for metric in readout.metrics:
        console.print(_metric(readout, metric))
    if readout.phases:
        console.print(_phases(readout))
    for line in _lines(readout):
        console.print(line, markup=False)


def print_readouts(rows: Iterable[Mapping[str, str | None]]) -> None:
    """Write `experiment_list.experiment_rows` to stdout: name, status, when it was computed, verdict."""
    table = Table("name", "status", "computed", "verdict", box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(row["name"], row["status"], (row["computed_at"] or "")[:16], row["verdict"])
    Console(highlight=False).print(table)


def _arms(readout: Readout) -> Table:
    """The units counted; a table's rows need one column, the log's customers four."""
    if readout.kind is ReadoutKind.TABLE:
        table = titled("Customers", "arm", "share", "customers")
    else:
        table = titled(f"{readout.unit}s".capitalize(), "arm", "share", "assigned", "exposed", "exposures", "compared")
    for arm in readout.arms:
        counts = (arm.assigned_count, arm.exposed_count, arm.exposure_count, arm.complete_count)
        shown = counts[: len(table.columns) - 2]
        name = f"{arm.arm_id} (control)" if arm.is_control else arm.arm_id
        table.add_row(name, f"{100 * arm.share:.1f} %", *map(format_number, shown))
    return table


def _phases(readout: Readout) -> Table:
    """Every phase in a line; its verdict below the table where it is not the one shown."""
    table = titled("Phases", "phase", "from", "to", "what began it", f"{readout.unit}s", "status")
    for phase in readout.phases:
        name = f"{phase.number} (shown)" if phase.is_shown else str(phase.number)
        since, until = ("" if at is None else f"{at:%Y-%m-%d %H:%M}" for at in (phase.since, phase.until))
        count = format_number(sum(arm.assigned_count for arm in phase.arms))
        table.add_row(name, since, until, phase.change, count, phase.status.value)
    return table


def _metric(readout: Readout, metric: Metric) -> Table:
    role = "primary" if metric.is_primary else "secondary"
    title = f"{metric.metric_id} ({role}), against {readout.control_arm_id}"
    table = titled(title, "arm", "mean", "difference", "95 % interval", "std. error", "relative", "p")
    effects = {comparison.arm_id: comparison for comparison in metric.comparisons}
    for arm in metric.arms:
        mean = "" if arm.mean is None else format_value(arm.mean, metric.unit, metric.currency)
        table.add_row(arm.arm_id, mean, *_effect(metric, effects.get(arm.arm_id)))
    return table


def _effect(metric: Metric, comparison: ArmComparison | None) -> tuple[str, ...]:
    if comparison is None:
        return ("", "", "", "", "")
    effect = comparison.effect
    if effect is None:
        return ("none", "", "", "", "")
    return (
        format_difference(effect.difference, metric.unit, metric.currency),
        format_interval(effect.lower, effect.upper, metric.unit, metric.currency),
        format_bounds(0.0, effect.standard_error, metric.unit, metric.currency)[1],
        "" if effect.relative is None else format_percent(effect.relative.lift),
        format_p(effect.p_value),
    )


def _lines(readout: Readout) -> list[str]:
    ratios = [ratio for ratio in (readout.sample_ratio, readout.assignment_ratio) if ratio is not None]
    checks = [f"{ratio.status.value}: sample ratio of {ratio.population}: {ratio.message}" for ratio in ratios]
    checks += [f"{check.status.value}: {check.title}: {check.message}" for check in readout.checks]
    refusals = [
        comparison.sentence
        for metric in readout.metrics
        for comparison in metric.comparisons
        if comparison.effect is None
    ]
    others = [f"phase {phase.number}: {phase.verdict}" for phase in readout.phases if not phase.is_shown]
    notes = [note for metric in readout.metrics for note in metric.notes]
    return others + checks + refusals + notes + list(readout.notes)
