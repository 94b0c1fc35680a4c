"""Leaf sets give LightGBM's scores, bit for bit, for every booster we train and every row."""

from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decisioning.arrays import FloatArray
from decisioning.errors import InvalidInputError
from features.models import leaf_sets
from features.models.booster_text import UnknownBoosterError, read_booster_text
from features.models.leaf_sets import LeafSets, compile_booster
from tests.features.models.boosters import COLUMNS, Recipe, recipes, rows_of, train


def compiled(booster: lightgbm.Booster) -> LeafSets:
    return compile_booster(read_booster_text(booster.model_to_string()))


def both(
    booster: lightgbm.Booster, shared: FloatArray, messages: FloatArray, first: int
) -> tuple[FloatArray, FloatArray]:
    """Scores by LightGBM and by leaf sets for n customers and r message rows."""
    rows = np.concatenate(
        [
            np.repeat(shared[:, np.newaxis, :first], len(messages), axis=1),
            np.repeat(messages[np.newaxis], len(shared), axis=0),
            np.repeat(shared[:, np.newaxis, first:], len(messages), axis=1),
        ],
        axis=2,
    )
    loaded = lightgbm.Booster(model_str=booster.model_to_string())
    said = np.asarray(loaded.predict(rows.reshape(-1, rows.shape[2]), num_threads=1)).reshape(rows.shape[:2])
    return said, compiled(booster).for_messages(messages, first)(shared)


def check_equal(booster: lightgbm.Booster, seed: int, first: int = 2, width: int = 2) -> None:
    rng = np.random.default_rng(seed)
    cuts = compiled(booster).cuts
    columns = booster.num_feature()
    shared = rows_of(rng, cuts, 23, columns - width)
    said, found = both(booster, shared, rows_of(rng, cuts, 17, width), first)
    np.testing.assert_array_equal(found.view(np.int64), said.view(np.int64))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipe=recipes(), seed=st.integers(0, 1_000_000), first=st.integers(0, 4), width=st.integers(0, 2))
def test_any_booster_scores_any_row_as_lightgbm_does(recipe: Recipe, seed: int, first: int, width: int):
    check_equal(train(recipe), seed, first, width)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(Recipe(seed=1, missing_share=0.0), id="nothing-missing-in-training"),
        pytest.param(Recipe(seed=2, missing_share=0.3), id="missing-in-training"),
        pytest.param(Recipe(seed=3, settings={"zero_as_missing": True}, zero_share=0.4), id="zero-is-missing"),
        pytest.param(Recipe(seed=4, settings={"use_missing": False}), id="missing-is-not-used"),
        pytest.param(Recipe(seed=5, categories=40, settings={"min_data_per_group": 1}), id="categories"),
        pytest.param(Recipe(seed=6, categories=4, settings={"max_cat_to_onehot": 64}), id="one-category-at-a-time"),
        pytest.param(Recipe(seed=7, leaves=200), id="several-words-of-leaves"),
        pytest.param(Recipe(seed=8, is_continued=True), id="continued"),
        pytest.param(Recipe(seed=9, is_refitted=True), id="refitted"),
        pytest.param(Recipe(seed=10, objective="binary"), id="binary"),
        pytest.param(Recipe(seed=11, objective="tweedie"), id="tweedie"),
        pytest.param(Recipe(seed=12, settings={"linear_tree": False, "extra_trees": True}), id="random-thresholds"),
        pytest.param(
            Recipe(seed=13, settings={"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}), id="mean-of-trees"
        ),
        pytest.param(Recipe(seed=14, settings={"boosting": "dart", "drop_rate": 0.5}), id="dropped-trees"),
        pytest.param(Recipe(seed=15, leaves=2, rounds=1), id="one-split"),
        pytest.param(Recipe(seed=16, settings={"min_data_in_leaf": 1000}), id="no-split"),
        pytest.param(Recipe(seed=17, leaves=64, rounds=3), id="one-full-word"),
    ],
)
def test_every_kind_of_booster_scores_equally_bit_for_bit(recipe: Recipe):
    booster = train(recipe)
    for seed in range(6):
        check_equal(booster, seed)


def test_a_column_may_be_categorical_in_some_trees_and_numeric_in_others():
    """Training continues on the same column, first as categories and then as numbers."""
    recipe = Recipe(seed=3, categories=12)
    first = train(recipe)
    plain = replace(recipe, categories=0)
    from tests.features.models.boosters import make_data

    matrix, target = make_data(plain)
    more = lightgbm.train(
        {"objective": "regression", "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(matrix, target), 5
    )
    texts = [one.model_to_string() for one in (first, more)]
    trees = [read_booster_text(text) for text in texts]
    joined = replace(trees[0], trees=trees[0].trees + trees[1].trees)
    sets, parts = compile_booster(joined), [compile_booster(one) for one in trees]
    rng = np.random.default_rng(0)
    shared, messages = rows_of(rng, sets.cuts, 30, COLUMNS - 2), rows_of(rng, sets.cuts, 11, 2)
    found = sets.for_messages(messages, 2)(shared)
    np.testing.assert_allclose(
        found, sum(one.for_messages(messages, 2)(shared) for one in parts), rtol=1e-12, atol=1e-12
    )


def test_the_trees_that_early_stopping_keeps_score_equally():
    booster = train(Recipe(seed=5, rounds=20))
    rng = np.random.default_rng(1)
    matrix = rows_of(rng, compiled(booster).cuts, 200)
    for start, count in ((0, 7), (4, 9), (19, 1)):
        text = booster.model_to_string(start_iteration=start, num_iteration=count)
        part = compile_booster(read_booster_text(text))
        said = booster.predict(matrix, start_iteration=start, num_iteration=count, num_threads=1)
        found = part.for_messages(np.empty((1, 0)), COLUMNS)(matrix)[:, 0]
        np.testing.assert_array_equal(found, said)


def test_many_customers_at_once_score_as_each_alone():
    sets = compiled(train(Recipe(seed=6)))
    rng = np.random.default_rng(2)
    shared, messages = rows_of(rng, sets.cuts, 300, COLUMNS - 2), rows_of(rng, sets.cuts, 9, 2)
    score = sets.for_messages(messages, 1)
    together = score(shared)
    for row, values in zip(shared, together, strict=True):
        np.testing.assert_array_equal(score(row[np.newaxis])[0], values)
    np.testing.assert_array_equal(score(np.asfortranarray(shared)), together)


def test_messages_that_no_split_distinguishes_are_computed_once():
    sets = compiled(train(Recipe(seed=6)))
    messages = np.repeat(np.array([[1.0, 2.0], [np.nan, 0.0]]), 20, axis=0)
    assert sets.for_messages(messages, 2).places.shape[1] <= 2


@pytest.mark.parametrize("leaves", [5, 20, 100])
def test_many_groups_of_messages_use_wider_indices(leaves: int, monkeypatch: pytest.MonkeyPatch):
    booster = train(Recipe(seed=8, leaves=leaves))
    monkeypatch.setattr(leaf_sets, "_MOST_SMALL", 3)
    assert compiled(booster).for_messages(np.ones((5, 2)) * np.arange(5)[:, np.newaxis], 0).places.dtype == np.uint32
    check_equal(booster, 1)


def test_no_customers_give_no_scores():
    score = compiled(train(Recipe(seed=6))).for_messages(np.zeros((3, 2)), 2)
    assert score(np.empty((0, 4))).shape == (0, 3)


def test_a_wrong_number_of_columns_is_refused():
    score = compiled(train(Recipe(seed=6))).for_messages(np.zeros((3, 2)), 2)
    with pytest.raises(InvalidInputError, match="shared columns must be 4, got 3"):
        score(np.zeros((1, 3)))


def test_a_booster_whose_tables_would_be_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leaf_sets, "_LARGEST_TABLE", 1_000)
    with pytest.raises(UnknownBoosterError, match="tables of a booster must have at most 1,000 bytes"):
        compiled(train(Recipe(seed=6)))
