"""What choices are worth net of the cost of a contact, in the unit of the measure that is judged.

Arbitration values a message at its uplift, times what one outcome is worth, less what the contact costs. Whoever judges
choices must count the same, or silence never looks good enough. Money is worth itself. An outcome of a rate is worth
what its offer declares; amounts are then divided by the mean declared value, so that a report stays a rate, in outcomes
of the usual worth. Where no offer declares a value, nobody can say how many outcomes a contact costs, and rates stay as
they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import SILENCE, Message, message_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class NetWorth:
    """Weights and costs of silence and k messages.

    Attributes:
        weights: shape (k + 1,), what one unit of uplift counts for; 1 for silence.
        costs: shape (k + 1,), what a contact costs, in the measure's unit; 0 for silence.
        unit_minor: What one unit of the measure is worth in minor units of money; infinite where nobody says.
    """

    weights: FloatArray
    costs: FloatArray
    unit_minor: float = 1.0

    @classmethod
    def of(cls, messages: Sequence[Message], unit: Unit | None) -> "NetWorth":
        """What the catalogue says of k messages, for a measure in minor units of money or for a rate."""
        costs = np.array([0.0, *(message.channel.cost_minor for message in messages)])
        if unit is not Unit.RATE:
            return cls(weights=np.ones_like(costs), costs=costs)
        declared = np.array([message.offer.value_minor for message in messages])
        if not (declared > 0).any():
            return cls.gross(len(messages))
        usual = float(declared[declared > 0].mean())
        is_even = declared.min() == declared.max()
        weights = np.ones_like(costs) if is_even else np.array([1.0, *(declared / usual)])
        return cls(weights=weights, costs=costs / usual, unit_minor=usual)

    @classmethod
    def gross(cls, count: int) -> "NetWorth":
        """Values as they are: contacts cost nothing, and outcomes of all messages are worth the same."""
        return cls(weights=np.ones(count + 1), costs=np.zeros(count + 1), unit_minor=np.inf)

    @property
    def is_even(self) -> bool:
        """Whether an outcome is worth the same after every message."""
        return bool((self.weights == 1).all())

    def of_values(self, values: FloatArray) -> FloatArray:
        """Net values from values or doubly robust scores: shape (n, k + 1) in and out, silence first and unchanged."""
        if self.is_even:
            return values - self.costs
        silence = values[:, :1]
        return silence + self.weights * (values - silence) - self.costs

    def of_logged(self, values: FloatArray, actions: IntArray, silence: FloatArray) -> FloatArray:
        """What logged decisions were worth, shape (n,).

        Args:
            values: shape (n,), what came.
            actions: shape (n,), what was chosen.
            silence: shape (n,), what was to be expected of silence; asked where outcomes differ in worth.
        """
        if self.is_even:
            return values - self.costs[actions]
        return silence + self.weights[actions] * (values - silence) - self.costs[actions]

    def counted(self, target: FloatArray) -> FloatArray:
        """How much of each action's outcome counts under a policy: shape (n, k + 1) in and out; rows sum to 1.

        Example:
            >>> worth = NetWorth(weights=np.array([1.0, 1.5]), costs=np.zeros(2))
            >>> worth.counted(np.array([[0.5, 0.5]])).tolist()
            [[0.25, 0.75]]
        """
        if self.is_even:
            return target
        counted = target * self.weights
        counted[:, 0] += 1 - counted.sum(axis=1)
        return counted


def net_effects(effects: Mapping[str, float], messages: Mapping[str, Message], unit: Unit | None) -> dict[str, float]:
    """What each message adds to silence on average, net of its contact; a message that is gone costs nothing.

    Args:
        effects: Average effects by message key, in the measure's unit.
        messages: By key.
        unit: Of the measure.
    """
    known = [key for key in effects if key in messages]
    worth = NetWorth.of([messages[key] for key in known], unit)
    net = {key: worth.weights[row] * effects[key] - worth.costs[row] for row, key in enumerate(known, start=1)}
    return {key: float(net.get(key, effect)) for key, effect in effects.items()}


def paid_minor(decisions: pl.DataFrame, catalogue: Catalogue) -> FloatArray:
    """What each logged contact cost in minor units, shape (n,): also of a message that the catalogue has no more.

    Args:
        decisions: n rows with `message_key` (null where the catalogue has no such message) and `channel`.
        catalogue: Says what a contact on each channel costs.
    """
    by_channel = {one.channel_id: float(one.cost_minor) for one in catalogue.channels.values()}
    keys = decisions["message_key"].drop_nulls().unique()
    by_message = {key: by_channel[parts.channel_id] for key in keys if (parts := message_parts(key)) is not None}
    key, channel = pl.col("message_key"), pl.col("channel")
    told = key.replace_strict(by_message, default=None, return_dtype=pl.Float64)
    otherwise = channel.replace_strict(by_channel, default=0.0, return_dtype=pl.Float64)
    cost = pl.when(key == SILENCE).then(0.0).otherwise(pl.coalesce(told, otherwise))
    return decisions.select(cost).to_series().to_numpy()
