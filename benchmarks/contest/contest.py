"""The whole comparison: several worlds, each with a history to learn from, and every policy on each world."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import orjson

from benchmarks.contest.ground import ContestGround
from benchmarks.contest.school import PROPENSITY_FOLDER, school
from decisioning.arrays import FloatArray
from decisioning.errors import InvalidInputError
from features.models.bundle import load_value_model
from features.progress import OnStep
from features.zone_rules import use_newest_rules
from pipelines.simulation.contest.comparison import (
    ENGINE_NAME,
    ORACLE_NAME,
    SILENCE_NAME,
    ContestComparison,
    GainInterval,
    compare_plays,
    mean_interval,
)
from pipelines.simulation.contest.play import Played, capacities, play
from pipelines.simulation.policies.oracle import OraclePlan, prices, solve
from pipelines.simulation.policies.policies import (
    Constant,
    Everything,
    LearnedPolicy,
    Oracle,
    Silence,
    Valuing,
    best_constant,
)
from pipelines.simulation.world.world import World

EVERYTHING_NAME, CONSTANT_NAME, PROPENSITY_NAME = "everything", "best single message", "propensity"
NAMES = (ORACLE_NAME, ENGINE_NAME, PROPENSITY_NAME, CONSTANT_NAME, EVERYTHING_NAME, SILENCE_NAME)
"""All policies; the slow ones first, so that processes end together."""

OTHER_PEOPLE = 10_000
"""Added to a seed to simulate the customers on whom the best single message is found."""

MOST_OTHERS = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What is compared.

    Attributes:
        folder: Where histories are stored; existing ones are reused.
        seeds: Of the worlds.
        ends_on: Last day of the histories.
        workers: Processes that simulate in parallel.
    """

    folder: Path
    customers: int
    weeks: int
    history_days: int
    seeds: tuple[int, ...]
    ends_on: date
    workers: int = 2

    def ground(self, seed: int) -> ContestGround:
        """The ground of one world."""
        name = f"{self.customers}-{self.history_days}-{seed}-{self.ends_on}"
        return ContestGround(
            folder=self.folder / name,
            customers=self.customers,
            days=self.history_days,
            seed=seed,
            ends_on=self.ends_on,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The results over all worlds.

    Attributes:
        shares: Mean share of the oracle's gain per policy, with an interval from the spread over worlds; none for one
            world.
        violations: Broken rules in all simulations.
    """

    comparisons: tuple[ContestComparison, ...]
    shares: dict[str, GainInterval]
    violations: int


def hold(contest: Contest, *, on_progress: OnStep = lambda _what: None) -> Summary:
    """Hold a contest on every seed, one after the other.

    Raises:
        InsufficientDataError: Histories too small to learn from.
    """
    found = tuple(compare_on(contest, seed, on_progress=on_progress) for seed in contest.seeds)
    spread = NAMES if len(found) > 1 else ()
    return Summary(
        comparisons=found,
        shares={name: over_seeds(np.array([one.of(name).share.value for one in found])) for name in spread},
        violations=sum(one.violations for one in found),
    )


def over_seeds(shares: FloatArray) -> GainInterval:
    """Mean share over worlds, with an interval from their spread: shape (s,), at least two worlds.

    Raises:
        InvalidInputError: Fewer than two worlds.
    """
    if len(shares) < 2:
        raise InvalidInputError(f"seeds must be two or more for a spread, got {len(shares)}")
    return mean_interval(shares)


def compare_on(contest: Contest, seed: int, *, on_progress: OnStep = lambda _what: None) -> ContestComparison:
    """All policies on one world."""
    ground = contest.ground(seed)
    on_progress(f"seed {seed}: history")
    ground.folder.mkdir(parents=True, exist_ok=True)
    ground.lay()
    world = ground.world()
    _school(ground, world, lambda what: on_progress(f"seed {seed}: {what}"))
    key = _constant(contest, ground)
    plan = _solve(ground, world, contest.weeks)
    scarce = sum(price * capacities(ground.catalogue)[name] for name, price in plan.prices_minor.items())
    bound = float((plan.value - plan.silence_value).mean()) + scarce * contest.weeks / contest.customers
    plays: dict[str, Played] = {}
    for name, played in _play_all(contest, ground, key):
        plays[name] = played
        on_progress(f"seed {seed}: {name} played in {played.seconds:.0f} s, {played.verdict.total} violations")
    notes = {"best single message": key, "prices": orjson.dumps(dict(plan.prices_minor)).decode()}
    comparison = compare_plays(plays, seed=seed, weeks=contest.weeks, bound_minor=bound, notes=notes)
    for row in rows_of(comparison):
        on_progress(f"seed {seed}: {' | '.join(row)}")
    return comparison


def _school(ground: ContestGround, world: World, on_progress: OnStep) -> None:
    """Learn from the ground's history, unless that was done before; the engine's bundle is found by its folder."""
    if not _engine_note(ground).is_file():
        engine = school(ground.tables, ground.folder / "home", now=world.now, on_progress=on_progress)
        _engine_note(ground).write_text(str(engine.resolve()), encoding="utf-8")


def _engine_note(ground: ContestGround) -> Path:
    return ground.folder / "engine.txt"


def _constant(contest: Contest, ground: ContestGround) -> str:
    """The best single message, found on other customers in a separate world."""
    path = ground.folder / "constant.txt"
    if not path.is_file():
        count = min(MOST_OTHERS, contest.customers)
        others = replace(ground, customers=count, seed=ground.seed + OTHER_PEOPLE)
        catalogue = ground.catalogue
        room = {name: amount * count / contest.customers for name, amount in capacities(catalogue).items()}
        path.write_text(best_constant(others.settled(catalogue), contest.weeks, room), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _solve(ground: ContestGround, world: World, weeks: int) -> OraclePlan:
    return solve(world, weeks, prices_minor=prices(world, weeks, capacities(ground.catalogue)))


def _play_all(contest: Contest, ground: ContestGround, key: str) -> Iterator[tuple[str, Played]]:
    if contest.workers == 1:
        yield from ((name, _play(contest, ground.seed, name, key)) for name in NAMES)
        return
    with ProcessPoolExecutor(contest.workers, multiprocessing.get_context("spawn"), use_newest_rules) as pool:
        playing: dict[Future[Played], str] = {
            pool.submit(_play, contest, ground.seed, name, key): name for name in NAMES
        }
        for done in as_completed(playing):
            yield playing[done], done.result()


def _play(contest: Contest, seed: int, name: str, key: str) -> Played:
    """Simulate one policy in its own process."""
    ground = contest.ground(seed)
    world = ground.world()
    valuing = _valuing(name, ground, world, contest.weeks, key)
    return play(ground.beginning(world), valuing, contest.weeks, name=name.replace(" ", "-"))


def _valuing(name: str, ground: ContestGround, world: World, weeks: int, key: str) -> Valuing:
    match name:
        case "oracle":
            return Oracle(plan=_solve(ground, world, weeks))
        case "engine":
            folder = Path(_engine_note(ground).read_text(encoding="utf-8"))
            return LearnedPolicy(model=load_value_model(folder))
        case "propensity":
            return LearnedPolicy(model=load_value_model(ground.folder / "home" / PROPENSITY_FOLDER), by_propensity=True)
        case "best single message":
            return Constant(key=key)
        case "everything":
            return Everything()
        case _:
            return Silence()


def rows_of(comparison: ContestComparison) -> list[Sequence[str]]:
    """A comparison as lines of a table: policy, gain over silence, share of the oracle's, messages, violations."""
    return [
        (
            one.name,
            f"{one.gain.value:+.2f} [{one.gain.lower:+.2f}, {one.gain.upper:+.2f}]",
            f"{one.share.value:.1%} [{one.share.lower:.1%}, {one.share.upper:.1%}]",
            f"{one.realised_gain.value:+.2f} [{one.realised_gain.lower:+.2f}, {one.realised_gain.upper:+.2f}]",
            f"{one.messages:.1f}",
            f"{sum(one.violations.values())}",
        )
        for one in reversed(comparison.standings)
    ]
