"""Other learners of effects: S-, T-, X-, R- and DR-learner with LightGBM, and econml's causal forest where installed.

Each takes the customers of some folds and says what every message changes for those of the fold left out. All have the
same folds, the same logged probabilities and the same outcome models (the cross-fitted boosters of the usual learner).
What a contestant says is calibrated as what the usual boosters say is, by the rest of `training.models.learner`, and is
told to one booster, so that serving knows one form only.

With w = 1 / p(A | x) weights, mu the outcome models, e_a = pi_a / (pi_a + pi_0) and all regressions by boosters::

    S   f(x, A) = y; effect f(x, a) - f(x, 0)
    T   f_a(x) = y on arm a; effect f_a(x) - f_0(x)
    X   e_a g_0(x) + (1 - e_a) g_a(x), where g_a = y - f_0(x) on arm a, and g_0 = f_a(x) - y on silence
    R   (y - mu_0 - e_a (mu_a - mu_0)) / (1{A = a} - e_a) on arm a and silence, weighted by (1{A = a} - e_a)^2
    DR  mu_a - mu_0 + 1{A = a} w (y - mu_a) - 1{A = 0} w (y - mu_0) on everybody

Reference:
    Kunzel, Sekhon, Bickel and Yu (2019), "Metalearners for estimating heterogeneous treatment effects using machine
    learning", PNAS 116(10), for S, T and X; Nie and Wager (2021), "Quasi-oracle estimation of heterogeneous treatment
    effects", Biometrika 108(2); Kennedy (2023), "Towards optimal doubly robust estimation of heterogeneous causal
    effects", EJS 17(2); Athey, Tibshirani and Wager (2019), "Generalized random forests", Annals of Statistics 47(2).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from os import cpu_count
from typing import Any

import lightgbm
import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.effects.linear_basis import standardised
from training.models.boosting import REPEATABLE
from training.models.effects import EffectEvidence
from training.models.linear_fit import moments

_ROUNDS = 100
_FOREST_TREES = 100
_FOREST_LEAF = 50
_MOST_LEAF, _LEAST_LEAF = 50, 5

type Regression = Callable[[FloatArray], FloatArray]
"""A fitted regression: shape (n, p) in, shape (n,) out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """n decisions about k messages to learn effects from.

    Attributes:
        columns: shape (n, p), customer and context.
        actions: shape (n,), 0 for silence.
        values: shape (n,), what came.
        outcomes: shape (n, k + 1), mu, by models that did not see the customer.
        weights: shape (n,), 1 / p(A | x) with a mean of 1.
        probabilities: shape (n,), p(A | x).
        shares: shape (k + 1,), pi.
    """

    columns: FloatArray
    actions: IntArray
    values: FloatArray
    outcomes: FloatArray
    weights: FloatArray
    probabilities: FloatArray
    shares: FloatArray

    @classmethod
    def of(cls, evidence: EffectEvidence, columns: FloatArray) -> "Lessons":
        """All decisions of some evidence."""
        return cls(
            columns=columns,
            actions=evidence.actions,
            values=evidence.values,
            outcomes=evidence.raw,
            weights=evidence.choice.weights(evidence.actions),
            probabilities=evidence.choice.probabilities,
            shares=evidence.choice.shares,
        )

    def among(self, rows: IntArray) -> "Lessons":
        """Some of the decisions."""
        names = ("columns", "actions", "values", "outcomes", "weights", "probabilities")
        return Lessons(shares=self.shares, **{name: getattr(self, name)[rows] for name in names})

    @property
    def messages(self) -> range:
        """Actions that are messages."""
        return range(1, len(self.shares))

    def arm(self, action: int) -> IntArray:
        """Decisions that chose an action."""
        return np.flatnonzero(self.actions == action)

    def odds(self, message: int) -> float:
        """e_a: share of a message among it and silence."""
        return float(self.shares[message] / (self.shares[message] + self.shares[0]))


type Contestant = Callable[[Lessons, FloatArray], FloatArray]
"""Learns from decisions and says what k messages change for others, shape (m, p) in, shape (m, k) out."""


def cross_fitted_effects(contestant: Contestant, lessons: Lessons, folds: IntArray) -> FloatArray:
    """Effects on customers that a contestant did not learn from: shape (n, k).

    Args:
        contestant: Learns and says.
        lessons: n decisions.
        folds: shape (n,), of customers.
    """
    found = np.empty((len(folds), len(lessons.messages)))

    def say(fold: int) -> None:
        held = folds == fold
        found[held] = contestant(lessons.among(np.flatnonzero(~held)), lessons.columns[held])

    with ThreadPoolExecutor(max_workers=cpu_count()) as pool:
        list(pool.map(say, np.unique(folds).tolist()))
    return found


def s_learner(lessons: Lessons, columns: FloatArray) -> FloatArray:
    """One booster over customer and message."""
    own = np.column_stack([lessons.columns, lessons.actions.astype(np.float64)])
    predict = _fit(own, lessons.values, lessons.weights, categories=[own.shape[1] - 1])
    said = [
        predict(np.column_stack([columns, np.full(len(columns), float(action))])) for action in (0, *lessons.messages)
    ]
    return np.column_stack(said[1:]) - said[0][:, np.newaxis]


def t_learner(lessons: Lessons, columns: FloatArray) -> FloatArray:
    """A booster for silence and for each message."""
    said = [predict(columns) for predict in _by_arm(lessons)]
    return np.column_stack(said[1:]) - said[0][:, np.newaxis]


def x_learner(lessons: Lessons, columns: FloatArray) -> FloatArray:
    """Boosters of the effects that those of the T-learner impute."""
    by_arm, silent = _by_arm(lessons), lessons.arm(0)
    found = np.empty((len(columns), len(lessons.messages)))
    for message in lessons.messages:
        sent = lessons.arm(message)
        gained = lessons.values[sent] - by_arm[0](lessons.columns[sent])
        missed = by_arm[message](lessons.columns[silent]) - lessons.values[silent]
        of_sent = _fit(lessons.columns[sent], gained, lessons.weights[sent])
        of_silent = _fit(lessons.columns[silent], missed, lessons.weights[silent])
        odds = lessons.odds(message)
        found[:, message - 1] = odds * of_silent(columns) + (1 - odds) * of_sent(columns)
    return found


def r_learner(lessons: Lessons, columns: FloatArray) -> FloatArray:
    """Boosters of residuals on residuals, each message against silence."""
    found = np.empty((len(columns), len(lessons.messages)))
    for message in lessons.messages:
        rows, odds = np.concatenate([lessons.arm(0), lessons.arm(message)]), lessons.odds(message)
        outcomes = lessons.outcomes[rows]
        expected = outcomes[:, 0] + odds * (outcomes[:, message] - outcomes[:, 0])
        chosen = (lessons.actions[rows] == message) - odds
        target = (lessons.values[rows] - expected) / chosen
        found[:, message - 1] = _fit(lessons.columns[rows], target, lessons.weights[rows] * chosen**2)(columns)
    return found


def dr_learner(lessons: Lessons, columns: FloatArray) -> FloatArray:
    """Boosters of doubly robust pseudo-outcomes."""
    rows, scores = np.arange(len(lessons.actions)), lessons.outcomes.copy()
    left = lessons.values - scores[rows, lessons.actions]
    scores[rows, lessons.actions] += left / lessons.probabilities
    even = np.ones(len(rows))
    return np.column_stack(
        [_fit(lessons.columns, scores[:, message] - scores[:, 0], even)(columns) for message in lessons.messages]
    )


def causal_forest(lessons: Lessons, columns: FloatArray) -> FloatArray:
    """Econml's causal forest after double machine learning; missing features count as the mean."""
    from sklearn.dummy import DummyClassifier

    forest = import_module("econml.dml").CausalForestDML(
        model_y=lightgbm.LGBMRegressor(**_parameters(len(lessons.values)), n_estimators=_ROUNDS),
        model_t=DummyClassifier(strategy="prior"),
        discrete_treatment=True,
        n_estimators=_FOREST_TREES,
        min_samples_leaf=_FOREST_LEAF,
        max_samples=0.4,
        inference=False,
        cv=2,
        n_jobs=1,
        random_state=1,
    )
    means, spreads = moments(lessons.columns)
    forest.fit(
        lessons.values,
        lessons.actions,
        X=standardised(lessons.columns, means, spreads),
        sample_weight=lessons.weights,
    )
    tried = np.unique(lessons.actions)
    found = np.zeros((len(columns), len(lessons.messages)))
    found[:, tried[tried > 0] - 1] = forest.const_marginal_effect(standardised(columns, means, spreads)).reshape(
        len(columns), -1
    )
    return found


CONTESTANTS: dict[str, Contestant] = {
    "S-learner": s_learner,
    "T-learner": t_learner,
    "X-learner": x_learner,
    "R-learner": r_learner,
    "DR-learner": dr_learner,
    **({"causal forest": causal_forest} if find_spec("econml") else {}),
}
"""By name; what needs econml only where it is installed."""


def _by_arm(lessons: Lessons) -> list[Regression]:
    arms = (lessons.arm(action) for action in (0, *lessons.messages))
    return [_fit(lessons.columns[rows], lessons.values[rows], lessons.weights[rows]) for rows in arms]


def _fit(
    columns: FloatArray, target: FloatArray, weights: FloatArray, *, categories: list[int] | None = None
) -> Regression:
    """A booster; 0 for everybody where there is nothing to learn from."""
    if not len(target):
        return lambda asked: np.zeros(len(asked))
    scale = float(target.std()) or 1.0
    parameters = _parameters(len(target))
    data = lightgbm.Dataset(
        columns, target / scale, weight=weights, categorical_feature=categories or "auto", params=parameters
    )
    booster = lightgbm.train(parameters, data, num_boost_round=_ROUNDS)
    return lambda asked: np.asarray(booster.predict(asked, num_threads=1)) * scale


def _parameters(size: int) -> dict[str, Any]:
    leaf = int(np.clip(size / 50, _LEAST_LEAF, _MOST_LEAF))
    return {"objective": "regression", "learning_rate": 0.05, "num_leaves": 7, "min_data_in_leaf": leaf, "seed": 1} | (
        REPEATABLE
    )
