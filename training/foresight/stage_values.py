"""What it is worth to stand at a stage of the journey: an absorbing chain over the window that a model learns.

For a decision at stage s, y is what its window of w days brings, and s' is the stage where the customer stands at their
first decision after it. From decisions of the log, under whatever was sent then::

    r(s) = E[y | s]     P(s' | s)     V_0 = 0     V_n = r + P V_{n-1}

V_n is what n windows bring, the first beginning now; all that remains is absorbed at the horizon. Between whole numbers
of windows it is a straight line. Errors come from drawing customers again.

Reference:
    Puterman (1994), Markov Decision Processes, section 4.2 (evaluation of a policy over a finite horizon); Pfeifer and
    Carraway (2000), Modeling customer relationships as Markov chains, Journal of Interactive Marketing 14(2).
"""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import FloatArray, IntArray

FEWEST = 30
"""Customers seen at a stage, and again a window later, below which it has no value of its own."""

_DRAWS = 50
_SEED = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMoves:
    """n decisions that were followed by one a window later.

    Attributes:
        customers: shape (n,), a whole number each.
        stages: shape (n,), place of the stage; in [0, s).
        later: shape (n,), place of the stage a window later.
        values: shape (n,), what the window brought.
    """

    customers: IntArray
    stages: IntArray
    later: IntArray
    values: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StageValues:
    """V over some windows, by stage.

    Attributes:
        values: shape (s,); NaN for a stage that too few customers were seen at.
        standard_errors: shape (s,).
        customers: shape (s,), how many were seen there.
    """

    values: FloatArray
    standard_errors: FloatArray
    customers: IntArray

    @property
    def filled(self) -> FloatArray:
        """Values, with the mean of the others where a stage has none, so that who moves there loses nothing."""
        known = self.values[np.isfinite(self.values)]
        return np.where(np.isfinite(self.values), self.values, known.mean() if known.size else 0.0)


def stage_values(journeys: StageMoves, stage_count: int, windows: float) -> StageValues:
    """What it is worth to stand at each stage, over some windows from now on.

    Args:
        journeys: What the log has.
        stage_count: s.
        windows: How many windows the horizon has, at least 0.
    """
    pairs = np.unique(np.column_stack([journeys.customers, journeys.stages]), axis=0)
    counts = np.bincount(pairs[:, 1], minlength=stage_count)
    is_known = counts >= FEWEST
    everybody = np.ones(len(journeys.customers))
    values = chain_values(*_chain(journeys, everybody, stage_count, is_known), windows)
    rng, size = np.random.default_rng(_SEED), int(journeys.customers.max(initial=-1)) + 1
    drawn = [
        chain_values(
            *_chain(journeys, rng.poisson(1.0, size)[journeys.customers].astype(np.float64), stage_count, is_known),
            windows,
        )
        for _ in range(_DRAWS)
    ]
    return StageValues(
        values=np.where(is_known, values, np.nan),
        standard_errors=np.where(is_known, np.std(drawn, axis=0, ddof=1), np.nan),
        customers=counts,
    )


def chain_values(rewards: FloatArray, moves: FloatArray, windows: float) -> FloatArray:
    """V of a chain over some windows, shape (s,).

    Args:
        rewards: shape (s,), what a window brings.
        moves: shape (s, s), where it leads; rows sum to 1, or to less where something is absorbed before.
        windows: At least 0.

    Example:
        >>> chain_values(np.array([0.0, 10.0]), np.array([[0.5, 0.5], [0.0, 0.0]]), 2.5).tolist()
        [6.25, 10.0]
    """
    values = np.zeros(len(rewards))
    for _ in range(int(windows)):
        values = rewards + moves @ values
    return values + (windows % 1.0) * (rewards + moves @ values - values)


def _chain(
    journeys: StageMoves, weights: FloatArray, stage_count: int, is_known: np.typing.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Rewards and moves; a stage that is not known is like the mean of all."""
    places = journeys.stages * stage_count + journeys.later
    pairs = np.bincount(places, weights=weights, minlength=stage_count**2).reshape(stage_count, stage_count)
    sums = np.bincount(journeys.stages, weights=weights * journeys.values, minlength=stage_count)
    counts = pairs.sum(axis=1)
    usual_moves, usual_reward = pairs.sum(axis=0) / max(counts.sum(), 1e-12), sums.sum() / max(counts.sum(), 1e-12)
    is_own, safe = is_known & (counts > 0), np.maximum(counts, 1e-12)
    return (
        np.where(is_own, sums / safe, usual_reward),
        np.where(is_own[:, np.newaxis], pairs / safe[:, np.newaxis], usual_moves),
    )
