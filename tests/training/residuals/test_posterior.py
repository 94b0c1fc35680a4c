"""Residuals recover what effects are beyond a prediction, whatever the model gets wrong: simulate, then recover."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from decisioning.arrays import FloatArray
from decisioning.residuals import Residuals
from training.residuals.posterior import Draws, measure

NOISE = 100.0
PRIOR = 20.0
K = 5


def simulated(
    seed: int,
    effects: FloatArray,
    *,
    count: int = 3_000,
    explored: float = 0.3,
    arrived: FloatArray | None = None,
    decisions_each: int = 1,
) -> Draws:
    """Decisions that mostly send what somebody likes, of messages that gates permit to some, in a season like no other.

    The model is wrong by 50 for everybody, by 30 where the first message is permitted, and by 40 for who likes the
    second one: nothing of that is an effect.
    """
    rng = np.random.default_rng(seed)
    permitted = np.column_stack([np.ones(count, dtype=np.bool_), rng.random((count, K)) < 0.7])
    liked = rng.integers(0, K + 1, count)
    liked = np.where(permitted[np.arange(count), liked], liked, 0)
    chances = explored * permitted / permitted.sum(axis=1, keepdims=True)
    chances[np.arange(count), liked] += 1.0 - explored
    actions = (chances.cumsum(axis=1) < rng.random(count)[:, np.newaxis]).sum(axis=1).clip(0, K)
    wrong = 50.0 + 30.0 * permitted[:, 1] + 40.0 * (liked == 2)
    shares = np.ones(count) if arrived is None else arrived
    customers = np.arange(count) // decisions_each
    own = rng.normal(0, NOISE, customers.max() + 1)[customers] if decisions_each > 1 else np.zeros(count)
    noise = rng.normal(0, NOISE, count) * np.sqrt(shares)
    return Draws(
        customers=customers,
        actions=actions,
        chances=sparse.csr_array(chances),
        shares=shares,
        left=shares * (wrong + np.concatenate([[0.0], effects])[actions] + own) + noise,
    )


def contributions(draws: Draws, prior: float = PRIOR) -> FloatArray:
    """What residuals add to a price, as a decision works it out."""
    found = measure(draws, np.full(K, prior), NOISE**2)
    return Residuals(np.full(K, prior), found.estimate, found.standard_error, found.customers * 1.0).contribution


@pytest.mark.parametrize(
    "world",
    [
        {},
        {"explored": 0.08},
        {"decisions_each": 4},
        {"arrived": np.linspace(0.001, 1.0, 3_000) ** 2},
    ],
    ids=["much chance", "little chance", "customers with four decisions", "most windows still open"],
)
def test_intervals_cover_the_truth_as_often_as_they_say(world) -> None:
    covered: list[FloatArray] = []
    for seed in range(150):
        truth = np.random.default_rng(1_000 + seed).normal(0.0, PRIOR, K)
        found = measure(simulated(seed, truth, **world), np.full(K, PRIOR), NOISE**2)
        covered.append(np.abs(truth - found.mean) < 1.96 * found.deviation)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_an_offer_that_changed_after_training_is_corrected_within_two_thousand_decisions() -> None:
    changed = np.array([60.0, 0.0, 0.0, -60.0, 0.0])
    found = np.mean([contributions(simulated(seed, changed, count=2_000, explored=1.0)) for seed in range(40)], axis=0)
    assert found[0] > 40.0
    assert found[3] < -40.0
    assert np.abs(found[[1, 2, 4]]).max() < 10.0


def test_without_a_change_prices_hardly_move() -> None:
    found = np.array([contributions(simulated(seed, np.zeros(K))) for seed in range(60)])
    assert np.abs(found.mean(axis=0)).max() < 2.5
    assert np.sqrt((found**2).mean()) < PRIOR / 2


def test_decisions_of_ten_minutes_ago_are_not_taken_for_failures() -> None:
    """A thousandth of what comes has arrived, and nothing is there yet after most: that is what was to be expected."""
    rng = np.random.default_rng(5)
    count, expected = 5_000, np.array([100.0, *(150.0 for _ in range(K))])
    draws = simulated(3, np.zeros(K), count=count, explored=1.0)
    arrived = np.full(count, 0.001)
    spent = 10_000.0 * (rng.random(count) < expected[draws.actions] / 10_000.0 * 0.001)
    early = replace(draws, shares=arrived, left=spent - arrived * expected[draws.actions])
    assert np.abs(contributions(early)).max() < PRIOR / 10


def test_a_decision_without_chance_says_nothing() -> None:
    draws = simulated(1, np.zeros(K), explored=1.0)
    certain = sparse.csr_array(np.eye(K + 1)[draws.actions])
    found = measure(replace(draws, chances=certain, left=draws.left + 1e6), np.full(K, PRIOR), NOISE**2)
    assert np.isinf(found.standard_error).all()
    assert found.customers.sum() == 0


def test_no_decision_at_all_leaves_the_prior() -> None:
    nothing = Draws(
        customers=np.zeros(0, dtype=np.int64),
        actions=np.zeros(0, dtype=np.int64),
        chances=sparse.csr_array((0, K + 1)),
        shares=np.zeros(0),
        left=np.zeros(0),
    )
    found = measure(nothing, np.full(K, PRIOR), NOISE**2)
    assert found.mean.tolist() == [0.0] * K
    assert found.deviation == pytest.approx([PRIOR] * K)


def test_what_is_told_as_a_measurement_leads_back_to_the_posterior() -> None:
    found = measure(simulated(9, np.array([10.0, 5.0, 0.0, -5.0, -10.0])), np.full(K, PRIOR), NOISE**2)
    back = Residuals(np.full(K, PRIOR), found.estimate, found.standard_error, np.full(K, 100.0))
    assert back.contribution == pytest.approx(found.mean)
    assert back.deviation == pytest.approx(found.deviation)


def test_a_flood_of_reports_about_one_customer_moves_nothing_far() -> None:
    draws = simulated(4, np.zeros(K), explored=1.0)
    flooded = draws.left.copy()
    flooded[int(np.flatnonzero(draws.actions == 1)[0])] += 1e6
    assert np.abs(contributions(replace(draws, left=flooded))).max() < PRIOR


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_the_order_of_decisions_changes_nothing(seed: int) -> None:
    draws = simulated(2, np.zeros(K), count=400)
    order = np.random.default_rng(seed).permutation(400)
    mixed = Draws(
        customers=draws.customers[order],
        actions=draws.actions[order],
        chances=draws.chances[order],
        shares=draws.shares[order],
        left=draws.left[order],
    )
    one, other = (measure(each, np.full(K, PRIOR), NOISE**2) for each in (draws, mixed))
    assert one.mean == pytest.approx(other.mean, rel=1e-9, abs=1e-9)
    assert one.customers.tolist() == other.customers.tolist()
