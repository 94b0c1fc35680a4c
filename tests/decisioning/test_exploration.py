"""Action probabilities: a distribution in every case, with the floor where it can be kept."""

from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError, InvalidPolicyError
from decisioning.exploration import (
    Exploration,
    action_probabilities,
    check_exploration,
    draw,
    even_probabilities,
)

SHARES = st.floats(0, 1)
FLOORS = st.floats(0, 1, exclude_max=True)
COUNTS = st.integers(1, 200)


@settings(max_examples=300, deadline=None)
@given(epsilon=SHARES, floor=FLOORS, count=COUNTS, data=st.data())
def test_probabilities_are_a_distribution_and_keep_the_floor(
    epsilon: float, floor: float, count: int, data: st.DataObject
) -> None:
    best = data.draw(st.integers(0, count - 1))
    probabilities = action_probabilities(Exploration(epsilon=epsilon, min_probability=floor), count=count, best=best)
    assert len(probabilities) == count
    assert abs(fsum(probabilities) - 1) <= 1e-12
    assert abs(sum(probabilities) - 1) <= 1e-12
    assert min(probabilities) >= 0
    assert max(probabilities) == probabilities[best]
    assert min(probabilities) >= min(floor, 1 / count) * (1 - 1e-12)
    assert len({p for index, p in enumerate(probabilities) if index != best}) <= 1


def test_epsilon_is_spread_over_all_and_the_rest_goes_to_the_best() -> None:
    assert action_probabilities(Exploration(epsilon=0.1), count=5, best=2) == pytest.approx(
        (0.02, 0.02, 0.92, 0.02, 0.02)
    )


def test_without_exploration_the_best_is_certain() -> None:
    assert action_probabilities(Exploration(), count=3, best=1) == (0.0, 1.0, 0.0)


def test_the_floor_lifts_what_epsilon_leaves_too_low() -> None:
    exploration = Exploration(epsilon=0.1, min_probability=0.05)
    assert action_probabilities(exploration, count=4, best=0) == pytest.approx((0.85, 0.05, 0.05, 0.05))


def test_a_floor_that_cannot_be_kept_makes_all_equally_likely() -> None:
    exploration = Exploration(min_probability=0.4)
    assert action_probabilities(exploration, count=4, best=3) == (0.25, 0.25, 0.25, 0.25)


def test_silence_alone_is_certain() -> None:
    assert action_probabilities(Exploration(epsilon=0.3, min_probability=0.1), count=1, best=0) == (1.0,)


@pytest.mark.parametrize(("count", "best"), [(3, 3), (3, -1), (0, 0)])
def test_a_best_that_is_not_there_is_refused(count: int, best: int) -> None:
    with pytest.raises(InvalidInputError, match="best must be in"):
        action_probabilities(Exploration(), count=count, best=best)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan"), float("inf")])
def test_an_epsilon_that_is_no_share_is_refused(epsilon: float) -> None:
    with pytest.raises(InvalidPolicyError, match="epsilon must be in"):
        check_exploration(Exploration(epsilon=epsilon))


@pytest.mark.parametrize("floor", [-0.1, 1.0, float("nan")])
def test_a_floor_that_is_no_probability_is_refused(floor: float) -> None:
    with pytest.raises(InvalidPolicyError, match="min_probability must be in"):
        check_exploration(Exploration(min_probability=floor))


@settings(max_examples=100, deadline=None)
@given(epsilon=SHARES, floor=FLOORS, count=COUNTS, uniform=st.floats(0, 1, exclude_max=True))
def test_a_draw_never_chooses_what_has_no_chance(epsilon: float, floor: float, count: int, uniform: float) -> None:
    exploration = Exploration(epsilon=epsilon, min_probability=floor)
    probabilities = action_probabilities(exploration, count=count, best=count // 2)
    assert probabilities[draw(probabilities, uniform)] > 0


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any))
def test_over_all_uniforms_each_index_is_drawn_with_its_probability(weights: list[int]) -> None:
    total = sum(weights)
    probabilities = [weight / total for weight in weights]
    drawn = [draw(probabilities, (step + 0.5) / total) for step in range(total)]
    assert [drawn.count(index) for index in range(len(weights))] == weights


def test_the_last_possible_uniform_draws_the_last_possible_index() -> None:
    assert draw((0.1,) * 10, 1 - 2**-53) == 9
    assert draw((*(0.1,) * 9, 0.1 - 1e-13, 0.0), 1 - 2**-53) == 9


def test_probabilities_without_a_positive_one_are_refused() -> None:
    for nothing in ((), (0.0, 0.0)):
        with pytest.raises(InvalidInputError, match="must have a positive one"):
            draw(nothing, 0.5)


@settings(max_examples=50, deadline=None)
@given(count=COUNTS)
def test_the_random_arm_gives_everyone_the_same_chance(count: int) -> None:
    probabilities = even_probabilities(count)
    assert len(set(probabilities)) == 1
    assert abs(fsum(probabilities) - 1) <= 1e-12
