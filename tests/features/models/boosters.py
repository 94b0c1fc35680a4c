"""Boosters of every kind that training can make, and rows that would reveal a difference between them."""

from dataclasses import dataclass, field

import lightgbm
import numpy as np
from hypothesis import strategies as st

from decisioning.arrays import FloatArray

COLUMNS = 6
CATEGORICAL = (1, 4)

ODD = [np.nan, 0.0, -0.0, np.inf, -np.inf, 5e-324, -5e-324, 1e-36, -1e-36, 1e-35, 1.0000000180025095e-35, 1.1e-35]
ODD += [-1.1e-35, -1.0, -0.5, -0.999, 0.5, 0.999, 3.0, 3.7, 31.0, 32.0, 63.5, 2.0**31 - 1, 2.0**31, -(2.0**31), 1e300]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a booster."""

    seed: int
    objective: str = "regression"
    leaves: int = 15
    rounds: int = 8
    settings: dict[str, object] = field(default_factory=dict)
    missing_share: float = 0.1
    zero_share: float = 0.1
    categories: int = 0
    is_continued: bool = False
    is_refitted: bool = False


def make_data(recipe: Recipe, rows: int = 400) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(recipe.seed)
    matrix = rng.normal(0.0, 3.0, (rows, COLUMNS))
    matrix[:, 3] = np.round(matrix[:, 3])
    if recipe.categories:
        for column in CATEGORICAL:
            matrix[:, column] = np.minimum(rng.geometric(3.0 / recipe.categories, rows) - 1, recipe.categories)
    matrix[rng.random(matrix.shape) < recipe.zero_share] = 0.0
    matrix[rng.random(matrix.shape) < recipe.missing_share] = np.nan
    filled = np.nan_to_num(matrix, nan=1.5)
    signal = filled[:, 0] * filled[:, 2] + 3.0 * np.sin(filled[:, 1]) + (filled[:, 4] % 3) + rng.normal(size=rows)
    if recipe.objective == "binary":
        return matrix, (signal > np.median(signal)).astype(np.float64)
    return matrix, np.maximum(signal, 0.0) if recipe.objective == "tweedie" else signal


def train(recipe: Recipe) -> lightgbm.Booster:
    matrix, target = make_data(recipe)
    settings = {
        "objective": recipe.objective,
        "num_leaves": recipe.leaves,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 1e-6,
        "learning_rate": 0.2,
        "verbosity": -1,
        "num_threads": 1,
        "seed": recipe.seed,
        **recipe.settings,
    }
    columns = list(CATEGORICAL) if recipe.categories else "auto"

    def data() -> lightgbm.Dataset:
        return lightgbm.Dataset(matrix, target, params=settings, categorical_feature=columns, free_raw_data=False)

    booster = lightgbm.train(settings, data(), num_boost_round=recipe.rounds)
    if recipe.is_continued:
        other = {**settings, "learning_rate": 0.05, "num_leaves": max(2, recipe.leaves // 2)}
        booster = lightgbm.train(other, data(), num_boost_round=recipe.rounds, init_model=booster)
    if recipe.is_refitted:
        booster = booster.refit(matrix, target[::-1].copy(), decay_rate=0.3)
    return booster


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    categories = draw(st.sampled_from([0, 0, 4, 40, 120]))
    settings: dict[str, object] = {
        "use_missing": draw(st.sampled_from([True, True, False])),
        "zero_as_missing": draw(st.booleans()),
        "extra_trees": draw(st.booleans()),
        "max_bin": draw(st.sampled_from([3, 31, 255])),
        "feature_fraction": draw(st.sampled_from([0.5, 1.0])),
    }
    if categories:
        settings |= {
            "max_cat_threshold": draw(st.sampled_from([1, 8, 64])),
            "max_cat_to_onehot": draw(st.sampled_from([1, 4, 64])),
            "min_data_per_group": draw(st.sampled_from([1, 20])),
            "cat_smooth": draw(st.sampled_from([0.0, 10.0])),
        }
    return Recipe(
        seed=draw(st.integers(0, 10_000)),
        objective=draw(st.sampled_from(["regression", "binary", "tweedie"])),
        leaves=draw(st.sampled_from([2, 5, 16, 17, 32, 33, 64, 65, 130, 200])),
        rounds=draw(st.integers(1, 9)),
        settings=settings,
        missing_share=draw(st.sampled_from([0.0, 0.0, 0.15])),
        zero_share=draw(st.sampled_from([0.0, 0.2])),
        categories=categories,
        is_continued=draw(st.booleans()),
        is_refitted=draw(st.booleans()),
    )


def rows_of(draw_from: np.random.Generator, cuts: FloatArray, count: int, columns: int = COLUMNS) -> FloatArray:
    """Rows with values at the thresholds, just beside them, odd numbers, and known and unknown categories."""
    beside = [np.nextafter(cuts, np.inf), np.nextafter(cuts, -np.inf)] if len(cuts) else []
    pool = np.concatenate([ODD, np.arange(-3.0, 130.0), draw_from.normal(0.0, 4.0, 40), cuts, *beside])
    return draw_from.choice(pool, (count, columns))
