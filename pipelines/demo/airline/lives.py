"""The simulated customers of a home: their half year of history, and the world as a later moment finds it.

Between the last decision of the history and the first live week lie four weeks in which nobody is sent marketing: by
then every window that the history is learned from is over, and so is every window of the contact policy.
"""

from collections.abc import Mapping, Sequence
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
from pipelines.simulation.history import LivedHistory, live_history, scaled_catalogue, settled_world
from pipelines.simulation.world.world import WEEK, World

EXAMPLE = "airline"
QUIET_WEEKS = 4


def write_history_of(scenario: Scenario, out: Path, on_progress: OnProgress) -> Mapping[str, int]:
    """Write what was before the first live week, as canonical tables with their catalogue.

    Returns:
        Rows per table.
    """
    with scaled_catalogue(scenario.customers) as scaled:
        lived = _live(scenario, load_catalogue(scaled), on_progress)
        return write_world(EXAMPLE, lived.tables, scaled, out).rows


def world_of(scenario: Scenario, tables: Path, played: Sequence[PlayedWeek]) -> World:
    """The world after its history and the live weeks that were played: lived again, and the same to the last bit.

    Args:
        scenario: Which world.
        tables: What `write_history_of` wrote; its catalogue says what the world's messages are.
        played: Live weeks, in order.
    """
    world = _live(scenario, load_catalogue(tables / "catalogue"), lambda _done, _all: None).world
    for week in played:
        world.run_week(week.actions, answered=week.answered)
    return world


def _live(scenario: Scenario, catalogue: Catalogue, on_progress: OnProgress) -> LivedHistory:
    """The history, and the quiet weeks after it."""
    weeks = ceil(scenario.history_days / 7)
    starts_at = scenario.live_at - (weeks + QUIET_WEEKS) * WEEK
    people = {"customers": scenario.customers, "seed": scenario.seed}
    world = settled_world(catalogue, **people, starts_at=starts_at, emphasis=scenario.emphasis)
    lived = live_history(world, catalogue, weeks, on_progress=on_progress)
    silence = np.full(scenario.customers, -1)
    quiet = [frames_of(world.run_week(silence)).events for _ in range(QUIET_WEEKS)]
    return replace(lived, tables=replace(lived.tables, events=pl.concat([lived.tables.events, *quiet])))
