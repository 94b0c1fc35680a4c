"""Learning by steps: right if rules restrict who gets what, cautious without effects, and served as estimated."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue, Learning, LearningMethod
from decisioning.value_model import design_matrix
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES
from features.models.bundle import value_model
from training.data.datasets import Dataset, messages_of
from training.data.steps import NOTHING_FOLLOWS, UNKNOWN_STAGE, Steps, steps_of
from training.judgement.diagnostics import metrics_of
from training.judgement.from_log import try_out
from training.models.effects import EffectEstimate
from training.models.learner import Learned, learn
from training.models.step_effects import chose_silence, estimate_theta, shrink_to_zero, told_stages
from training.models.stepwise_learner import learn_steps, own_columns
from training.registry.run_metrics import judged_metrics

SENT = ("double-stamps/email/plain", "free-coffee/email/plain", "opening-hours/email/plain", "ten-percent/email/plain")
COLD, WARM = 0, 1
WEEKS = 8
TRUE = np.array([90.0, 0.0, 0.0, 150.0])
"""For each message: the effect of being seen on the probability of the next step, times the value of that step."""


def make_course(
    catalogue: Catalogue, *, seed: int = 1, customers: int = 5_000, works: float = 1.0
) -> tuple[Dataset, Steps]:
    """Cold and warm customers; the first two messages are for the cold, the others for the warm, who are worth more.

    With a small probability a seen message moves its customer to the next step, and a purchase of 1,000 follows a week
    later. All customers buy now and then, so that the effect of a message is a hundredth of the total. Half of the
    customers read their messages, the others hardly ever.
    """
    rng = np.random.default_rng(seed)
    reads = rng.random(customers) < 0.5
    stage = rng.integers(0, 2, customers)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("stage", "action", "p", "early", "seen", "moved")}
    moved = np.zeros(customers, dtype=bool)
    for _ in range(WEEKS + 1):
        action = np.where(rng.random(customers) < 0.4, 0, 1 + 2 * stage + rng.integers(0, 2, customers))
        seen = (action > 0) & (rng.random(customers) < np.where(reads, 0.8, 0.1))
        bought = moved & (rng.random(customers) < 0.9)
        anyway = rng.random(customers) < np.where(stage == WARM, 0.3, 0.05)
        chance = 0.05 + works * seen * np.append(0.0, TRUE / 900.0)[action]
        found["early"].append(1_000.0 * (bought.astype(float) + anyway) * rng.gamma(4.0, 0.25, customers))
        found["moved"].append(moved)
        found["stage"].append(stage)
        found["action"].append(action)
        found["p"].append(np.where(action == 0, 0.4, 0.3))
        found["seen"].append(seen)
        moved = rng.random(customers) < chance
    rows = {name: np.stack(parts[:WEEKS], axis=1).ravel() for name, parts in found.items()}
    values = rows["early"] + np.stack(found["early"][1:], axis=1).ravel()
    size = customers * WEEKS
    place = np.arange(size)
    has_next = place % WEEKS < WEEKS - 1
    following = np.where(has_next, place + 1, NOTHING_FOLLOWS)
    early = np.where(has_next, rows["early"], values)
    known = messages_of(catalogue)
    who = np.repeat(np.arange(customers), WEEKS)
    features = np.column_stack([rows["moved"], rows["stage"], reads[who], rng.normal(size=size)]).astype(float)
    dataset = Dataset(
        decisions=pl.DataFrame(
            {
                "decision_id": [f"D{one}" for one in place],
                "customer_id": [f"C{one}" for one in who],
                "decided_at": [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(weeks=int(one % WEEKS)) for one in place],
            }
        ),
        customers=who.astype(np.int64),
        features=features,
        feature_names=("moved", "stage_index", "reads", "noise"),
        contexts=np.column_stack([np.full(size, 14.0), np.zeros(size), np.zeros(size)]),
        messages=tuple(known[key] for key in SENT),
        actions=rows["action"].astype(np.int64),
        probabilities=rows["p"],
        values=values,
    )
    steps = Steps(following=following, early=early, stages=rows["stage"].astype(np.int64), is_seen=rows["seen"])
    return dataset, steps


@pytest.fixture(scope="module")
def course(shop_catalogue: Catalogue) -> tuple[Dataset, Steps]:
    return make_course(shop_catalogue)


@pytest.fixture(scope="module")
def learned(shop_catalogue: Catalogue, course: tuple[Dataset, Steps]) -> Learned:
    return learn_steps(*course, shop_catalogue)


def uplifts(learned: Learned, dataset: Dataset, rows: np.ndarray) -> FloatArray:
    """Uplift of each message according to the served model: shape (rows, k)."""
    model = value_model(learned.bundle, version="1")
    columns = model.messages(list(dataset.messages))
    values = model.expected_values_of(
        np.stack([design_matrix(dataset.features[row], columns, dataset.contexts[row]) for row in rows])
    )
    return values[:, 1:] - values[:, :1]


def test_effects_are_found_although_rules_restrict_who_gets_what(learned: Learned):
    truth = TRUE * 0.45  # half of the customers see eight in ten messages, the others one in ten
    assert (np.abs(learned.effects.averages - truth) < 4 * learned.effects.standard_errors).all()
    assert learned.best_constant in {SENT[0], SENT[3]}


def test_whole_windows_are_far_less_precise_on_the_same_log(
    shop_catalogue: Catalogue, course: tuple[Dataset, Steps], learned: Learned
):
    windows = learn(course[0], shop_catalogue)
    assert (windows.effects.standard_errors > 1.6 * learned.effects.standard_errors).all()


def test_effects_apply_to_readers_and_in_the_stage_they_were_observed_in(learned: Learned, shop_catalogue: Catalogue):
    other, steps = make_course(shop_catalogue, seed=2, customers=200)
    readers, warm = other.features[:, 2] == 1, steps.stages == WARM
    found = uplifts(learned, other, np.arange(other.size))
    assert found[readers & warm, 3].mean() == pytest.approx(TRUE[3] * 0.8, rel=0.35)
    assert found[~readers & warm, 3].mean() < 0.35 * found[readers & warm, 3].mean()
    assert found[readers & ~warm, 0].mean() == pytest.approx(TRUE[0] * 0.8, rel=0.35)
    assert np.abs(found[:, 1:3].mean(axis=0)).max() < 12


def test_the_served_booster_reproduces_the_estimates(learned: Learned):
    assert learned.bundle.notes["likeness"] > 0.95
    assert learned.effects.specific.value == pytest.approx(1.0, abs=4 * learned.effects.specific.standard_error)


def test_values_are_calibrated_and_metrics_compare_with_silence(learned: Learned, shop_catalogue: Catalogue):
    other, _ = make_course(shop_catalogue, seed=3, customers=400)
    model = value_model(learned.bundle, version="1")
    columns = model.messages(list(other.messages))
    values = model.expected_values_of(
        np.stack(
            [design_matrix(one, columns, context) for one, context in zip(other.features, other.contexts, strict=True)]
        )
    )
    own = values[np.arange(other.size), other.actions]
    assert own.mean() == pytest.approx(other.values.mean(), rel=0.08)
    metrics = metrics_of(learned)
    assert metrics["validation_gain_over_silence_lower"] > 0
    assert "validation_gain_over_best_constant" not in metrics  # it was compared with silence
    assert metrics["specific_slope"] == learned.effects.specific.value


def test_a_stepwise_model_is_compared_with_silence_and_with_sending_all_logged_messages(shop_catalogue: Catalogue):
    catalogue = replace(shop_catalogue, learning=Learning(measure_id="net_revenue", method=LearningMethod.STEPS))
    trial = try_out(*make_course(shop_catalogue, customers=600, works=3.0), catalogue)
    assert trial is not None
    metrics = judged_metrics(trial)
    gains = {name for name in metrics if name.startswith("held_back_gain") and not name.endswith(("_lower", "_upper"))}
    assert gains == {"held_back_gain_over_silence", "held_back_gain_over_all_sent"}
    assert metrics["held_back_gain_over_silence_upper"] > 0
    assert metrics["held_back_customers"] == pytest.approx(120, abs=40)


def test_without_effects_almost_everything_is_shrunk_to_0(shop_catalogue: Catalogue):
    useless = learn_steps(*make_course(shop_catalogue, seed=4, works=0.0), shop_catalogue)
    found = uplifts(useless, useless.dataset, np.arange(0, 4_000, 7))
    assert np.abs(found).mean() < 10  # of a mean of some 250
    assert np.abs(found.mean(axis=0)).max() < 15


def test_training_again_gives_the_same_model(shop_catalogue: Catalogue):
    one, other = (learn_steps(*make_course(shop_catalogue, customers=150), shop_catalogue) for _ in range(2))
    assert one.bundle.digest == other.bundle.digest


def test_a_log_without_views_or_stages_can_be_learned_from(shop_catalogue: Catalogue):
    dataset, steps = make_course(shop_catalogue, customers=400)
    blind = replace(steps, is_seen=np.zeros(dataset.size, dtype=np.bool_), stages=np.full(dataset.size, UNKNOWN_STAGE))
    unlogged = replace(dataset, probabilities=np.full(dataset.size, np.nan))
    learned = learn_steps(unlogged, blind, shop_catalogue)
    assert np.isfinite(uplifts(learned, dataset, np.arange(50))).all()
    assert learned.validation is None
    assert not learned.choice.is_randomised


def test_silence_that_could_not_be_avoided_is_not_a_comparison(course: tuple[Dataset, Steps]):
    dataset, _ = course
    certain = replace(dataset, probabilities=np.where(dataset.actions == 0, 1.0, dataset.probabilities))
    assert not chose_silence(certain).any()
    assert (chose_silence(dataset) == (dataset.actions == 0)).all()
    assert set(told_stages(dataset)) == {1, 2}


def test_steps_are_found_in_the_log(shop_catalogue: Catalogue, course: tuple[Dataset, Steps]):
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    days = [0, 0, 2, 30]
    who = ["A", "B", "A", "A"]
    decisions = pl.DataFrame(
        {
            "decision_id": ["a1", "b1", "a2", "a3"],
            "customer_id": who,
            "decided_at": [noon + timedelta(days=one) for one in days],
        }
    )
    dataset = replace(course[0].take(np.arange(course[0].size) < 4), decisions=decisions, contexts=np.full((4, 3), 7.0))
    spent = [("A", 1, 100), ("A", 3, 40), ("B", 6, 5), ("B", 8, 9), ("A", 31, 7)]
    events = _frame(
        EVENTS,
        [
            {"event_id": f"e{n}", "customer_id": one, "type": "purchase", "amount_minor": amount}
            | {"occurred_at": noon + timedelta(days=day)}
            for n, (one, day, amount) in enumerate(spent)
        ],
    )
    stage = shop_catalogue.stages[0].stage_id
    logged = _frame(DECISIONS, [{"decision_id": "a1", "stage": stage}, {"decision_id": "b1", "stage": "unheard-of"}])
    heard = [("a1", "delivered"), ("b1", "clicked")]
    outcomes = _frame(
        OUTCOMES, [{"outcome_id": one, "decision_id": one, "type": kind, "occurred_at": noon} for one, kind in heard]
    )
    history = _History(events=events, decisions=logged, outcomes=outcomes)
    catalogue = replace(shop_catalogue, learning=Learning(measure_id="net_revenue", method=LearningMethod.STEPS))
    steps = steps_of(dataset, history, catalogue)
    assert steps.following.tolist() == [2, NOTHING_FOLLOWS, NOTHING_FOLLOWS, NOTHING_FOLLOWS]
    assert steps.early.tolist() == [100.0, 5.0, 40.0, 7.0]
    assert steps.stages.tolist() == [0, UNKNOWN_STAGE, UNKNOWN_STAGE, UNKNOWN_STAGE]
    assert steps.is_seen.tolist() == [False, True, False, False]


def test_features_of_our_own_messages_are_not_used_to_predict_purchases(
    shop_catalogue: Catalogue, course: tuple[Dataset, Steps]
):
    names = ("purchase_count_30d", "message_delivered_count_90d", "stage_index", "made_up")
    own = own_columns(replace(course[0], feature_names=names), shop_catalogue)
    assert own.tolist() == [True, False, True, True]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4)), min_size=1, max_size=20))
def test_shrinking_keeps_signs_and_the_order_of_evidence_and_never_enlarges(pairs: list[tuple[float, float]]):
    values, errors = np.array(pairs).T
    shrunk = shrink_to_zero(values, errors)
    assert (np.abs(shrunk) <= np.abs(values) + 1e-9).all()
    assert (shrunk * values >= 0).all()


def test_shrunk_estimates_are_closer_to_the_truth():
    rng = np.random.default_rng(3)
    truth, errors = rng.normal(0, 20, 2_000), rng.uniform(5, 60, 2_000)
    values = truth + rng.normal(0, errors)
    assert np.mean((shrink_to_zero(values, errors) - truth) ** 2) < 0.4 * np.mean((values - truth) ** 2)


def test_theta_is_per_offer_and_stage_and_0_without_observations():
    rng = np.random.default_rng(5)
    seen, offers, stages = rng.uniform(0.1, 0.9, 9_000), rng.integers(0, 2, 9_000), np.ones(9_000, dtype=np.int64)
    effects = np.array([50.0, -20.0])[offers] * seen + rng.normal(0, 30, 9_000)
    theta = estimate_theta(effects, seen, offers, stages, (2, 3))
    assert (np.abs(theta.values[:, 1] - [50.0, -20.0]) < 4 * theta.standard_errors[:, 1]).all()
    assert np.isnan(theta.values[:, [0, 2]]).all()
    assert (theta.believed[:, [0, 2]] == 0).all()
    assert isinstance(EffectEstimate(value=1.0, standard_error=0.5).shrunk, float)


class _History:
    """Canonical tables that steps are read from."""

    def __init__(self, *, events: pl.DataFrame, decisions: pl.DataFrame, outcomes: pl.DataFrame) -> None:
        self.events, self.decisions, self.outcomes = events, decisions, outcomes


def _frame(table: object, rows: list[dict[str, object]]) -> pl.DataFrame:
    schema = table.schema  # pyright: ignore[reportAttributeAccessIssue] - a canonical table
    return pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows], schema=schema, orient="row")
