"""A stored drift report on the terminal."""

from features.reports.drift import DriftFinding, DriftReport, DriftVerdict
from features.reports.readout_words import format_p
from pipelines.reports.terminal import titled, wide_console

_MOMENT = "%Y-%m-%d %H:%M"


def print_drift(report: DriftReport, *, details: bool = False) -> None:
    """Write a report to stdout: what has changed in a sentence each, and a table of all with details."""
    console = wide_console()
    console.print(
        f"{report.split_at:{_MOMENT}} to {report.as_of:{_MOMENT}} UTC, against {report.from_at:{_MOMENT}} to"
        f" {report.split_at:{_MOMENT}}",
        markup=False,
    )
    counts = ", ".join(f"{len(report.having(one))} {one.value}" for one in DriftVerdict)
    console.print(f"{len(report.findings)} comparisons: {counts}", markup=False)
    for verdict in (DriftVerdict.ALARM, DriftVerdict.WATCH):
        for one in report.having(verdict):
            style = "bold" if verdict is DriftVerdict.ALARM else ""
            console.print(f"{verdict.value}: {one.sentence}", markup=False, style=style)
    if details:
        table = titled("all comparisons", "kind", "name", "group", "customers", "before", "now", "size", "p", "verdict")
        for one in report.findings:
            table.add_row(*_cells(one))
        console.print(table)
    if report.gaps:
        console.print(f"{report.gaps}; --details says which", markup=False)
    for note in report.notes:
        console.print(note, markup=False)


def _cells(one: DriftFinding) -> tuple[str, ...]:
    means = ("" if value is None else f"{value:,.4g}" for value in (one.before, one.now))
    size = f"PSI {one.psi:.2f}" if one.psi is not None else f"{one.change:+.0%}" if one.change is not None else ""
    p_value = "" if one.p_value is None else format_p(one.p_value)
    counts = f"{one.before_count:,} / {one.now_count:,}"
    return one.kind.value, one.name, one.group, counts, *means, size, p_value, one.verdict.value
