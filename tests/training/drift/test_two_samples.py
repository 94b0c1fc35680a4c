"""PSI against its closed form, and tests that are right as often as they say."""

import numpy as np
import pytest

from training.drift.two_samples import (
    ALARMING_PSI,
    WATCHED_PSI,
    Sample,
    holm,
    mean_p_value,
    separation,
    zero_by_chance,
)


def sample(values: np.ndarray, *, first: int = 0, each: int = 1) -> Sample:
    return Sample(values=values, customers=first + np.arange(len(values)) // each)


def test_psi_of_two_normals_is_their_squared_distance():
    """Over fine bins PSI is the symmetric Kullback-Leibler divergence, which is d squared; tenths lose some of it."""
    rng = np.random.default_rng(1)
    for distance in (0.2, 0.5):
        before, now = rng.normal(size=50_000), distance + rng.normal(size=50_000)
        found = separation(sample(before), sample(now, first=50_000)).psi
        assert 0.85 * distance**2 < found < 1.1 * distance**2


def test_equal_populations_are_found_different_in_one_of_twenty_comparisons():
    """New customers and old ones, four decisions each that are alike, a fifth of them missing, in unequal samples."""
    hits = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        level = np.repeat(rng.normal(size=500), 4)
        values = np.where(np.repeat(rng.random(500) < 0.2, 4), np.nan, level + 0.1 * rng.normal(size=2000))
        whole = Sample(values=values, customers=np.repeat(np.arange(500), 4))
        is_now = rng.random(2000) < 0.3  # a customer may be in both periods
        hits += separation(whole.take(~is_now), whole.take(is_now)).p_value < 0.05
    assert 5 <= hits <= 36


def test_customers_of_one_period_only_do_not_make_the_test_bold():
    hits = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        before, now = (np.repeat(rng.normal(size=count), 4) for count in (400, 120))
        hits += separation(sample(before, each=4), sample(now, first=1000, each=4)).p_value < 0.05
    assert 5 <= hits <= 36


def test_rare_p_values_are_as_rare_as_they_say():
    """Correcting for many comparisons asks for the far end: 1 in 1,000, on 200 customers, with shapes and rare sums."""
    shapes = means = 0
    for seed in range(3000):
        rng = np.random.default_rng(seed)
        values, spent = rng.gamma(2.0, 10.0, 1000), np.where(rng.random(1000) < 0.3, rng.gamma(0.5, 10.0, 1000), 0.0)
        shapes += separation(sample(values[:800]), sample(values[800:], first=800)).p_value < 0.001
        means += mean_p_value(sample(spent[:800]), sample(spent[800:], first=800)) < 0.001
    assert shapes <= 9
    assert means <= 9


def test_means_of_skewed_values_are_found_different_in_one_of_twenty_comparisons():
    hits = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        before, now = (np.repeat(rng.gamma(0.5, 10.0, size=count), 2) for count in (600, 200))
        hits += mean_p_value(sample(before, each=2), sample(now, first=1000, each=2)) < 0.05
    assert hits <= 40


def test_a_shift_is_found_and_its_size_told():
    rng = np.random.default_rng(2)
    before, now = rng.normal(size=2000), 0.7 + rng.normal(size=500)
    found = separation(sample(before), sample(now, first=2000))
    assert found.p_value < 1e-6
    assert found.psi > ALARMING_PSI
    assert mean_p_value(sample(before), sample(now, first=2000)) < 1e-6


def test_what_went_missing_is_found():
    rng = np.random.default_rng(3)
    values = rng.normal(size=1000)
    found = separation(sample(values), sample(np.full(300, np.nan), first=1000))
    assert found.psi > ALARMING_PSI
    assert found.p_value < 1e-6


def test_a_tiny_shift_in_a_huge_sample_is_beyond_chance_and_of_no_weight():
    rng = np.random.default_rng(4)
    before, now = rng.normal(size=400_000), 0.03 + rng.normal(size=400_000)
    found = separation(sample(before), sample(now, first=400_000))
    assert found.p_value < 0.001
    assert found.psi < WATCHED_PSI / 10


def test_a_value_that_never_varies_is_steady_and_one_that_changed_is_not():
    same = separation(sample(np.ones(200)), sample(np.ones(100), first=200))
    assert same.p_value == 1.0
    other = separation(sample(np.zeros(200)), sample(np.ones(100), first=200))
    assert other.p_value < 1e-6


def test_a_zero_is_as_improbable_as_the_customers_make_it():
    """What eight customers got fell into the older four fifths of decisions, by chance: as often as stated or less."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(4000):
        hits += not (rng.random(8) < 0.2).any()
    assert hits / 4000 == pytest.approx(zero_by_chance(8, 800, 200), abs=0.025)


def test_holm_keeps_its_promise_for_all_comparisons_together():
    rng, false = np.random.default_rng(6), 0
    for _ in range(2000):
        false += min(holm(rng.random(30).tolist())) < 0.05
    assert false / 2000 <= 0.065
    assert holm([]) == []
