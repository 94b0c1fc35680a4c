"""The values that a fact can have, cut into cells that no comparison with given constants tells apart."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from decisioning.rules.predicate import FactValue


class ValueKind(StrEnum):
    """What the values of a fact are; `any` where nothing is known about it."""

    NUMBER = "number"
    WORD = "word"
    FLAG = "flag"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What a fact can be.

    Attributes:
        kind: Kind of its values.
        words: The only words it can be; None where any word will do.
        lowest: Smallest number; None for no bound.
        highest: Greatest number; None for no bound.
        is_whole: Numbers are whole.
        may_be_missing: It may also be missing.
    """

    kind: ValueKind = ValueKind.ANY
    words: tuple[str, ...] | None = None
    lowest: float | None = None
    highest: float | None = None
    is_whole: bool = False
    may_be_missing: bool = True


ANYTHING = Domain()
"""The domain of a fact of which nothing is known."""

_ALL_WHOLE = 2**53
"""From here on every float is a whole number, and only integers lie between two of them."""


def cells_of(domain: Domain, constants: Iterable[FactValue]) -> tuple[FactValue, ...]:
    """One value of every cell: two values of one cell give every comparison with the constants the same answer.

    Args:
        domain: What the fact can be.
        constants: Values that the fact is compared with; those of other kinds than the fact's change nothing.

    Returns:
        Values of the domain; a missing fact is None. Constants come before the stretches between them.

    Example:
        >>> cells_of(Domain(kind=ValueKind.NUMBER, is_whole=True, lowest=0, may_be_missing=False), [0, 3])
        (0, 3, 1, 4)
        >>> cells_of(Domain(kind=ValueKind.WORD, words=("north", "south")), ["north"])
        ('north', 'south', None)
    """
    given = tuple(constants)
    missing: tuple[FactValue, ...] = (None,) if domain.may_be_missing else ()
    match domain.kind:
        case ValueKind.NUMBER:
            return (*_numbers(domain, given), *missing)
        case ValueKind.WORD:
            return (*_words(domain, given), *missing)
        case ValueKind.FLAG:
            return (True, False, *missing)
        case _:
            return (*_numbers(domain, given), *_words(domain, given), True, False, *missing)


def _words(domain: Domain, constants: Sequence[FactValue]) -> tuple[str, ...]:
    if domain.words is not None:
        return tuple(dict.fromkeys(domain.words))
    points = sorted({value for value in constants if isinstance(value, str)})
    # The first text after another, in code points, is that text with the smallest character behind it.
    after = [f"{point}\0" for point in points]
    between = [text for text, following in zip(after, points[1:], strict=False) if text < following]
    first = [""] if not points or points[0] else []
    return (*points, *first, *between, *after[-1:])


def _numbers(domain: Domain, constants: Sequence[FactValue]) -> tuple[float, ...]:
    bounds = [bound for bound in (domain.lowest, domain.highest) if bound is not None]
    compared = [value for value in constants if isinstance(value, int | float) and not isinstance(value, bool)]
    points = sorted({*compared, *bounds})
    inside = [point for point in points if _is_inside(domain, point)]
    edges = [None, *points, None]
    between = [_between(low, high, is_whole=domain.is_whole) for low, high in pairwise(edges)]
    return (*inside, *(value for value in between if value is not None and _is_inside(domain, value)))


def _is_inside(domain: Domain, value: float) -> bool:
    if domain.is_whole and isinstance(value, float) and not value.is_integer():
        return False
    return (domain.lowest is None or value >= domain.lowest) and (domain.highest is None or value <= domain.highest)


def _between(low: float | None, high: float | None, *, is_whole: bool) -> float | None:
    """A number strictly between two bounds, a round one where there is one; None where there is none."""
    if low == math.inf or high == -math.inf:
        return None
    below = None if low == -math.inf else low
    above = None if high == math.inf else high
    if below is None:
        return 0 if above is None else math.ceil(above) - 1
    following = math.floor(below) + 1
    if above is None or following < above:
        return following
    if is_whole or abs(below) >= _ALL_WHOLE:
        return None
    middle = below + (above - below) / 2
    return middle if below < middle < above else None
