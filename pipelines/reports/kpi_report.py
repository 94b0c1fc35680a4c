"""Stored KPIs on the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from decisioning.errors import UnknownNameError
from features.reports.kpis import Figure, KpiReport, KpiRow, KpiUnit, Side
from features.reports.readout_words import format_bounds, format_number, format_value
from features.reports.readouts import ReadoutUnit

_UNITS = {KpiUnit.RATE: ReadoutUnit.RATE, KpiUnit.MONEY_MINOR: ReadoutUnit.MONEY_MINOR}
_SHORT = {
    Side.CUSTOMER: ("wanted_rate", "unwanted_rate", "hours_to_answer_median", "csat", "nps", "repeat_purchase_rate"),
    Side.COMPANY: ("sent", "viewed_rate", "conversion_rate", "contribution", "cost", "roi"),
}
"""What the overview of all touchpoints and channels shows."""

_TITLES = {Side.CUSTOMER: "For the customer", Side.COMPANY: "For the company"}
_NOTHING = "not enough data"
_WIDTH = 120
"""Where nobody looks through a window of another width."""


def print_kpis(report: KpiReport, touchpoint: str | None = None, channel: str | None = None) -> None:
    """Write KPIs to stdout: everything and an overview, or one touchpoint or channel in detail.

    Raises:
        UnknownNameError: Nothing was sent there.
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=_WIDTH)
    console.print(f"{report.from_at:%Y-%m-%d %H:%M} to {report.as_of:%Y-%m-%d %H:%M} UTC", markup=False)
    row = _chosen(report, touchpoint, channel)
    for side in Side:
        console.print(_details(report, row, side))
    if touchpoint is None and channel is None:
        for side in Side:
            console.print(_overview(report, side))
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
    table = _table(f"{_TITLES[side]}: {_place(row)}", ("figure", "value", "95 % interval", "of", "customers", "basis"))
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
    table = _table(f"{_TITLES[side]}: by touchpoint and channel", ("touchpoint", "channel", *titles))
    for row in report.rows:
        cells = [_cell(report, row.figure(name)) for name in _SHORT[side]]
        table.add_row(row.touchpoint or "all", row.channel or "all", *cells)
    return table


def _cell(report: KpiReport, figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "-"
    shown = _written(report, figure, figure.value)
    return f"{shown} ({figure.basis.value[:4]}.)" if figure.kpi_id == "roi" else shown


def _value_and_interval(report: KpiReport, figure: Figure) -> tuple[str, str]:
    value = figure.value or 0.0
    if figure.lower is None and figure.upper is None:
        return _written(report, figure, value), ""
    return _written(report, figure, value), _interval(report, figure)


def _written(report: KpiReport, figure: Figure, value: float) -> str:
    unit = report.definition(figure.kpi_id).unit
    match unit:
        case KpiUnit.COUNT:
            return format_number(value)
        case KpiUnit.HOURS:
            return f"{format_number(value, 1)} h"
        case KpiUnit.POINTS:
            return format_number(value, 1)
        case KpiUnit.RATIO | KpiUnit.NUMBER:
            return format_number(value, 2)
        case _:
            return format_value(value, _UNITS[unit], report.currency)


def _interval(report: KpiReport, figure: Figure) -> str:
    unit = _UNITS.get(report.definition(figure.kpi_id).unit, ReadoutUnit.NUMBER)
    known = [end for end in (figure.lower, figure.upper) if end is not None]
    written = format_bounds(known[0], known[-1], unit, report.currency)
    low = "below" if figure.lower is None else written[0]
    return f"{low} to {'beyond' if figure.upper is None else written[1]}"


def _table(title: str, columns: Sequence[str]) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
