"""`nextbest kpi`: KPIs of touchpoints and channels, for the customer and for the company."""

import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from decisioning.errors import InvalidInputError
from pipelines.options import AsOfOption, HomeOption, JsonOption, settings_for

if TYPE_CHECKING:
    from features.reports.kpis import KpiReport
    from features.settings import Settings

kpi = typer.Typer(help="KPIs per touchpoint and channel, for the customer and for the company.")

TouchpointOption = Annotated[
    str | None, typer.Option("--touchpoint", help="Details of this touchpoint.", show_default=False)
]
ChannelOption = Annotated[str | None, typer.Option("--channel", help="Details of this channel.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add `nextbest kpi`."""
    app.add_typer(kpi, name="kpi")


@kpi.callback(invoke_without_command=True)
def newest(context: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the stored KPIs; `nextbest kpi compute` makes them.

    Example: `nextbest kpi`
    """
    if context.invoked_subcommand is None:
        show(home=home, as_json=as_json)


@kpi.command("show")
def show(
    touchpoint: TouchpointOption = None,
    channel: ChannelOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the stored KPIs, everything in detail or one touchpoint or channel.

    Example: `nextbest kpi show --channel email`
    """
    from pipelines.analyses.kpi_analysis import stored_kpis

    _print(stored_kpis(settings_for(home)), touchpoint, channel, as_json=as_json)


@kpi.command("compute")
def compute(
    days: Annotated[float, typer.Option("--days", help="Length of the period.", min=0.01)] = 90.0,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the KPIs of the period before `--as-of` from the log, store them, and print them.

    Example: `nextbest kpi compute --days 60`
    """
    from pipelines.analyses.kpi_analysis import compute_and_store
    from training.kpis.kpi_report import KpiReading

    settings = settings_for(home)
    now, moment = moments(settings, as_of)
    command = ["nextbest", "kpi", "compute", "--days", f"{days:g}", "--as-of", f"{moment:%Y-%m-%dT%H:%M:%S}"]
    reading = KpiReading(as_of=moment, days=days, computed_at=now, command=shlex.join(command))
    _print(compute_and_store(settings, reading), None, None, as_json=as_json)


def moments(settings: "Settings", as_of: datetime | None) -> tuple[datetime, datetime]:
    """Now, and the moment to read as of.

    Raises:
        InvalidInputError: It is later than now.
    """
    from features.clock import clock_of

    now = clock_of(settings)()
    moment = as_of.replace(tzinfo=as_of.tzinfo or UTC).astimezone(UTC) if as_of else now.replace(microsecond=0)
    if moment > now:
        raise InvalidInputError(
            f"--as-of must not be later than now ({now:%Y-%m-%dT%H:%M:%S}), got {moment:%Y-%m-%dT%H:%M:%S}"
        )
    return now, moment


def _print(report: "KpiReport", touchpoint: str | None, channel: str | None, *, as_json: bool) -> None:
    from features.reports.kpis import KPI_FILES
    from pipelines.reports.kpi_report import print_kpis

    if as_json:
        sys.stdout.write(KPI_FILES.to_json(report).decode() + "\n")
        return
    print_kpis(report, touchpoint, channel)
