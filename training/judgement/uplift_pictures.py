"""An uplift report as files of a training run: pictures, tables, and the report itself."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from decisioning.catalogue.measure import Unit
from training.intervals import Interval
from training.judgement.uplift import UPLIFT_REPORTS, PlanReport, UpliftCurve, UpliftReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REPORT_FILE = "uplift.json"

type TableRow = dict[str, object]


def write_pictures(report: UpliftReport, folder: Path) -> tuple[Path, ...]:
    """Draw the Qini curve, uplift by decile, calibration of uplift and the net curve; gives the files."""
    from matplotlib.figure import Figure

    drawings: dict[str, Callable[[Axes, UpliftReport], None]] = {
        "qini": _draw_qini,
        "uplift_deciles": _draw_deciles,
        "uplift_calibration": _draw_calibration,
        "net_gain": _draw_net,
    }
    paths: list[Path] = []
    for name, draw in drawings.items():
        figure = Figure(figsize=(7, 5), layout="constrained")
        draw(figure.add_subplot(), report)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=110)
    return tuple(paths)


def write_tables(report: UpliftReport, folder: Path) -> tuple[Path, ...]:
    """Write the report and its curves, bins and figures as tables; gives the files."""
    whole = folder / REPORT_FILE
    whole.write_bytes(UPLIFT_REPORTS.dump_json(report, indent=2))
    tables = {"uplift_curves": _curve_rows, "uplift_deciles": _bin_rows, "uplift_figures": _figure_rows}
    paths = [whole]
    for name, rows_of in tables.items():
        rows = list(rows_of(report))
        paths.append(folder / f"{name}.csv")
        with paths[-1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return tuple(paths)


def _plans(report: UpliftReport) -> Iterator[tuple[str, PlanReport]]:
    yield "model", report.model
    if report.incumbent is not None:
        yield _incumbent(report), report.incumbent


def _incumbent(report: UpliftReport) -> str:
    version = report.incumbent.version if report.incumbent else None
    return f"champion {version or ''}".strip()


def _curve_rows(report: UpliftReport) -> Iterator[TableRow]:
    for policy, plan in _plans(report):
        for name, curve in (("gain", plan.curve), ("net gain", plan.net_curve)):
            points = zip(curve.shares, curve.values, curve.lower, curve.upper, strict=True)
            for share, value, lower, upper in points:
                yield {
                    "policy": policy, "curve": name, "share_contacted": round(share, 6),
                    "per_decision": value, "lower": lower, "upper": upper, "at_random": share * curve.values[-1],
                }  # fmt: skip


def _bin_rows(report: UpliftReport) -> Iterator[TableRow]:
    for policy, plan in _plans(report):
        for place, one in enumerate(plan.bins, start=1):
            yield {
                "policy": policy, "bin": place, "decisions": one.decisions, "customers": one.customers,
                "predicted_uplift": one.predicted, "realised_uplift": one.realised.value,
                "lower": one.realised.lower, "upper": one.realised.upper,
            }  # fmt: skip


def _figure_rows(report: UpliftReport) -> Iterator[TableRow]:
    for policy, plan in _plans(report):
        named = {
            "qini": plan.qini,
            **{f"qini, {name.replace('_', ' ')}": one for name, one in plan.checks.items()},
            "qini over gain of contacting all": plan.qini_share,
            "auuc": plan.auuc,
            "gain of contacting all": plan.contact_all,
            "slope of realised on predicted uplift": plan.slope,
            "net gain of contacting all": plan.net_all,
            "net gain where predictions pay": plan.net_stop,
        }
        yield from (_row(policy, name, one) for name, one in named.items() if one is not None)
    for rival, gaps in (("best single message", report.over_constant), ("champion", report.over_incumbent)):
        yield from (_row(f"model over {rival}", name, one) for name, one in gaps.items())


def _row(policy: str, figure: str, one: Interval) -> TableRow:
    return {"policy": policy, "figure": figure, "value": one.value, "lower": one.lower, "upper": one.upper}


def _unit(report: UpliftReport) -> str:
    return f"{report.currency} minor units" if report.unit is Unit.MONEY else "rate"


def _draw_curves(axes: "Axes", report: UpliftReport, curve_of: Callable[[PlanReport], UpliftCurve]) -> None:
    for (name, plan), colour in zip(_plans(report), ("C0", "C2"), strict=False):
        curve = curve_of(plan)
        axes.fill_between(curve.shares, curve.lower, curve.upper, alpha=0.2, color=colour)
        axes.plot(curve.shares, curve.values, color=colour, label=f"{name}, 95 % band")
    own = curve_of(report.model)
    axes.plot([0, 1], [0, own.values[-1]], color="grey", linewidth=1, label="same messages at random")


def _draw_qini(axes: "Axes", report: UpliftReport) -> None:
    _draw_curves(axes, report, lambda plan: plan.curve)
    if report.constant is not None:
        ends = [0, report.constant.contact_all.value]
        axes.plot([0, 1], ends, color="C1", linestyle="--", label=f"{report.constant.message_key} at random")
    order = "better than chance" if report.model.beats_chance else "no better than chance"
    qini = report.model.qini
    axes.set(
        title=f"Qini {qini.value:,.4g} [{qini.lower:,.4g}, {qini.upper:,.4g}]: order {order}",
        xlabel="share of held-back decisions with a message",
        ylabel=f"gain per decision ({_unit(report)})",
    )
    axes.legend(fontsize="small")


def _draw_deciles(axes: "Axes", report: UpliftReport) -> None:
    bins = report.model.bins
    places = list(range(1, len(bins) + 1))
    values = [one.realised.value for one in bins]
    axes.bar(places, values, color="C0", label="realised, 95 % interval")
    axes.errorbar(places, values, yerr=_reaches(report.model), fmt="none", color="black", capsize=3)
    axes.plot(places, [one.predicted for one in bins], "D", color="C1", label="predicted")
    axes.axhline(0, color="grey", linewidth=1)
    axes.set_xticks(places)
    axes.set(
        title="Uplift by decile of predicted uplift, held-back customers",
        xlabel="decile, lowest prediction first",
        ylabel=f"uplift per decision ({_unit(report)})",
    )
    axes.legend(fontsize="small")


def _reaches(plan: PlanReport) -> list[list[float]]:
    """Lengths of error bars below and above; 0 where there is no interval."""
    ends = [(one.realised.value, one.realised.lower, one.realised.upper) for one in plan.bins]
    below = [0.0 if lower is None else value - lower for value, lower, _ in ends]
    return [below, [0.0 if upper is None else upper - value for value, _, upper in ends]]


def _draw_calibration(axes: "Axes", report: UpliftReport) -> None:
    for (name, plan), colour in zip(_plans(report), ("C0", "C2"), strict=False):
        axes.errorbar(
            [one.predicted for one in plan.bins], [one.realised.value for one in plan.bins], yerr=_reaches(plan),
            fmt="o", capsize=3, color=colour, label=name,
        )  # fmt: skip
    shown = [one.predicted for _, plan in _plans(report) for one in plan.bins]
    axes.plot(
        [min(shown), max(shown)], [min(shown), max(shown)], color="grey", linewidth=1, label="predicted = realised"
    )
    slope = report.model.slope
    told = "" if slope is None else f": slope {slope.value:.2f} [{slope.lower:.2f}, {slope.upper:.2f}]"
    axes.set(
        title=f"Calibration of uplift, held-back customers{told}",
        xlabel=f"predicted uplift ({_unit(report)})",
        ylabel=f"realised uplift ({_unit(report)})",
    )
    axes.legend(fontsize="small")


def _draw_net(axes: "Axes", report: UpliftReport) -> None:
    _draw_curves(axes, report, lambda plan: plan.net_curve)
    if report.constant is not None:
        ends = [0, report.constant.net_all.value]
        axes.plot([0, 1], ends, color="C1", linestyle="--", label=f"{report.constant.message_key} at random")
    axes.axvline(report.model.stop_share, color="C0", linestyle=":", label="no further contact is predicted to pay")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set(
        title="Gain less the cost of contacts, most promising decisions first",
        xlabel="share of held-back decisions with a message",
        ylabel=f"net gain per decision ({_unit(report)})",
    )
    axes.legend(fontsize="small")
