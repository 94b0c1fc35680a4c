"""Chance in the world: one number per customer, week and cause, whatever anybody did.

So two policies on one seed differ only by what they did, and a customer nobody touched lives the same life in both.
"""

from enum import IntEnum

import numpy as np

from decisioning.arrays import FloatArray

_FIRST_WEEK = 10_000  # seeds may not be negative, and a world settles in weeks before its first


class Cause(IntEnum):
    """What chance decides in a week, each with numbers of its own."""

    SEEN = 1
    CLICKED = 2
    MOVED = 3
    LEFT = 4
    COMPLAINED = 5
    SOLD = 6
    AMOUNT = 7
    EXTRA_AMOUNT = 8
    DECLINED = 9
    SEEN_AT = 10
    ACTED_AT = 11
    SEARCHED_AT = 12
    BROWSED = 13
    BROWSED_AT = 14
    ADVERTISED = 15
    ADVERTISED_AT = 16
    UNPROMPTED = 17
    UNPROMPTED_AT = 18
    UNPROMPTED_AMOUNT = 19
    FLIGHT_OUT = 20
    FLIGHT_HOME = 21
    BAG = 22
    TRIP_NOTICE_AT = 23
    TOLD_AT = 24
    WROTE = 25
    WORDS = 26
    SCORE = 27
    SURVEYED = 28
    POSTED = 29
    CHASED = 30
    PLACE = 31
    CHOSEN = 32
    LOT = 33
    ANSWERED_AT = 34


def draw(seed: int, week: int, cause: Cause, size: int) -> FloatArray:
    """Numbers in [0, 1), shape (n,), one per customer.

    Example:
        >>> bool((draw(7, 3, Cause.SEEN, 5)[:3] == draw(7, 3, Cause.SEEN, 3)).all())
        True
    """
    return np.random.default_rng([seed, _FIRST_WEEK + week, cause]).random(size)
