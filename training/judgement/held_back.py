"""Customers whom the models that are compared never learn from: the same ones in every run.

A model that is judged on customers it learned from looks better than it is, and two models can only be compared on the
same decisions. So who is held back follows from the customer alone. What decides is trained on everybody; what is
judged is its twin, trained the same way without them.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray
from decisioning.draw import unit_hash
from training.data.datasets import Dataset
from training.data.steps import NOTHING_FOLLOWS, Steps
from training.off_policy.estimators import MIN_CUSTOMERS

HELD_BACK_SHARE = 0.2
"""Share of customers who are held back."""

_SALT = "held back from training"


def held_back(customer_ids: pl.Series) -> BoolArray:
    """Which customers are held back, shape (n,): the same in every run, whoever else is in the log.

    Example:
        >>> held_back(pl.Series([f"C-{number}" for number in range(1_000)])).mean()
        np.float64(0.226)
    """
    is_held = {one: unit_hash(_SALT, one) < HELD_BACK_SHARE for one in customer_ids.unique().to_list()}
    return np.array([is_held[one] for one in customer_ids.to_list()], dtype=np.bool_)


def can_be_judged(dataset: Dataset, held: BoolArray) -> bool:
    """Whether enough customers are on either side, and the others got silence and messages.

    Args:
        dataset: n decisions.
        held: shape (n,), from `held_back`.
    """
    counts = [np.unique(dataset.customers[side]).size for side in (held, ~held)]
    actions = np.unique(dataset.actions[~held])
    return min(counts) >= MIN_CUSTOMERS and actions.size > 1 and actions[0] == 0


def learned_from(dataset: Dataset, rows: BoolArray) -> Dataset:
    """A dataset of some decisions as if the log held no others: customers and messages numbered anew.

    Args:
        dataset: n decisions.
        rows: shape (n,), which to keep.
    """
    part = dataset.take(rows)
    kept, actions = np.unique(np.append(part.actions, 0), return_inverse=True)
    _, customers = np.unique(part.customers, return_inverse=True)
    return replace(
        part,
        messages=tuple(dataset.messages[action - 1] for action in kept.tolist() if action > 0),
        actions=actions[:-1].astype(np.int64),
        customers=customers.astype(np.int64),
    )


def steps_among(steps: Steps, rows: BoolArray) -> Steps:
    """Steps of some decisions, all of a customer's or none: shape (n,) as `learned_from`."""
    places = np.cumsum(rows) - 1
    following = steps.following[rows]
    return Steps(
        following=np.where(following == NOTHING_FOLLOWS, NOTHING_FOLLOWS, places[following]),
        early=steps.early[rows],
        stages=steps.stages[rows],
        is_seen=steps.is_seen[rows],
    )
