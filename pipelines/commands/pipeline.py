"""`nextbest pipeline`: the nightly loop as one command, and where it stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.clock import clock_of
from pipelines.exit_codes import EXIT_INSUFFICIENT, EXIT_NOTHING_NEW, EXIT_REFUSED, EXIT_REJECTED
from pipelines.options import HomeOption, JsonOption, account, print_json, progress_of, settings_for

if TYPE_CHECKING:
    from features.progress import OnProgress
    from pipelines.loop.record import RunRecord

app = typer.Typer(
    name="pipeline",
    help="The nightly loop: import, build features, train, evaluate, promote or refuse, materialise.",
    no_args_is_help=True,
)


@app.command("run")
def run(
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Canonical tables to import; without it the log is taken as it is."),
    ] = None,
    max_unknown: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Largest share of unknown names in a column of an import.")
    ] = 0.05,
    renew_hours: Annotated[
        float,
        typer.Option(min=0.0, help="Renew features that are older than this, though nothing else is new."),
    ] = 12.0,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 10 where there was nothing new, as `git diff` does with 1.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do everything that brings new data into decisions, each step only where what it reads is new.

    Import, features, training, evaluation, the promotion gate, promotion or refusal, materialising. A second run
    changes nothing; a run that was killed or failed goes on where it stood; two runs never overlap. Made for cron.

    The exit code is 0 if something changed or nothing was new, 3 if there is too little data to train (the rest was
    done), 5 if the gate refused a new model (the champion goes on deciding), 65 if rows were rejected, 75 if another
    run is under way or something behind is away, and 1 or 2 if a step failed.

    Examples:
    `nextbest pipeline run --data data/canonical`;
    `nextbest pipeline run --json`
    """
    from pipelines.loop.nightly_run import Asked, run_loop
    from pipelines.reports.pipeline_report import print_run, run_document

    settings = settings_for(home)
    asked = Asked(data=data, most_unknown=max_unknown, renew_hours=renew_hours, by=account())
    done = run_loop(settings, asked, now=clock_of(settings), show=_shown)
    if as_json:
        print_json(run_document(done))
    else:
        print_run(done)
    if code := _exit_code(done, tells_news=exit_code):
        raise typer.Exit(code)


@app.command("status")
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the last run: each step, when, how long, what it produced or why not; and what the next run would do.

    Example: `nextbest pipeline status`
    """
    from pipelines.loop.nightly_run import is_under_way
    from pipelines.loop.outlook import outlook
    from pipelines.loop.record import read_state
    from pipelines.reports.pipeline_report import print_status, status_document

    settings = settings_for(home)
    state, is_running = read_state(settings), is_under_way(settings)
    ahead = None if is_running else outlook(settings, state, now=clock_of(settings))
    if as_json:
        print_json(status_document(state, ahead))
    else:
        print_status(state, ahead)


@contextmanager
def _shown(words: str) -> "Iterator[OnProgress]":
    has_counted = False

    def counted(done: int, total: int) -> None:
        nonlocal has_counted
        has_counted = True
        tell(done, total)

    with progress_of(words) as tell:
        yield counted
        if not has_counted:  # a step that counts nothing is one thing, and it is done
            tell(1, 1)


def _exit_code(run: "RunRecord", *, tells_news: bool) -> int:
    from pipelines.loop.record import RunOutcome, StepName, StepStatus

    brought = run.steps.get(StepName.IMPORT)
    if run.outcome is RunOutcome.REFUSED:
        return EXIT_REFUSED
    if run.outcome is RunOutcome.SHORT:
        return EXIT_INSUFFICIENT
    if brought is not None and brought.status is StepStatus.DONE and brought.facts.get("rejected"):
        return EXIT_REJECTED
    return EXIT_NOTHING_NEW if run.outcome is RunOutcome.NOTHING_NEW and tells_news else 0
