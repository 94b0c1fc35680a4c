"""`nextbest drift`: what is not as it was."""

from typing import TYPE_CHECKING, Annotated

import typer

from features.clock import clock_of
from pipelines.exit_codes import EXIT_ALARM
from pipelines.options import AsOfOption, HomeOption, JsonOption, not_later_than, settings_for

if TYPE_CHECKING:
    from features.reports.drift import DriftReport

app = typer.Typer(
    name="drift", help="Drift: features, scores, rewards, and groups that get nothing.", no_args_is_help=True
)

DetailsOption = Annotated[bool, typer.Option("--details", help="Show what is as it was, too.")]


@app.command("read")
def read(
    days: Annotated[float, typer.Option(help="Length of the newer period.", min=0.01)] = 7.0,
    before_days: Annotated[float, typer.Option(help="Length of the older period, right before it.", min=0.01)] = 28.0,
    as_of: AsOfOption = None,
    details: DetailsOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the days before `--as-of` with those before them: features, scores, calibration, rewards, silent zeros.

    Store the report and print it. The exit code is 4 if anything has changed so much that somebody must look.

    Example: `nextbest drift read --days 14 --before-days 28 --as-of 2026-11-01`
    """
    from features.catalogue import load_catalogue
    from features.log.event_log import EventLog
    from features.models.logged_decisions import LoggedDecisions
    from features.reports.drift import DRIFT_FILES, DriftVerdict
    from training.drift.drift_report import read_drift
    from training.drift.evidence import DriftReading

    settings = settings_for(home)
    now = clock_of(settings)()
    moment = not_later_than(now, as_of) if as_of else now.replace(microsecond=0)
    again = f"nextbest drift read --days {days:g} --before-days {before_days:g} --as-of {moment:%Y-%m-%dT%H:%M:%S}"
    reading = DriftReading(as_of=moment, days=days, before_days=before_days, computed_at=now, command=again)
    catalogue = load_catalogue(settings.catalogue_path)
    report = read_drift(EventLog(settings.log_path), LoggedDecisions(settings), catalogue, reading)
    DRIFT_FILES.write(settings.drift_path, report)
    _print(report, details=details, as_json=as_json)
    if report.having(DriftVerdict.ALARM):
        raise typer.Exit(EXIT_ALARM)


@app.command("show")
def show(details: DetailsOption = False, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the stored report again, as it was computed.

    Example: `nextbest drift show --details`
    """
    from features.reports.drift import DRIFT_FILES

    _print(DRIFT_FILES.newest(settings_for(home).drift_path), details=details, as_json=as_json)


def _print(report: "DriftReport", *, details: bool, as_json: bool) -> None:
    from features.reports.drift import DRIFT_FILES
    from pipelines.reports.drift_report import print_drift

    if as_json:
        typer.echo(DRIFT_FILES.to_json(report).decode())
    else:
        print_drift(report, details=details)
