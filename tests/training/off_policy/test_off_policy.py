"""Off-policy estimators: golden values computed by hand, a known truth recovered, and uninformative logs refused."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InsufficientDataError, InvalidInputError
from training.off_policy.estimators import (
    Estimate,
    check_support,
    clipped_ips,
    clustered_error,
    difference,
    direct_method,
    doubly_robust,
    importance_weights,
    ips,
    mean_estimate,
    snips,
    support_of,
    switch_doubly_robust,
)

# Four decisions of three customers; the policy always takes action 1, which was logged with 0.5 or 0.25.
CUSTOMERS = np.array([0, 0, 1, 2])
TARGET = np.array([1.0, 0.0, 1.0, 0.0])
LOGGED = np.array([0.5, 0.5, 0.25, 0.75])
REWARDS = np.array([3.0, 1.0, 2.0, 4.0])


def test_weights_are_the_ratio_of_target_to_logged_probability():
    np.testing.assert_array_equal(importance_weights(TARGET, LOGGED), [2.0, 0.0, 4.0, 0.0])


def test_ips_is_the_weighted_sum_over_all_decisions():
    estimate = ips(importance_weights(TARGET, LOGGED), REWARDS, CUSTOMERS)
    assert estimate.value == pytest.approx((2 * 3 + 4 * 2) / 4)  # 3.5
    # terms 6, 0, 8, 0 less 3.5: customers sum to -1, 4.5, -3.5; 3/2 x (1 + 20.25 + 12.25) = 50.25
    assert estimate.standard_error == pytest.approx(np.sqrt(50.25) / 4)
    assert estimate.upper - estimate.value == pytest.approx(4.302652729911275 * estimate.standard_error)  # t, 2 degrees
    assert estimate.value - estimate.lower == pytest.approx(estimate.upper - estimate.value)


def test_snips_divides_by_the_sum_of_weights():
    estimate = snips(importance_weights(TARGET, LOGGED), REWARDS, CUSTOMERS)
    assert estimate.value == pytest.approx(14 / 6)
    # influence 4/6 x w x (r - 7/3): 8/9, 0, -8/9, 0
    np.testing.assert_allclose(estimate.influence, [8 / 9, 0, -8 / 9, 0])
    assert estimate.standard_error == pytest.approx(np.sqrt(1.5 * 2 * (8 / 9) ** 2) / 4)


def test_doubly_robust_adds_the_weighted_error_of_the_model():
    estimate = doubly_robust(
        importance_weights(TARGET, LOGGED),
        REWARDS,
        np.array([2.0, 1.0, 2.5, 3.0]),
        np.array([2.0, 2.0, 2.5, 3.5]),
        CUSTOMERS,
    )
    # 2 + 2 (3 - 2) = 4; 2; 2.5 + 4 (2 - 2.5) = 0.5; 3.5
    assert estimate.value == pytest.approx((4 + 2 + 0.5 + 3.5) / 4)


def test_the_effective_sample_size_is_kishs():
    support = support_of(importance_weights(TARGET, LOGGED), CUSTOMERS)
    assert support.effective_size == pytest.approx(36 / 20)
    assert (support.matched_customers, support.largest_weight, support.mean_weight) == (2, 4.0, 1.5)


def test_overlap_says_how_much_of_a_log_speaks_and_how_unevenly():
    support = support_of(importance_weights(TARGET, LOGGED), CUSTOMERS)
    assert support.matched_share == 0.5
    assert support.heaviest_share == pytest.approx(4 / 6)  # one decision of four
    assert support_of(np.ones(1_000), np.arange(1_000)).heaviest_share == pytest.approx(0.01)


def test_a_cap_cuts_weights_and_a_switch_asks_the_model_instead():
    weights = importance_weights(TARGET, LOGGED)
    assert clipped_ips(weights, REWARDS, CUSTOMERS, cap=3.0).value == pytest.approx((2 * 3 + 3 * 2) / 4)
    model = (np.array([2.0, 1.0, 2.5, 3.0]), np.array([2.0, 2.0, 2.5, 3.5]))
    switched = switch_doubly_robust(weights, REWARDS, *model, CUSTOMERS, cap=3.0)
    assert switched.value == pytest.approx((4 + 2 + 2.5 + 3.5) / 4)
    assert direct_method(model[1], CUSTOMERS).value == pytest.approx(2.5)


def test_a_cap_that_is_above_all_weights_changes_nothing():
    weights = importance_weights(TARGET, LOGGED)
    assert clipped_ips(weights, REWARDS, CUSTOMERS, cap=4.0).value == ips(weights, REWARDS, CUSTOMERS).value


@pytest.mark.parametrize("cap", [0.0, -1.0, float("nan")])
def test_a_cap_that_is_not_positive_is_refused(cap: float):
    with pytest.raises(InvalidInputError, match="cap of weights must be positive"):
        clipped_ips(np.ones(4), REWARDS, CUSTOMERS, cap=cap)


def test_one_decision_per_customer_gives_the_textbook_error():
    terms = np.random.default_rng(1).normal(size=200)
    expected = terms.std(ddof=1) / np.sqrt(200)
    assert mean_estimate(terms, np.arange(200)).standard_error == pytest.approx(expected)


def test_an_estimate_minus_itself_is_exactly_0():
    estimate = ips(importance_weights(TARGET, LOGGED), REWARDS, CUSTOMERS)
    gap = difference(estimate, estimate, CUSTOMERS)
    assert (gap.value, gap.lower, gap.upper) == (0.0, 0.0, 0.0)


@given(st.lists(st.tuples(st.floats(0.05, 1), st.floats(-100, 100), st.integers(0, 5)), min_size=3, max_size=40))
@settings(max_examples=50, deadline=None)
def test_the_logging_policy_is_worth_the_mean_of_its_log(rows: list[tuple[float, float, int]]):
    logged, rewards, customers = (np.array(column) for column in zip(*rows, strict=True))
    customers = np.append(customers[:-2], [6, 7])  # at least two customers
    weights = importance_weights(logged, logged)
    for estimate in (ips(weights, rewards, customers), snips(weights, rewards, customers)):
        assert estimate.value == pytest.approx(rewards.mean())
        assert estimate.influence.sum() == pytest.approx(0, abs=1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A log of customers, each with a taste x and a level; action a in {0, 1, 2} brings level + a x + noise."""

    customers: np.ndarray
    tastes: np.ndarray
    actions: np.ndarray
    logged: np.ndarray
    rewards: np.ndarray

    @property
    def choices(self) -> np.ndarray:
        """The evaluated policy: action 2 for customers who like it, else 0; its value is 2 E[x; x > 0] = 2 phi(0)."""
        return np.where(self.tastes > 0, 2, 0)

    @property
    def weights(self) -> np.ndarray:
        return importance_weights((self.actions == self.choices).astype(float), self.logged)


TRUTH = 2 / np.sqrt(2 * np.pi)


def make_world(seed: int, *, customers: int = 250, decisions: int = 4, shares: tuple[float, ...] = (0.5, 0.2, 0.3)):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), decisions)
    tastes, levels = rng.normal(size=customers)[who], rng.normal(size=customers)[who]
    actions = rng.choice(3, size=who.size, p=shares)
    rewards = levels + actions * tastes + rng.normal(size=who.size)
    return World(customers=who, tastes=tastes, actions=actions, logged=np.array(shares)[actions], rewards=rewards)


def ips_of(world: World) -> Estimate:
    return ips(world.weights, world.rewards, world.customers)


def snips_of(world: World) -> Estimate:
    return snips(world.weights, world.rewards, world.customers)


def dr_of(world: World) -> Estimate:
    """The doubly robust estimate with a model that is nearly right."""
    predicted, expected = 0.9 * world.actions * world.tastes, 0.9 * world.choices * world.tastes
    return doubly_robust(world.weights, world.rewards, predicted, expected, world.customers)


def wrong_dr_of(world: World) -> Estimate:
    """The doubly robust estimate with a model that has the wrong sign and an arbitrary level."""
    predicted, expected = 3 - world.actions * world.tastes, 3 - world.choices * world.tastes
    return doubly_robust(world.weights, world.rewards, predicted, expected, world.customers)


def gap_of(world: World) -> Estimate:
    """The policy minus always action 0, whose value is 0."""
    always = importance_weights((world.actions == 0).astype(float), world.logged)
    other = ips(always, world.rewards, world.customers)
    return difference(ips_of(world), other, world.customers)


LOGS = 400


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [make_world(seed) for seed in range(LOGS)]


@pytest.mark.parametrize("estimator", [ips_of, snips_of, dr_of, wrong_dr_of, gap_of])
def test_95_percent_intervals_cover_the_truth_in_95_percent_of_logs(
    worlds: list[World], estimator: Callable[[World], Estimate]
):
    estimates = [estimator(world) for world in worlds]
    covered = np.mean([one.lower <= TRUTH <= one.upper for one in estimates])
    assert 0.92 <= covered <= 0.98, covered  # 400 logs: two and a half standard errors
    values = np.array([one.value for one in estimates])
    assert abs(values.mean() - TRUTH) < 3 * values.std() / np.sqrt(LOGS)
    assert np.mean([one.standard_error for one in estimates]) == pytest.approx(values.std(), rel=0.1)


def test_intervals_that_ignore_customers_are_too_short(worlds: list[World]):
    """Why estimates are clustered by customer: the same terms treated as independent cover far less."""
    forgetful = [mean_estimate(world.weights * world.rewards, np.arange(world.rewards.size)) for world in worlds]
    assert np.mean([one.lower <= TRUTH <= one.upper for one in forgetful]) < 0.9


def test_a_good_outcome_model_makes_the_interval_shorter(worlds: list[World]):
    assert np.mean([dr_of(one).standard_error for one in worlds]) < 0.9 * np.mean(
        [ips_of(one).standard_error for one in worlds]
    )


def test_decisions_without_a_probability_are_refused():
    with pytest.raises(InsufficientDataError, match="got 1 of 4 without"):
        importance_weights(TARGET, np.array([0.5, np.nan, 0.25, 0.75]))


def test_no_decisions_are_refused():
    with pytest.raises(InsufficientDataError, match="got none"):
        importance_weights(np.zeros(0), np.zeros(0))


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.5])
def test_probabilities_out_of_range_are_refused(probability: float):
    with pytest.raises(InvalidInputError, match=r"logged probabilities must be in \(0, 1\]"):
        importance_weights(TARGET, np.array([0.5, 0.5, 0.25, probability]))


def test_targets_out_of_range_or_shape_are_refused():
    with pytest.raises(InvalidInputError, match="target probabilities must be in"):
        importance_weights(np.full(4, 1.2), LOGGED)
    with pytest.raises(InvalidInputError, match="must have the shape"):
        importance_weights(np.ones(3), LOGGED)


def test_a_log_that_the_stated_policy_cannot_have_made_is_refused():
    weights = np.zeros(400)
    with pytest.raises(InsufficientDataError, match="what the policy 'greedy' would do for 30 customers"):
        check_support(support_of(weights, np.arange(400)), "greedy")
    with pytest.raises(InsufficientDataError, match="could have made, got none"):
        snips(weights, np.ones(400), np.arange(400))


def test_a_log_without_support_for_part_of_the_policy_is_refused():
    """No customer who likes it was ever sent action 2, so weights average only the part that was tried."""
    world = make_world(3, customers=400)
    known = ~((world.actions == 2) & (world.tastes > 0))
    weights = world.weights[known]
    with pytest.raises(InsufficientDataError, match=r"must average 1, got 0\.6"):
        check_support(support_of(weights, world.customers[known]), "greedy")


def test_wrong_logged_probabilities_are_detected():
    world = make_world(4, customers=600)
    weights = importance_weights((world.actions == world.choices).astype(float), np.full(world.rewards.size, 1 / 3))
    with pytest.raises(InsufficientDataError, match="probabilities are wrong"):
        check_support(support_of(weights, world.customers), "greedy")


def test_a_log_with_overlap_passes():
    world = make_world(5)
    check_support(support_of(world.weights, world.customers), "greedy")


def test_one_customer_gives_no_interval():
    with pytest.raises(InsufficientDataError, match="two customers or more, got 1"):
        clustered_error(np.zeros(3), np.zeros(3, dtype=int))


def test_customers_of_another_log_are_refused():
    with pytest.raises(InvalidInputError, match="customers must have the shape"):
        ips(np.ones(3), np.ones(3), np.arange(4))
