"""How well an offer that was never sent is scored from its attributes: each offer of a log is left out in turn.

    nextbest import TABLES && nextbest features build
    python benchmarks/new_offers.py [--home .nextbest]

Prints the average treatment effect of each offer in the log, with its standard error, and the effect predicted by a
model that was trained without any decision for it.
"""

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from decisioning.catalogue.message import Message
from decisioning.value_model import ValueModel, design_matrix
from features.catalogue import load_catalogue
from features.models.bundle import value_model
from features.settings import Settings
from training.data.datasets import Dataset
from training.judgement.from_log import load_dataset
from training.models.learner import learn

SCORED = 2_000


def without(dataset: Dataset, action: int) -> Dataset:
    """The decisions for everything else, as a log in which that message was never known."""
    left = dataset.take(dataset.actions != action)
    _, customers = np.unique(left.customers, return_inverse=True)
    messages = tuple(one for place, one in enumerate(dataset.messages, start=1) if place != action)
    actions = np.where(left.actions > action, left.actions - 1, left.actions)
    share = 1 - dataset.probabilities[dataset.actions == action].mean()
    return replace(
        left, messages=messages, actions=actions, customers=customers, probabilities=left.probabilities / share
    )


def expected_effect(model: ValueModel, dataset: Dataset, message: Message) -> float:
    rows = np.random.default_rng(1).choice(dataset.size, min(SCORED, dataset.size), replace=False)
    table = model.messages([message])
    designs = np.stack([design_matrix(dataset.features[row], table, dataset.contexts[row]) for row in rows])
    values = model.expected_values_of(designs)
    return float((values[:, 1] - values[:, 0]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".nextbest"))
    given = parser.parse_args()
    settings = Settings(home=given.home)
    catalogue = load_catalogue(settings.catalogue_path)
    dataset = load_dataset(settings, catalogue, now=datetime.now(UTC))
    known = learn(dataset, catalogue).effects
    found: list[tuple[float, float]] = []
    print(f"{'offer':<40} {'average effect':>24} {'expected without it':>20}")
    for action, message in enumerate(dataset.messages, start=1):
        learned = learn(without(dataset, action), catalogue)
        expected = expected_effect(value_model(learned.bundle, version="left-out"), dataset, message)
        average, error = known.averages[action - 1], known.standard_errors[action - 1]
        found.append((float(average), expected))
        print(f"{message.key:<40} {average:>15,.0f} (± {1.96 * error:3,.0f}) {expected:>20,.0f}", flush=True)
    averages, expectations = np.array(found).T
    mean_only = (averages.sum() - averages) / (len(averages) - 1)
    print(f"correlation {np.corrcoef(averages, expectations)[0, 1]:.2f}")
    ours, plain = np.abs(averages - expectations).mean(), np.abs(averages - mean_only).mean()
    print(f"mean absolute error {ours:,.0f}, of the mean of the others {plain:,.0f}")


if __name__ == "__main__":
    main()
