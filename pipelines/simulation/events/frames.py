"""A week of the world as canonical tables."""

from dataclasses import dataclass

import polars as pl

from pipelines.simulation.events.events import events_of
from pipelines.simulation.events.outcomes import outcomes_of
from pipelines.simulation.world.week import WeekResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Canonical tables of a week."""

    events: pl.DataFrame
    outcomes: pl.DataFrame


def frames_of(result: WeekResult) -> Frames:
    """Canonical events and outcomes, each sorted by time; outcomes of decisions with an id only."""
    return Frames(events=events_of(result), outcomes=outcomes_of(result))
