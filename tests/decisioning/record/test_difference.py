"""Differences between records: each by its field, and none for equal records."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.record.difference import ABSENT, Difference, differences

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 0.5]) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("logged", "replayed", "field", "values"),
    [
        ({"a": 1}, {"a": 2}, "a", (1, 2)),
        ({"a": {"b": [1, {"c": 3}]}}, {"a": {"b": [1, {"c": 4}]}}, "a.b[1].c", (3, 4)),
        ({"a": [1, 2]}, {"a": [1]}, "a[1]", (2, ABSENT)),
        ({"a": [1]}, {"a": [1, 2]}, "a[1]", (ABSENT, 2)),
        ({"a": 1}, {}, "a", (1, ABSENT)),
        ({}, {"a": 1}, "a", (ABSENT, 1)),
        ({"a": 1}, {"a": 1.0}, "a", (1, 1.0)),  # a value of another type is a difference
        ({"a": True}, {"a": 1}, "a", (True, 1)),
        ({"a": [1]}, {"a": {"b": 1}}, "a", ([1], {"b": 1})),
    ],
)
def test_a_field_that_differs_is_named_with_both_values(
    logged: Any, replayed: Any, field: str, values: tuple[Any, Any]
) -> None:
    assert differences(logged, replayed) == (Difference(field=field, logged=values[0], replayed=values[1]),)


@given(PLAIN, PLAIN)
def test_a_difference_is_reported_exactly_if_two_values_differ(one: Any, other: Any) -> None:
    assert differences(one, one) == ()
    assert bool(differences(one, other)) == (repr(_sorted(one)) != repr(_sorted(other)))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value
