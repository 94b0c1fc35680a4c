"""The simulated customers of a home: their half year of history, and the world as a later moment finds it.

Between the last decision of the history and the first live week lie four weeks in which nobody is sent marketing: by
then every window that the history is learned from is over, and so is every window of the contact policy.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from examples.conversion import write_world
from features.catalogue import load_catalogue
from features.progress import OnProgress
from pipelines.demo.airline.diary import PlayedWeek, Scenario
from pipelines.simulation.events.frames import frames_of
from pipelines.simulation.history import LivedHistory, live_history, lived_weeks, scaled_catalogue, settled_world
from pipelines.simulation.world.week import WeekResult
from pipelines.simulation.world.world import WEEK, World

EXAMPLE = "airline"
QUIET_WEEKS = 4


def write_history_of(scenario: Scenario, out: Path, on_progress: OnProgress) -> Mapping[str, int]:
    """Write what was before the first live week, as canonical tables with their catalogue.

    Returns:
        Rows per table.
    """
    with scaled_catalogue(scenario.customers) as scaled:
        lived = _recorded(scenario, load_catalogue(scaled), on_progress)
        return write_world(EXAMPLE, lived.tables, scaled, out).rows


def world_of(scenario: Scenario, tables: Path, played: Sequence[PlayedWeek]) -> World:
    """The world after its history and the live weeks that were played: lived again, and the same to the last bit.

    Args:
        scenario: Which world.
        tables: What `write_history_of` wrote; its catalogue says what the world's messages are.
        played: Live weeks, in order.
    """
    catalogue = load_catalogue(tables / "catalogue")
    world = _settled(scenario, catalogue)
    deque(lived_weeks(world, catalogue, _history_weeks(scenario)), maxlen=0)
    deque(_quiet_weeks(world), maxlen=0)
    for week in played:
        world.run_week(week.actions, answered=week.answered)
    return world


def _recorded(scenario: Scenario, catalogue: Catalogue, on_progress: OnProgress) -> LivedHistory:
    """The history, and the quiet weeks after it."""
    world = _settled(scenario, catalogue)
    lived = live_history(world, catalogue, _history_weeks(scenario), on_progress=on_progress)
    quiet = [frames_of(result).events for result in _quiet_weeks(world)]
    return replace(lived, tables=replace(lived.tables, events=pl.concat([lived.tables.events, *quiet])))


def _settled(scenario: Scenario, catalogue: Catalogue) -> World:
    starts_at = scenario.live_at - (_history_weeks(scenario) + QUIET_WEEKS) * WEEK
    people = {"customers": scenario.customers, "seed": scenario.seed}
    return settled_world(catalogue, **people, starts_at=starts_at, emphasis=scenario.emphasis)


def _history_weeks(scenario: Scenario) -> int:
    return ceil(scenario.history_days / 7)


def _quiet_weeks(world: World) -> Iterator[WeekResult]:
    silence = np.full(world.population.size, -1)
    return (world.run_week(silence) for _ in range(QUIET_WEEKS))
