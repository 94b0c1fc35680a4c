"""What the drift page shows: the newest stored report, its numbers in words."""

from datetime import datetime
from pathlib import Path
from typing import Any

from decisioning.errors import InvalidInputError
from features.reports.drift import DRIFT_FILES, DriftFinding, DriftKind, DriftReport, DriftVerdict
from features.reports.readout_words import format_number, format_p, format_percent
from serving.console.readout_pages import Badge

TITLES = {
    DriftKind.FEATURE: "Features",
    DriftKind.SCORE: "Scores",
    DriftKind.CALIBRATION: "Calibration",
    DriftKind.REWARD: "Rewards",
    DriftKind.SILENT_ZERO: "Nothing any more",
}
BADGES = {
    DriftVerdict.ALARM: Badge(label="Changed much", tone="alarm"),
    DriftVerdict.WATCH: Badge(label="Changed", tone="waiting"),
    DriftVerdict.STEADY: Badge(label="As it was", tone="clear"),
    DriftVerdict.UNKNOWN: Badge(label="Not known", tone="open"),
}
_HEALTH = {DriftVerdict.ALARM: ("alarm", "Look now"), DriftVerdict.WATCH: ("warn", "Watch")}


def drift_page(folder: Path) -> dict[str, Any]:
    """Everything that the page shows; `report` is None where none is stored or it cannot be read."""
    if not any(folder.glob("*.json")):
        return {"report": None, "problem": None}
    try:
        return {"report": _page(DRIFT_FILES.newest(folder)), "problem": None}
    except InvalidInputError as error:
        return {"report": None, "problem": str(error)}


def _page(report: DriftReport) -> dict[str, Any]:
    return {
        "badge": BADGES[_over_all(report)],
        "verdict": _verdict(report),
        "facts": (
            ("Newer period", f"{_day(report.split_at)} to {_day(report.as_of)}"),
            ("Older period", f"{_day(report.from_at)} to {_day(report.split_at)}"),
            ("Comparisons", format_number(len(report.findings))),
            ("Computed", f"{_day(report.computed_at)} UTC"),
        ),
        "changed": [_changed(one) for verdict in _HEALTH for one in report.having(verdict)],
        "kinds": [_kind(report, kind) for kind in DriftKind if any(one.kind is kind for one in report.findings)],
        "notes": report.notes,
        "command": report.command,
    }


def _over_all(report: DriftReport) -> DriftVerdict:
    """The worst verdict there is; not known where most comparisons gave no answer."""
    if 2 * len(report.having(DriftVerdict.UNKNOWN)) > len(report.findings):
        calm = DriftVerdict.UNKNOWN
    else:
        calm = DriftVerdict.STEADY
    return next((one for one in (DriftVerdict.ALARM, DriftVerdict.WATCH) if report.having(one)), calm)


def _verdict(report: DriftReport) -> str:
    alarms, watched = len(report.having(DriftVerdict.ALARM)), len(report.having(DriftVerdict.WATCH))
    gaps = f" {report.gaps}." if report.gaps else ""
    if not alarms and not watched:
        start = "Nothing is known to have changed" if gaps else "Nothing has changed that matters"
        return f"{start}.{gaps}"
    told = [f"{count} {'thing has' if count == 1 else 'things have'} changed {how}" for count, how in
            ((alarms, "so much that somebody must look"), (watched, "and should be watched")) if count]  # fmt: skip
    return f"{'; '.join(told)}.{gaps}"


def _changed(one: DriftFinding) -> dict[str, str]:
    tone, word = _HEALTH[one.verdict]
    return {
        "tone": tone,
        "word": word,
        "title": TITLES[one.kind],
        "message": f"{one.sentence[:1].upper()}{one.sentence[1:]}.",
    }


def _kind(report: DriftReport, kind: DriftKind) -> dict[str, Any]:
    rows = [one for one in report.findings if one.kind is kind]
    return {"name": TITLES[kind], "slug": kind.value, "rows": [_row(one) for one in rows]}


def _row(one: DriftFinding) -> dict[str, Any]:
    size = format_percent(one.change) if one.change is not None else ""
    is_share = one.kind is DriftKind.SILENT_ZERO
    return {
        "name": one.name,
        "group": one.group,
        "customers": f"{format_number(one.before_count)} / {format_number(one.now_count)}",
        "before": _number(one.before, is_share=is_share),
        "now": _number(one.now, is_share=is_share),
        "size": f"PSI {one.psi:.2f}" if one.psi is not None else size,
        "p": "" if one.p_value is None else format_p(one.p_value),
        "badge": BADGES[one.verdict],
    }


def _number(value: float | None, *, is_share: bool) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if is_share else f"{value:,.4g}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y, %H:%M}"
