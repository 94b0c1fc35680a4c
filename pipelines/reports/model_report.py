"""A registered model, and two of them side by side, on the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from decisioning.catalogue.measure import Unit
from pipelines.reports.terminal import titled, wide_console
from training.intervals import Interval
from training.judgement.uplift import PlanReport, UpliftReport
from training.registry.model_comparison import ModelChange, ModelComparison
from training.registry.model_contest import GroupChange, ModelContest
from training.registry.model_facts import ModelFacts

_SHOWN_FEATURES = 12
_SHOWN_MOVES = 12
_HIDDEN_FIGURES = ("_lower", "_upper", "_slope_error")
_EFFECT = "effect."


def print_model(facts: ModelFacts) -> None:
    """Write a version to stdout."""
    console = wide_console()
    standing = ", the champion" if facts.is_champion else ""
    said = f"model version {facts.version}{standing}: {facts.measure} over {facts.window_days:g} days"
    console.print(f"{said}, registered {facts.registered_at}", markup=False, style="bold")
    console.print(f"order: {facts.order}", markup=False, style="" if facts.beats_chance else "bold")
    console.print(_pairs("data", facts.data))
    if facts.uplift is not None:
        _print_uplift(console, facts.uplift)
    console.print(_effects(facts))
    if facts.contest:
        console.print(_contenders(facts.contest))
    if facts.groups:
        console.print(_personal(facts.groups))
    if facts.stages:
        console.print(_stages(facts.stages))
    if facts.rooms:
        console.print(_rooms(facts.rooms))
    if facts.hours:
        console.print(_hours(facts.hours))
    console.print(_features(facts))
    console.print(_pairs("figures", {name: f"{value:,.4g}" for name, value in _main(facts.figures).items()}))
    console.print(_pairs("settings", facts.settings))


def print_comparison(found: ModelComparison) -> None:
    """Write a comparison to stdout."""
    console = wide_console()
    console.print(f"from version {found.one} to version {found.other}", style="bold")
    for version, order in found.order.items():
        console.print(f"version {version} {order}", markup=False)
    if found.contest is not None:
        _print_contest(console, found, found.contest)
    for note in found.notes:
        console.print(f"note: {note}", markup=False)
    shown = (row for row in found.figures if _is_main(row.name))
    for title, rows in (
        ("data", found.data),
        ("features", found.features),
        ("settings", found.settings),
        ("effect of messages", found.effects),
        ("figures", tuple(shown)),
    ):
        _print_changes(console, title, rows, found)


def _pairs(title: str, rows: Mapping[str, object]) -> Table:
    table = titled(title, "name", "value")
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _contenders(contest: Sequence[Mapping[str, Any]]) -> Table:
    """Learners by what free choice is worth on customers they did not learn from, in the measure's unit."""
    title = "contest of learners; likeness is how much of its effects by customer one booster says again"
    table = titled(title, "learner", "value per decision", "gain over the usual one", "likeness")
    for one in contest:
        likeness = "" if one["likeness"] is None else f"{one['likeness']:.0%}"
        gain = _with_error(one["gain"], one["gain_standard_error"])
        table.add_row(one["learner"], f"{one['value']:,.4g}", gain, likeness)
    return table


def _personal(groups: Sequence[Mapping[str, Any]]) -> Table:
    """How much of the differences between customers is believed in each group; gains in the measure's unit."""
    title = "differences between customers, by group: 1 is believed as learned, 0 is the best message for all"
    table = titled(title, "by", "group", "decisions", "slope", "as believed", "gain over the best message for all")
    for one in groups:
        slope, gain = (_with_error(one[name], one[f"{name}_error"]) for name in ("slope", "gain"))
        table.add_row(one["by"], one["group"], f"{one['decisions']:,}", slope, f"{one['believed']:.2f}", gain)
    return table


def _with_error(value: float | None, error: float | None) -> str:
    return "not known" if value is None else f"{value:+,.4g} \u00b1 {error:,.2g}"


def _stages(stages: Mapping[str, Any]) -> Table:
    """What it is worth to stand at a stage until the horizon, in the measure's unit."""
    title = f"what a customer at a stage brings within {stages['horizon_days']:g} days, money in minor units"
    table = titled(title, "stage", "worth", "customers seen")
    columns = zip(stages["stages"], stages["values"], stages["standard_errors"], stages["customers"], strict=True)
    for stage, value, error, customers in columns:
        told = "not known: too few customers" if value is None else f"{value:,.0f} \u00b1 {error:,.0f}"
        table.add_row(stage, told, f"{customers:,}")
    return table


def _rooms(rooms: Sequence[Mapping[str, Any]]) -> Table:
    """What contacts under each cap wait for; gains in minor units per customer of the log."""
    table = titled("room under caps", "cap", "of", "strength", "gain of waiting", "what was found")
    for one in rooms:
        gain, error = one["gain_minor"], one["standard_error_minor"]
        told = "not known" if gain is None else f"{gain:+,.4g} \u00b1 {error:,.2g}"
        table.add_row(one["cap_id"], one["of"] or "everything", f"{one['strength']:g}", told, one["words"])
    return table


def _hours(hours: Mapping[str, Any]) -> Table:
    """What choosing the hour gains; in the measure's unit per contact, money in minor units."""
    table = titled("hours of the week", "wait", "strength", "gain of choosing the hour", "what was found")
    gain, error = hours["gain"], hours["standard_error"]
    told = "not known" if gain is None else f"{gain:+,.4g} \u00b1 {error:,.2g}"
    table.add_row(f"{hours['wait_hours']:g} hours", f"{hours['strength']:g}", told, hours["words"])
    return table


def _main(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures without the ends of intervals and without effects, which other tables show."""
    return {name: value for name, value in figures.items() if _is_main(name)}


def _is_main(name: str) -> bool:
    return not name.endswith(_HIDDEN_FIGURES) and not name.startswith(_EFFECT)


def _told(one: Interval | None) -> str:
    if one is None:
        return "not known"
    if one.lower is None or one.upper is None:
        return f"{one.value:+,.4g}"
    return f"{one.value:+,.4g} [{one.lower:+,.4g}, {one.upper:+,.4g}]"


def _print_uplift(console: Console, report: UpliftReport) -> None:
    unit = f"{report.currency} minor units per decision" if report.unit is Unit.MONEY else "rate"
    title = f"uplift, {report.decisions:,} decisions of {report.customers:,} held-back customers, {unit}"
    table = titled(title, "figure", "value and 95 % interval")
    for name, one in _uplift_rows(report):
        table.add_row(name, _told(one))
    console.print(table)
    bins = titled("calibration of uplift, by predicted uplift", "decisions", "predicted", "realised")
    for one in report.model.bins:
        bins.add_row(f"{one.decisions:,}", f"{one.predicted:+,.4g}", _told(one.realised))
    console.print(bins)


def _uplift_rows(report: UpliftReport) -> Iterator[tuple[str, Interval | None]]:
    plan: PlanReport = report.model
    yield "Qini: ordering, 0 is chance", plan.qini
    yield "Qini over the gain of contacting all", plan.qini_share
    yield "AUUC", plan.auuc
    yield "slope of realised on predicted uplift: 1 is right, 0 says nothing", plan.slope
    yield "gain of contacting all", plan.contact_all
    yield f"net gain where predictions pay, {plan.stop_share:.0%} contacted", plan.net_stop
    if report.constant is not None:
        yield f"net gain of {report.constant.message_key} for all", report.constant.net_all
        yield "net gain over that", report.over_constant.get("net_stop")
    if report.incumbent is not None:
        yield f"Qini over champion {report.incumbent.version}", report.over_incumbent.get("qini")
        yield f"net gain over champion {report.incumbent.version}", report.over_incumbent.get("net_stop")


def _effects(facts: ModelFacts) -> Table:
    table = titled("average effect over silence", "message", "as estimated", "as believed")
    for one in facts.effects:
        numbers = ("" if value is None else f"{value:+,.4g}" for value in (one.estimated, one.believed))
        table.add_row(one.message_key, *numbers)
    return table


def _features(facts: ModelFacts) -> Table:
    ranked = sorted(facts.features.items(), key=lambda one: -one[1])
    title = f"features, {len(ranked)} in all; those that the booster gains most from"
    table = titled(title, "feature", "share of gain")
    for name, share in ranked[:_SHOWN_FEATURES]:
        table.add_row(name, f"{share:.1%}")
    return table


def _print_contest(console: Console, found: ModelComparison, contest: ModelContest) -> None:
    share = contest.differing / contest.decisions
    asked = "free choice" if contest.is_free else "which of the sent messages they would keep"
    console.print(
        f"{contest.differing:,} of {contest.decisions:,} decisions of {contest.customers:,} held-back customers differ"
        f" ({share:.1%}); {asked}, net of contact costs",
        markup=False,
    )
    table = titled("worth per decision, paired by customer", "figure", "value and 95 % interval")
    table.add_row(f"version {found.other} over version {found.one}", _told(contest.gain))
    for version, gain in contest.over_silence.items():
        table.add_row(f"version {version} over silence", _told(gain))
    table.add_row("Qini of the second less that of the first", _told(contest.qini_gain))
    console.print(table)
    console.print(_groups("stage", contest.by_stage))
    for name, rows in contest.by_segment.items():
        if len(rows) > 1:
            console.print(_groups(name.replace("_", " "), rows))
    if contest.moves:
        console.print(_moves(contest))


def _groups(name: str, rows: Sequence[GroupChange]) -> Table:
    table = titled(f"decisions that differ, by {name}", name, "decisions", "differ", "share")
    for one in rows:
        table.add_row(one.group, f"{one.decisions:,}", f"{one.differing:,}", f"{one.differing / one.decisions:.1%}")
    return table


def _moves(contest: ModelContest) -> Table:
    rest = len(contest.moves) - _SHOWN_MOVES
    title = "from what to what" + (f", {rest} rarer moves left out" if rest > 0 else "")
    table = titled(title, "from", "to", "decisions", "gain per decision that moves")
    for move in contest.moves[:_SHOWN_MOVES]:
        table.add_row(move.before, move.after, f"{move.decisions:,}", _told(move.gain))
    return table


def _print_changes(console: Console, title: str, rows: Sequence[ModelChange], found: ModelComparison) -> None:
    if not rows:
        console.print(f"{title}: the same", markup=False)
        return
    table = titled(f"{title}: what changed", "name", f"version {found.one}", f"version {found.other}")
    for row in rows:
        table.add_row(row.name, *(_plain(value) for value in (row.one, row.other)))
    console.print(table)


def _plain(value: str | float | None) -> str:
    if value is None:
        return "not there"
    return (value or "there") if isinstance(value, str) else f"{value:,.4g}"
