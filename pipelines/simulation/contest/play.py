"""One policy lives with one population for some weeks: decided, sent, answered and judged.

Chance in the world is the same for every policy, so two plays of one beginning differ only by what was sent.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.message import MessageClass
from decisioning.customer import Customer
from decisioning.decision import Decision
from decisioning.policy import Policy
from examples.conversion import canonical
from features.history import History
from features.log.contracts import UTC_TIME
from pipelines.simulation.contest.books import Books
from pipelines.simulation.contest.chronicle import Chronicle, rule_features, together
from pipelines.simulation.contest.judge import Recount, judge
from pipelines.simulation.contest.wave import Wave, decide_wave
from pipelines.simulation.events.frames import frames_of
from pipelines.simulation.policies.advantage import SilentFuture
from pipelines.simulation.policies.policies import Monday, Valuing
from pipelines.simulation.world.week import WeekResult
from pipelines.simulation.world.world import TOUCHPOINT, World

_REMEMBERED_DAYS = 120  # longer than any suppression that is not for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where all plays begin.

    Attributes:
        catalogue: What they are decided under, see `campaign_catalogue`.
        world: At the first Monday.
        customers: n profiles, in the order of the population.
        past: Canonical tables of what was before; without it a play begins with strangers.
    """

    catalogue: Catalogue
    world: World
    customers: tuple[Customer, ...]
    past: History


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a play.

    Attributes:
        gain_minor: shape (n,), contribution of each customer over all weeks less what contacting them cost.
        expected_minor: shape (n,), what it gained over silence in exact expectation, see `advantage`.
        messages: How often each message was sent, by key.
        verdict: What the judge found.
    """

    gain_minor: FloatArray
    expected_minor: FloatArray
    messages: Mapping[str, int]
    verdict: Recount
    seconds: float = 0.0


def campaign_catalogue(catalogue: Catalogue) -> Catalogue:
    """The catalogue as plays are decided under: marketing alone, and nothing left to chance.

    What is owed to customers is the same whatever the policy, so it is left to the world. Exploration, holdouts and
    experiments serve to learn, and would blur a comparison.
    """
    creatives = tuple(
        one for one in catalogue.creatives if catalogue.offers[one.offer_id].message_class is MessageClass.MARKETING
    )
    nothing = {"holdout": None, "programme_holdouts": (), "experiments": ()}
    return replace(catalogue, creatives=creatives, exploration=Exploration(), **nothing)


def capacities(catalogue: Catalogue) -> dict[str, float]:
    """Most messages a week per channel, where a limit says so; the airline limits channels, by the week."""
    return {
        limit.of: limit.amount for limit in catalogue.limits if limit.of is not None and limit.of in catalogue.channels
    }


def play(beginning: Beginning, valuing: Valuing, weeks: int, *, name: str) -> Played:
    """Live some weeks by a policy; the beginning stays as it is. `name` begins the decisions' ids."""
    started = perf_counter()
    game = _Game(beginning, valuing, weeks, name)
    for week in range(weeks):
        game.live(week)
    return Played(
        gain_minor=game.gain_minor,
        expected_minor=game.expected_minor,
        messages=dict(sorted(game.messages.items())),
        verdict=judge(beginning.catalogue, game.told(), since=beginning.world.now),
        seconds=perf_counter() - started,
    )


class _Game:
    """A play under way."""

    def __init__(self, beginning: Beginning, valuing: Valuing, weeks: int, name: str) -> None:
        self._beginning, self._valuing, self._name = beginning, valuing, name
        self._world = beginning.world.copy()
        self._policy = Policy(beginning.catalogue)
        self._candidates = self._policy.candidates(TOUCHPOINT)
        self._actions = {message.key: place for place, message in enumerate(self._world.messages)}
        ids = tuple(str(one.customer_id) for one in beginning.customers)
        self._chronicle = Chronicle(catalogue=beginning.catalogue, customer_ids=ids, known=beginning.past)
        self._books = _books(beginning)
        self._latest = beginning.past.events
        self._weeks: list[History] = []
        self._rules = rule_features(self._policy, TOUCHPOINT)
        self._future = SilentFuture(self._world, weeks)
        self.gain_minor, self.expected_minor = np.zeros(len(ids)), np.zeros(len(ids))
        self.messages: Counter[str] = Counter()

    def live(self, week: int) -> None:
        """Decide, send, and let a week go by."""
        decisions = [] if self._valuing.is_silent else self._decide(week)
        actions = np.full(len(self._books), -1)
        for place, decision in enumerate(decisions):
            actions[place] = self._actions.get(decision.message_key, -1)
        self.expected_minor += self._future.advantage(self._world.week, self._world.state, actions)
        ids = [decision.decision_id for decision in decisions] or None
        result = self._world.run_week(actions, ids)
        self._take_in(result, _rows(decisions))
        self.gain_minor += result.contribution_minor - result.cost_minor
        self.messages.update(self._world.messages[one].key for one in actions[actions >= 0])

    def told(self) -> History:
        """Everything, what was before included."""
        return together([self._beginning.past, *self._weeks])

    def _decide(self, week: int) -> list[Decision]:
        now = self._world.now
        self._books.forward(now, self._latest)
        features = self._chronicle.features(now, None if self._valuing.needs_features else self._rules)
        monday = Monday(week=week, world=self._world, messages=self._candidates, features=features)
        wave = Wave(
            policy=self._policy,
            books=self._books,
            features=features,
            values=self._valuing.values(monday),
            foresight=self._valuing.foresight,
            now=now,
            order=np.random.default_rng([self._world.seed, self._world.week]).permutation(len(self._books)).tolist(),
        )
        return decide_wave(wave, name=f"{self._name}-{week:02d}")

    def _take_in(self, result: WeekResult, decisions: pl.DataFrame) -> None:
        frames = frames_of(result)
        self._latest = frames.events
        nobody_new = self._beginning.past.customers.clear()
        week = History(customers=nobody_new, events=frames.events, decisions=decisions, outcomes=frames.outcomes)
        self._weeks.append(week)
        if not self._valuing.is_silent:
            self._books.take_in(week)
            self._chronicle.add(week)


def _books(beginning: Beginning) -> Books:
    """Books that hold what was before."""
    books = Books(beginning.catalogue, beginning.customers)
    past, now = beginning.past, beginning.world.now
    recent = past.decisions.filter(pl.col("decided_at") > now - pl.duration(days=_REMEMBERED_DAYS))
    books.take_in(replace(past, decisions=recent))
    return books


def _rows(decisions: list[Decision]) -> pl.DataFrame:
    """Canonical rows of decisions."""
    rows = [
        (one.decision_id, one.customer_id, one.offer_id, one.channel_id, one.creative_id, one.stage_id, one.decided_at)
        for one in decisions
    ]
    columns = ("decision_id", "customer_id", "offer_id", "channel", "creative_id", "stage")
    schema = dict.fromkeys(columns, pl.String()) | {"decided_at": UTC_TIME}
    return canonical("decisions", pl.DataFrame(rows, schema=schema, orient="row"))
