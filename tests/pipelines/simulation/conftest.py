"""Small worlds of the airline, settled once and copied by every test."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue import load_catalogue
from pipelines.simulation.history import CATALOGUE, settled_world
from pipelines.simulation.world.journey import JourneyStep
from pipelines.simulation.world.state import WorldState
from pipelines.simulation.world.world import World

MONDAY = datetime(2026, 6, 1, 15, tzinfo=UTC)

type MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def airline_folder() -> Path:
    return CATALOGUE


@pytest.fixture(scope="session")
def airline(airline_folder: Path) -> Catalogue:
    return load_catalogue(airline_folder)


@pytest.fixture(scope="session")
def make_world(airline: Catalogue) -> MakeWorld:
    """A fresh copy of a world; the same size and seed give the same world."""
    known: dict[tuple[int, int], World] = {}

    def make(customers: int = 1_500, seed: int = 3) -> World:
        if (customers, seed) not in known:
            known[customers, seed] = settled_world(airline, customers=customers, seed=seed, starts_at=MONDAY)
        return known[customers, seed].copy()

    return make


@pytest.fixture(scope="session")
def standing_at() -> Callable[[World, JourneyStep], World]:
    """The same world with every customer at one step, without fatigue and attentive."""

    def stand(world: World, step: JourneyStep) -> World:
        size = world.population.size
        zeros = np.zeros(size, dtype=np.int64)
        there = world.copy()
        there.state = WorldState(
            step=np.full(size, step, dtype=np.int64),
            memory=zeros,
            has_left=zeros.astype(bool),
            case=zeros,
            case_week=zeros,
        )
        return there

    return stand


@pytest.fixture(scope="session")
def random_actions() -> Callable[[World, int], np.ndarray]:
    """A random permitted message or silence for every customer."""

    def choose(world: World, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, world.week])
        permitted = world.permitted()
        chosen = (rng.random(permitted.shape) * permitted).argmax(axis=1)
        speaks = permitted.any(axis=1) & (rng.random(world.population.size) < 0.6)
        return np.where(speaks, chosen, -1)

    return choose
