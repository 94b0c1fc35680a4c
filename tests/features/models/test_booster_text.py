"""LightGBM's text format is read bit for bit, and boosters that leaf sets cannot represent are refused."""

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings

from features.models.booster_text import Output, UnknownBoosterError, read_booster_text
from tests.features.models.boosters import COLUMNS, Recipe, make_data, recipes, train


@settings(max_examples=15, deadline=None)
@given(recipe=recipes())
def test_leaves_and_thresholds_equal_the_boosters_bit_for_bit(recipe: Recipe):
    """The data frame says 1e300 where a booster compares with infinity to separate missing from known values."""
    booster = train(recipe)
    read = read_booster_text(booster.model_to_string())
    frame = booster.trees_to_dataframe()
    assert read.columns == COLUMNS
    assert len(read.trees) == booster.num_trees()
    for place, tree in enumerate(read.trees):
        leaves = [booster.get_leaf_output(place, leaf) for leaf in range(len(tree.leaves))]
        assert list(tree.leaves) == leaves
        numbers = sorted(min(one.threshold, 1e300) for one in tree.splits if one.categories is None)
        nodes = frame[(frame.tree_index == place) & (frame.decision_type == "<=")]
        assert numbers == sorted(float(one) for one in nodes.threshold)
        categories = sorted(sorted(one.categories) for one in tree.splits if one.categories is not None)
        nodes = frame[(frame.tree_index == place) & (frame.decision_type == "==")]
        assert categories == sorted([int(word) for word in str(one).split("||")] for one in nodes.threshold)


def test_the_output_transformation_follows_the_objective():
    outputs = {
        name: read_booster_text(train(Recipe(seed=1, objective=name)).model_to_string()).output for name in NAMES
    }
    assert outputs == NAMES
    steep = read_booster_text(train(Recipe(seed=1, objective="binary", settings={"sigmoid": 2.5})).model_to_string())
    assert steep.steepness == 2.5


NAMES = {"regression": Output.SUM, "tweedie": Output.EXP, "binary": Output.LOGISTIC}


def text_of(**settings: object) -> str:
    return train(Recipe(seed=2, rounds=2, settings=settings)).model_to_string()


def test_linear_leaves_are_refused():
    with pytest.raises(UnknownBoosterError, match="must have constant leaves, got linear ones"):
        read_booster_text(text_of(linear_tree=True))


@pytest.mark.parametrize("settings", [{"objective": "huber"}, {"reg_sqrt": True}])
def test_another_objective_is_refused(settings: dict[str, object]):
    with pytest.raises(UnknownBoosterError, match="objective of a booster must be one of binary, regression, tweedie"):
        read_booster_text(text_of(**settings))


def test_several_outputs_are_refused():
    matrix, _ = make_data(Recipe(seed=2))
    classes = np.arange(len(matrix)) % 3
    parameters = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, classes), num_boost_round=2)
    with pytest.raises(UnknownBoosterError, match="objective of a booster"):
        read_booster_text(booster.model_to_string())
    text = booster.model_to_string().replace("objective=multiclass num_class:3", "objective=regression")
    with pytest.raises(UnknownBoosterError, match="must have one output, got 3"):
        read_booster_text(text)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_feature_idx=5", "max_feature_idx=x", "text form"),
        ("max_feature_idx=5", "max_feature_idx=0", "columns of a tree must be among the 1"),
        ("left_child=1", "left_child=0", "must be a later node or a leaf"),
        ("left_child=1", "left_child=900", "must be a later node or a leaf"),
        ("left_child=1", "left_child=-900", "must be a later node or a leaf"),
        ("leaf_value=", "leaf_value=1.0 ", "leaf_value of a tree must have"),
        ("threshold=", "no_threshold=", "text form"),
        ("decision_type=2 ", "decision_type=14 ", "text form"),
    ],
)
def test_an_invalid_booster_text_is_refused(old: str, new: str, words: str):
    text = train(Recipe(seed=4, missing_share=0.0)).model_to_string()
    assert old in text
    with pytest.raises(UnknownBoosterError, match=words):
        read_booster_text(text.replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "tree\nnonsense", "no model"])
def test_a_text_that_is_not_a_booster_is_refused(text: str):
    with pytest.raises(UnknownBoosterError):
        read_booster_text(text)
