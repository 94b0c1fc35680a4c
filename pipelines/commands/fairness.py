"""`nextbest fairness`: compare groups of customers with everybody else."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.kpi import reading_of
from pipelines.exit_codes import EXIT_ALARM
from pipelines.options import AsOfOption, HomeOption, JsonOption, settings_for

if TYPE_CHECKING:
    from features.reports.fairness import FairnessReport

app = typer.Typer(
    name="fairness", help="Fairness: compare groups of customers with everybody else.", no_args_is_help=True
)

DetailsOption = Annotated[bool, typer.Option("--details", help="Show every group of every comparison.")]


@app.command("read")
def read(
    days: Annotated[float | None, typer.Option(help="Length of the period; default the catalogue's.", min=0.01)] = None,
    as_of: AsOfOption = None,
    details: DetailsOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare value tiers, new and old customers, regions and channel preferences; store the report and print it.

    The exit code is 4 if a guardrail of the catalogue is broken, or if the data do not show that it holds.

    Example: `nextbest fairness read --days 60`
    """
    from features.catalogue import load_catalogue, load_fairness
    from features.history import History
    from features.log.event_log import EventLog
    from features.models.logged_decisions import LoggedDecisions
    from features.reports.fairness import FAIRNESS_FILES
    from pipelines.batch.fairness_floor import with_floor_prices
    from training.fairness.fairness_report import read_fairness

    settings = settings_for(home)
    rules, catalogue = load_fairness(settings.catalogue_path), load_catalogue(settings.catalogue_path)
    reading, log = reading_of(settings, "fairness read", as_of, days or rules.period_days), EventLog(settings.log_path)
    history = History.from_log(log)
    found = read_fairness(history, catalogue, rules, reading)
    report = with_floor_prices(found, log, LoggedDecisions(settings), history, catalogue)
    FAIRNESS_FILES.write(settings.fairness_path, report)
    _print(report, details=details, as_json=as_json)
    if report.not_passed():
        raise typer.Exit(EXIT_ALARM)


@app.command("show")
def show(details: DetailsOption = False, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the stored report again, as it was computed.

    Example: `nextbest fairness show --details`
    """
    from features.reports.fairness import FAIRNESS_FILES

    _print(FAIRNESS_FILES.newest(settings_for(home).fairness_path), details=details, as_json=as_json)


def _print(report: "FairnessReport", *, details: bool, as_json: bool) -> None:
    from features.reports.fairness import FAIRNESS_FILES
    from pipelines.reports.fairness_report import print_fairness

    if as_json:
        typer.echo(FAIRNESS_FILES.to_json(report).decode())
    else:
        print_fairness(report, details=details)
