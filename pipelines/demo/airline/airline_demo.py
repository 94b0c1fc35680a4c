"""The airline demo: half a year of history to learn from, then live weeks, then what they were worth."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import polars as pl
from rich.console import Console

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from features.catalogue import load_catalogue
from features.clock import set_clock
from features.history import History
from features.log.cases import cases_of
from features.log.event_log import EventLog
from features.settings import Settings
from features.store.builder import build_features
from features.store.materialisation import materialise
from pipelines.demo.airline.care_book import CareBook
from pipelines.demo.airline.diary import Diary, Scenario, agreed
from pipelines.demo.airline.epilogue import Ending
from pipelines.demo.airline.live_table import Screen, watching
from pipelines.demo.airline.lives import EXAMPLE, QUIET_WEEKS, world_of, write_history_of
from pipelines.demo.airline.rehearsal import WEEK, Rehearsal
from pipelines.demo.airline.rivals import AT_ONCE, PROPENSITY_NAME, RivalTask, rivals
from pipelines.demo.airline.scoreboard import Purse, Scoreboard
from pipelines.demo.log_reader import drain_now
from pipelines.demo.preparation import Preparation, check_home, run_steps, tables_of
from pipelines.demo.running_server import running_server, stay_up, wait_until_ready
from pipelines.demo.traffic import Traffic
from pipelines.options import progress_bar
from pipelines.server.embedded_redis import redis_for
from pipelines.simulation.policies.advantage import SilentFuture
from pipelines.simulation.world.world import World

CUSTOMERS, SEED, HISTORY_DAYS = 1_000, 7, 180
EMPHASIS = 3.0
"""So that half a year of 1,000 customers teaches the model what otherwise takes tens of thousands of customers."""

MONDAY_HOUR = 15
CALL_SECONDS = 60.0
DEADLINE_MS = 5_000
"""Of the demo's server: a busy laptop must not turn decisions into degraded ones."""


def show_airline(
    settings: Settings, asked: Mapping[str, Any], *, weeks: int, stay: bool, clock: Callable[[], datetime]
) -> None:
    """Prepare what is not there yet, play the live weeks, and tell what came of them.

    `asked` has customers, seed and emphasis; None where it does not matter to the caller.

    Raises:
        InvalidInputError: The home holds something else, or another world.
        UnavailableError: Redis or the server could not be started.
    """
    check_home(settings, EXAMPLE)
    diary = Diary(settings)
    scenario = agreed(diary.scenario(), _scenario(asked, weeks, clock()), asked)
    diary.begin(scenario)
    now = scenario.live_at + len(diary.weeks()) * WEEK
    set_clock(diary.clock_path, now)
    changes = {"rehearsal_clock": diary.clock_path, "deadline_ms": DEADLINE_MS}
    _Show(
        console=Console(highlight=False),
        settings=settings.model_copy(update=changes),
        diary=diary,
        scenario=scenario,
        now=now,
        weeks=weeks,
    ).run(stay=stay)


def _scenario(asked: Mapping[str, Any], weeks: int, now: datetime) -> Scenario:
    """A world whose live weeks end on the latest Monday."""
    monday = (now - timedelta(days=now.weekday())).replace(hour=MONDAY_HOUR, minute=0, second=0, microsecond=0)
    last = monday if monday <= now else monday - WEEK
    usual = {"customers": CUSTOMERS, "seed": SEED, "emphasis": EMPHASIS}
    wanted = usual | {name: value for name, value in asked.items() if value is not None}
    return Scenario(**wanted, history_days=HISTORY_DAYS, live_at=last - weeks * WEEK)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Show:
    """One run of the demo."""

    console: Console
    settings: Settings
    diary: Diary
    scenario: Scenario
    now: datetime
    weeks: int

    def run(self, *, stay: bool) -> None:
        with redis_for(self.settings) as redis_url:
            self._prepare(redis_url)
            catalogue = load_catalogue(self.settings.catalogue_path)
            world = world_of(self.scenario, tables_of(self.settings, EXAMPLE), self.diary.weeks())
            with rivals(self._contest()) as others, self._client() as client:
                others.begin(*AT_ONCE)
                rehearsal = self._rehearsal(catalogue, world, client, redis_url)
                with watching(rehearsal.screen):
                    for number in range(1, self.weeks + 1):
                        rehearsal.play_week(number)
                others.begin(PROPENSITY_NAME)
                Ending(
                    console=self.console,
                    settings=self.settings,
                    catalogue=catalogue,
                    rehearsal=rehearsal,
                    rivals=others,
                    seed=self.scenario.seed,
                    emphasis=self.scenario.emphasis,
                    began_at=self.now,
                ).tell(redis_url)
                if stay:
                    stay_up(self.console)

    def _contest(self) -> RivalTask:
        return RivalTask(
            home=self.settings.home,
            mlruns=self.settings.mlruns,
            example=EXAMPLE,
            played=len(self.diary.weeks()),
            weeks=self.weeks,
        )

    def _prepare(self, redis_url: str) -> None:
        preparation = Preparation(
            settings=self.settings,
            example=EXAMPLE,
            source=f"half a year of {self.scenario.customers:,} simulated customers",
            write=lambda out, on_progress: write_history_of(self.scenario, out, on_progress),
            redis_url=redis_url,
            now=self.now,
        )
        with progress_bar() as bar:
            run_steps(preparation.steps(), bar)

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        with running_server(self.settings) as url, httpx.Client(base_url=url, timeout=CALL_SECONDS) as client:
            wait_until_ready(client)
            yield client

    def _rehearsal(self, catalogue: Catalogue, world: World, client: httpx.Client, redis_url: str) -> Rehearsal:
        """The live weeks, begun where the past ends."""
        past = History.from_log(EventLog(self.settings.log_path))
        since = self.now - QUIET_WEEKS * WEEK
        care = CareBook(policy=catalogue.care, since=self.now)
        care.read(cases_of(past.events, past.outcomes, past.decisions, catalogue, as_of=self.now))
        board = Scoreboard(weeks=self.weeks, now=self.now, care=care, purse=Purse.empty(self.scenario.customers))
        traffic = Traffic(client=client)
        marketing = MessageClass.MARKETING
        rehearsal = Rehearsal(
            world=world,
            twin=world.copy(),
            future=SilentFuture(world, self.weeks),
            traffic=traffic,
            clock_path=self.diary.clock_path,
            diary=self.diary,
            screen=Screen(
                console=self.console,
                board=board,
                traffic=traffic,
                stages=[stage.stage_id for stage in reversed(catalogue.stages)],
            ),
            refresh_features=lambda moment: self._refresh_features(catalogue, redis_url, moment),
            service_offers=[one.offer_id for one in catalogue.offers.values() if one.message_class is not marketing],
        )
        if not self.diary.weeks():
            rehearsal.catch_up(past.events.filter(pl.col("occurred_at") >= since))
        return rehearsal

    def _refresh_features(self, catalogue: Catalogue, redis_url: str, moment: datetime) -> None:
        """What happened in a week reaches the features that the next one is decided on."""
        drain_now(self.settings, redis_url)
        build_features(self.settings, catalogue, moment)
        materialise(self.settings, catalogue, redis_url)
