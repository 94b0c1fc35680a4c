"""Whether every message of a log was possible for everybody, and so how effects are told from noise."""

import numpy as np

from decisioning.catalogue.catalogue import Catalogue, LearningMethod
from training.data.datasets import Dataset, learning_of

LEAST_REACH = 0.8
"""From this reach on whole windows are compared. Randomised tests have 1; under the rules of the airline world, where
whole windows showed nothing, it is 0.26 (`docs/quality.md`)."""

FEWEST_STEPS = 1_000
"""Decisions with which the choice is left to the log; with fewer it cannot tell."""

FEWEST_SILENCES = 100
"""Decisions for silence that steps are compared with, at least."""


def method_of(dataset: Dataset, catalogue: Catalogue) -> LearningMethod:
    """The method that a catalogue declares, or else the one that a log asks for: never `auto`."""
    declared = learning_of(catalogue)[0].method
    if declared is not LearningMethod.AUTO:
        return declared
    is_telling = (
        dataset.is_randomised and dataset.size >= FEWEST_STEPS and (dataset.actions == 0).sum() >= FEWEST_SILENCES
    )
    return LearningMethod.STEPS if is_telling and reach(dataset) < LEAST_REACH else LearningMethod.WINDOWS


def reach(dataset: Dataset) -> float:
    """Share of decisions in which a message was possible, on average over the messages that were sent.

    A message that is possible in a share of decisions, and is chosen there with the probabilities p that the log names,
    has that share as the mean of 1{chosen} / p over all decisions.

    Returns:
        In [0, 1]; 1 where nothing was sent.
    """
    counts = np.bincount(dataset.actions, minlength=len(dataset.keys))[1:]
    weights = np.bincount(dataset.actions, weights=1 / dataset.probabilities, minlength=len(dataset.keys))[1:]
    if not counts.any():
        return 1.0
    return float(np.average(np.minimum(weights / dataset.size, 1.0), weights=counts))
