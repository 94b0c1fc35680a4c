"""A stored fairness report on the terminal."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from features.reports.fairness import FairnessComparison, FairnessReport, FairnessVerdict, GroupStanding, Repair
from features.reports.readout_words import format_number, format_value
from features.reports.readouts import ReadoutUnit
from pipelines.reports.terminal import wide_console
from training.fairness.words import difference_words, interval_words, name_of, value_words


def print_fairness(report: FairnessReport, *, details: bool = False) -> None:
    """Write a report to stdout: guardrails in full, the rest in a sentence each."""
    console = wide_console()
    console.print(f"{report.from_at:%Y-%m-%d %H:%M} to {report.as_of:%Y-%m-%d %H:%M} UTC", markup=False)
    for comparison in report.comparisons:
        mark = "guardrail" if comparison.is_guardrail else "looked at"
        style = "bold" if comparison.is_guardrail or comparison.verdict is FairnessVerdict.GAP else ""
        console.print(f"{mark}: {comparison.verdict.value}: {comparison.sentence}", markup=False, style=style)
        if comparison.is_guardrail or details:
            console.print(_groups(report, comparison))
        for repair in comparison.repairs:
            console.print(f"  repair: {_repair(report, repair)}", markup=False)
    for note in report.notes:
        console.print(note, markup=False)


def _groups(report: FairnessReport, comparison: FairnessComparison) -> Table:
    columns = ("group", "customers", "of", "value", "the rest", "worse by", "interval", "verdict")
    table = Table(*columns, title=name_of(comparison.guardrail), title_justify="left", box=SIMPLE_HEAD)
    for standing in comparison.standings:
        table.add_row(*_cells(report, comparison, standing))
    return table


def _cells(report: FairnessReport, comparison: FairnessComparison, standing: GroupStanding) -> tuple[str, ...]:
    guardrail, currency = comparison.guardrail, report.currency
    counts = (standing.group or "all", format_number(standing.customer_count), format_number(standing.sample_size))
    if standing.worse_by is None or standing.value is None or standing.rest is None:
        return (*counts, (standing.reason or "").partition(":")[0], "", "", "", standing.verdict.value)
    return (
        *counts,
        value_words(standing.value, guardrail, currency),
        value_words(standing.rest, guardrail, currency),
        difference_words(standing.worse_by, guardrail, currency),
        interval_words(standing, guardrail, currency),
        standing.verdict.value,
    )


def _repair(report: FairnessReport, repair: Repair) -> str:
    ends = f"{format_number(repair.amount_lower, 1)} to {format_number(repair.amount_upper, 1)}"
    said = f"{repair.how}: {format_number(repair.amount, 1)} {repair.unit} ({ends})"
    if repair.cost_minor is not None and repair.cost_lower is not None and repair.cost_upper is not None:
        low, cost, high = (
            format_value(each, ReadoutUnit.MONEY_MINOR, report.currency)
            for each in (repair.cost_lower, repair.cost_minor, repair.cost_upper)
        )
        said += f", costs {cost} a month ({low} to {high})"
    return f"{said}; {repair.side_effect}" if repair.side_effect else said
