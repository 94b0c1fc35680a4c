"""Prices of room: exact in small cases, and as prices of something scarce behave."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.arrays import FloatArray
from training.foresight.slot_prices import PricedCap, Prospect, after, room, slot_values, solve_prices

WEEK = 7 * 86_400.0
MONTH = PricedCap(cap_id="month", of="marketing", limit=1, window_seconds=28 * 86_400.0)


def prospect(atoms: list[float], chances: list[float], *, rate: float = 1.0) -> Prospect:
    """Moments that have nothing to do with each other, one class per atom."""
    rows = np.tile(np.array(chances), (len(atoms), 1))
    edges = (np.array(atoms[1:]) + np.array(atoms[:-1])) / 2
    return Prospect(
        step_seconds=WEEK,
        arrival_rate=rate,
        edges_minor=edges,
        atoms_minor=np.array(atoms)[:, np.newaxis],
        silent=rows,
        contacted=rows,
    )


def by_hand(limit: int, steps: int, atoms: list[float], chances: list[float], horizon: int) -> FloatArray:
    """Values by plain recursion over everything that may come: shape (patterns,), with `horizon` steps to go."""
    if horizon == 0:
        return np.zeros(1 << steps)
    later = by_hand(limit, steps, atoms, chances, horizon - 1)
    waited, contacted = after(np.arange(1 << steps), steps)
    found = np.zeros(1 << steps)
    for pattern, (atom, chance) in product(range(1 << steps), zip(atoms, chances, strict=True)):
        kept = later[waited[pattern]]
        sent = atom + later[contacted[pattern]] if pattern.bit_count() < limit else -np.inf
        found[pattern] += chance * max(kept, sent)
    return found


@pytest.mark.parametrize(("limit", "steps"), [(1, 1), (1, 3), (2, 3), (3, 5)])
def test_prices_are_differences_of_the_optimal_values(limit: int, steps: int) -> None:
    atoms, chances, horizon = [-5.0, 10.0, 80.0], [0.3, 0.5, 0.2], 9
    later = by_hand(limit, steps, atoms, chances, horizon - 1)
    patterns = np.arange(1 << steps)
    waited, contacted = after(patterns, steps)
    expected = np.where(room(patterns, limit), later[waited] - later[contacted], 0.0)
    found = slot_values(limit, steps, prospect(atoms, chances), horizon)
    np.testing.assert_allclose(found, np.tile(expected, (3, 1)), atol=1e-9)


SCARCE = [-5.0, 10.0, 80.0]


@settings(max_examples=50, deadline=None)
@given(
    limit=st.integers(1, 4),
    steps=st.integers(1, 5),
    better=st.floats(0, 500),
    chance=st.floats(0.05, 0.5),
    rate=st.floats(0.1, 1.0),
)
def test_prices_are_none_without_need_and_rise_with_better_moments(
    limit: int, steps: int, better: float, chance: float, rate: float
) -> None:
    chances = [0.3, 0.7 - chance, chance]
    usual = slot_values(limit, steps, prospect(SCARCE, chances, rate=rate), 14)
    assert (usual >= 0).all()
    assert (usual <= max(SCARCE) + 1e-9).all()
    promising = slot_values(limit, steps, prospect([-5.0, 10.0, 80.0 + better], chances, rate=rate), 14)
    assert promising[0, 0] >= usual[0, 0] - 1e-9
    roomy = slot_values(limit + 1, steps, prospect(SCARCE, chances, rate=rate), 14)
    assert roomy[0, 0] <= usual[0, 0] + 1e-9
    enough = slot_values(steps + 1, steps, prospect(SCARCE, chances, rate=rate), 14)
    assert not enough.any()


def test_room_is_worth_more_the_less_is_left_of_it() -> None:
    found = slot_values(3, 4, prospect(SCARCE, [0.3, 0.5, 0.2]), 14)[0]
    assert found[0b0000] < found[0b0001] < found[0b0011]


def test_moments_that_pay_nothing_keep_nothing_back() -> None:
    assert not slot_values(1, 3, prospect([-5.0, -1.0], [0.5, 0.5]), 14).any()


def test_a_contact_that_spoils_what_follows_leaves_its_room_worthless() -> None:
    free = prospect([-5.0, 80.0], [0.5, 0.5])
    spoilt = Prospect(
        step_seconds=WEEK,
        arrival_rate=1.0,
        edges_minor=free.edges_minor,
        atoms_minor=free.atoms_minor,
        silent=np.eye(2),
        contacted=np.array([[1.0, 0.0], [1.0, 0.0]]),
    )
    assert slot_values(1, 3, free, 14)[1, 0] > 0
    assert not slot_values(1, 3, spoilt, 14).any()


def test_a_table_names_patterns_with_a_price_alone() -> None:
    slot = solve_prices(MONTH, prospect(SCARCE, [0.3, 0.5, 0.2]), 90 * 86_400.0)
    assert list(slot.prices_minor) == [0]
    half = solve_prices(MONTH, prospect(SCARCE, [0.3, 0.5, 0.2]), 90 * 86_400.0, strength=0.5)
    assert half.prices_minor[0] == pytest.approx([price / 2 for price in slot.prices_minor[0]])
    assert solve_prices(MONTH, prospect(SCARCE, [0.3, 0.5, 0.2]), WEEK).prices_minor == {}
