"""Cases as a table for people."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_HOUR_S = 3_600
_DAY_S = 86_400


def print_cases(cases: pl.DataFrame, *, opened: int, overdue: int, now: datetime) -> None:
    """Print cases, and how many there are."""
    table = Table(title=f"{opened:,} open, {overdue:,} overdue", title_justify="left", box=SIMPLE_HEAD)
    for name in ("customer", "case", "kind", "owner"):
        table.add_column(name, overflow="fold")
    for name in ("opened", "answer"):
        table.add_column(name, no_wrap=True)
    for case in cases.iter_rows(named=True):
        known = (case["customer_id"], case["case_id"], case["kind"])
        opened_at = f"{_span(now - case['opened_at'])} ago"
        style = "bold red" if case["is_overdue"] else None
        table.add_row(*known, case["owner"] or "nobody", opened_at, answer_words(case, now), style=style)
    Console().print(table)


def answer_words(case: dict[str, Any], now: datetime) -> str:
    """Whether and when a case was or must be answered.

    Example:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
        >>> case = {"answered_at": None, "answer_due_at": noon, "opened_at": noon, "is_overdue": True, "is_open": True}
        >>> answer_words(case, noon + timedelta(hours=5))
        'overdue for 5 h'
    """
    if case["answered_at"] is not None:
        return f"after {_span(case['answered_at'] - case['opened_at'])}"
    if not case["is_open"]:
        return "never"
    if case["answer_due_at"] is None:
        return "none yet"
    left = case["answer_due_at"] - now
    return f"overdue for {_span(-left)}" if case["is_overdue"] else f"due in {_span(left)}"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds >= 2 * _DAY_S:
        return f"{seconds / _DAY_S:.0f} d"
    return f"{seconds / _HOUR_S:.0f} h" if seconds >= _HOUR_S else f"{seconds / 60:.0f} min"
