"""The basis of a comparison: a world with a history, on disk, so that processes can share it."""

from dataclasses import dataclass
from datetime import date
from math import ceil
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from examples.conversion import write_world
from features.catalogue import load_catalogue
from features.history import History
from features.online.profiles import customers_from_frame
from pipelines.simulation.contest.play import Beginning, campaign_catalogue
from pipelines.simulation.history import (
    first_monday,
    live_history,
    scaled_catalogue,
    settled_world,
)
from pipelines.simulation.world.state import WorldState
from pipelines.simulation.world.world import World

_STATE = ("step", "memory", "has_left", "case", "case_week")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestGround:
    """A world on disk.

    Attributes:
        folder: Holds `tables` (canonical, with the catalogue) and `state.npz`.
        customers: Number of customers.
        days: Length of the history, rounded to whole weeks.
        seed: Seed of the customers and of all randomness.
        ends_on: Last day of the history.
    """

    folder: Path
    customers: int
    days: int
    seed: int
    ends_on: date

    @property
    def tables(self) -> Path:
        """Folder of the canonical tables."""
        return self.folder / "tables"

    @property
    def catalogue(self) -> Catalogue:
        """The airline's catalogue, with capacities scaled to the number of customers."""
        return load_catalogue(self.tables / "catalogue")

    def lay(self) -> None:
        """Simulate the history and write it, unless it exists."""
        if (self.folder / "state.npz").is_file():
            return
        with scaled_catalogue(self.customers) as scaled:
            loaded = load_catalogue(scaled)
            lived = live_history(self.settled(loaded), loaded, ceil(self.days / 7))
            write_world("airline", lived.tables, scaled, self.tables)
        state = {name: getattr(lived.world.state, name) for name in _STATE}
        np.savez(self.folder / "state.npz", week=lived.world.week, **state)

    def world(self) -> World:
        """The world at the end of the history."""
        world = self.settled(self.catalogue)
        with np.load(self.folder / "state.npz") as saved:
            world.state = WorldState(**{name: saved[name] for name in _STATE})
            world.week = int(saved["week"])
        return world

    def beginning(self, world: World) -> Beginning:
        """The start of the simulations, with everything known by then."""
        past = History(
            customers=pl.read_parquet(self.tables / "customers.parquet"),
            events=pl.read_parquet(self.tables / "events.parquet"),
            decisions=pl.read_parquet(self.tables / "decisions.parquet"),
            outcomes=pl.read_parquet(self.tables / "outcomes.parquet"),
        )
        return Beginning(
            catalogue=campaign_catalogue(self.catalogue),
            world=world,
            customers=tuple(customers_from_frame(past.customers)),
            past=past,
        )

    def settled(self, catalogue: Catalogue) -> World:
        """The world before the history begins."""
        starts_at = first_monday(self.ends_on, self.days)
        return settled_world(catalogue, customers=self.customers, seed=self.seed, starts_at=starts_at)
