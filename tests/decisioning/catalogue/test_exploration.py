"""Action probabilities: always a distribution, with the floor wherever it fits."""

from dataclasses import replace
from fractions import Fraction
from math import fsum, sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.arrays import FloatArray
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp, check_exploration
from decisioning.choice.chance import (
    Contenders,
    action_probabilities,
    draw,
    even_probabilities,
    explore,
    gap_probabilities,
    planned_probabilities,
    ramp_caps,
    ramped,
)
from decisioning.errors import InvalidInputError, InvalidPolicyError

SHARES = st.floats(0, 1)


class Contender(NamedTuple):
    """A permitted candidate; without an offer it is silence."""

    priority_minor: float
    offer_id: str | None = None
    evidence: int = 0


def lined_up(*contenders: Contender) -> Contenders:
    offers = sorted({one.offer_id for one in contenders if one.offer_id is not None})
    return Contenders(
        priority_minor=np.array([one.priority_minor for one in contenders]),
        offers=np.array([-1 if one.offer_id is None else offers.index(one.offer_id) for one in contenders]),
        evidence=np.array([one.evidence for one in contenders]),
    )


def ramp_cap(ramp: Ramp, evidence: int) -> float:
    return float(ramp_caps(ramp, np.array([evidence]))[0])


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
    assert min(probabilities) >= min(floor, epsilon / max(count, 1)) * (1 - 1e-12)
    assert 1 - probabilities[best] <= epsilon + 1e-12
    assert len({p for index, p in enumerate(probabilities) if index != best}) <= 1


def test_epsilon_is_spread_over_all_and_the_rest_goes_to_the_best() -> None:
    assert action_probabilities(Exploration(epsilon=0.1), count=5, best=2) == pytest.approx(
        (0.02, 0.02, 0.92, 0.02, 0.02)
    )


def test_without_exploration_the_best_is_certain() -> None:
    assert action_probabilities(Exploration(), count=3, best=1).tolist() == [0.0, 1.0, 0.0]


def test_the_floor_raises_probabilities_that_epsilon_leaves_too_low() -> None:
    exploration = Exploration(epsilon=0.16, min_probability=0.05)
    assert action_probabilities(exploration, count=4, best=0) == pytest.approx((0.85, 0.05, 0.05, 0.05))


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from([ExplorationKind.INVERSE_GAP, ExplorationKind.THOMPSON]),
    epsilon=SHARES,
    floor=FLOORS,
    count=st.integers(2, 300),
)
def test_the_floor_never_takes_more_than_its_share_whatever_the_kind(
    kind: ExplorationKind, epsilon: float, floor: float, count: int
) -> None:
    plain = Exploration(kind=kind, epsilon=epsilon)
    contenders = [Contender(0.0), *(Contender(-1e6, f"o{place}", 10**9) for place in range(count - 2))]
    contenders.append(Contender(1e6, "best", 10**9))
    without, with_floor = (
        explore(one, lined_up(*contenders), best=count - 1) for one in (plain, replace(plain, min_probability=floor))
    )
    assert fsum(with_floor) == pytest.approx(1.0)
    assert without[-1] - with_floor[-1] <= plain.floor_share + 1e-12
    planned = planned_probabilities(replace(plain, min_probability=floor), lined_up(*contenders), best=count - 1)
    assert 1 - planned[-1] <= plain.floor_share + 1e-12


@pytest.mark.parametrize(("count", "best_gets"), [(3, 0.9333333), (21, 0.9), (126, 0.9), (400, 0.9)])
def test_many_messages_share_what_epsilon_leaves(count: int, best_gets: float) -> None:
    exploration = Exploration(epsilon=0.1, min_probability=0.005)
    assert action_probabilities(exploration, count=count, best=0)[0] == pytest.approx(best_gets, abs=0.005)


def test_silence_alone_is_certain() -> None:
    assert action_probabilities(Exploration(epsilon=0.3, min_probability=0.1), count=1, best=0).tolist() == [1.0]


@pytest.mark.parametrize(("count", "best"), [(3, 3), (3, -1), (0, 0)])
def test_a_best_index_out_of_range_is_refused(count: int, best: int) -> None:
    with pytest.raises(InvalidInputError, match="best must be in"):
        action_probabilities(Exploration(), count=count, best=best)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan"), float("inf")])
def test_an_epsilon_outside_0_to_1_is_refused(epsilon: float) -> None:
    with pytest.raises(InvalidPolicyError, match="epsilon must be in"):
        check_exploration(Exploration(epsilon=epsilon))


@pytest.mark.parametrize("floor", [-0.1, 1.0, float("nan")])
def test_an_invalid_floor_is_refused(floor: float) -> None:
    with pytest.raises(InvalidPolicyError, match="min_probability must be in"):
        check_exploration(Exploration(min_probability=floor))


@settings(max_examples=100, deadline=None)
@given(epsilon=SHARES, floor=FLOORS, count=COUNTS, uniform=st.floats(0, 1, exclude_max=True))
def test_a_draw_never_chooses_a_probability_of_0(epsilon: float, floor: float, count: int, uniform: float) -> None:
    exploration = Exploration(epsilon=epsilon, min_probability=floor)
    probabilities = action_probabilities(exploration, count=count, best=count // 2)
    assert probabilities[draw(probabilities, uniform)] > 0


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any))
def test_over_all_uniforms_each_index_is_drawn_with_its_probability(weights: list[int]) -> None:
    total = sum(weights)
    probabilities = np.array(weights) / total
    drawn = [draw(probabilities, (step + 0.5) / total) for step in range(total)]
    assert [drawn.count(index) for index in range(len(weights))] == weights


def test_the_last_possible_uniform_draws_the_last_possible_index() -> None:
    assert draw(np.full(10, 0.1), 1 - 2**-53) == 9
    assert draw(np.array([*(0.1,) * 9, 0.1 - 1e-13, 0.0]), 1 - 2**-53) == 9


def test_probabilities_without_a_positive_one_are_refused() -> None:
    for nothing in (np.zeros(0), np.zeros(2)):
        with pytest.raises(InvalidInputError, match="must have a positive one"):
            draw(nothing, 0.5)


@settings(max_examples=50, deadline=None)
@given(count=COUNTS)
def test_the_random_arm_gives_everyone_the_same_chance(count: int) -> None:
    probabilities = even_probabilities(count)
    assert len(set(probabilities)) == 1
    assert abs(fsum(probabilities) - 1) <= 1e-12


NUMBERS = st.floats(-1e9, 1e9)
KINDS = st.sampled_from(ExplorationKind)


@st.composite
def contests(draw_from: st.DrawFn) -> tuple[Contender, ...]:
    """Silence and up to a dozen messages of up to five offers; evidence is counted per offer."""
    evidence = draw_from(st.lists(st.integers(0, 500), min_size=5, max_size=5))
    offers = draw_from(st.lists(st.integers(0, 4), max_size=12))
    messages = [Contender(draw_from(NUMBERS), f"o{offer}", evidence[offer]) for offer in offers]
    return (Contender(0.0), *messages)


EXPLORATIONS = st.builds(
    Exploration,
    kind=KINDS,
    epsilon=SHARES,
    min_probability=FLOORS,
    gap_scale_minor=st.floats(1e-6, 1e6),
    prior_deviation_minor=st.floats(1e-6, 1e6),
    ramp=st.builds(Ramp, needed=st.integers(0, 400), start_share=st.floats(0.001, 1)),
)


def best_in(contenders: tuple[Contender, ...]) -> int:
    return max(range(len(contenders)), key=lambda index: contenders[index].priority_minor)


def offer_totals(contenders: tuple[Contender, ...], probabilities: FloatArray) -> dict[str, tuple[int, float]]:
    totals: dict[str, tuple[int, float]] = {}
    for one, probability in zip(contenders[1:], probabilities[1:].tolist(), strict=True):
        assert one.offer_id is not None
        totals[one.offer_id] = (one.evidence, totals.get(one.offer_id, (0, 0.0))[1] + probability)
    return totals


@settings(max_examples=300, deadline=None)
@given(exploration=EXPLORATIONS, contenders=contests(), way=st.sampled_from(["explore", "plan", "random"]))
def test_every_kind_gives_a_distribution_and_no_floor_lifts_an_offer_above_its_ramp(
    exploration: Exploration, contenders: tuple[Contender, ...], way: str
) -> None:
    best = best_in(contenders)
    if way == "explore":
        probabilities = explore(exploration, lined_up(*contenders), best=best)
    elif way == "plan":
        probabilities = planned_probabilities(exploration, lined_up(*contenders), best=len(contenders) // 2)
    else:
        probabilities = ramped(exploration.ramp, lined_up(*contenders), even_probabilities(len(contenders)), to=0)
    assert len(probabilities) == len(contenders)
    assert abs(fsum(probabilities) - 1) <= 1e-12
    assert min(probabilities) >= 0
    for evidence, total in offer_totals(contenders, probabilities).values():
        assert total <= ramp_cap(exploration.ramp, evidence) + 1e-12


@settings(max_examples=200, deadline=None)
@given(exploration=EXPLORATIONS, contenders=contests())
def test_without_a_ramp_every_kind_keeps_the_floor(exploration: Exploration, contenders: tuple[Contender, ...]) -> None:
    probabilities = explore(replace(exploration, ramp=Ramp()), lined_up(*contenders), best=best_in(contenders))
    assert min(probabilities) >= min(exploration.min_probability, exploration.floor_share / len(contenders)) * (
        1 - 1e-9
    )


@settings(max_examples=300, deadline=None)
@given(contenders=contests(), scale=st.floats(1e-6, 1e6))
def test_inverse_gap_weighting_is_exact(contenders: tuple[Contender, ...], scale: float) -> None:
    """Other implementations return negative probabilities here when the gaps differ widely."""
    count, best = len(contenders), best_in(contenders)
    probabilities = gap_probabilities(scale, lined_up(*contenders).priority_minor, best=best)
    top = contenders[best].priority_minor
    for index, one in enumerate(contenders):
        if index != best:
            exact = Fraction(1) / (count * (1 + (Fraction(top) - Fraction(one.priority_minor)) / Fraction(scale)))
            assert probabilities[index] == pytest.approx(float(exact), rel=1e-9)
    assert probabilities[best] >= 1 / count > 0


def test_a_gap_of_one_scale_halves_the_probability() -> None:
    probabilities = gap_probabilities(50.0, np.array([0.0, 0.0, -50.0, 0.0]), best=3)
    assert probabilities == pytest.approx((1 / 4, 1 / 4, 1 / 8, 3 / 8))
    assert gap_probabilities(50.0, np.array([0.0, 0.0, -50.0, 1e300]), best=3)[3] == pytest.approx(1.0)


@pytest.mark.parametrize("best", [-1, 3])
def test_inverse_gap_weighting_refuses_an_index_out_of_range(best: int) -> None:
    with pytest.raises(InvalidInputError, match="best must be in"):
        gap_probabilities(1.0, np.zeros(3), best=best)


def test_thompson_sampling_explores_less_with_more_evidence() -> None:
    exploration = Exploration(kind=ExplorationKind.THOMPSON, prior_deviation_minor=100.0)
    chances = [
        float(explore(exploration, lined_up(Contender(0.0), Contender(50.0, "new", evidence)), best=1)[1])
        for evidence in (0, 3, 99, 9_999)
    ]
    normal = NormalDist()
    expected = [normal.cdf(50.0 / (100.0 / sqrt(1 + evidence))) for evidence in (0, 3, 99, 9_999)]
    assert chances == pytest.approx(expected, abs=1e-9)


def test_a_new_offer_ramps_up_with_its_evidence_all_its_messages_together() -> None:
    ramp = Ramp(needed=200, start_share=0.05)
    exploration = Exploration(ramp=ramp)
    for evidence, cap in ((0, 0.05), (100, 0.525), (199, 0.99525), (200, 1.0)):
        contenders = (
            Contender(0.0),
            Contender(90.0, "new", evidence),
            Contender(80.0, "new", evidence),
            Contender(5.0, "known", 200),
        )
        probabilities = explore(exploration, lined_up(*contenders), best=1)
        assert ramp_cap(ramp, evidence) == pytest.approx(cap)
        assert probabilities == pytest.approx((0.0, cap, 0.0, 1 - cap))
    even = ramped(ramp, lined_up(Contender(0.0), *(Contender(9.0, "new", 0),) * 3), np.full(4, 0.25))
    assert even == pytest.approx((0.95, 0.05 / 3, 0.05 / 3, 0.05 / 3))


def test_probability_cut_by_a_ramp_goes_to_silence_if_no_known_offer_is_better() -> None:
    exploration = Exploration(ramp=Ramp(needed=10, start_share=0.1))
    contenders = (Contender(0.0), Contender(90.0, "new"), Contender(-1.0, "known", 10))
    assert explore(exploration, lined_up(*contenders), best=1) == pytest.approx((0.9, 0.1, 0.0))


def test_a_plan_leaves_only_floor_and_epsilon_to_chance() -> None:
    contenders = (Contender(0.0), Contender(-5.0, "planned"), Contender(900.0, "better"))
    for kind, epsilon in ((ExplorationKind.EPSILON_GREEDY, 0.3), (ExplorationKind.THOMPSON, 0.0)):
        exploration = Exploration(kind=kind, epsilon=0.3, min_probability=0.02)
        other = max(epsilon / 3, 0.02)
        assert planned_probabilities(exploration, lined_up(*contenders), best=1) == pytest.approx(
            (other, 1 - 2 * other, other)
        )


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"gap_scale_minor": 0.0}, "gap_scale must be in"),
        ({"gap_scale_minor": float("nan")}, "gap_scale must be in"),
        ({"prior_deviation_minor": 1e16}, "prior_deviation must be in"),
        ({"ramp": Ramp(needed=-1)}, "needed of the ramp must be at least 0"),
        ({"ramp": Ramp(start_share=0.0)}, "start_share of the ramp must be in"),
        ({"ramp": Ramp(start_share=float("nan"))}, "start_share of the ramp must be in"),
    ],
)
def test_meaningless_scales_and_ramps_are_refused(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidPolicyError, match=rule):
        check_exploration(Exploration(**change))
