"""`nextbest kpi`: KPIs of touchpoints and channels, for the customer and for the company."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from features.clock import clock_of
from pipelines.options import AsOfOption, HomeOption, JsonOption, not_later_than, settings_for

if TYPE_CHECKING:
    from features.reports.kpis import KpiReport
    from features.settings import Settings
    from training.kpis.kpi_report import KpiReading

app = typer.Typer(name="kpi", help="KPIs per touchpoint and channel, for the customer and for the company.")

TouchpointOption = Annotated[str | None, typer.Option("--touchpoint", help="Details of this touchpoint.")]
ChannelOption = Annotated[str | None, typer.Option("--channel", help="Details of this channel.")]


@app.callback(invoke_without_command=True)
def newest(context: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the stored KPIs; `nextbest kpi compute` makes them.

    Example: `nextbest kpi`
    """
    if context.invoked_subcommand is None:
        show(home=home, as_json=as_json)


@app.command("show")
def show(
    touchpoint: TouchpointOption = None,
    channel: ChannelOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the stored KPIs, everything in detail or one touchpoint or channel.

    Example: `nextbest kpi show --channel email`
    """
    from features.reports.kpis import KPI_FILES

    _print(KPI_FILES.newest(settings_for(home).kpis_path), touchpoint, channel, as_json=as_json)


@app.command("compute")
def compute(
    days: Annotated[float, typer.Option(help="Length of the period.", min=0.01)] = 90.0,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the KPIs of the period before `--as-of` from the log, store them, and print them.

    Example: `nextbest kpi compute --days 60`
    """
    from features.catalogue import load_catalogue
    from features.history import History
    from features.log.event_log import EventLog
    from features.reports.kpis import KPI_FILES
    from training.kpis.kpi_report import compute_kpis

    settings = settings_for(home)
    reading, catalogue = reading_of(settings, "kpi compute", as_of, days), load_catalogue(settings.catalogue_path)
    report = compute_kpis(History.from_log(EventLog(settings.log_path)), catalogue, reading)
    KPI_FILES.write(settings.kpis_path, report)
    _print(report, None, None, as_json=as_json)


def reading_of(settings: "Settings", command: str, as_of: datetime | None, days: float) -> "KpiReading":
    """What a report over some days reads, with the command that gives it again.

    Raises:
        InvalidInputError: `as_of` is later than now.
    """
    from training.kpis.kpi_report import KpiReading

    now = clock_of(settings)()
    moment = not_later_than(now, as_of) if as_of else now.replace(microsecond=0)
    again = f"nextbest {command} --days {days:g} --as-of {moment:%Y-%m-%dT%H:%M:%S}"
    return KpiReading(as_of=moment, days=days, computed_at=now, command=again)


def _print(report: "KpiReport", touchpoint: str | None, channel: str | None, *, as_json: bool) -> None:
    from features.reports.kpis import KPI_FILES
    from pipelines.reports.kpi_report import print_kpis

    if as_json:
        typer.echo(KPI_FILES.to_json(report).decode())
    else:
        print_kpis(report, touchpoint, channel)
