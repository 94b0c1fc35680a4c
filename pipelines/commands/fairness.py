"""`nextbest fairness`: compare groups of customers with everybody else."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.kpi import moments
from pipelines.exit_codes import EXIT_ALARM
from pipelines.options import AsOfOption, HomeOption, JsonOption, settings_for

if TYPE_CHECKING:
    from features.reports.fairness import FairnessReport

fairness = typer.Typer(help="Fairness: compare groups of customers with everybody else.", no_args_is_help=True)

DetailsOption = Annotated[bool, typer.Option("--details", help="Show every group of every comparison.")]


def register(app: typer.Typer) -> None:
    """Add `nextbest fairness`."""
    app.add_typer(fairness, name="fairness")


@fairness.command("read")
def read(
    days: Annotated[
        float | None, typer.Option("--days", help="Length of the period; default the catalogue's.", min=0.01)
    ] = None,
    as_of: AsOfOption = None,
    details: DetailsOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare value tiers, new and old customers, regions and channel preferences; store the report and print it.

    The exit code is 4 if a guardrail of the catalogue is broken, or if the data do not show that it holds.

    Example: `nextbest fairness read --days 60`
    """
    from pipelines.analyses.fairness_analysis import period_days, read_and_store
    from training.kpis.kpi_report import KpiReading

    settings = settings_for(home)
    now, moment = moments(settings, as_of)
    length = days or period_days(settings)
    command = ["nextbest", "fairness", "read", "--days", f"{length:g}", "--as-of", f"{moment:%Y-%m-%dT%H:%M:%S}"]
    reading = KpiReading(as_of=moment, days=length, computed_at=now, command=shlex.join(command))
    report = read_and_store(settings, reading)
    _print(report, details=details, as_json=as_json)
    if report.not_passed():
        raise typer.Exit(EXIT_ALARM)


@fairness.command("show")
def show(details: DetailsOption = False, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the stored report again, as it was computed.

    Example: `nextbest fairness show --details`
    """
    from pipelines.analyses.fairness_analysis import stored_fairness

    _print(stored_fairness(settings_for(home)), details=details, as_json=as_json)


def _print(report: "FairnessReport", *, details: bool, as_json: bool) -> None:
    from features.reports.fairness import FAIRNESS_FILES
    from pipelines.reports.fairness_report import print_fairness

    if as_json:
        sys.stdout.write(FAIRNESS_FILES.to_json(report).decode() + "\n")
        return
    print_fairness(report, details=details)
