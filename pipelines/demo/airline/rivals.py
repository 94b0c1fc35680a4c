"""What other policies would have got from the same customers in the same weeks: baselines, the engine, the oracle.

They are played in processes of their own, each from the world as the live weeks began, by the runner that all policies
share. What is owed to customers is the same under all of them.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.customer import CustomerId
from decisioning.value_model import ValueModel
from features.catalogue import load_catalogue
from features.history import History
from features.log.contracts import TABLES
from features.log.event_log import EventLog
from features.models.bundle import load_value_model, value_model
from features.models.registry import fetch_champion
from features.online.profiles import customers_from_frame
from features.settings import Settings
from features.zone_rules import use_newest_rules
from pipelines.demo.airline.diary import Diary, Scenario
from pipelines.demo.airline.lives import world_of
from pipelines.demo.preparation import tables_of
from pipelines.simulation.contest.comparison import ENGINE_NAME, ORACLE_NAME
from pipelines.simulation.contest.play import Beginning, Played, campaign_catalogue, capacities, play
from pipelines.simulation.history import settled_world
from pipelines.simulation.policies.oracle import prices, solve
from pipelines.simulation.policies.policies import (
    Constant,
    Everything,
    LearnedPolicy,
    Oracle,
    Valuing,
    best_constant,
    learning_acceptance,
)
from training.judgement.from_log import load_dataset
from training.models.learner import learn

EVERYTHING_NAME, CONSTANT_NAME, PROPENSITY_NAME = "everything", "best single message", "propensity"
AT_ONCE = (EVERYTHING_NAME, CONSTANT_NAME, ENGINE_NAME, ORACLE_NAME)
"""Rivals that do not depend on the live weeks; the others are played afterwards."""

_PROCESSES = 2
_NICENESS = 15
_OTHER_PEOPLE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalTask:
    """What a rival's process has to know.

    Attributes:
        played: Live weeks that were over when the contest begins.
        weeks: How many are compared.
    """

    home: Path
    mlruns: Path
    example: str
    played: int
    weeks: int

    @property
    def settings(self) -> Settings:
        """Settings of this home."""
        return Settings(home=self.home, mlruns=self.mlruns)

    @property
    def scenario(self) -> Scenario:
        """The world of this home."""
        found = Diary(self.settings).scenario()
        assert found is not None  # noqa: S101 - the demo wrote it before it began
        return found


@dataclass(slots=True)
class Rivals:
    """Rivals that are playing, by name."""

    contest: RivalTask
    pool: Pool
    playing: dict[str, "AsyncResult[Played]"] = field(default_factory=dict[str, "AsyncResult[Played]"])

    def begin(self, *names: str) -> None:
        """Let rivals play, as soon as a process is free."""
        for name in names:
            self.playing[name] = self.pool.apply_async(_play, (self.contest, name))

    def results(self) -> Iterator[tuple[str, Played]]:
        """What came of each, in the order of beginning; waits for those that still play."""
        for name, result in self.playing.items():
            yield name, result.get()


@contextmanager
def rivals(contest: RivalTask) -> Iterator[Rivals]:
    """Processes for rivals, ended with the block whatever they are at."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(_PROCESSES, initializer=_step_back) as pool:
        yield Rivals(contest, pool)


def _step_back() -> None:
    """Leave Ctrl-C to the demo, and the processors to the server while it has decisions to make."""
    use_newest_rules()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)


def _play(contest: RivalTask, name: str) -> Played:
    """One rival, in its process."""
    beginning = _beginning(contest)
    return play(beginning, _RIVALS[name](contest, beginning), contest.weeks, name=name.replace(" ", "-"))


@cache
def _beginning(contest: RivalTask) -> Beginning:
    settings, tables = contest.settings, tables_of(contest.settings, contest.example)
    world = world_of(contest.scenario, tables, Diary(settings).weeks()[: contest.played])
    past = _past(settings, world.now)
    profiles = {one.customer_id: one for one in customers_from_frame(past.customers)}
    return Beginning(
        catalogue=campaign_catalogue(load_catalogue(settings.catalogue_path)),
        world=world,
        customers=tuple(profiles[CustomerId(one)] for one in world.population.ids),
        past=past,
    )


def _past(settings: Settings, now: datetime) -> History:
    """What the log held when the contest began."""
    everything = History.from_log(EventLog(settings.log_path))
    frames = {name: getattr(everything, name).filter(pl.col(table.time_column) < now) for name, table in TABLES.items()}
    return History(**frames)


def _constant(contest: RivalTask, beginning: Beginning) -> Valuing:
    """The best single message is found on other people: a world of another seed at the same moment."""
    others = settled_world(
        load_catalogue(tables_of(contest.settings, contest.example) / "catalogue"),
        customers=_OTHER_PEOPLE,
        seed=contest.scenario.seed + 1,
        starts_at=beginning.world.now,
        emphasis=contest.scenario.emphasis,
    )
    share = _OTHER_PEOPLE / contest.scenario.customers
    room = {channel: max(int(most * share), 1) for channel, most in capacities(beginning.catalogue).items()}
    return Constant(key=best_constant(others, contest.weeks, room))


def _engine(contest: RivalTask, _beginning: Beginning) -> Valuing:
    champion = fetch_champion(contest.settings)
    return LearnedPolicy(model=load_value_model(champion.folder, version=champion.version))


def _propensity(contest: RivalTask, beginning: Beginning) -> Valuing:
    settings = contest.settings
    model = _acceptance(settings, load_catalogue(settings.catalogue_path), beginning.world.now)
    return LearnedPolicy(model=model, by_propensity=True)


def _acceptance(settings: Settings, catalogue: Catalogue, now: datetime) -> ValueModel:
    """The engine's learner on the engine's decisions, for acceptance in the place of worth."""
    asking, _ = learning_acceptance(catalogue)
    dataset = load_dataset(settings, asking, now=now)
    learned = learn(dataset, asking)
    return value_model(learned.bundle, version="propensity")


def _oracle(contest: RivalTask, beginning: Beginning) -> Valuing:
    found = prices(beginning.world, contest.weeks, capacities(beginning.catalogue))
    return Oracle(plan=solve(beginning.world, contest.weeks, prices_minor=found))


_RIVALS: Mapping[str, Callable[[RivalTask, Beginning], Valuing]] = {
    EVERYTHING_NAME: lambda _contest, _beginning: Everything(),
    CONSTANT_NAME: _constant,
    PROPENSITY_NAME: _propensity,
    ENGINE_NAME: _engine,
    ORACLE_NAME: _oracle,
}
