"""Boosters of several folds, trained side by side until they no longer get better at the rows they do not see."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any

import lightgbm
import numpy as np

from decisioning.arrays import FloatArray, IntArray
from features.progress import OnProgress

PATIENCE = 20
"""Rounds without improvement after which training ends."""

_ROUNDS_AT_ONCE = 10


class FoldBooster:
    """A booster that learns from some rows of a data set, and its loss on held-back rows after each round."""

    def __init__(self, parameters: dict[str, Any], data: lightgbm.Dataset, rows: IntArray, held: IntArray) -> None:
        self.booster = lightgbm.Booster(parameters, data.subset(rows.tolist()))
        self.booster.add_valid(data.subset(held.tolist()), "held")
        self.losses: list[float] = []

    def train(self, rounds: int) -> None:
        """Train some more rounds."""
        for _ in range(rounds):
            self.booster.update()
            self.losses.append(float(self.booster.eval_valid()[0][2]))


def train_together(
    prepared: Iterable[Callable[[], FoldBooster]], most_rounds: int, on_progress: OnProgress | None = None
) -> tuple[list[lightgbm.Booster], FloatArray]:
    """Train a booster per fold, all on the same number of rounds.

    Args:
        prepared: Makes the booster of each fold; made side by side.
        most_rounds: Rounds at most. Training ends before if the mean loss did not fall for `PATIENCE` rounds.
        on_progress: Told how many rounds are done, of how many at most.

    Returns:
        The boosters, and the mean loss after each round, shape (rounds,).
    """
    curve = np.empty(0)
    with ThreadPoolExecutor(max_workers=cpu_count()) as pool:
        folds = list(pool.map(lambda make: make(), prepared))
        while len(curve) < most_rounds and (not len(curve) or len(curve) - curve.argmin() <= PATIENCE):
            rounds = min(_ROUNDS_AT_ONCE, most_rounds - len(curve))
            list(pool.map(FoldBooster.train, folds, [rounds] * len(folds)))
            curve = np.mean([fold.losses for fold in folds], axis=0)
            if on_progress is not None:
                on_progress(len(curve), most_rounds)
    return [fold.booster for fold in folds], curve
