"""Stage credit is part of what a policy is valued at, told apart from what came within the window."""

from dataclasses import replace

import numpy as np
import pytest

from decisioning.foresight.stages import StageCredit
from decisioning.value_model import ValueModel
from features.models.bundle import value_model
from features.settings import Settings
from tests.training.off_policy.scene import DOUBLE, TEN, Scene, gap_of, value_of
from training.off_policy.evaluation import ALONE, CONSTANT, GREEDY, LOGGED, SILENT, Evaluation, judge
from training.off_policy.output import evaluation_document


@pytest.fixture(scope="module")
def evaluated(scene: Scene, value_bundle, tmp_path_factory):
    """Evaluates the scene's model with credit, in minor units, for offers at every stage."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))

    def call(reward: str | None = None, **credit: float) -> Evaluation:
        model: ValueModel = value_model(value_bundle(scene.catalogue), version="7")
        by_offer = {name.replace("_", "-"): (minor,) * 5_000 for name, minor in credit.items()}
        feature = next(one for one in model.layout.customer if one == "customer_tenure_days")
        credited = replace(model, credit=StageCredit(feature=feature, by_offer=by_offer) if by_offer else None)
        judged = judge(scene.history, scene.catalogue, credited, settings)
        return replace(scene, judged=judged).evaluate(reward=reward)

    return call


def test_credit_that_changes_no_choice_adds_what_the_model_says_of_each(evaluated, scene: Scene):
    plain, credited = scene.evaluate(), evaluated(ten_percent=50.0)
    share = np.mean(scene.judged.choices.greedy == scene.judged.choices.keys.index(TEN))
    known = value_of(credited, GREEDY)
    assert known.beyond_window.value == pytest.approx(0.5 * share, rel=0.02)  # in euros
    for name in (GREEDY, CONSTANT, LOGGED):
        ours, before = value_of(credited, name), value_of(plain, name)
        for estimator in ("dr", "ips", "snips", "dm"):
            within = ours.estimates[estimator].value - ours.beyond_window.value
            assert within == pytest.approx(before.estimates[estimator].value)
    assert value_of(credited, SILENT).beyond_window.value == 0
    assert all(one.beyond_window is None for one in plain.values)
    assert ALONE not in {one.name for one in credited.values}


def test_credit_that_changes_choices_is_compared_with_the_model_alone(evaluated, scene: Scene):
    found = evaluated(double_stamps=2_000.0)
    alone = value_of(found, ALONE)
    before = value_of(scene.evaluate(), GREEDY)
    assert alone.estimates["ips"].value - alone.beyond_window.value == pytest.approx(before.estimates["ips"].value)
    gap = gap_of(found, GREEDY, ALONE).estimates["dr"]
    later = value_of(found, GREEDY).beyond_window.value - alone.beyond_window.value
    assert gap.lower > 0
    assert gap.value < later  # what the choice costs within the window
    chosen = {one.message: one.chosen for one in found.messages}
    assert chosen[DOUBLE] > chosen[TEN]
    told = evaluation_document(found)["policies"]
    assert told[GREEDY]["beyond_window"]["value"] == pytest.approx(value_of(found, GREEDY).beyond_window.value)


def test_credit_says_nothing_of_a_reward_that_the_model_did_not_learn(evaluated):
    found = evaluated("clicked", double_stamps=2_000.0)
    assert all(one.beyond_window is None for one in found.values)
    assert ALONE in {one.name for one in found.values}  # it steers choices all the same
