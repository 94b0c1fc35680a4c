"""Intervals: they have their stated coverage on simulated truths, with customers as the units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.intervals import rate, rate_difference, ratio, waiting_quantile


def clustered_hits(rng: np.random.Generator, *, customers: int, rows: int, mean: float) -> np.ndarray:
    """Hits of customers who differ: each has an individual rate."""
    own = rng.beta(2 * mean, 2 * (1 - mean), customers)
    return rng.binomial(rows, own).astype(float)


@pytest.mark.parametrize("mean", [0.05, 0.3])
def test_the_interval_of_a_rate_has_95_percent_coverage_with_correlated_rows_per_customer(mean: float):
    rng, held = np.random.default_rng(1), 0
    for _ in range(400):
        found = rate(clustered_hits(rng, customers=200, rows=6, mean=mean), np.full(200, 6.0))
        held += found.ends[0] <= mean <= found.ends[1]
    assert 0.92 <= held / 400 <= 0.985


def test_the_interval_of_a_ratio_has_95_percent_coverage():
    rng, held = np.random.default_rng(2), 0
    for _ in range(400):
        counts = rng.integers(1, 6, 150).astype(float)
        totals = counts * rng.normal(10.0, 4.0, 150) + rng.normal(0.0, 2.0, 150)
        found = ratio(totals, counts)
        held += found.ends[0] <= 10 <= found.ends[1]
    assert 0.92 <= held / 400 <= 0.98


def test_the_interval_of_a_difference_of_rates_covers_the_truth_even_close_to_1():
    rng, held = np.random.default_rng(3), 0
    for _ in range(400):
        one = rate(rng.binomial(1, 0.99, 80).astype(float), np.ones(80))
        other = rate(rng.binomial(1, 0.95, 120).astype(float), np.ones(120))
        low, high = rate_difference(one, other)
        held += low <= 0.04 <= high
    assert held / 400 >= 0.92


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=60))
def test_a_rate_is_within_its_interval_and_the_interval_within_0_to_1(pairs: list[tuple[int, int]]):
    hits = np.array([float(hit) for hit, _ in pairs])
    found = rate(hits, hits + np.array([float(more) for _, more in pairs]) + 1)
    assert 0 <= found.ends[0] <= found.value + 1e-12
    assert found.value <= found.ends[1] + 1e-12 <= 1 + 2e-12


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=80))
def test_repeated_identical_rows_of_a_customer_add_no_precision(flags: list[bool]):
    hits = np.array(flags, dtype=float)
    once, often = rate(hits, np.ones(len(hits))), rate(7 * hits, np.full(len(hits), 7.0))
    assert often.ends == pytest.approx(once.ends, abs=0.01)


def test_unfinished_waiting_times_are_not_mistaken_for_short_ones():
    rng = np.random.default_rng(4)
    waits, seen = rng.exponential(10.0, 4_000), rng.uniform(5.0, 30.0, 4_000)
    is_over = waits <= seen
    found = waiting_quantile(np.minimum(waits, seen), is_over, 0.5)
    assert found is not None
    assert found.ends[0] <= 10 * np.log(2) <= found.ends[1]
    naive = float(np.median(waits[is_over]))
    assert naive < found.ends[0]


def test_a_quantile_beyond_the_observed_range_has_no_value():
    hours = np.arange(1.0, 41.0)
    assert waiting_quantile(hours, np.arange(40) < 8, 0.5) is None
    assert waiting_quantile(hours, np.zeros(40, dtype=bool), 0.5) is None
    all_over = waiting_quantile(hours, np.ones(40, dtype=bool), 0.9)
    assert all_over is not None
    assert all_over.value == 36
