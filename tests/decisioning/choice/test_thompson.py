"""The probability of being the greatest, compared with closed forms, simulation and a brute-force integral."""

from math import fsum, hypot
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.choice.thompson import best_probabilities

NORMAL = NormalDist()
MEANS = st.floats(-1e6, 1e6)
DEVIATIONS = st.one_of(st.just(0.0), st.floats(1e-4, 1e5))


@settings(max_examples=300, deadline=None)
@given(worths=st.lists(st.tuples(MEANS, DEVIATIONS), min_size=1, max_size=12))
def test_the_probabilities_are_a_distribution(worths: list[tuple[float, float]]) -> None:
    means, deviations = zip(*worths, strict=True)
    probabilities = best_probabilities(means, deviations)
    assert min(probabilities) >= 0
    assert abs(fsum(probabilities) - 1) <= 1e-12
    assert probabilities == best_probabilities(means, deviations)


@settings(max_examples=300, deadline=None)
@given(means=st.tuples(MEANS, MEANS), deviations=st.tuples(st.floats(1e-4, 1e5), st.floats(1e-4, 1e5)))
def test_two_candidates_match_the_closed_form(means: tuple[float, float], deviations: tuple[float, float]) -> None:
    expected = NORMAL.cdf((means[0] - means[1]) / hypot(*deviations))
    assert best_probabilities(means, deviations)[0] == pytest.approx(expected, abs=1e-7)


@settings(max_examples=200, deadline=None)
@given(mean=MEANS, deviation=st.floats(1e-4, 1e5), level=MEANS)
def test_a_candidate_against_a_constant_matches_the_closed_form(mean: float, deviation: float, level: float) -> None:
    expected = NORMAL.cdf((mean - level) / deviation)
    assert best_probabilities((level, mean), (0.0, deviation))[1] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_equal_candidates_are_equally_likely(count: int) -> None:
    assert best_probabilities([5.0] * count, [2.0] * count) == pytest.approx([1 / count] * count, abs=1e-9)


@pytest.mark.parametrize("scales", [[1.0], [0.05, 0.3, 1.0, 4.0], [0.001, 1.0, 100.0]])
def test_simulation_agrees(scales: list[float]) -> None:
    rng, draws = np.random.default_rng(11), 400_000
    means = [0.0, *rng.normal(size=8).tolist()]
    deviations = [0.0, *rng.choice(scales, size=8).tolist()]
    found = np.array(best_probabilities(means, deviations))
    winners = np.argmax(rng.normal(means, deviations, size=(draws, len(means))), axis=1)
    counts = np.bincount(winners, minlength=len(means))
    error = np.sqrt(found * (1 - found) / draws)
    assert (np.abs(counts / draws - found) <= 4.5 * error + 1e-6).all()


@pytest.mark.parametrize("scales", [[1.0], [0.1, 1.0, 5.0]])
def test_a_brute_force_integral_agrees_to_seven_digits(scales: list[float]) -> None:
    rng = np.random.default_rng(5)
    means, deviations = rng.normal(size=6), rng.choice(scales, size=6)
    lowest, highest = (means - 9 * deviations).max(), (means + 9 * deviations).max()
    grid = np.linspace(lowest, highest, 40_001)
    scores = (grid[:, np.newaxis] - means) / deviations
    below = np.vectorize(NORMAL.cdf)(scores)
    density = np.vectorize(NORMAL.pdf)(scores) / deviations
    expected = [
        np.trapezoid(density[:, one] * np.delete(below, one, axis=1).prod(axis=1), grid) for one in range(len(means))
    ]
    assert best_probabilities(means.tolist(), deviations.tolist()) == pytest.approx(expected, abs=1e-7)


def test_without_uncertainty_the_greatest_is_certain() -> None:
    assert best_probabilities((0.0, 1.0, 1.0), (0.0, 0.0, 0.0)) == (0.0, 1.0, 0.0)
    assert best_probabilities((0.0, 900.0, 5.0), (0.0, 1.0, 1.0)) == (0.0, 1.0, 0.0)
    assert best_probabilities((0.0, -900.0), (0.0, 1.0)) == (1.0, 0.0)


def test_a_negligible_deviation_counts_as_0() -> None:
    assert best_probabilities((0.0, 1e21, 1e21), (0.0, 1.0, 1.0)) == (0.0, 1.0, 0.0)
    assert best_probabilities((0.0, 5.0), (0.0, 1e-300)) == (0.0, 1.0)


def test_very_different_deviations_keep_their_precision() -> None:
    means, deviations = (-1320.94729575, -369.39200748), (5.87890944e-03, 1.78866408e02)
    expected = NORMAL.cdf((means[0] - means[1]) / hypot(*deviations))
    assert best_probabilities(means, deviations)[0] == pytest.approx(expected, abs=1e-9)
