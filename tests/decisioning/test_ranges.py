"""Ranges of arms: every position has one arm, shares are exact, and a change moves as few customers as possible."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.ranges import WHOLE, claim, holds, laid_out, reshared, width, without

POSITIONS = [(index + 0.5) / 400 for index in range(400)]


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    """Shares of one to five arms, in whole per cent."""
    names = draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=len(names) - 1, max_size=len(names) - 1)))
    ends = [0, *cuts, 100]
    return {name: (end - start) / 100 for name, start, end in zip(names, ends[:-1], ends[1:], strict=True)}


@pytest.mark.no_cover
@settings(deadline=None)
@given(st.lists(shares(), min_size=1, max_size=6))
def test_after_any_change_every_position_has_one_arm_and_as_few_as_possible_have_moved(
    steps: list[dict[str, float]],
) -> None:
    held = laid_out(steps[0])
    for before, after in pairwise(steps):
        new = reshared(held, after)
        fewest = sum(max(0.0, share - after.get(name, 0.0)) for name, share in before.items())
        kept = sum(width(spans) - width(without(spans, new.get(name, ()))) for name, spans in held.items())
        assert abs((1 - kept) - fewest) < 1e-6
        held = new
        assert all(abs(width(held[name]) - share) < 1e-6 for name, share in after.items())
        assert all(sum(holds(spans, at) for spans in held.values()) == 1 for at in POSITIONS)


def test_restored_shares_restore_the_first_ranges() -> None:
    first = laid_out({"a": 0.5, "b": 0.5})
    changed = reshared(first, {"a": 0.6, "b": 0.4})
    assert reshared(changed, {"a": 0.5, "b": 0.5}) == first
    assert reshared(first, {"a": 0.5, "b": 0.5}) == first


def test_a_removed_arm_gives_its_range_to_the_others() -> None:
    assert reshared({"a": ((0.0, 0.2),), "b": ((0.2, 1.0),)}, {"b": 1.0}) == {"b": WHOLE}
    assert laid_out({"a": 0.0, "b": 1.0}) == {"a": (), "b": WHOLE}


def test_the_range_an_arm_gives_up_is_split_among_all_that_grow() -> None:
    held = {"a": WHOLE, "b": (), "c": ()}
    assert reshared(held, {"a": 0.5, "b": 0.25, "c": 0.25}) == {
        "a": ((0.0, 0.5),),
        "b": ((0.5, 0.75),),
        "c": ((0.75, 1.0),),
    }


def test_ranges_are_claimed_from_the_start() -> None:
    assert claim(((0.0, 0.1), (0.5, 0.9)), 0.2) == ((0.0, 0.1), (0.5, 0.6))
    assert claim(((0.0, 0.1),), 0.5) == ((0.0, 0.1),)
    assert claim(WHOLE, 0.0) == ()
