"""When a sliding window has room, to the microsecond, taking planned contacts into account."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

_TOLERANCE = 1e-9


class WindowSpan(NamedTuple):
    """A contact in one window: it weighs from `begins` (inclusive) until `ends` (exclusive)."""

    begins: datetime
    ends: datetime
    weight: float = 1.0


class SlidingWindow(NamedTuple):
    """A sliding window: the sum of weights in it never passes `limit`; plans within `look_ahead` keep their room."""

    length: timedelta
    limit: float
    look_ahead: timedelta = timedelta(0)


def fits(load: float, limit: float) -> bool:
    """True where a sum of weights is within a limit, up to the rounding of the sum.

    Example:
        >>> fits(0.1 + 0.2, 0.3), fits(3.01, 3.0)
        (True, False)
    """
    return load <= limit + _TOLERANCE * max(1.0, limit)


def load_at(spans: Sequence[WindowSpan], at: datetime) -> float:
    """Sum of the weights that count at a moment, whatever their order."""
    return math.fsum(span.weight for span in spans if span.begins <= at < span.ends)


def keeps_plans(
    made: Sequence[WindowSpan], planned: Sequence[WindowSpan], window: SlidingWindow, *, weight: float, at: datetime
) -> bool:
    """True where one more contact at a moment still leaves every plan its room.

    Only plans that begin within the look-ahead, and while that contact still counts, can collide with it.
    """
    for plan in planned:
        is_near = at <= plan.begins <= at + window.look_ahead and plan.begins < at + window.length
        if is_near and not fits(load_at((*made, *planned), plan.begins) + weight, window.limit):
            return False
    return True


def first_room(
    made: Sequence[WindowSpan], planned: Sequence[WindowSpan], window: SlidingWindow, *, weight: float, now: datetime
) -> datetime | None:
    """The first moment from now on at which one more contact fits, if nothing else happens and plans come as planned.

    Room appears only when something leaves the window, so only those moments are looked at.

    Returns:
        None where there never is: the contact alone weighs more than the limit.

    Example:
        >>> noon, week = datetime(2026, 11, 1, 12), timedelta(days=7)
        >>> first_room([WindowSpan(noon, noon + week)], [], SlidingWindow(week, limit=1), weight=1.0, now=noon)
        datetime.datetime(2026, 11, 8, 12, 0)
    """
    if not planned:
        return _first_without_plans(made, window, weight=weight, now=now)
    for at in sorted({now, *(span.ends for span in (*made, *planned) if span.ends > now)}):
        load = load_at((*made, *(plan for plan in planned if plan.begins < at)), at)
        if fits(load + weight, window.limit) and keeps_plans(made, planned, window, weight=weight, at=at):
            return at
    return None


def _first_without_plans(
    made: Sequence[WindowSpan], window: SlidingWindow, *, weight: float, now: datetime
) -> datetime | None:
    """What was made leaves one by one, and nothing comes."""
    leaving = sorted((span.ends, span.weight) for span in made if span.ends > now)
    left = [0.0, *accumulate(weight for _, weight in reversed(leaving))]  # what is left when all but so many are gone
    for at, load in zip((now, *(ends for ends, _ in leaving)), reversed(left), strict=True):
        if fits(load + weight, window.limit):
            return at
    return None
