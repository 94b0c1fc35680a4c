"""The prior of residuals: how far effects are from what a model predicts of them, from the log it was trained on."""

from dataclasses import replace

import numpy as np
import pytest

from decisioning.catalogue.catalogue import Catalogue
from tests.training.models.test_learning import make_dataset
from tests.training.models.test_stepwise import make_course
from training.models.learner import Learned, learn
from training.models.stepwise_learner import learn_steps
from training.residuals.prior import LEAST_OF_EFFECTS, PriorOfResiduals, prior_of_residuals

BEYOND = 400.0
STAGES = ("dream", "plan")


def trained(catalogue: Catalogue, *, beyond: float) -> tuple[Learned, list[str]]:
    """A model on a log in which two messages do more at one stage and less at the other, which no feature tells."""
    dataset = make_dataset(catalogue, customers=1_000)
    rng = np.random.default_rng(8)
    places = rng.integers(0, 2, int(dataset.customers.max()) + 1)[dataset.customers]
    shift = np.array([0.0, beyond, 0.0, 0.0, -beyond])[dataset.actions] * (2 * places - 1)
    learned = learn(replace(dataset, values=dataset.values + shift), catalogue)
    return learned, [STAGES[place] for place in places]


@pytest.fixture(scope="module")
def uniform(shop_catalogue: Catalogue) -> PriorOfResiduals:
    found = prior_of_residuals(*trained(shop_catalogue, beyond=0.0))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def varied(shop_catalogue: Catalogue) -> PriorOfResiduals:
    found = prior_of_residuals(*trained(shop_catalogue, beyond=BEYOND))
    assert found is not None
    return found


def test_what_effects_differ_by_at_stages_is_found(varied: PriorOfResiduals) -> None:
    truth = np.sqrt(BEYOND**2 / 2)
    assert varied.usual == pytest.approx(truth, rel=0.3)
    assert set(varied.by_stage) == set(STAGES)
    assert all(one == pytest.approx(truth, rel=0.35) for one in varied.by_stage.values())


def test_a_model_that_was_right_can_be_corrected_all_the_same(uniform: PriorOfResiduals) -> None:
    effects = np.sqrt(np.mean(np.array([300.0, 60.0, 0.0, 600.0]) ** 2))
    assert uniform.usual == pytest.approx(LEAST_OF_EFFECTS * effects, rel=0.4)


def test_less_is_known_of_a_message_that_the_model_never_saw(uniform: PriorOfResiduals) -> None:
    assert uniform.of_new > 1.2 * uniform.usual
    assert uniform.plain()["of_new"] == uniform.of_new


def test_outcomes_that_never_differ_teach_nothing(shop_catalogue: Catalogue) -> None:
    learned, stages = trained(shop_catalogue, beyond=0.0)
    expected = learned.parts.values(learned.evidence.raw, learned.evidence.linear, learned.evidence.slopes)
    chosen = np.take_along_axis(expected, learned.evidence.actions[:, np.newaxis], axis=1)[:, 0]
    exact = replace(learned, evidence=replace(learned.evidence, values=chosen))
    assert prior_of_residuals(exact, stages) is None


def by_steps(catalogue: Catalogue, *, beyond: float) -> PriorOfResiduals:
    """The prior of a model learned by steps, where messages do more for half of the customers and less for others."""
    dataset, steps = make_course(catalogue)
    places = np.random.default_rng(8).integers(0, 2, int(dataset.customers.max()) + 1)[dataset.customers]
    shift = np.array([0.0, *([beyond] * len(dataset.messages))])[dataset.actions] * (2 * places - 1)
    later = replace(steps, early=steps.early + shift)
    learned = learn_steps(replace(dataset, values=dataset.values + shift), later, catalogue)
    found = prior_of_residuals(learned, [STAGES[place] for place in places])
    assert found is not None
    return found


def test_a_model_learned_by_steps_leaves_a_prior_too(shop_catalogue: Catalogue) -> None:
    as_believed, beyond = (by_steps(shop_catalogue, beyond=one) for one in (0.0, BEYOND))
    assert as_believed.usual < 0.25 * BEYOND
    assert beyond.usual == pytest.approx(BEYOND, rel=0.2)
    assert all(one == pytest.approx(BEYOND, rel=0.25) for one in beyond.by_stage.values())
    assert beyond.noise > as_believed.noise > 0
