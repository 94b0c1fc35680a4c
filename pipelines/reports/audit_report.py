"""An audit for people: what was looked at, every test, and what is wrong."""

from rich.console import Console
from rich.table import Table as RichTable

from pipelines.audit.audit import AuditReport
from pipelines.options import print_result

_MOST_SHOWN = 20


def print_audit(report: AuditReport) -> None:
    """Write an audit to stdout."""
    counts = {
        "decisions audited": report.audited,
        "of these with chance": report.with_chance,
        "without their policy": sum(report.absent.values()),
        "wrong probabilities": len(report.wrong),
        "draws not of their key": len(report.picked),
        "an honest log fails with": f"{report.false_alarm:.2%} at most",
        "a shift of choices is seen from": f"{report.detectable:.1%}",
        "seconds": report.seconds,
    }
    title = "the logged probabilities are true" if report.passes else "the logged probabilities are not true"
    print_result(counts, as_json=False, title=title)
    console = Console(highlight=False, soft_wrap=True)
    table = RichTable("test", "decisions", "draws", "p-value", "")
    for test in report.tests:
        verdict = "fails" if test.fails else "passes"
        table.add_row(test.name, f"{test.decisions:,}", f"{test.draws:,}", f"{test.p_value:.3g}", verdict)
    console.print(table)
    for one in report.wrong[:_MOST_SHOWN]:
        console.print(
            f"{one.decision_id}: {one.message_key} was logged with {one.logged}, and has {one.recomputed}", markup=False
        )
    for decision_id in report.picked[:_MOST_SHOWN]:
        console.print(f"{decision_id}: its draw is not the one of its request key", markup=False)
