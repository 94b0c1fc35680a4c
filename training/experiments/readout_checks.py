"""Checks of a readout's health beside the split: who was left out, and whether the log reaches far enough."""

from datetime import datetime

import polars as pl

from decisioning.catalogue.experiment import AssignedUnit
from features.computing.sources import Tables
from features.reports.readout_words import format_number
from features.reports.readouts import Check, Health
from training.experiments.exposures import Exposures


def check_readout(
    log: Tables, exposures: Exposures, windows: pl.DataFrame, *, unit: AssignedUnit, as_of: datetime
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
        one_arm_check(exposures.crossed_count, unit, per=unit),
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


def one_arm_check(count: int, unit: str, *, per: str) -> Check:
    """Were units in more than one arm?"""
    found = f"{format_number(count)} {unit}s were in more than one arm and are left out."
    return check_of(f"One arm per {per}", count, f"No {unit} was in two arms.", found)


def check_of(title: str, count: int, fine: str, found: str) -> Check:
    """A check that counts what should not be there."""
    return Check(title=title, status=Health.WARN if count else Health.OK, message=found if count else fine)


def _window_check(windows: pl.DataFrame, unit: AssignedUnit, as_of: datetime) -> Check:
    title, moment = "Complete windows", f"as of {as_of:%d %b %Y %H:%M} UTC"
    open_count = int((~windows["is_complete"]).sum())
    if windows.is_empty():
        return Check(title=title, status=Health.UNKNOWN, message=f"No {unit} was exposed yet.")
    message = f"Every exposed {unit}'s window was over {moment}."
    if open_count:
        few = f"{format_number(open_count)} of {format_number(windows.height)} exposed {unit}s"
        message = f"{few} had days to go {moment}; they are not compared yet."
    return Check(title=title, status=Health.OK, message=message)


def _freshness_check(log: Tables, complete: pl.DataFrame) -> Check:
    """Windows that end after the log does look empty where they are only unknown."""
    title = "Log reaches far enough"
    columns = (log.decisions["decided_at"], log.events["occurred_at"], log.outcomes["occurred_at"])
    moments = [moment for moment in map(latest, columns) if moment is not None]
    if not moments or complete.is_empty():
        return Check(title=title, status=Health.UNKNOWN, message="No complete window to check the log against.")
    late = int((complete["ends_at"] > max(moments)).sum())
    message = (
        f"{format_number(late)} windows end after the log's newest entry ({max(moments):%d %b %Y %H:%M} UTC): "
        "what happened in between would be missing. Import newer events and read again."
    )
    return check_of(title, late, "The log's newest entry is later than every window's end.", message)
