"""Sample-ratio mismatch: golden values, false alarms, thresholds."""

import numpy as np
import pytest

from features.reports.readouts import Health
from training.experiments.sample_ratios import check_sample_ratio

HALVES = {"a": 0.5, "b": 0.5}


def test_the_cookie_cats_split_is_between_warning_and_alarm():
    """Golden: 44,700 against 45,489 players; chi-square 789^2 / 90,189 = 6.9024, p = 0.008608."""
    ratio = check_sample_ratio({"a": 44_700, "b": 45_489}, HALVES, "players")
    assert ratio.p_value == pytest.approx(0.008608, abs=1e-6)
    assert ratio.status is Health.WARN
    assert "p 0.0086" in ratio.message


@pytest.mark.parametrize(
    ("counts", "shares", "status"),
    [
        ({"a": 500, "b": 500}, HALVES, Health.OK),
        ({"a": 900, "b": 100}, {"a": 0.9, "b": 0.1}, Health.OK),
        ({"a": 500, "b": 500}, {"a": 0.9, "b": 0.1}, Health.ALARM),
        ({"a": 1000, "b": 800}, HALVES, Health.ALARM),
        ({"a": 340, "b": 330, "c": 330}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, Health.OK),
        ({"a": 4, "b": 4}, HALVES, Health.UNKNOWN),
        ({"a": 0, "b": 0}, HALVES, Health.UNKNOWN),
    ],
)
def test_a_split_is_tested_against_its_declared_shares(
    counts: dict[str, int], shares: dict[str, float], status: Health
):
    ratio = check_sample_ratio(counts, shares, "customers")
    assert ratio.status is status
    assert (ratio.p_value is None) == (status is Health.UNKNOWN)


def test_a_fair_split_rarely_raises_an_alarm():
    """Known truth: of 6,000 fair splits, each looked at once, about 1 % warn or worse and less than 0.3 % alarm."""
    draws = np.random.default_rng(1).binomial(2000, 0.5, 6_000)
    statuses = [check_sample_ratio({"a": int(n), "b": 2000 - int(n)}, HALVES, "c").status for n in draws]
    assert 0.006 < np.mean([status is not Health.OK for status in statuses]) < 0.014
    assert np.mean([status is Health.ALARM for status in statuses]) < 0.003


def test_a_split_that_loses_a_tenth_of_one_arm_raises_an_alarm():
    draws = np.random.default_rng(2).binomial(6000, 0.9 / 1.9, 200)
    statuses = [check_sample_ratio({"a": int(n), "b": 6000 - int(n)}, HALVES, "c").status for n in draws]
    assert np.mean([status is Health.ALARM for status in statuses]) > 0.4
    assert np.mean([status is not Health.OK for status in statuses]) > 0.7
