"""Where two records differ, field by field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

ABSENT = "absent"
"""Stands for a field that one of the records does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field that differs.

    Attributes:
        field: Where, such as `evaluated[1].probability`.
        logged: What the log holds.
        replayed: What deciding again gives.
    """

    field: str
    logged: Any
    replayed: Any


def differences(logged: Any, replayed: Any) -> tuple[Difference, ...]:
    """Every field in which two plain values differ, in order; empty where they are the same, bit for bit.

    Args:
        logged: A record, or a part of one, as plain values.
        replayed: The other one.

    Example:
        >>> [one.field for one in differences({"a": [1, 2], "b": 3}, {"a": [1, 5], "b": 3})]
        ['a[1]']
    """
    return tuple(_walk("", logged, replayed))


def _walk(place: str, logged: Any, replayed: Any) -> Iterator[Difference]:
    if isinstance(logged, Mapping) and isinstance(replayed, Mapping):
        yield from _mappings(place, cast("Mapping[str, Any]", logged), cast("Mapping[str, Any]", replayed))
    elif isinstance(logged, list) and isinstance(replayed, list):
        yield from _lists(place, cast("list[Any]", logged), cast("list[Any]", replayed))
    elif type(cast("object", logged)) is not type(cast("object", replayed)) or logged != replayed:
        yield Difference(field=place, logged=logged, replayed=replayed)


def _mappings(place: str, logged: Mapping[str, Any], replayed: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*logged, *replayed)):
        inner = f"{place}.{name}" if place else name
        yield from _walk(inner, logged.get(name, ABSENT), replayed.get(name, ABSENT))


def _lists(place: str, logged: Sequence[Any], replayed: Sequence[Any]) -> Iterator[Difference]:
    for index in range(max(len(logged), len(replayed))):
        one = logged[index] if index < len(logged) else ABSENT
        other = replayed[index] if index < len(replayed) else ABSENT
        yield from _walk(f"{place}[{index}]", one, other)
