"""Checks of a readout's health beside the split: who was left out, and whether the log reaches far enough."""

from datetime import datetime

import polars as pl

from decisioning.catalogue.experiment import AssignedUnit
from features.reports.readout_words import format_number
from features.reports.readouts import Check, Health
from training.experiments.exposures import Exposures, Logged


def check_readout(
    log: Logged, exposures: Exposures, windows: pl.DataFrame, *, unit: AssignedUnit, as_of: datetime
) -> tuple[Check, ...]:
    """Check what could make a readout unfair, in plain words.

    Args:
        log: The canonical tables that were read.
        exposures: Who was in which arm.
        windows: One row per exposed unit with `ends_at` and `is_complete`.
        unit: What was assigned.
        as_of: The moment that windows are complete or not.
    """
    return (
        _one_arm_check(exposures, unit),
        _window_check(windows, unit, as_of),
        _freshness_check(log, windows.filter("is_complete")),
    )


def latest(column: pl.Series) -> datetime | None:
    """Latest moment of a column of times; None where it has none."""
    value = column.max()
    return value if isinstance(value, datetime) else None


def earliest(column: pl.Series) -> datetime | None:
    """Earliest moment of a column of times; None where it has none."""
    value = column.min()
    return value if isinstance(value, datetime) else None


def _one_arm_check(exposures: Exposures, unit: AssignedUnit) -> Check:
    title = f"One arm per {unit}"
    if not exposures.crossed_count:
        return Check(title=title, status=Health.OK, message=f"No {unit} was in two arms.")
    message = f"{format_number(exposures.crossed_count)} {unit}s were in more than one arm and are left out."
    return Check(title=title, status=Health.WARN, message=message)


def _window_check(windows: pl.DataFrame, unit: AssignedUnit, as_of: datetime) -> Check:
    title, moment = "Complete windows", f"as of {as_of:%d %b %Y %H:%M} UTC"
    open_count = int((~windows["is_complete"]).sum())
    if windows.is_empty():
        return Check(title=title, status=Health.UNKNOWN, message=f"No {unit} was exposed yet.")
    if not open_count:
        return Check(title=title, status=Health.OK, message=f"Every exposed {unit}'s window was over {moment}.")
    message = (
        f"{format_number(open_count)} of {format_number(windows.height)} exposed {unit}s had days to go {moment}; "
        "they are not compared yet."
    )
    return Check(title=title, status=Health.OK, message=message)


def _freshness_check(log: Logged, complete: pl.DataFrame) -> Check:
    """Windows that end after the log does look empty where they are only unknown."""
    title = "Log reaches far enough"
    columns = (log.decisions["decided_at"], log.events["occurred_at"], log.outcomes["occurred_at"])
    moments = [moment for moment in map(latest, columns) if moment is not None]
    if not moments or complete.is_empty():
        return Check(title=title, status=Health.UNKNOWN, message="No complete window to check the log against.")
    late = int((complete["ends_at"] > max(moments)).sum())
    if not late:
        return Check(title=title, status=Health.OK, message="The log's newest entry is later than every window's end.")
    message = (
        f"{format_number(late)} windows end after the log's newest entry ({max(moments):%d %b %Y %H:%M} UTC): "
        "what happened in between would be missing. Import newer events and read again."
    )
    return Check(title=title, status=Health.WARN, message=message)
