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
        "of these with a random choice": report.with_chance,
        "policy not available": sum(report.absent.values()),
        "wrong probabilities": len(report.wrong),
        "draws that do not match their key": len(report.picked),
        "chance that a correct log fails": f"at most {report.false_alarm:.2%}",
        "smallest shift in choices detected": f"{report.detectable:.1%}",
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
            f"{one.decision_id}: {one.message_key} logged with probability {one.logged}, recomputed {one.recomputed}",
            markup=False,
        )
    for decision_id in report.picked[:_MOST_SHOWN]:
        console.print(f"{decision_id}: its draw does not match its request key", markup=False)
