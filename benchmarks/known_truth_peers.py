"""What other libraries choose for the customers of a known world, from the same log as the engine.

It runs in an environment of its own (`make peers`), reads a log and new customers from one file, and writes a choice
per customer and learner into another: `known_truth.py --peers` calls it. Every learner has one reasonable
configuration.

    .venv-peers/bin/python benchmarks/known_truth_peers.py LOG.npz CHOICES.npz [--learners NAME ...]
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

ALPHAS = np.logspace(0, 5, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log of n decisions between silence and k messages, and the customers to choose for.

    Attributes:
        features: shape (n, d), standardised.
        actions: shape (n,), 0 for silence.
        probabilities: shape (n,), of what was chosen.
        values: shape (n,), outcomes in their standard deviations.
        kinds: shape (k,), kind of each message as the catalogue says it.
        new: shape (m, d), customers to choose for.
    """

    features: Floats
    actions: Ints
    probabilities: Floats
    values: Floats
    kinds: Ints
    new: Floats

    @classmethod
    def read(cls, path: str) -> "Log":
        """From a file of `known_truth.py`."""
        with np.load(path) as file:
            given = {name: file[name] for name in file.files}
        means, spreads = given["features"].mean(axis=0), given["features"].std(axis=0)
        given["features"], given["new"] = ((given[name] - means) / spreads for name in ("features", "new"))
        given["values"] = given["values"] / given["values"].std()
        return cls(**given)

    @property
    def weights(self) -> Floats:
        """As if every action had been drawn with the same probability."""
        return 1 / self.probabilities / (1 / self.probabilities).mean()

    @property
    def messages(self) -> int:
        """k."""
        return len(self.kinds)


def _booster() -> LGBMRegressor:
    return LGBMRegressor(
        n_estimators=100, learning_rate=0.05, num_leaves=7, min_child_samples=50, n_jobs=2, verbosity=-1, random_state=1
    )


def _best(effects: Floats) -> Ints:
    """0 where no message adds anything, else the place of the best from 1."""
    return np.where(effects.max(axis=1) > 0, effects.argmax(axis=1) + 1, 0).astype(np.int64)


def _outcome_alone(log: Log) -> Floats:
    """What is left of the outcome by a booster over the customer that did not see it."""
    folds = KFold(5, shuffle=True, random_state=1)
    return log.values - np.asarray(cross_val_predict(_booster(), log.features, log.values, cv=folds))


def _ridge_on(log: Log, groups: Sequence[Ints]) -> Ints:
    """Ridge regression of what is left on the centred action times customer, with a block of columns per group."""

    def columns(features: Floats, actions: Floats) -> Floats:
        wide = np.hstack([np.ones((len(features), 1)), features])
        blocks = [actions @ (group[:, np.newaxis] == np.unique(group)) for group in groups]
        return np.hstack([(block[:, :, np.newaxis] * wide[:, np.newaxis]).reshape(len(wide), -1) for block in blocks])

    shares = np.bincount(log.actions, minlength=log.messages + 1)[1:] / len(log.actions)
    chosen = (log.actions[:, np.newaxis] == np.arange(1, log.messages + 1)) - shares
    model = RidgeCV(alphas=ALPHAS).fit(columns(log.features, chosen), _outcome_alone(log), sample_weight=log.weights)
    silence = columns(log.new, np.zeros((len(log.new), log.messages)))
    return _best(
        np.column_stack(
            [
                model.predict(columns(log.new, np.tile(one, (len(log.new), 1)))) - model.predict(silence)
                for one in np.eye(log.messages)
            ]
        )
    )


def ridge(log: Log) -> Ints:
    """Ridge regression on residuals, message times customer."""
    return _ridge_on(log, [np.arange(log.messages)])


def hierarchical_ridge(log: Log) -> Ints:
    """The same with columns for all messages and for each kind beside those of each message."""
    return _ridge_on(log, [np.zeros(log.messages, dtype=np.int64), log.kinds, np.arange(log.messages)])


def x_learner(log: Log) -> Ints:
    """causalml's X-learner with LightGBM."""
    from causalml.inference.meta import BaseXRegressor

    counts = np.bincount(log.actions, minlength=log.messages + 1)
    shares = {action: counts[action] / (counts[action] + counts[0]) for action in range(1, log.messages + 1)}
    learner = BaseXRegressor(learner=_booster(), control_name=0)
    learner.fit(log.features, log.actions, log.values, p=_for_all(shares, len(log.actions)))
    return _best(np.asarray(learner.predict(log.new, p=_for_all(shares, len(log.new)))))


def r_learner(log: Log) -> Ints:
    """causalml's R-learner with LightGBM."""
    from causalml.inference.meta import BaseRRegressor

    counts = np.bincount(log.actions, minlength=log.messages + 1)
    shares = {action: counts[action] / (counts[action] + counts[0]) for action in range(1, log.messages + 1)}
    learner = BaseRRegressor(learner=_booster(), control_name=0, n_fold=3, random_state=1)
    learner.fit(log.features, log.actions, log.values, p=_for_all(shares, len(log.actions)))
    return _best(np.asarray(learner.predict(log.new)))


def _for_all(shares: dict[int, float], size: int) -> dict[int, Floats]:
    return {action: np.full(size, share) for action, share in shares.items()}


def dr_learner(log: Log) -> Ints:
    """econml's DR-learner: LightGBM for outcomes, ridge regression for effects."""
    from econml.dr import DRLearner

    learner = DRLearner(
        model_propensity=DummyClassifier(strategy="prior"),
        model_regression=_booster(),
        model_final=RidgeCV(ALPHAS),
        cv=3,
        min_propensity=0.001,
        random_state=1,
    )
    learner.fit(log.values, log.actions, X=log.features)
    actions = range(1, log.messages + 1)
    return _best(np.column_stack([learner.effect(log.new, T0=0, T1=action) for action in actions]))


def causal_forest(log: Log) -> Ints:
    """econml's causal forest after double machine learning with LightGBM."""
    from econml.dml import CausalForestDML

    learner = CausalForestDML(
        model_y=_booster(),
        model_t=DummyClassifier(strategy="prior"),
        discrete_treatment=True,
        n_estimators=100,
        min_samples_leaf=50,
        max_samples=0.4,
        inference=False,
        cv=3,
        n_jobs=2,
        random_state=1,
    )
    learner.fit(log.values, log.actions, X=log.features)
    return _best(learner.const_marginal_effect(log.new).reshape(len(log.new), log.messages))


def vowpal_wabbit(log: Log) -> Ints:
    """Vowpal Wabbit's contextual bandit with doubly robust costs, customer times message, three passes."""
    from vowpalwabbit import Workspace

    space = Workspace("--cb_adf --cb_type dr -q ca --learning_rate 0.05 --l2 1e-6 --quiet --random_seed 1")
    kinds = ["", *(f" kind{kind}" for kind in log.kinds)]
    candidates = [f"|a action{action}{kinds[action]}" for action in range(log.messages + 1)]

    def example(customer: Floats, label: dict[int, str]) -> list[str]:
        shared = "shared |c " + " ".join(f"x{place}:{value:.4f}" for place, value in enumerate(customer))
        return [shared, *(label.get(action, "") + one for action, one in enumerate(candidates))]

    order = np.random.default_rng(1)
    for _ in range(3):
        for row in order.permutation(len(log.actions)):
            label = {int(log.actions[row]): f"0:{-log.values[row]:.5f}:{log.probabilities[row]:.5f} "}
            space.learn(example(log.features[row], label))
    chosen = [int(np.argmin(space.predict(example(customer, {})))) for customer in log.new]
    space.finish()
    return np.array(chosen, dtype=np.int64)


LEARNERS: dict[str, Callable[[Log], Ints]] = {
    "ridge": ridge,
    "hierarchical ridge": hierarchical_ridge,
    "x-learner": x_learner,
    "r-learner": r_learner,
    "dr-learner": dr_learner,
    "causal forest": causal_forest,
    "vowpal wabbit": vowpal_wabbit,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("choices")
    parser.add_argument("--learners", nargs="+", choices=list(LEARNERS), default=list(LEARNERS))
    given = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    log, choices = Log.read(given.log), {}
    for name in given.learners:
        started = time.process_time()
        choices[name] = LEARNERS[name](log)
        print(f"{name}: {time.process_time() - started:.1f} s", file=sys.stderr, flush=True)
    np.savez(given.choices, **choices)


if __name__ == "__main__":
    main()
