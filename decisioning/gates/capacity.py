"""Which messages use which shared limits, and which limits are exhausted.

A channel with a cut-off uses the period of its next run: a letter handed over in the evening is printed tomorrow.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import datetime, timedelta
from operator import attrgetter

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Touch
from decisioning.catalogue.limits import (
    DepartmentShare,
    Limit,
    LimitMeasure,
    LimitScope,
    Period,
    Supply,
    counter_name,
    period_ends_at,
    price_name,
    total_counter_name,
)
from decisioning.decision import Exclusion
from decisioning.gates.arrival import run_at
from decisioning.local_time import find_zone, moment_of
from decisioning.rules.number_words import number_words

_TOLERANCE = 1e-6
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)

_VALUES: Mapping[LimitScope, Callable[[Touch], str]] = {
    LimitScope.DEPARTMENT: attrgetter("department"),
    LimitScope.GOAL: attrgetter("goal_id"),
    LimitScope.CLASS: attrgetter("message_class"),
    LimitScope.CHANNEL: attrgetter("channel_id"),
    LimitScope.OFFER: attrgetter("offer_id"),
}


def shared_by(catalogue: Catalogue, touch: Touch) -> tuple[Hashable, ...] | None:
    """All of a message that limits, shares and their prices look at; None where none of them is for it."""
    limits = tuple(
        (limit.limit_id, value)
        for limit in catalogue.limits
        if (value := value_of(limit, touch)) == limit.of or limit.of is None
    )
    shares = tuple(share.share_id for share in catalogue.shares if share.department == touch.department)
    return (touch.channel_id, limits, shares) if limits or shares else None


def uses(catalogue: Catalogue, touch: Touch, cost_minor: float, at: datetime) -> dict[str, float]:
    """What one message uses of every counter it touches, by counter name.

    Args:
        catalogue: Limits, shares and channels.
        touch: The message.
        cost_minor: What the contact costs.
        at: The moment of the decision (aware, UTC).
    """
    run = _run(catalogue, touch, at)
    used: dict[str, float] = {}
    for limit in _limits(catalogue, touch, run):
        units = _units(limit, cost_minor)
        if units:
            used[_counter(limit, touch, run)] = units
    for share in catalogue.shares:
        used[total_counter_name(share, run)] = 1.0
        if share.department == touch.department:
            used[counter_name(share, run)] = 1.0
    return used


def ceilings(
    catalogue: Catalogue, touch: Touch, cost_minor: float, supply: Supply, at: datetime, *, earlier: int = 0
) -> dict[str, float]:
    """The most that each counter a message touches may stand at with it, as far as there is a most.

    Args:
        catalogue: Limits, shares and channels.
        touch: The message.
        cost_minor: What the contact costs.
        supply: What was used, as read; a share's ceiling rises with all messages, so this one is never too high.
        at: The moment of the decision (aware, UTC).
        earlier: Messages of the same decision before this one.
    """
    run = _run(catalogue, touch, at)
    found = {
        _counter(limit, touch, run): limit.amount + _TOLERANCE
        for limit in _limits(catalogue, touch, run)
        if _units(limit, cost_minor)
    }
    for share in catalogue.shares:
        if share.department == touch.department and share.max_share < 1:
            found[counter_name(share, run)] = _share_ceiling(share, supply, run, earlier) + _TOLERANCE
    return found


def limit_refusal(
    catalogue: Catalogue, touch: Touch, cost_minor: float, supply: Supply, at: datetime
) -> tuple[Exclusion, str, datetime | None] | None:
    """Which limit or share leaves no room for a message; None where all do.

    Returns:
        Code (`CAPACITY_FULL`, `BUDGET_SPENT` or `SHARE_REACHED`), what is used up, and the first moment that falls to
        another period, or at which the limit no longer holds; None where there is none. Of several, the one that
        lasts longest.
    """
    run = _run(catalogue, touch, at)
    worst: tuple[Exclusion, str, datetime | None] | None = None
    for found in _refusals(catalogue, touch, cost_minor, supply, run):
        code, detail, period_end = found
        room_at = None if period_end is None else _first_hand_over(catalogue, touch, period_end, at)
        if worst is None or (worst[2] is not None and (room_at is None or room_at > worst[2])):
            worst = (code, detail, room_at)
    return worst


def shadow_minor(catalogue: Catalogue, touch: Touch, cost_minor: float, supply: Supply, at: datetime) -> float:
    """Price of what a message would use of limits and shares, in minor units; negative where it is wanted."""
    if not supply.prices_minor:
        return 0.0
    run = _run(catalogue, touch, at)
    price = 0.0
    for limit in _limits(catalogue, touch, run):
        of_all = supply.prices_minor.get(limit.limit_id, 0.0)
        price += supply.prices_minor.get(price_name(limit, value_of(limit, touch)), of_all) * _units(limit, cost_minor)
    for share in catalogue.shares:
        if share.department == touch.department:
            price += supply.prices_minor.get(share.share_id, 0.0)
    return price


def _run(catalogue: Catalogue, touch: Touch, at: datetime) -> datetime:
    return run_at(catalogue.channels[touch.channel_id], at)


def _limits(catalogue: Catalogue, touch: Touch, run: datetime) -> Iterator[Limit]:
    """The limits that a message falls under, while they live."""
    return (limit for limit in catalogue.limits if falls_under(limit, touch, run))


def falls_under(limit: Limit, touch: Touch, run: datetime) -> bool:
    """Whether a limit looks at a message, and lives at the moment of its run (aware)."""
    has_begun = limit.starts_at is None or limit.starts_at <= run
    is_over = limit.ends_at is not None and run >= limit.ends_at
    return has_begun and not is_over and limit.of in (None, value_of(limit, touch))


def value_of(limit: Limit, touch: Touch) -> str | None:
    """What a limit looks at in a message: its department, its channel, ...; None for a limit on everything."""
    read = _VALUES.get(limit.scope)
    return None if read is None else read(touch)


def _counter(limit: Limit, touch: Touch, run: datetime) -> str:
    return counter_name(limit, run, value_of(limit, touch))


def _units(limit: Limit, cost_minor: float) -> float:
    return 1.0 if limit.measure is LimitMeasure.COUNT else cost_minor


def _refusals(
    catalogue: Catalogue, touch: Touch, cost_minor: float, supply: Supply, run: datetime
) -> Iterator[tuple[Exclusion, str, datetime | None]]:
    for limit in _limits(catalogue, touch, run):
        used, units = supply.used.get(_counter(limit, touch, run), 0.0), _units(limit, cost_minor)
        if limit.amount == 0 or (units and used + units > limit.amount + _TOLERANCE):
            yield (*_told(limit, used), _limit_ends_at(limit, run))
    for share in catalogue.shares:
        if share.department == touch.department and share.max_share < 1:
            used = supply.used.get(counter_name(share, run), 0.0)
            if used + 1 > _share_ceiling(share, supply, run, 0) + _TOLERANCE:
                total = supply.used.get(total_counter_name(share, run), 0.0)
                sent = f"{number_words(used)} of {number_words(total)} messages"
                detail = f"share {share.share_id}: {sent}, at most {share.max_share:.4g} of them"
                yield Exclusion.SHARE_REACHED, detail, _share_opens_at(share, run)


def _told(limit: Limit, used: float) -> tuple[Exclusion, str]:
    per = "" if limit.period is Period.TOTAL else f" per {limit.period}"
    if limit.measure is LimitMeasure.COUNT:
        sent = f"{number_words(used)} of {number_words(limit.amount)} messages"
        return Exclusion.CAPACITY_FULL, f"limit {limit.limit_id}: {sent}{per}"
    return Exclusion.BUDGET_SPENT, f"budget {limit.limit_id}: {used:.2f} of {limit.amount:.2f} minor units{per}"


def _share_ceiling(share: DepartmentShare, supply: Supply, run: datetime, earlier: int) -> float:
    total = supply.used.get(total_counter_name(share, run), 0.0) + earlier
    return share.max_share * (total + 1) + share.slack


def _share_opens_at(share: DepartmentShare, run: datetime) -> datetime | None:
    """Beginning of the next period, where its first message fits."""
    has_start = share.max_share + share.slack >= 1
    return period_ends_at(share.period, share.zone, run) if has_start else None


def _limit_ends_at(limit: Limit, run: datetime) -> datetime | None:
    """End of the period, or of the limit's own life; a limit of 0 is full in every period."""
    period_end = None if limit.amount == 0 else period_ends_at(limit.period, limit.zone, run)
    ends = [moment for moment in (period_end, limit.ends_at) if moment is not None]
    return min(ends, default=None)


def _first_hand_over(catalogue: Catalogue, touch: Touch, run_from: datetime, at: datetime) -> datetime:
    """First moment after `at` whose run is at or after `run_from`: past the cut-off of the day before, or then."""
    channel = catalogue.channels[touch.channel_id]
    zone = find_zone(channel.zone)
    if channel.cut_off_minute is None or zone is None:
        return run_from
    day = run_from.astimezone(zone).date()
    cut_offs = [moment_of(day + shift * _DAY, channel.cut_off_minute, zone) + _MICROSECOND for shift in (-1, 0)]
    return min(moment for moment in (*cut_offs, run_from) if moment > at and run_at(channel, moment) >= run_from)
