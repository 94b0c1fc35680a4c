"""Intervals that hold at every look: golden values, and simulations in which people look sixty times."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.experiments.sequences import Counted, half_width, p_value, rate_interval, rate_p_value, split_p_value

LOOKS, RUNS = 60, 400


@pytest.mark.parametrize(
    ("error", "units", "narrowest_at", "difference", "lower", "upper", "p"),
    [
        (0.1977136827662793, 2_100, 5_000, 0.6363636363636367, 0.02074033576700529, 1.251986936960268, 0.0387270625),
        (0.0260501695508879, 121_000, 5_000, 0.0655737704918033, -0.0220456154988765, 0.153193156482483, 0.594355782),
        (0.4424589482083202, 390, 1_000, 1.3157894736842106, -0.0687986323432375, 2.7003775797116587, 0.0715678765),
    ],
)
def test_intervals_and_p_values_equal_those_of_gbstats(
    error: float, units: int, narrowest_at: int, difference: float, lower: float, upper: float, p: float
):
    """Golden: gbstats 0.8.0, `SequentialTwoSidedTTest`, on sums and sums of squares of three pairs of arms."""
    wide = half_width(error, units, narrowest_at=narrowest_at)
    assert (difference - wide, difference + wide) == pytest.approx((lower, upper), rel=1e-9)
    assert p_value(difference, error, units, narrowest_at=narrowest_at) == pytest.approx(p, rel=1e-8)


def alarms(p_at: Callable[[np.ndarray, np.ndarray, int], float], draw: Callable[[], np.ndarray], step: int) -> float:
    """Share of tests without an effect that are called at any of sixty looks, `step` units of each arm apart."""
    found = 0
    for _ in range(RUNS):
        arms = draw()
        found += any(p_at(arms[0], arms[1], step * look) < 0.05 for look in range(1, LOOKS + 1))
    return found / RUNS


def of_means(one: np.ndarray, other: np.ndarray, n: int) -> float:
    error = np.hypot(one[:n].std(ddof=1), other[:n].std(ddof=1)) / np.sqrt(n)
    return p_value(float(other[:n].mean() - one[:n].mean()), float(error), 2 * n)


def of_rates(one: np.ndarray, other: np.ndarray, n: int) -> float:
    return rate_p_value(Counted(int(one[:n].sum()), n), Counted(int(other[:n].sum()), n))


def test_a_mean_without_an_effect_is_called_in_at_most_5_percent_of_tests_over_sixty_looks():
    """Known truth; 400 tests: more than 7.9 % has a probability of 0.5 % at a rate of 5 %."""
    rng = np.random.default_rng(1)
    assert alarms(of_means, lambda: rng.gamma(1, 20, (2, 50 * LOOKS)), 50) <= 0.079


def test_a_rare_rate_without_an_effect_is_called_in_at_most_5_percent_of_tests_over_sixty_looks():
    rng = np.random.default_rng(2)
    assert alarms(of_rates, lambda: rng.random((2, 30 * LOOKS)) < 0.01, 30) <= 0.079


def test_looking_sixty_times_with_a_test_for_one_look_finds_what_is_not_there():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(3)

    def welch(one: np.ndarray, other: np.ndarray, n: int) -> float:
        return float(ttest_ind(one[:n], other[:n], equal_var=False).pvalue)

    assert alarms(welch, lambda: rng.gamma(1, 20, (2, 50 * LOOKS)), 50) > 0.2


def test_a_fair_split_is_alarming_in_at_most_1_percent_of_tests_over_sixty_looks():
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(RUNS):
        counts = np.cumsum(rng.binomial(100, 0.3, LOOKS))
        splits = [{"a": int(n), "b": 100 * look - int(n)} for look, n in enumerate(counts, 1)]
        found += any(split_p_value(one, {"a": 0.3, "b": 0.7}) < 0.01 for one in splits)
    assert found / RUNS <= 0.025


@given(st.integers(0, 60), st.integers(0, 60), st.integers(60, 90), st.integers(60, 900))
def test_an_interval_of_rates_holds_their_difference_and_leaves_out_zero_where_the_p_value_says_so(
    hits: int, other: int, units: int, others: int
):
    control, arm = Counted(hits, units), Counted(other, others)
    lower, upper = rate_interval(control, arm)
    assert -1 <= lower <= arm.rate - control.rate <= upper <= 1
    if abs(rate_p_value(control, arm) - 0.05) > 1e-6:
        assert (rate_p_value(control, arm) < 0.05) == (not lower <= 0 <= upper)
    flipped = rate_interval(arm, control)
    assert (lower, upper) == pytest.approx((-flipped[1], -flipped[0]), abs=1e-7)
