"""What customers differ in is believed at the journey stages and in the segments where it proves right."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from features.computing.feature_set import STAGE_INDEX
from features.models.bundle import ModelBundle, value_model
from tests.training.models.test_learning import make_dataset
from training.data.action_probabilities import LoggedChoice
from training.data.datasets import Dataset
from training.models.effects import EffectEvidence, Parts
from training.models.group_slopes import GROUPS_NOTE, CustomerGroups, GroupEstimates, groupings_of, pooled
from training.models.group_slopes import slopes_by_groups as slopes_of
from training.models.learner import Learned, learn

BEST_FOR_ALL = 4


def staged(catalogue: Catalogue, *, seed: int = 1, customers: int = 1500, is_noise: bool) -> Dataset:
    """Customers who like one message or another by taste; of those at the second stage the feature may be noise."""
    dataset = make_dataset(catalogue, seed=seed, customers=customers, particular=500.0)
    rng = np.random.default_rng(seed + 100)
    stages = rng.integers(0, 2, customers)[dataset.customers]
    features = dataset.features.copy()
    made_up = rng.choice([-1.0, 1.0], customers)[dataset.customers]
    features[:, 1] = np.where((stages == 1) & is_noise, made_up, features[:, 1])
    names = (*dataset.feature_names, STAGE_INDEX)
    return replace(dataset, features=np.column_stack([features, stages]), feature_names=names)


@pytest.fixture(scope="module")
def learned(shop_catalogue: Catalogue) -> Learned:
    return learn(staged(shop_catalogue, is_noise=True), shop_catalogue)


def differing(bundle: ModelBundle, dataset: Dataset) -> list[float]:
    """Share of customers at each stage who get something else than the best message for all."""
    shared = np.hstack([dataset.features, dataset.contexts])
    best = value_model(bundle, version="1").on(dataset.messages).of_columns(shared).argmax(axis=1)
    return [float((best[dataset.features[:, 3] == stage] != BEST_FOR_ALL).mean()) for stage in (0, 1)]


def test_the_policy_is_personal_where_effects_are_and_simple_where_they_are_noise(
    learned: Learned, shop_catalogue: Catalogue
):
    others = staged(shop_catalogue, seed=5, customers=300, is_noise=True)
    personal, simple = differing(learned.bundle, others)
    assert personal > 0.4
    assert simple < 0.01
    assert differing(replace(learned.bundle, group_slopes=None), others)[1] > 0.3


def test_what_came_of_asking_stages_is_noted_and_served(learned: Learned):
    new, active = learned.groups
    assert (new.by, new.group, active.group) == ("stage", "new", "active")
    assert new.believed > 1
    assert active.believed < 0.5
    assert new.gain is not None
    assert new.gain > 5 * (new.gain_error or np.inf)
    assert learned.bundle.notes[GROUPS_NOTE] == [new.plain(), active.plain()]
    assert learned.bundle.group_slopes is not None
    assert learned.bundle.group_slopes.by_feature[STAGE_INDEX][:2] == (new.believed, active.believed)


def test_the_learners_own_values_are_those_that_are_served(learned: Learned):
    served = value_model(learned.bundle, version="1").on(learned.dataset.messages)
    values = served.of_columns(np.hstack([learned.dataset.features, learned.dataset.contexts]))
    evidence, stages = learned.evidence, learned.dataset.features[:, 3]
    seen = learned.parts.values(evidence.raw, evidence.linear, evidence.slopes)
    for found in (values, seen):
        spreads = [(found[stages == stage, 1] - found[stages == stage, 0]).std() for stage in (0, 1)]
        assert spreads[0] > 2 * spreads[1]


def test_where_stages_are_alike_nothing_is_lost(shop_catalogue: Catalogue):
    alike = learn(staged(shop_catalogue, is_noise=False), shop_catalogue)
    others = staged(shop_catalogue, seed=5, customers=300, is_noise=False)
    by_group, as_one = differing(alike.bundle, others), differing(replace(alike.bundle, group_slopes=None), others)
    np.testing.assert_allclose(by_group, as_one, atol=0.01)


def test_a_log_without_probabilities_has_no_groups(shop_catalogue: Catalogue):
    dataset = staged(shop_catalogue, customers=200, is_noise=True)
    guessed = learn(replace(dataset, probabilities=np.full(dataset.size, np.nan)), shop_catalogue)
    assert not guessed.groups
    assert guessed.bundle.coding.averages is None


def estimates(values: list[float], errors: list[float]) -> GroupEstimates:
    return GroupEstimates(values=np.array(values), precisions=np.array(errors) ** -2.0)


def test_a_small_group_follows_the_whole_and_one_that_surely_differs_goes_its_own_way():
    alike, small = pooled(estimates([1.05, 0.0], [0.1, 1.0]), middle=1.0)[0]
    assert alike == pytest.approx(1.0, abs=0.05)
    assert small > 0.85
    assert pooled(estimates([1.05, 0.0], [0.1, 0.1]), middle=1.0)[0][1] < 0.1
    means, deviations = pooled(estimates([3.0, 2.0, 3.0, -1.0], [1.0, 1.0, 1.0, 4.0]))
    assert means[3] > 2
    assert deviations[3] > deviations[0]


def test_of_a_group_that_says_nothing_what_the_others_say_is_believed():
    found = pooled(GroupEstimates(values=np.array([0.0, 2.0, 2.0]), precisions=np.array([0.0, 4.0, 4.0])))[0]
    np.testing.assert_allclose(found, 2.0)
    nothing = GroupEstimates(values=np.zeros(2), precisions=np.zeros(2))
    assert pooled(nothing, middle=1.0)[0].tolist() == [1.0, 1.0]


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.05, 5)), min_size=2, max_size=6), st.booleans())
def test_pooling_draws_every_group_nearer_to_the_others_whatever_their_order(
    groups: list[tuple[float, float]], is_towards_one: bool
):
    values, errors = [one[0] for one in groups], [one[1] for one in groups]
    middle = 1.0 if is_towards_one else None
    means, _ = pooled(estimates(values, errors), middle=middle)
    ends = [*values, 1.0] if is_towards_one else values
    assert (means >= min(ends) - 1e-9).all()
    assert (means <= max(ends) + 1e-9).all()
    backwards, _ = pooled(estimates(values[::-1], errors[::-1]), middle=middle)
    np.testing.assert_allclose(backwards[::-1], means, rtol=1e-6, atol=1e-9)


def test_a_stage_where_free_choice_loses_gets_the_best_message_for_all_although_the_slope_is_right():
    """At the second stage the first message does what it says, but for the customers who would get it."""
    rng = np.random.default_rng(1)
    tastes, stages, actions = rng.normal(size=20_000), rng.integers(0, 2, 20_000), rng.integers(0, 3, 20_000)
    truth = np.where((stages == 1) & (tastes > 1), -1.0, tastes)
    values = np.select([actions == 1, actions == 2], [truth, 0.4], 0.0) + rng.normal(0, 0.5, 20_000)
    slopes, _, (first, second) = slopes_of(
        evidence_of(tastes, actions, values), parts_of(0.0, 0.4), values - 0.4 * (actions == 2),
        [stages.astype(np.float64)], [CustomerGroups(by="stage", feature="stage", names=("one", "two"))], constant=2,
    )  # fmt: skip
    assert slopes is not None
    assert second.slope is not None
    assert second.slope > 5 * (second.slope_error or np.inf)
    assert slopes.by_feature["stage"] == (first.believed, 0.0)
    assert first.believed == pytest.approx(1.0, abs=0.05)


def evidence_of(tastes: FloatArray, actions: np.ndarray, values: FloatArray) -> EffectEvidence:
    return EffectEvidence(
        raw=np.column_stack([np.zeros_like(tastes), tastes, np.zeros_like(tastes)]),
        actions=actions.astype(np.int64),
        values=values,
        customers=np.arange(len(tastes)),
        choice=LoggedChoice(probabilities=np.full(len(tastes), 1 / 3), shares=np.full(3, 1 / 3), is_randomised=True),
        levels=(np.arange(2),),
    )


def parts_of(*averages: float) -> Parts:
    """Values are what boosters say, and averages."""
    found, nothing = np.array(averages), np.zeros(len(averages))
    return Parts(
        common_slope=0.0, specific_slope=1.0, offsets=found, responses=nothing, references=nothing, averages=found
    )


def test_groups_are_stages_and_the_first_categories_and_flags_that_features_hold(shop_catalogue: Catalogue):
    attributes = tuple(
        Attribute(name=name, kind=kind, values=values)
        for name, kind, values in (
            ("age", AttributeKind.NUMBER, ()),
            ("unheard-of", AttributeKind.FLAG, ()),
            ("tier", AttributeKind.CATEGORY, ("low", "high")),
            ("is_member", AttributeKind.FLAG, ()),
            ("region", AttributeKind.CATEGORY, ("north", "south")),
        )
    )
    catalogue = replace(shop_catalogue, customer_attributes=attributes)
    names = (STAGE_INDEX, "attribute_age", "attribute_tier", "attribute_is_member", "attribute_region")
    found = groupings_of(catalogue, names)
    assert [one.by for one in found] == ["stage", "tier", "is_member"]
    assert found[2].names == ("no", "yes")
    assert [one.by for one in groupings_of(catalogue, names[1:])] == ["tier", "is_member"]
