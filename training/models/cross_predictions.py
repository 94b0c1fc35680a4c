"""Predictions of customers that a booster did not see: the ingredients that estimates are made of."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import lightgbm
import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.errors import InsufficientDataError
from training.models.boosting import REPEATABLE
from training.models.folds import FoldBooster, train_together


@dataclass(frozen=True, slots=True, kw_only=True)
class IngredientSettings:
    """How the boosters behind an estimate are trained: deeper than one that decides, since their bias ends in it.

    Attributes:
        objective: `regression` or `binary`.
        most_rounds: Trees at most; the held-back customers say where to stop.
    """

    objective: str = "regression"
    most_rounds: int = 120
    smallest_leaf: int = 100
    seed: int = 30

    def parameters(self) -> dict[str, Any]:
        """LightGBM's names for them."""
        return {
            "objective": self.objective,
            "learning_rate": 0.1,
            "num_leaves": 31,
            "min_data_in_leaf": self.smallest_leaf,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
            "max_bin": 63,
            "seed": self.seed,
            **REPEATABLE,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossPredictor:
    """One booster per fold, trained without it.

    Attributes:
        boosters: By fold.
        rounds: Trees to use, the same in each.
        loss: Mean loss on held-back customers after each round.
    """

    boosters: tuple[lightgbm.Booster, ...]
    rounds: int
    loss: FloatArray

    def predict(self, matrix: FloatArray, folds: IntArray) -> FloatArray:
        """Predictions, each by the booster that did not see the row's fold: shape (n,)."""
        found = np.empty(len(matrix))
        for fold, booster in enumerate(self.boosters):
            rows = folds == fold
            if rows.any():
                found[rows] = np.asarray(booster.predict(matrix[rows], num_iteration=self.rounds, num_threads=1))
        return found


def cross_predictor(
    matrix: FloatArray, target: FloatArray, usable: BoolArray, folds: IntArray, settings: IngredientSettings
) -> CrossPredictor:
    """Train a booster per fold on the usable rows of the others.

    Args:
        matrix: shape (n, p).
        target: shape (n,).
        usable: shape (n,), rows to learn from.
        folds: shape (n,), from 0.
        settings: How.
    """
    parameters = settings.parameters()
    rows = np.flatnonzero(usable)
    own = folds[rows]
    if min(np.bincount(own, minlength=int(folds.max()) + 1)) == 0:
        raise InsufficientDataError(
            "training by steps needs silence that was chosen, and messages, for customers in either half of the log,"
            " got none in one; choose silence at random more often (exploration), or learn by `method: windows`"
        )
    data = lightgbm.Dataset(matrix[rows], target[rows], params=parameters).construct()
    prepared = [
        partial(FoldBooster, parameters, data, np.flatnonzero(own != fold), np.flatnonzero(own == fold))
        for fold in range(int(folds.max()) + 1)
    ]
    boosters, loss = train_together(prepared, settings.most_rounds)
    return CrossPredictor(boosters=tuple(boosters), rounds=int(loss.argmin()) + 1, loss=loss)
