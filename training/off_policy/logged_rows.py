"""The log's side of an evaluation: what came of every decision, and what was to be expected of each choice."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IndexArray
from decisioning.catalogue.catalogue import Catalogue
from training.data.datasets import messages_of
from training.data.net_worth import NetWorth, paid_minor
from training.off_policy.choices import PolicyChoices
from training.off_policy.rewards import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRows:
    """n decisions of a log, with k messages of the policy.

    Attributes:
        keys: Silence and the k messages, as `PolicyChoices` has them.
        rewards: shape (n,), what came, in the report's unit.
        logged: shape (n,), how probable the logged choice was.
        actions: shape (n,), what was chosen; -1 where the touchpoint has no such message.
        customers: shape (n,), a number per customer.
        predicted: shape (n, k + 1), what was to be expected of each choice.
        credit: shape (n, k + 1), what each choice adds beyond the window, as the model says; 0 for a reward that it did
            not learn.
        paid: shape (n,), what the logged contacts cost; nothing for a gross reward.
        worth: What the policy's contacts cost and its outcomes count for.
    """

    keys: tuple[str, ...]
    rewards: FloatArray
    logged: FloatArray
    actions: IndexArray
    customers: IndexArray
    predicted: FloatArray
    credit: FloatArray
    paid: FloatArray
    worth: NetWorth

    @classmethod
    def of(
        cls,
        decisions: pl.DataFrame,
        choices: PolicyChoices,
        rewards: FloatArray,
        reward: Reward,
        catalogue: Catalogue,
    ) -> "LoggedRows":
        """Put together what a log says.

        Args:
            decisions: n rows: canonical columns and `message_key`.
            choices: The policy's side of them.
            rewards: shape (n,), from `rewards_of`.
            reward: What they are.
            catalogue: Says what contacts cost.
        """
        actions = choices.columns(decisions["message_key"].to_list())
        customers = (decisions["customer_id"].rank("dense").cast(pl.Int64) - 1).to_numpy().astype(np.intp)
        worth = _worth(choices, reward, catalogue)
        predicted = choices.predicted / reward.per_unit
        if not reward.is_learned:
            predicted = _rescaled(predicted, rewards, actions, customers)
        return cls(
            keys=choices.keys,
            rewards=rewards,
            logged=decisions["action_probability"].fill_null(np.nan).to_numpy(),
            actions=actions,
            customers=customers,
            predicted=np.nan_to_num(predicted, nan=0.0),
            credit=choices.credit / reward.per_unit if reward.is_learned else np.zeros_like(choices.credit),
            paid=paid_minor(decisions, catalogue) / worth.unit_minor / reward.per_unit,
            worth=worth,
        )

    def take(self, wanted: BoolArray) -> "LoggedRows":
        """Some of the decisions: `wanted` of shape (n,)."""
        arrays = (one.name for one in fields(self) if one.name not in {"keys", "worth"})
        return replace(self, **{name: getattr(self, name)[wanted] for name in arrays})

    def of_logged(self, matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A matrix's value for the logged action of each decision, shape (n,); for silence's where it is unknown."""
        return np.take_along_axis(matrix, np.maximum(self.actions, 0)[:, None], axis=1)[:, 0]

    def counted_of_logged(self, target: FloatArray) -> FloatArray:
        """A policy's probability of each logged action, shape (n,); 0 where it has no such message."""
        return np.where(self.actions >= 0, self.of_logged(target), 0.0)


def _worth(choices: PolicyChoices, reward: Reward, catalogue: Catalogue) -> NetWorth:
    """What the policy's choices cost and count for, in the report's unit."""
    if not reward.is_net:
        return NetWorth.gross(len(choices.keys) - 1)
    known = messages_of(catalogue)
    worth = NetWorth.of([known[key] for key in choices.keys[1:]], reward.measure.unit)
    return replace(worth, costs=worth.costs / reward.per_unit)


def _rescaled(predicted: FloatArray, rewards: FloatArray, actions: IndexArray, customers: IndexArray) -> FloatArray:
    """Predictions of another measure turned into predictions of this one.

    Every message gets the mean reward it brought, and customers differ around it along a line. Both are taken from
    the other half of the customers, so that no reward predicts itself.
    """
    told = np.take_along_axis(predicted, np.maximum(actions, 0)[:, None], axis=1)[:, 0]
    is_usable = (actions >= 0) & np.isfinite(told)
    result = np.empty_like(predicted)
    for half in (0, 1):
        is_here = customers % 2 == half
        others = np.flatnonzero(is_usable & ~is_here)
        result[is_here] = _on_scale(predicted[is_here], told[others], rewards[others], actions[others])
    return result


def _on_scale(predicted: FloatArray, told: FloatArray, rewards: FloatArray, actions: IndexArray) -> FloatArray:
    """Predictions, shape (n, k + 1), on the scale of rewards that m other decisions brought."""
    if not told.size:
        return np.zeros_like(predicted)
    width = predicted.shape[1]
    counts = np.bincount(actions, minlength=width)
    means = [
        np.where(counts > 0, np.bincount(actions, weights=one, minlength=width) / np.maximum(counts, 1), one.mean())
        for one in (told, rewards)
    ]
    around = told - means[0][actions]
    spread = float((around**2).sum())
    slope = float((around * rewards).sum()) / spread if spread > 0 else 0.0
    return means[1] + slope * (predicted - means[0])


def outcome_words(reward: Reward) -> str:
    """What `LoggedRows.predicted` is, in words."""
    if not reward.is_learned:
        return "the model's predictions of what it learned, put on this reward's scale with other customers"
    if reward.measure.cap_minor is None:
        return "the model's predictions (it may have learned from capped transactions; the reward is not capped)"
    return "the model's predictions"  # of capped amounts, where its measure has a cap
