"""`nextbest care`: open service cases, their owners, and which are overdue."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.exit_codes import EXIT_ALARM
from pipelines.options import HomeOption, JsonOption, moment_or_now, print_json, settings_for

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(name="care", help="Service cases: who owns them and when an answer is due.", no_args_is_help=True)


@app.callback()
def noun() -> None:
    """Service cases: who owns them and when an answer is due."""


@app.command("list")
def list_cases(
    *,
    all_cases: Annotated[bool, typer.Option("--all", help="Include closed cases.")] = False,
    owner: Annotated[str | None, typer.Option(help="Only the cases of this owner.")] = None,
    as_of: Annotated[str | None, typer.Option(help="As of this moment; default now.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most cases to show.")] = 50,
    alarm: Annotated[bool, typer.Option("--alarm", help="Exit code 4 if any case is overdue.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List open cases: overdue ones first, then by the time an answer is due.

    A case counts as answered after the event `case_answered`, a recovery message delivered while the case was open, or
    its resolution. Cases are read from the log, so reports still waiting in Redis count after `nextbest log drain`.

    With `--alarm` the exit code is 4 if any case is overdue, even one that is not shown; use it in a scheduler.

    Examples:
    `nextbest care list`;
    `nextbest care list --all --limit 10 --json`
    """
    from features.catalogue import load_catalogue
    from features.log.case_log import cases_in_log
    from features.log.event_log import EventLog
    from pipelines.reports.care_report import print_cases

    settings = settings_for(home)
    now = moment_or_now(settings, as_of, "as_of")
    found = cases_in_log(EventLog(settings.log_path), load_catalogue(settings.catalogue_path), as_of=now)
    cases = _of_owner(found, owner)
    overdue = cases.filter("is_overdue").height
    shown = in_order(cases if all_cases else cases.filter("is_open")).head(limit)
    if as_json:
        counts = {"open": cases.filter("is_open").height, "overdue": overdue}
        print_json({"as_of": now, **counts, "cases": shown.to_dicts()})
    else:
        print_cases(shown, opened=cases.filter("is_open").height, overdue=overdue, now=now)
    if alarm and overdue:
        raise typer.Exit(EXIT_ALARM)


def in_order(cases: "pl.DataFrame") -> "pl.DataFrame":
    """Overdue first, then open ones by the time an answer is due, then the rest; equal ones by their opening."""
    return cases.sort(
        "is_overdue", "is_open", "answer_due_at", "opened_at", "customer_id", "case_id",
        descending=[True, True, False, False, False, False],
        nulls_last=True,
    )  # fmt: skip


def _of_owner(cases: "pl.DataFrame", owner: str | None) -> "pl.DataFrame":
    import polars as pl

    return cases if owner is None else cases.filter(pl.col("owner") == owner)
