"""What a run of the loop did, and what the next one would do, for people and for programs."""

from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from pipelines.loop.outlook import Outlook
from pipelines.loop.record import LoopState, RunOutcome, RunRecord, StepRecord, StepStatus

RUNNING = "running"
CUT_SHORT = "cut short"


def run_document(run: RunRecord, *, is_running: bool = False) -> dict[str, Any]:
    """A run as plain values."""
    return {
        "run": run.number,
        "outcome": _outcome(run, is_running=is_running),
        "data": run.data,
        "moment": run.moment,
        "began_at": run.began_at,
        "ended_at": run.ended_at,
        "resumed": run.resumed,
        "problem": run.problem,
        "steps": [_step_document(step, is_running=is_running) for step in run.steps.values()],
    }


def status_document(state: LoopState, ahead: Outlook | None) -> dict[str, Any]:
    """The last run and the next one as plain values; `ahead` is None while a run is under way."""
    last = None if state.run is None else run_document(state.run, is_running=ahead is None)
    following = None
    if ahead is not None:
        following = {"goes_on_with": ahead.goes_on_with, "news": list(ahead.news), "steps": list(ahead.steps)}
    return {"last": last, "next": following}


def print_run(run: RunRecord, *, is_running: bool = False) -> None:
    """A run as a table, and how it ended in one line."""
    table = Table("step", "result", "began (UTC)", "seconds", "what")
    for step in run.steps.values():
        began = f"{step.began_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(step.name.value, _result(step, is_running=is_running), began, f"{step.seconds:,.1f}", step.words)
    Console().print(table)
    resumed = f", taken up again {run.resumed} times" if run.resumed > 1 else ", taken up again" if run.resumed else ""
    typer.echo(f"run {run.number}: {_outcome(run, is_running=is_running)}{resumed}")
    if run.problem is not None:
        typer.echo(f"problem: {run.problem}")


def print_status(state: LoopState, ahead: Outlook | None) -> None:
    """The last run and the next one in words; `ahead` is None while a run is under way."""
    if state.run is None:
        typer.echo("no run so far; run `nextbest pipeline run`")
    else:
        print_run(state.run, is_running=ahead is None)
    if ahead is not None:
        typer.echo(f"next run: {_expected(ahead)}")


def _expected(ahead: Outlook) -> str:
    if ahead.goes_on_with is not None:
        return f"goes on with {ahead.goes_on_with.value}"
    if not ahead.steps:
        return "; ".join(ahead.news) or "nothing new"
    names = " and ".join(step.value for step in ahead.steps)
    return f"{names}, and what follows from that ({'; '.join(ahead.news)})"


def _outcome(run: RunRecord, *, is_running: bool) -> str:
    if run.outcome is None:
        return RUNNING if is_running else CUT_SHORT
    return RunOutcome(run.outcome).value


def _result(step: StepRecord, *, is_running: bool) -> str:
    return CUT_SHORT if step.status is StepStatus.RUNNING and not is_running else step.status.value


def _step_document(step: StepRecord, *, is_running: bool) -> dict[str, Any]:
    return {
        "step": step.name,
        "result": _result(step, is_running=is_running),
        "began_at": step.began_at,
        "seconds": round(step.seconds, 3),
        "what": step.words,
        "facts": dict(step.facts),
    }
