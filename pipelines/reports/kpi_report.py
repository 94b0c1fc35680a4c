"""Stored KPIs on the terminal."""

from rich.table import Table

from decisioning.errors import UnknownNameError
from features.reports.kpis import Figure, KpiReport, KpiRow, KpiUnit, MachineWeek, Side
from features.reports.readout_words import format_bounds, format_number, format_value
from features.reports.readouts import ReadoutUnit
from pipelines.reports.terminal import titled, wide_console

_UNITS = {KpiUnit.RATE: ReadoutUnit.RATE, KpiUnit.MONEY_MINOR: ReadoutUnit.MONEY_MINOR}
_DIGITS = {KpiUnit.COUNT: 0, KpiUnit.HOURS: 1, KpiUnit.POINTS: 1, KpiUnit.RATIO: 2, KpiUnit.NUMBER: 2}
_SHORT = {
    Side.CUSTOMER: ("wanted_rate", "unwanted_rate", "hours_to_answer_median", "csat", "nps", "repeat_purchase_rate"),
    Side.COMPANY: ("sent", "viewed_rate", "conversion_rate", "contribution", "cost", "roi"),
}
"""What the overview of all touchpoints and channels shows."""

_TITLES = {Side.CUSTOMER: "For the customer", Side.COMPANY: "For the company"}
_NOTHING = "not enough data"


def print_kpis(report: KpiReport, touchpoint: str | None = None, channel: str | None = None) -> None:
    """Write KPIs to stdout: everything and an overview, or one touchpoint or channel in detail.

    Raises:
        UnknownNameError: Nothing was sent there.
    """
    console = wide_console()
    console.print(f"{report.from_at:%Y-%m-%d %H:%M} to {report.as_of:%Y-%m-%d %H:%M} UTC", markup=False)
    row = _chosen(report, touchpoint, channel)
    for side in Side:
        console.print(_details(report, row, side))
    if touchpoint is None and channel is None:
        for side in Side:
            console.print(_overview(report, side))
    if touchpoint is None and any(_by_machines(one) for one in report.machines if channel in {None, one.channel}):
        console.print(_machines(report, channel))
    for note in report.notes:
        console.print(note, markup=False)


def _chosen(report: KpiReport, touchpoint: str | None, channel: str | None) -> KpiRow:
    row = report.row(touchpoint, channel)
    if row is None:
        known = [_place(each) for each in report.rows]
        raise UnknownNameError("touchpoint or channel", " ".join(filter(None, (touchpoint, channel))), known)
    return row


def _place(row: KpiRow) -> str:
    return " ".join(filter(None, (row.touchpoint, row.channel))) or "everything"


def _details(report: KpiReport, row: KpiRow, side: Side) -> Table:
    title = f"{_TITLES[side]}: {_place(row)}"
    table = titled(title, "figure", "value", "95 % interval", "of", "customers", "basis")
    for figure in row.figures:
        definition = report.definition(figure.kpi_id)
        if definition.side is side:
            counts = (format_number(figure.sample_size), format_number(figure.customer_count))
            shown = (_reason(figure), "") if figure.value is None else _value_and_interval(report, figure)
            table.add_row(definition.title, *shown, *counts, figure.basis.value)
    return table


def _reason(figure: Figure) -> str:
    """Why there is no number, in few words; the stored form has all of them."""
    return (figure.reason or _NOTHING).partition(":")[0]


def _overview(report: KpiReport, side: Side) -> Table:
    titles = [report.definition(name).title for name in _SHORT[side]]
    table = titled(f"{_TITLES[side]}: by touchpoint and channel", "touchpoint", "channel", *titles)
    for row in report.rows:
        cells = [_cell(report, row.figure(name)) for name in _SHORT[side]]
        table.add_row(row.touchpoint or "all", row.channel or "all", *cells)
    return table


def _by_machines(week: MachineWeek) -> int:
    return week.machine_views + week.machine_clicks


def _machines(report: KpiReport, channel: str | None) -> Table:
    """Weeks of the channels on which machines were at work, one row each."""
    title = "Views and clicks by machines: by week that messages were decided in"
    table = titled(title, "channel", "from", "to", "views", "by machines", "clicks", "by machines")
    busy = {one.channel for one in report.machines if _by_machines(one)}
    for week in report.machines:
        if week.channel in busy and channel in {None, week.channel}:
            days = (f"{moment:%Y-%m-%d}" for moment in (week.from_at, week.until_at))
            views, clicks = (week.views, week.machine_views), (week.clicks, week.machine_clicks)
            table.add_row(week.channel, *days, *_reports_and_share(*views), *_reports_and_share(*clicks))
    return table


def _reports_and_share(reports: int, by_machines: int) -> tuple[str, str]:
    return format_number(reports), f"{by_machines / reports:.1%}" if reports else "-"


def _cell(report: KpiReport, figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "-"
    shown = _written(report, figure, figure.value)
    return f"{shown} ({figure.basis.value[:4]}.)" if figure.kpi_id == "roi" else shown


def _value_and_interval(report: KpiReport, figure: Figure) -> tuple[str, str]:
    return _written(report, figure, figure.value or 0.0), _interval(report, figure)


def _written(report: KpiReport, figure: Figure, value: float) -> str:
    unit = report.definition(figure.kpi_id).unit
    if unit in _UNITS:
        return format_value(value, _UNITS[unit], report.currency)
    return format_number(value, _DIGITS[unit]) + (" h" if unit is KpiUnit.HOURS else "")


def _interval(report: KpiReport, figure: Figure) -> str:
    if figure.lower is None and figure.upper is None:
        return ""
    unit = _UNITS.get(report.definition(figure.kpi_id).unit, ReadoutUnit.NUMBER)
    known = [end for end in (figure.lower, figure.upper) if end is not None]
    written = format_bounds(known[0], known[-1], unit, report.currency)
    low = "below" if figure.lower is None else written[0]
    return f"{low} to {'beyond' if figure.upper is None else written[1]}"
