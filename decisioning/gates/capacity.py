"""Which messages use which shared limits, and which limits are exhausted.

A channel with a cut-off uses the period of its next run: a letter handed over in the evening is printed tomorrow.
"""

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
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


class _LimitUse(NamedTuple):
    """A limit that a message falls under while it lives.

    Attributes:
        value: What the limit looks at in the message.
        units: How much of it one message uses.
    """

    limit: Limit
    value: str | None
    units: float
    price_name: str

    def counter(self, run: datetime) -> str:
        return counter_name(self.limit, run, self.value)


class SharedUse:
    """What one message uses of limits and shares, worked out once.

    Attributes:
        alike: All of a message that limits, shares and their prices look at; None where none of them is for it.
    """

    __slots__ = ("_all_shares", "_channel", "_limits", "_shares", "alike")

    def __init__(self, catalogue: Catalogue, touch: Touch, cost_minor: float) -> None:
        """Find what the message falls under.

        Args:
            catalogue: Limits, shares and channels.
            touch: The message.
            cost_minor: What the contact costs.
        """
        self._channel = catalogue.channels[touch.channel_id]
        self._limits = tuple(
            _LimitUse(limit, value, _units(limit, cost_minor), price_name(limit, value))
            for limit in catalogue.limits
            for value in (value_of(limit, touch),)
            if limit.of in (None, value)
        )
        self._all_shares = catalogue.shares
        self._shares = tuple(share for share in catalogue.shares if share.department == touch.department)
        limits = tuple((use.limit.limit_id, use.value) for use in self._limits)
        shares = tuple(share.share_id for share in self._shares)
        self.alike: Hashable | None = (touch.channel_id, limits, shares) if limits or shares else None

    def amounts(self, at: datetime) -> dict[str, float]:
        """As `uses`."""
        run = run_at(self._channel, at)
        used = {use.counter(run): use.units for use in self._living(run) if use.units}
        for share in self._all_shares:
            used[total_counter_name(share, run)] = 1.0
            if share in self._shares:
                used[counter_name(share, run)] = 1.0
        return used

    def ceilings(self, supply: Supply, at: datetime, *, earlier: int = 0) -> dict[str, float]:
        """The most that each counter may stand at with the message, as far as there is a most.

        Args:
            supply: What was used, as read; a share's ceiling rises with all messages, so this one is never too high.
            at: The moment of the decision (aware, UTC).
            earlier: Messages of the same decision before this one.
        """
        run = run_at(self._channel, at)
        found = {use.counter(run): use.limit.amount + _TOLERANCE for use in self._living(run) if use.units}
        for share in self._shares:
            if share.max_share < 1:
                found[counter_name(share, run)] = _share_ceiling(share, supply, run, earlier) + _TOLERANCE
        return found

    def refusal(self, supply: Supply, at: datetime) -> tuple[Exclusion, str, datetime | None] | None:
        """Which limit or share leaves no room for the message; None where all do.

        Returns:
            Code (`CAPACITY_FULL`, `BUDGET_SPENT` or `SHARE_REACHED`), what is used up, and the first moment that falls
            to another period, or at which the limit no longer holds; None where there is none. Of several, the one
            that lasts longest.
        """
        run = run_at(self._channel, at)
        worst: tuple[Exclusion, str, datetime | None] | None = None
        for code, detail, period_end in self._refusals(supply, run):
            room_at = None if period_end is None else _first_hand_over(self._channel, period_end, at)
            if worst is None or (worst[2] is not None and (room_at is None or room_at > worst[2])):
                worst = (code, detail, room_at)
        return worst

    def shadow_minor(self, supply: Supply, at: datetime) -> float:
        """Price of what the message would use, in minor units; negative where it is wanted."""
        prices = supply.prices_minor
        if not prices:
            return 0.0
        price = 0.0
        for use in self._living(run_at(self._channel, at)):
            price += prices.get(use.price_name, prices.get(use.limit.limit_id, 0.0)) * use.units
        for share in self._shares:
            price += prices.get(share.share_id, 0.0)
        return price

    def _living(self, run: datetime) -> list[_LimitUse]:
        return [use for use in self._limits if _lives(use.limit, run)]

    def _refusals(self, supply: Supply, run: datetime) -> list[tuple[Exclusion, str, datetime | None]]:
        found: list[tuple[Exclusion, str, datetime | None]] = []
        for use in self._living(run):
            limit = use.limit
            used = supply.used.get(use.counter(run), 0.0)
            if limit.amount == 0 or (use.units and used + use.units > limit.amount + _TOLERANCE):
                found.append((*_told(limit, used), _limit_ends_at(limit, run)))
        for share in self._shares:
            if share.max_share < 1:
                used = supply.used.get(counter_name(share, run), 0.0)
                if used + 1 > _share_ceiling(share, supply, run, 0) + _TOLERANCE:
                    found.append(_share_refusal(share, supply, run, used))
        return found


def uses(catalogue: Catalogue, touch: Touch, cost_minor: float, at: datetime) -> dict[str, float]:
    """What one message uses of every counter it touches, by counter name.

    Args:
        catalogue: Limits, shares and channels.
        touch: The message.
        cost_minor: What the contact costs.
        at: The moment of the decision (aware, UTC).
    """
    return SharedUse(catalogue, touch, cost_minor).amounts(at)


def falls_under(limit: Limit, touch: Touch, run: datetime) -> bool:
    """Whether a limit looks at a message, and lives at the moment of its run (aware)."""
    return _lives(limit, run) and limit.of in (None, value_of(limit, touch))


def _lives(limit: Limit, run: datetime) -> bool:
    has_begun = limit.starts_at is None or limit.starts_at <= run
    return has_begun and (limit.ends_at is None or run < limit.ends_at)


def value_of(limit: Limit, touch: Touch) -> str | None:
    """What a limit looks at in a message: its department, its channel, ...; None for a limit on everything."""
    read = _VALUES.get(limit.scope)
    return None if read is None else read(touch)


def _units(limit: Limit, cost_minor: float) -> float:
    return 1.0 if limit.measure is LimitMeasure.COUNT else cost_minor


def _told(limit: Limit, used: float) -> tuple[Exclusion, str]:
    per = "" if limit.period is Period.TOTAL else f" per {limit.period}"
    if limit.measure is LimitMeasure.COUNT:
        sent = f"{number_words(used)} of {number_words(limit.amount)} messages"
        return Exclusion.CAPACITY_FULL, f"limit {limit.limit_id}: {sent}{per}"
    return Exclusion.BUDGET_SPENT, f"budget {limit.limit_id}: {used:.2f} of {limit.amount:.2f} minor units{per}"


def _share_refusal(
    share: DepartmentShare, supply: Supply, run: datetime, used: float
) -> tuple[Exclusion, str, datetime | None]:
    total = supply.used.get(total_counter_name(share, run), 0.0)
    sent = f"{number_words(used)} of {number_words(total)} messages"
    detail = f"share {share.share_id}: {sent}, at most {share.max_share:.4g} of them"
    return Exclusion.SHARE_REACHED, detail, _share_opens_at(share, run)


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


def _first_hand_over(channel: Channel, run_from: datetime, at: datetime) -> datetime:
    """First moment after `at` whose run is at or after `run_from`: past the cut-off of the day before, or then."""
    zone = find_zone(channel.zone)
    if channel.cut_off_minute is None or zone is None:
        return run_from
    day = run_from.astimezone(zone).date()
    cut_offs = [moment_of(day + shift * _DAY, channel.cut_off_minute, zone) + _MICROSECOND for shift in (-1, 0)]
    return min(moment for moment in (*cut_offs, run_from) if moment > at and run_at(channel, moment) >= run_from)
