"""The learned function: one LightGBM booster over customer, message and context columns, and its twins.

A booster's own training rows flatter it. So beside the final booster, one per fold of customers is trained without
them, and everything that is estimated on top (`effects`) uses what boosters say of customers they never saw.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import lightgbm
import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.measure import Measure, Unit
from decisioning.effects.message_coding import MessageCoding, describe
from decisioning.value_model import DesignLayout
from features.models.learned import LearnedFunction
from features.progress import OnProgress
from training.data.datasets import Dataset
from training.data.missing import copies_with_missing
from training.models.folds import FoldBooster, train_together

REPEATABLE = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1}
"""LightGBM's parameters under which the same data give the same booster, in silence."""

_TOLD_TREES = 125
_TOLD: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.2,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.7,
    "max_bin": 127,
    **REPEATABLE,
}
_SCORED_AT_ONCE = 20_000
_LARGEST_NEGATIVE_SHARE = 0.02
_FEWEST_BUYERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterSettings:
    """How boosters are trained. Strong regularisation: a leaf must hold many decisions.

    Steps half as large and twice as many took twice as long and lowered the cross-validated loss of the rewards data by
    0.06 %, and no share of `benchmarks/known_truth.py` differed by more than its noise.

    Attributes:
        objective: `tweedie` (money that is never or hardly ever negative: noise grows with the mean and effects
            multiply), `binary` (a rate), or `regression` (money that is often negative).
        most_rounds: Trees at most; cross-validation says where to stop.
        leaves: Of a tree, at most.
        smallest_leaf: Decisions in a leaf, at least.
        feature_share: Share of the columns that a tree may look at.
        ridge: Penalty on the squares of leaf values.
    """

    objective: str
    most_rounds: int = 115
    learning_rate: float = 0.14
    leaves: int = 15
    smallest_leaf: int = 150
    feature_share: float = 0.6
    ridge: float = 5.0
    fold_count: int = 5
    seed: int = 20

    def parameters(self) -> dict[str, Any]:
        """LightGBM's names for them; one thread, since boosters are trained side by side."""
        parameters: dict[str, Any] = {
            "objective": self.objective,
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.smallest_leaf,
            "feature_fraction": self.feature_share,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": self.ridge,
            "max_bin": 127,
            "seed": self.seed,
            **REPEATABLE,
        }
        return parameters | ({"tweedie_variance_power": 1.6} if self.objective == "tweedie" else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFitted:
    """Boosters and what they say of customers they were not trained on.

    Attributes:
        text: The final booster, trained on everybody, in LightGBM's text form.
        scale: Unit of the learned function: one of it is this much of the measure.
        rounds: Trees, as cross-validation chose.
        raw: shape (n, k + 1) over the decisions asked for: the learned function for silence and every message, from
            the booster without the customer's fold.
        curve: Cross-validated loss after each round.
        importance: Share of the gain of each column, by name.
        silence_weight: The final booster says this many times what `raw` says of silence; see `Told`.
        likeness: Share of the variance of effects by customer that the final booster says again; None where it was
            trained on outcomes.
    """

    text: str
    scale: float
    rounds: int
    raw: FloatArray
    curve: FloatArray
    importance: dict[str, float] = field(default_factory=dict[str, float])
    silence_weight: float = 1.0
    likeness: float | None = None


def settings_for(dataset: Dataset, measure: Measure) -> BoosterSettings:
    """Settings that fit the size of a dataset and the kind of its measure."""
    smallest_leaf = int(np.clip(dataset.size / 300, 20, 150))
    return BoosterSettings(objective=_objective(dataset, measure), smallest_leaf=smallest_leaf)


def _objective(dataset: Dataset, measure: Measure) -> str:
    """Tweedie asks for something positive in every training part: two customers who brought something give that."""
    values = dataset.values
    if measure.unit is Unit.RATE:
        return "binary"
    if np.unique(dataset.customers[values > 0]).size < _FEWEST_BUYERS:
        return "regression"
    negative, total = -np.minimum(values, 0.0).sum(), np.abs(values).sum()
    return "tweedie" if negative <= _LARGEST_NEGATIVE_SHARE * total else "regression"


def message_table(coding: MessageCoding, dataset: Dataset) -> FloatArray:
    """Message columns of silence and the dataset's messages, shape (k + 1, m); what is estimated is not known yet."""
    table, described = np.full((len(dataset.keys), len(coding.columns)), np.nan), len(coding.described_columns)
    table[0, 0] = 1.0
    for row, message in enumerate(dataset.messages, start=1):
        table[row, :described] = describe(coding, message)
    table[:, described:] = 0.0
    return table


def designs(dataset: Dataset, table: FloatArray, actions: IntArray | int) -> FloatArray:
    """Design rows, shape (n, p): each decision's customer and context with the message columns of an action."""
    rows = np.broadcast_to(table[actions], (dataset.size, table.shape[1]))
    return np.hstack([dataset.features, rows, dataset.contexts])


def cross_fit(
    dataset: Dataset,
    table: FloatArray,
    layout: DesignLayout,
    settings: BoosterSettings,
    *,
    groups: IntArray | None = None,
    rows: BoolArray | None = None,
    on_progress: OnProgress | None = None,
) -> CrossFitted:
    """Train a booster per fold side by side, stop where they agree it is best, and train the final one.

    Args:
        dataset: n decisions.
        table: From `message_table`.
        layout: Columns of the design.
        settings: How.
        groups: shape (d,), features that go missing together; see `training.data.missing`. Default all together.
        rows: shape (n,), decisions to give the learned function of; default all.
        on_progress: Told how many rounds are done, of how many at most.
    """
    folds = customer_folds(dataset.customers, settings.fold_count, settings.seed, values=dataset.values)
    together = np.zeros(dataset.features.shape[1], dtype=np.int64) if groups is None else groups
    shown = Shown(*copies_with_missing(dataset.features, together, settings.seed))
    scale, target = scaled_target(dataset.values, settings.objective)
    parameters = settings.parameters()
    data = lightgbm.Dataset(
        *shown.added(designs(dataset, table, dataset.actions), target), params=parameters
    ).construct()
    shown_folds = np.concatenate([folds, folds[shown.rows]])
    prepared = [
        partial(FoldBooster, parameters, data, np.flatnonzero(shown_folds != each), np.flatnonzero(folds == each))
        for each in range(settings.fold_count)
    ]
    trained, curve = train_together(prepared, settings.most_rounds, on_progress)
    rounds = int(curve.argmin()) + 1
    wanted = np.ones(dataset.size, dtype=np.bool_) if rows is None else rows
    places = np.cumsum(wanted) - 1
    with ThreadPoolExecutor(max_workers=1) as pool:
        final = pool.submit(lightgbm.train, parameters, data, num_boost_round=rounds)
        raw = np.empty((int(wanted.sum()), len(table)))
        for fold, one in enumerate(trained):
            own = wanted & (folds == fold)
            raw[places[own]] = raw_of(one.model_to_string(num_iteration=rounds), layout, dataset, table, own)
        booster = final.result()
    return CrossFitted(
        text=booster.model_to_string(),
        scale=scale,
        rounds=rounds,
        raw=raw,
        curve=curve,
        importance=importance_of(booster, layout.columns),
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """Rows that are shown again with features missing; see `training.data.missing`.

    Attributes:
        rows: shape (c,), which.
        features: shape (c, d), as they are shown.
    """

    rows: IntArray
    features: FloatArray

    def added(self, matrix: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Design rows and targets with the copies behind them."""
        copies = np.hstack([self.features, matrix[self.rows, self.features.shape[1] :]])
        return np.vstack([matrix, copies]), np.concatenate([target, target[self.rows]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A booster that says again what was estimated already, so that one form serves.

    Attributes:
        scale: One of it is this much of what was told.
        silence_weight: It says this many times the value of silence, to spend its trees on effects.
        changes: shape (c,), what it says of the changes that it was told.
    """

    booster: lightgbm.Booster
    scale: float
    silence_weight: float
    changes: FloatArray


def tell(
    dataset: Dataset,
    table: FloatArray,
    silence: FloatArray,
    pairs: tuple[IntArray, IntArray],
    changes: FloatArray,
    *,
    groups: IntArray,
    seed: int,
) -> Told:
    """Tell a booster what was estimated: there is no noise in it, so it comes as close as it is given trees.

    Args:
        dataset: n decisions.
        table: From `message_table`.
        silence: shape (n,), expected value of silence.
        pairs: shapes (c,), decisions and messages, both by place, of which the change is told.
        changes: shape (c,), what these messages change.
        groups: shape (d,), features that go missing together.
        seed: Of draws.
    """
    (places, messages), n = pairs, dataset.size
    spreads = float(changes.std()), float(silence.std())
    weight = spreads[0] / spreads[1] if min(spreads) > 0 else 1.0
    lines = np.concatenate([np.arange(n), places])
    actions = np.concatenate([np.zeros(n, dtype=np.int64), messages + 1])
    target = weight * silence[lines] + np.concatenate([np.zeros(n), changes])
    scale = float(np.abs(target).mean()) or 1.0
    matrix = np.hstack([dataset.features[lines], table[actions], dataset.contexts[lines]])
    shown = Shown(*copies_with_missing(matrix[:, : len(groups)], groups, seed))
    parameters = _TOLD | {"seed": seed}
    data = lightgbm.Dataset(*shown.added(matrix, target / scale), params=parameters)
    booster = lightgbm.train(parameters, data, num_boost_round=_TOLD_TREES)
    said = np.asarray(booster.predict(matrix, num_threads=1)) * scale
    return Told(booster=booster, scale=scale, silence_weight=weight, changes=said[n:] - said[:n][places])


def customer_folds(customers: IntArray, count: int, seed: int, *, values: FloatArray | None = None) -> IntArray:
    """A fold per decision, shape (n,), in [0, count): all decisions of a customer are in one.

    Customers who brought anything are dealt out first, so that no fold has all of them where there are two or more.
    """
    size = int(customers.max()) + 1
    places = np.random.default_rng(seed).permutation(size)
    if values is not None:
        brought = np.bincount(customers, weights=values > 0, minlength=size) > 0
        places[np.lexsort((places, ~brought))] = np.arange(size)
    return (places % count)[customers]


def scaled_target(values: FloatArray, objective: str) -> tuple[float, FloatArray]:
    """The measure in multiples of its mean, so that regularisation means the same in any currency."""
    if objective == "binary":
        return 1.0, values
    scale = float(np.abs(values).mean()) or 1.0
    target = values / scale
    return scale, np.maximum(target, 0.0) if objective == "tweedie" else target


def raw_of(text: str, layout: DesignLayout, dataset: Dataset, table: FloatArray, rows: BoolArray) -> FloatArray:
    """The learned function of a booster in text form, for silence and every message: shape (rows, k + 1).

    It is scored as it is served, which takes a tenth of the time that LightGBM needs and gives the same.
    """
    score = LearnedFunction(text, layout).on(table)
    places = np.flatnonzero(rows)
    parts = np.split(places, range(_SCORED_AT_ONCE, len(places), _SCORED_AT_ONCE))
    return np.vstack([score(np.hstack([dataset.features[part], dataset.contexts[part]])) for part in parts])


def importance_of(booster: lightgbm.Booster, columns: tuple[str, ...]) -> dict[str, float]:
    """Share of the gain of each column, by name."""
    gain = booster.feature_importance("gain")
    total = float(gain.sum()) or 1.0
    return {name: float(one) / total for name, one in zip(columns, gain, strict=True)}
