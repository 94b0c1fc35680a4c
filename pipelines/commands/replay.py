"""`nextbest replay`: replay logged decisions and report differences."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption, print_json, print_result, progress_of, settings_for

if TYPE_CHECKING:
    from pipelines.audit.replay import ReplayReport


app = typer.Typer()


@app.command("replay")
def replay(
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only decisions from this moment on: ISO 8601 with an offset.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most decisions to replay, newest first.")] = None,
    decision: Annotated[str | None, typer.Option(metavar="ID", help="Only this decision.")] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay every logged decision with the policy of its time and check that the answer is identical, bit for bit.

    If an answer changed, the difference is shown field by field and the exit code is 1. Decisions whose policy is no
    longer available are counted with the reason. Every policy that was in force is kept below the home.

    Examples:
    `nextbest replay`;
    `nextbest replay --limit 1000 --json`;
    `nextbest replay --since 2026-01-01T00:00:00Z`
    """
    from features.log.event_log import EventLog
    from features.models.logged_decisions import LoggedDecisions
    from pipelines.audit.replay import ReplayPlan, replay_log

    settings = settings_for(home)
    plan = ReplayPlan(since=_moment(since), limit=limit, decision_id=decision)
    with progress_of("replaying") as tell:
        report = replay_log(EventLog(settings.log_path), LoggedDecisions(settings), plan, on_progress=tell)
    if as_json:
        print_json(report.document())
    else:
        _print(report)
    if report.changed:
        raise typer.Exit(1)


def _moment(text: str | None) -> datetime | None:
    from decisioning.errors import InvalidInputError
    from features.moments import ISO_RULE, moment_in_text

    moment = moment_in_text(text)
    if moment is None and text is not None:
        raise InvalidInputError(f"--since must be {ISO_RULE}, got {text}")
    return moment


_MOST_SHOWN = 20
_WHY_ABSENT = {
    "never_kept": "without its policy: never kept",
    "other_behaviour": "of another release: replay with that one",
    "damaged": "with a damaged copy of its policy",
}


def _print(report: "ReplayReport") -> None:
    from rich.console import Console

    found = report.document()
    rows = {
        "replayed": report.replayed,
        "the same, bit for bit": report.same,
        "changed": len(report.changed),
        "further positions that agree": report.positions,
        "imported, so not replayed": report.imported,
        **{_WHY_ABSENT[reason]: count for reason, count in sorted(report.absent.items())},
        "decisions per second": found["decisions_per_second"] or "-",
    }
    print_result(rows, as_json=False, title="replayed from the log")
    console = Console(highlight=False, soft_wrap=True)
    for one in report.changed[:_MOST_SHOWN]:
        console.print(f"{one.decision_id} comes out differently:", markup=False)
        for difference in one.differences[:_MOST_SHOWN]:
            console.print(
                f"  {difference.field}: logged {difference.logged!r}, now {difference.replayed!r}", markup=False
            )
    if len(report.changed) > _MOST_SHOWN:
        console.print(f"... and {len(report.changed) - _MOST_SHOWN} more")
