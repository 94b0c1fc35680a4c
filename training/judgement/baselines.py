"""What a simple model reaches, and how a model does on later decisions of other customers."""

import lightgbm
import numpy as np

from decisioning.arrays import FloatArray
from training.data.datasets import Dataset
from training.models.boosting import designs, message_table, scaled_target
from training.models.learner import Learned, customers_at_random

FORWARD_SHARE = 0.7
"""Share of the time span that the forward check trains on."""

_FEWEST = 100


MOST_COMPARED = 20_000
"""Decisions that the linear model is tried on: more take time and say nothing new."""


def linear_r2(dataset: Dataset, seed: int) -> float:
    """Share of the variance that the linear model explains of customers it did not see; NaN where there is none."""
    some = dataset.take(customers_at_random(dataset, MOST_COMPARED / dataset.size, seed))
    return r2(some.values, linear_predictions(some, seed))


def r2(values: FloatArray, predicted: FloatArray) -> float:
    """Share of the variance that predictions explain; NaN where there is none."""
    from sklearn.metrics import r2_score

    return float(r2_score(values, predicted)) if np.ptp(values) > 0 else np.nan


def linear_predictions(dataset: Dataset, seed: int) -> FloatArray:
    """Cross-fitted ridge regression on customer, message, and customer for messaged customers: shape (n,)."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.preprocessing import StandardScaler

    inputs = np.hstack([dataset.features, dataset.contexts])
    known = np.isfinite(inputs)
    inputs = np.where(known, inputs, 0.0)
    spread = np.hstack([inputs, ~known[:, ~known.all(axis=0)]])
    standardised = np.clip(StandardScaler().fit_transform(spread), -5, 5)
    is_sent = (dataset.actions > 0)[:, np.newaxis]
    actions = (dataset.actions[:, np.newaxis] == np.arange(1, len(dataset.keys))).astype(np.float64)
    matrix = np.hstack([standardised, actions, standardised * is_sent])
    folds = GroupKFold(n_splits=5, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(Ridge(alpha=100.0), matrix, dataset.values, groups=dataset.customers, cv=folds))


def forward_metrics(learned: Learned) -> dict[str, float]:
    """How the booster, trained on early decisions of four fifths of the customers, predicts later ones of the others.

    Decisions whose window reaches beyond the moment are left out of training, or it would know the future. Nothing
    where the log holds too little before or after.
    """
    dataset = learned.dataset
    at = dataset.decisions["decided_at"].dt.epoch("us").to_numpy()
    cut = at.min() + FORWARD_SHARE * (at.max() - at.min())
    ends = at + dataset.contexts[:, 0] * 86_400e6
    is_test_customer = np.random.default_rng(learned.settings.seed + 3).random(int(dataset.customers.max()) + 1) < 1 / 5
    is_test = is_test_customer[dataset.customers] & (at >= cut)
    is_train = ~is_test_customer[dataset.customers] & (ends <= cut)
    if is_test.sum() < _FEWEST or is_train.sum() < _FEWEST or np.ptp(dataset.values[is_test]) == 0:
        return {}
    predicted, values = _trained_apart(learned, dataset.take(is_train), dataset.take(is_test)), dataset.values[is_test]
    ratio = float(predicted.mean() / values.mean()) if values.mean() else np.nan
    return {"forward_r2": r2(values, predicted), "forward_predicted_over_realised": ratio}


def _trained_apart(learned: Learned, train: Dataset, test: Dataset) -> FloatArray:
    table = message_table(learned.bundle.coding, train)
    scale, target = scaled_target(train.values, learned.settings.objective)
    parameters = learned.settings.parameters()
    data = lightgbm.Dataset(designs(train, table, train.actions), target, params=parameters)
    booster = lightgbm.train(parameters, data, num_boost_round=learned.fitted.rounds)
    return np.asarray(booster.predict(designs(test, table, test.actions), num_threads=1)) * scale
