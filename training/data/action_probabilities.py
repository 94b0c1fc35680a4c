"""How probable every logged choice was: as logged, or estimated where the log does not say."""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from training.data.datasets import Dataset

SMALLEST_PROBABILITY = 0.01
"""Estimated probabilities are cut here: a smaller one is a guess that a single decision would then rest on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedChoice:
    """The logging policy, as far as it is known.

    Attributes:
        probabilities: shape (n,), action probability of what was chosen, in (0, 1].
        shares: shape (k + 1,), share of each action in the log; sums to 1.
        is_randomised: True where the log said every probability. Where it did not, they are estimates, and whatever
            else made somebody be chosen is mistaken for an effect.
    """

    probabilities: FloatArray
    shares: FloatArray
    is_randomised: bool

    def weights(self, actions: IntArray) -> FloatArray:
        """Weights that make the log as if every action had been drawn with its share, for everybody: shape (n,)."""
        weights = self.shares[actions] / self.probabilities
        return weights / weights.mean()


def logged_choice(dataset: Dataset) -> LoggedChoice:
    """Action probabilities of a dataset: those of the log where all are known, else estimates for all."""
    shares = np.bincount(dataset.actions, minlength=len(dataset.keys)) / dataset.size
    if dataset.is_randomised:
        return LoggedChoice(probabilities=dataset.probabilities, shares=shares, is_randomised=True)
    return LoggedChoice(probabilities=estimate_probabilities(dataset), shares=shares, is_randomised=False)


def estimate_probabilities(dataset: Dataset) -> FloatArray:
    """Probability of each logged choice from the customer's features by multinomial logistic regression.

    Returns:
        Shape (n,), in [SMALLEST_PROBABILITY, 1].
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs = np.hstack([dataset.features, dataset.contexts])
    inputs = inputs[:, np.isfinite(inputs).any(axis=0)]
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    model.fit(np.clip(inputs, -1e12, 1e12), dataset.actions)
    column = {action: place for place, action in enumerate(model.classes_)}
    chosen = np.array([column[action] for action in dataset.actions])
    estimated = model.predict_proba(np.clip(inputs, -1e12, 1e12))[np.arange(dataset.size), chosen]
    return np.clip(estimated, SMALLEST_PROBABILITY, 1.0)
