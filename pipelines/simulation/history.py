"""History: weeks of the world under the logging policy, as canonical tables that can be imported."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from examples import conversion
from examples.conversion import ConvertReport, canonical, check_day, write_world
from features.catalogue import load_catalogue
from features.progress import OnProgress
from pipelines.simulation.events.frames import Frames, frames_of
from pipelines.simulation.policies.logging_policy import DrawnChoice, LoggingPolicy
from pipelines.simulation.world.population import draw_population
from pipelines.simulation.world.state import STAGE_NAMES, keys_of
from pipelines.simulation.world.structure import Structure, emphasised
from pipelines.simulation.world.week import WeekResult
from pipelines.simulation.world.world import TOUCHPOINT, WEEK, World, campaign_messages

CATALOGUE = Path(conversion.__file__).parent / "airline" / "catalogue"
POLICY_VERSION = "airline-random-1"
CATALOGUE_SIZE = 20_000
"""Customers for whom the catalogue declares its capacities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivedHistory:
    """A world that has lived, and what was recorded of it."""

    world: World
    tables: conversion.ExampleTables


def first_monday(ends_on: date, days: int) -> datetime:
    """Monday 15:00 UTC on which a history of whole weeks begins that is over by the end of a day.

    Args:
        ends_on: Last day of the history.
        days: How long at least; made whole weeks.

    Example:
        >>> first_monday(date(2026, 11, 22), 180).isoformat()
        '2026-05-18T15:00:00+00:00'
    """
    last = ends_on - timedelta(days=ends_on.weekday())
    return World.monday(last) - ceil(days / 7) * WEEK


def settled_world(
    catalogue: Catalogue, *, customers: int, seed: int, starts_at: datetime, emphasis: float = 1.0
) -> World:
    """The world of a catalogue, ready to begin.

    Args:
        catalogue: Names channels and messages.
        customers: How many.
        seed: Of the people and of their chance.
        starts_at: A Monday, 15:00 UTC.
        emphasis: Times how plainly messages work, see `structure.emphasised`; 1 for the declared constants.
    """
    population = draw_population(customers, seed, catalogue)
    return World(population, emphasised(Structure(), emphasis), campaign_messages(catalogue), starts_at, seed)


def lived_weeks(world: World, catalogue: Catalogue, weeks: int) -> Iterator[tuple[DrawnChoice, WeekResult]]:
    """Live weeks under the logging policy, in place: what was chosen in each, and what came of it."""
    policy, everybody = LoggingPolicy(world, catalogue), np.arange(world.population.size)
    for _ in range(weeks):
        choice = policy.choose()
        result = world.run_week(choice.actions, keys_of("campaign", world.week, everybody).to_list())
        policy.learn(result)
        yield choice, result


def live_history(
    world: World, catalogue: Catalogue, weeks: int, *, on_progress: OnProgress = lambda _done, _all: None
) -> LivedHistory:
    """Live weeks under the logging policy, and record them.

    Args:
        world: Lived on in place. The silent weeks before it began are part of the history, without decisions.
        catalogue: Caps, rests, conversation, limits and the window of learning.
        weeks: How many.
        on_progress: Told weeks done and all weeks.
    """
    customers = world.population.customers(world.starts_at)
    frames: list[Frames] = [frames_of(result) for result in world.prelude]
    decisions: list[pl.DataFrame] = []
    window = timedelta(days=catalogue.learning.window_days if catalogue.learning else 28)
    for done, (choice, result) in enumerate(lived_weeks(world, catalogue, weeks), start=1):
        frames.append(frames_of(result))
        decisions.append(_decision_rows(result, choice, window))
        on_progress(done, weeks)
    tables = conversion.ExampleTables(
        customers=customers,
        events=pl.concat([each.events for each in frames]),
        decisions=pl.concat(decisions) if decisions else canonical("decisions", pl.DataFrame()),
        outcomes=pl.concat([each.outcomes for each in frames]),
        notes=("simulated: the truth behind it is known, see pipelines/simulation/world/structure.py",),
    )
    return LivedHistory(world=world, tables=tables)


def write_history(
    out: Path,
    *,
    customers: int,
    days: int,
    seed: int,
    ends_on: date,
    emphasis: float = 1.0,
    on_progress: OnProgress = lambda _done, _all: None,
) -> ConvertReport:
    """Write a history and its catalogue, with capacities to the measure of its size, ready to import.

    Args:
        out: A new or empty folder, or one that was written so.
        customers: How many.
        days: How long at least; whole weeks are lived.
        seed: Of the people and of their chance: the same seed writes the same bytes.
        ends_on: Day by whose end the history is over.
        emphasis: As for `settled_world`; above 1 for small histories that teach, never to measure with.
        on_progress: Told weeks done and all weeks.

    Raises:
        InvalidInputError: Numbers that are too small, a day out of range, or a folder that holds something else.
    """
    for name, number in (("customers", customers), ("days", days)):
        if number < 1:
            raise InvalidInputError(f"{name} must be at least 1, got {number}")
    starts_at = first_monday(check_day("ends_on", ends_on), days)
    with scaled_catalogue(customers) as scaled:
        loaded = load_catalogue(scaled)
        world = settled_world(loaded, customers=customers, seed=seed, starts_at=starts_at, emphasis=emphasis)
        lived = live_history(world, loaded, ceil(days / 7), on_progress=on_progress)
        return write_world("airline", lived.tables, scaled, out)


@contextmanager
def scaled_catalogue(customers: int) -> Iterator[Path]:
    """Folder of the airline's catalogue with capacities to the measure of its customers, while the block runs."""
    with TemporaryDirectory() as folder:
        scale_catalogue(CATALOGUE, Path(folder) / "catalogue", customers / CATALOGUE_SIZE)
        yield Path(folder) / "catalogue"


def scale_catalogue(source: Path, target: Path, factor: float) -> None:
    """Copy a catalogue with the amounts of its limits times a factor, at least 1 each.

    Args:
        source: Folder of the catalogue.
        target: A folder that is not there yet.
        factor: Size of the population against the one that the catalogue was written for.
    """
    shutil.copytree(source, target)
    for path in target.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        scaled = re.sub(r"(?ms)^limits:\n(?:[ #].*\n|\n)*", lambda block: _scaled(block.group(), factor), text)
        path.write_text(scaled, encoding="utf-8")


def _scaled(block: str, factor: float) -> str:
    return re.sub(r"(?<=amount: )\d+", lambda amount: str(max(round(int(amount.group()) * factor), 1)), block)


def _decision_rows(result: WeekResult, choice: DrawnChoice, window: timedelta) -> pl.DataFrame:
    """Canonical decisions of a week, in the order of the population."""
    effects, at = result.effects, result.when.begins_at
    words = [(one.offer.offer_id, one.channel.channel_id, one.creative.creative_id) for one in effects.messages]
    sent = pl.Series("message", choice.actions, dtype=pl.Int64)
    message = pl.DataFrame(words, schema=["offer_id", "channel", "creative_id"], orient="row").with_row_index("message")
    rows = pl.DataFrame(
        {
            "decision_id": pl.Series(result.decision_ids, dtype=pl.String),
            "customer_id": effects.population.ids,
            "message": sent,
            "action_probability": choice.probability,
            "stage": STAGE_NAMES[result.before.step],
        }
    )
    found = rows.join(message.cast({"message": pl.Int64}), on="message", how="left", maintain_order="left")
    return found.drop("message").with_columns(
        pl.lit(at).alias("decided_at"),
        pl.lit(at + window).alias("window_ends_at"),
        pl.lit(TOUCHPOINT).alias("touchpoint"),
        pl.lit(POLICY_VERSION).alias("policy_version"),
    )
