"""Other learners of effects: right about a known truth, and used only where they are better beyond noise."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.models.bundle import value_model
from tests.training.models.test_learning import make_dataset
from training.models.contest import (
    CONTEST_NOTE,
    USUAL,
    Contest,
    ContestEntry,
    hold_contest,
    retell_by,
    with_contest,
    write_contest,
)
from training.models.contestants import CONTESTANTS, Contestant, Lessons, cross_fitted_effects
from training.models.learner import Learned, learn
from training.off_policy.estimators import Estimate, mean_estimate

QUICK = {"S-learner": CONTESTANTS["S-learner"]}


def lessons_of(n: int = 6_000) -> tuple[Lessons, FloatArray]:
    """Two messages: the first does 2 where the first column is positive, the second 0.5, sent more to those."""
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(n, 3))
    effects = np.column_stack([2.0 * (columns[:, 0] > 0), np.full(n, 0.5)])
    likely = np.where(columns[:, :1] > 0, [0.3, 0.2, 0.5], [0.4, 0.4, 0.2])
    actions = (rng.random(n)[:, np.newaxis] > np.cumsum(likely, axis=1)[:, :-1]).sum(axis=1).astype(np.int64)
    rows, silence = np.arange(n), columns[:, 1]
    shares = np.bincount(actions) / n
    probabilities = likely[rows, actions]
    values = silence + np.where(actions > 0, effects[rows, np.maximum(actions - 1, 0)], 0.0) + rng.normal(size=n)
    weights = shares[actions] / probabilities
    found = Lessons(
        columns=columns, actions=actions, values=values, outcomes=np.repeat(silence[:, np.newaxis], 3, axis=1),
        weights=weights / weights.mean(), probabilities=probabilities, shares=shares,
    )  # fmt: skip
    return found, effects


@pytest.mark.parametrize("name", ["S-learner", "T-learner", "X-learner", "R-learner", "DR-learner", "causal forest"])
def test_every_contestant_finds_effects_on_customers_it_did_not_see(name: str):
    if name not in CONTESTANTS:
        pytest.skip("econml is not installed: pip install nextbest[econml]")
    lessons, truth = lessons_of()
    found = cross_fitted_effects(CONTESTANTS[name], lessons, np.arange(6_000) % 2)
    assert np.corrcoef(found[:, 0], truth[:, 0])[0, 1] > 0.8
    assert found.mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=0.15)


def test_a_message_that_no_customer_of_the_other_folds_got_changes_nothing_or_what_the_others_say():
    lessons, _ = lessons_of(600)
    never = replace(lessons, actions=np.where(lessons.actions == 2, 0, lessons.actions))
    for name, learner in CONTESTANTS.items():
        if name != "causal forest":
            assert np.isfinite(learner(never, lessons.columns[:10])).all()


@pytest.fixture(scope="module")
def told(shop_catalogue: Catalogue) -> Learned:
    """A model of effects that a contestant knew."""
    return learn(make_dataset(shop_catalogue, particular=500.0), shop_catalogue, retell=retell_by("oracle", ORACLE))


def oracle(_lessons: Lessons, columns: FloatArray) -> FloatArray:
    """What `make_dataset` makes up, with particular effects of 500."""
    effects = np.outer(columns[:, 0], 300.0 * np.array([1.0, 0.2, 0.0, 2.0]))
    effects[:, 0] += 500.0 * columns[:, 1]
    effects[:, 3] -= 500.0 * columns[:, 1]
    return effects


ORACLE: dict[str, Contestant] = {"oracle": oracle}


def test_one_booster_says_again_what_a_contestant_says(told: Learned, shop_catalogue: Catalogue):
    others = make_dataset(shop_catalogue, seed=5, customers=300, particular=500.0)
    model = value_model(told.bundle, version="1")
    values = model.on(others.messages).of_columns(np.hstack([others.features, others.contexts]))
    effects, truth = values[:, 1:] - values[:, :1], oracle(None, others.features)  # pyright: ignore[reportArgumentType]
    assert np.corrcoef(effects[:, 3], truth[:, 3])[0, 1] > 0.97
    assert np.abs(effects.mean(axis=0) - truth.mean(axis=0)).max() < 60
    assert values[:, 0].mean() == pytest.approx(1000.0, rel=0.1)
    assert told.fitted.likeness is not None
    assert told.bundle.notes["likeness"] == told.fitted.likeness > 0.95


def test_a_contest_compares_all_on_the_same_decisions_and_keeps_the_table(shop_catalogue: Catalogue, tmp_path):
    seen: list[tuple[int, int]] = []
    dataset = make_dataset(shop_catalogue, customers=400)
    contest = hold_contest(
        dataset, shop_catalogue, contestants=QUICK, on_progress=lambda *one: seen.append(one)
    )  # fmt: skip
    assert seen == [(1, 2), (2, 2)]
    usual, other = contest.contenders
    assert (usual.name, usual.gain.value, usual.likeness) == (USUAL, 0.0, None)
    assert other.gain.value == pytest.approx(other.value.value - usual.value.value)
    assert other.likeness is not None
    table = pl.read_csv(write_contest(contest, tmp_path)[0])
    assert table["learner"].to_list() == [USUAL, "S-learner"]
    assert table["gain"].to_list() == pytest.approx([0.0, other.gain.value])
    learned = learn(dataset, shop_catalogue)
    assert with_contest(learned.bundle, contest).notes[CONTEST_NOTE] == [usual.plain(), other.plain()]


def contest_with(*gains: float, likeness: float = 0.9) -> Contest:
    usual = ContestEntry(name=USUAL, value=estimate(0.0), gain=estimate(0.0), likeness=None)
    made = (
        ContestEntry(name=f"learner {place}", value=estimate(gain), gain=estimate(gain), likeness=likeness)
        for place, gain in enumerate(gains)
    )
    return Contest(contenders=(usual, *made))


def estimate(value: float) -> Estimate:
    found = mean_estimate(np.array([value - 1.0, value + 1.0]), np.array([0, 1]))
    return replace(found, standard_error=1.0)


def test_the_usual_learner_stays_unless_another_is_better_beyond_noise():
    assert contest_with(0.5, 2.1, -3.0, 0.0, 0.1).chosen == USUAL  # 2.1 errors, the best of five
    assert "the usual learner stays" in contest_with(0.5, 1.5).note
    assert contest_with(-1.0, -0.5).chosen == USUAL
    won = contest_with(0.5, 3.0)
    assert won.chosen == "learner 1"
    assert won.note.endswith("it is used, and a booster says 90% of it again")
    blurred = contest_with(0.5, 3.0, likeness=0.4)
    assert blurred.chosen == USUAL
    assert "only 40% of it again" in blurred.note


def test_a_log_without_probabilities_holds_no_contest(shop_catalogue: Catalogue):
    dataset = make_dataset(shop_catalogue, customers=50)
    unknown = replace(dataset, probabilities=np.full(dataset.size, np.nan))
    with pytest.raises(InvalidInputError, match="leave --contest out"):
        hold_contest(unknown, shop_catalogue, contestants=QUICK)
