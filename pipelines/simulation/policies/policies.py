"""What each policy that is compared sees in the messages: values for every customer, and nothing else.

Values are in minor units against a common zero, silence first and then the touchpoint's candidates in order. Gates,
caps and capacities are not the policies' business: `wave` holds them all to the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue, Learning
from decisioning.catalogue.measure import Measure, Unit
from decisioning.catalogue.message import SILENCE, Message
from decisioning.foresight.slots import Foresight
from decisioning.scoring import FeatureVector
from decisioning.value_model import ValueModel, context_vector
from pipelines.simulation.policies.oracle import OraclePlan
from pipelines.simulation.world.world import World

ACCEPTED = Measure(measure_id="accepted", unit=Unit.RATE, outcomes=frozenset({"accepted", "converted"}))
"""What a policy that looks at propensity alone predicts."""

SURE_MINOR = 1e6
"""Worth of a message that a policy sends whatever it costs."""

_TURN_MINOR = 1e4  # more than any contact costs
_GOLDEN = (np.sqrt(5.0) - 1) / 2
_CHUNK = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features of n customers at one moment.

    Attributes:
        names: d names.
        values: shape (n, d), NaN where missing.
        schema: Fingerprint that the vectors bear.
    """

    names: tuple[str, ...]
    values: FloatArray
    schema: str

    def of(self, place: int) -> FeatureVector:
        """One customer's vector."""
        return FeatureVector(names=self.names, values=self.values[place], ages_seconds={}, schema=self.schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monday:
    """What there is to look at. Only the oracle looks at the world's state.

    Attributes:
        week: Weeks since the comparison began.
        messages: k candidates of the touchpoint.
        features: Of all n customers.
    """

    week: int
    world: World
    messages: Sequence[Message]
    features: Features

    @property
    def size(self) -> int:
        """Customers, n."""
        return len(self.features.values)

    def column(self, key: str) -> int:
        """Column of a message's values."""
        return 1 + [message.key for message in self.messages].index(key)


class Valuing(Protocol):
    """A policy of the comparison.

    Attributes:
        needs_features: It reads all features; otherwise only those that rules look at are computed.
        is_silent: It never sends, so that nothing needs to be decided.
    """

    needs_features: ClassVar[bool] = False
    is_silent: ClassVar[bool] = False

    @property
    def foresight(self) -> Foresight | None:
        """What lies ahead, where it knows."""
        return None

    def values(self, monday: Monday) -> FloatArray:
        """Worth of silence and every candidate, shape (n, k + 1)."""
        ...


class Silence(Valuing):
    """No marketing."""

    is_silent = True

    def values(self, monday: Monday) -> FloatArray:
        """Every message is worth nothing."""
        return np.zeros((monday.size, len(monday.messages) + 1))


class Everything(Valuing):
    """Everyone gets everything: always a message, the one whose turn it is, no worth asked.

    Each customer begins elsewhere in the list and goes on through it week by week.
    """

    def values(self, monday: Monday) -> FloatArray:
        """The next in turn is worth most, all more than silence."""
        count = len(monday.messages)
        starts = np.arange(monday.size)[:, np.newaxis] + monday.week
        turns = (np.arange(count)[np.newaxis, :] - starts) % max(count, 1)
        values = np.zeros((monday.size, count + 1))
        values[:, 1:] = SURE_MINOR + _TURN_MINOR * (count - turns + _lots(monday.size, count))
        return values


@dataclass(frozen=True, kw_only=True)
class Constant(Valuing):
    """One message for everybody who may have it; see `best_constant` for which."""

    key: str

    def values(self, monday: Monday) -> FloatArray:
        """The one message is worth everything, all others less than silence."""
        values = np.full((monday.size, len(monday.messages) + 1), -SURE_MINOR)
        values[:, 0] = 0.0
        if self.key != SILENCE:
            values[:, monday.column(self.key)] = SURE_MINOR + _TURN_MINOR * _lots(monday.size, 1)[:, 0]
        return values


@dataclass(frozen=True, kw_only=True)
class LearnedPolicy(Valuing):
    """A trained model's values, as the server scores them.

    Attributes:
        by_propensity: The model predicts a rate, and the likeliest message is sent, never silence.
    """

    needs_features = True

    model: ValueModel
    by_propensity: bool = False

    @property
    def foresight(self) -> Foresight | None:
        """The model's."""
        return None if self.by_propensity else self.model.foresight

    def values(self, monday: Monday) -> FloatArray:
        """Expected values; a propensity is worth whatever it costs."""
        values = scores(self.model, monday)
        if not self.by_propensity:
            return values
        return np.column_stack([np.zeros(len(values)), SURE_MINOR * (1.0 + np.clip(values[:, 1:], 0.0, 1.0))])


@dataclass(frozen=True, kw_only=True)
class Oracle(Valuing):
    """The truth: action values of dynamic programming over the world's own equations, from here to the end."""

    plan: OraclePlan

    def values(self, monday: Monday) -> FloatArray:
        """What each action is worth before contact costs, which arbitration charges.

        What scarce channels cost now is left out as well: the plan over everybody finds this week's prices.
        """
        world = monday.world
        found = self.plan.values(world.week, world.state, before_contact_cost=True)
        values = np.full((monday.size, len(monday.messages) + 1), -SURE_MINOR)
        values[:, 0] = found[:, 0]
        for place, message in enumerate(world.messages, start=1):
            price = self.plan.prices_minor.get(message.channel.channel_id, 0.0)
            values[:, monday.column(message.key)] = found[:, place] + price
        return values


def scores(model: ValueModel, monday: Monday) -> FloatArray:
    """A model's values of everything for everybody, shape (n, k + 1)."""
    features = monday.features
    context = context_vector(monday.world.now, model.window_days)
    places = [features.names.index(name) if name in features.names else -1 for name in model.layout.customer]
    padded = np.column_stack([features.values, np.full(monday.size, np.nan)])[:, places]
    shared = np.hstack([padded, np.tile(context, (monday.size, 1))])
    values = model.on(monday.messages)
    return np.vstack([values.served(shared[at : at + _CHUNK]) for at in range(0, monday.size, _CHUNK)])


def _lots(size: int, count: int) -> FloatArray:
    """A number in [0, 0.5) per customer and message, so that worth that would be equal hardly ever is, shape (n, k).

    Who gets what is scarce must not be a matter of a thousand equals: no plan is found among so many that are as good.
    """
    steps = np.arange(size)[:, np.newaxis] * _GOLDEN + np.arange(count) * np.sqrt(2.0)
    return steps % 1.0 / 2


def learning_acceptance(catalogue: Catalogue) -> tuple[Catalogue, Learning]:
    """The same catalogue with acceptance as what models learn, in place of worth."""
    assert catalogue.learning is not None  # noqa: S101 - a model was trained, or nobody could ask
    learning = Learning(measure_id=ACCEPTED.measure_id, window_days=catalogue.learning.window_days)
    measures = {**catalogue.measures, ACCEPTED.measure_id: ACCEPTED}
    return replace(catalogue, measures=measures, learning=learning), learning


def best_constant(others: World, weeks: int, capacities: Mapping[str, float] | None = None) -> str:
    """The one message that is worth most when everybody gets it who may, found on other customers; or silence.

    Args:
        others: A world whose customers are not those of the comparison.
        weeks: How long each is tried.
        capacities: Most of each channel in a week; channels that are not named are free.
    """
    worths = {SILENCE: _worth(others, weeks, None, {})}
    for place, message in enumerate(others.messages):
        worths[message.key] = _worth(others, weeks, place, capacities or {})
    return max(worths, key=lambda key: worths[key])


def _worth(others: World, weeks: int, place: int | None, capacities: Mapping[str, float]) -> float:
    """Contribution less cost over some weeks in which everybody who may gets one message."""
    world, total = others.copy(), 0.0
    for _ in range(weeks):
        actions = np.full(world.population.size, -1)
        if place is not None:
            may, most = world.permitted()[:, place], capacities.get(world.messages[place].channel.channel_id)
            actions[may if most is None else may & (np.cumsum(may) <= most)] = place
        week = world.run_week(actions)
        total += float((week.contribution_minor - week.cost_minor).sum())
    return total
