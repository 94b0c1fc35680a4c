"""What all customers share: capacities, budgets and the shares of departments, counted per period.

`capacity` says which messages use what of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from decisioning.errors import InvalidInputError, InvalidPolicyError
from decisioning.local_time import find_zone, moment_of
from decisioning.value_class import value_class


class LimitScope(StrEnum):
    """What a limit counts."""

    EVERYTHING = "everything"
    DEPARTMENT = "department"
    GOAL = "goal"
    CLASS = "class"
    CHANNEL = "channel"
    OFFER = "offer"


class LimitMeasure(StrEnum):
    """Messages, or what they cost (minor units)."""

    COUNT = "count"
    COST = "cost"


class Period(StrEnum):
    """How long one amount lasts, in the limit's zone; `total` for the whole of its life."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A capacity (call-centre slots per hour, seats of an event) or a budget.

    Attributes:
        limit_id: Name.
        amount: Messages or minor units per period; 0 allows none.
        of: The one department, goal, class, channel or offer; None counts each of them alone.
        zone: IANA zone that periods begin in.
        starts_at: First moment it holds (aware); None for always.
        ends_at: First moment it no longer holds; None for ever.
    """

    limit_id: str
    scope: LimitScope
    amount: float
    of: str | None = None
    measure: LimitMeasure = LimitMeasure.COUNT
    period: Period = Period.TOTAL
    zone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentShare:
    """The least and the most that a department may have of all messages of a period.

    Attributes:
        slack: Messages by which the maximum may be passed while a period is young, so that it can begin at all.
    """

    share_id: str
    department: str
    min_share: float = 0.0
    max_share: float = 1.0
    period: Period = Period.DAY
    zone: str = "UTC"
    slack: int = 20


@value_class
class Supply:
    """How much of what is shared was used, as read at the moment of deciding.

    Attributes:
        used: Amount used by counter name, see `limits.counter_name`.
        prices_minor: Shadow price of one unit (a message, or a minor unit of cost) by `limits.price_name`, and of one
            message by share id (negative lifts a department that is below its minimum).
        evidence: Decisions that sent each offer so far, for the ramp of new ones.
    """

    used: Mapping[str, float] = field(default_factory=dict[str, float])
    prices_minor: Mapping[str, float] = field(default_factory=dict[str, float])
    evidence: Mapping[str, int] = field(default_factory=dict[str, int])


LARGEST_AMOUNT = 1e15
"""No amount is larger."""

_KNOWN_PERIODS = 1024  # all candidates of a decision ask at one moment
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_DECEMBER = 12


def counter_name(line: Limit | DepartmentShare, at: datetime, value: str | None = None) -> str:
    """Name of the counter that a moment falls to: one per period, and per value where a limit counts each alone.

    Args:
        line: A limit, or a share (the messages of its department).
        at: Moment (aware), shifted by `arrival.run_at` where the channel has a cut-off.
        value: The department, goal, class, channel or offer of the message, for a limit without `of`.

    Example:
        >>> from datetime import UTC
        >>> calls = Limit(limit_id="calls", scope=LimitScope.CHANNEL, of="call", amount=9, period=Period.DAY)
        >>> counter_name(calls, datetime(2026, 11, 1, 12, tzinfo=UTC))
        'limit:calls:2026-11-01'
    """
    period = period_key(line.period, line.zone, at)
    if isinstance(line, DepartmentShare):
        return f"share:{line.share_id}:{period}"
    is_alone = line.of is None and line.scope is not LimitScope.EVERYTHING
    return f"limit:{line.limit_id}:{period}:{value}" if is_alone else f"limit:{line.limit_id}:{period}"


def price_name(line: Limit | DepartmentShare, value: str | None = None) -> str:
    """Name of the shadow price of a limit or share in `Supply.prices_minor`: one per value where it counts each alone.

    Example:
        >>> price_name(Limit(limit_id="seats", scope=LimitScope.OFFER, amount=9), "gala")
        'seats:gala'
    """
    if isinstance(line, DepartmentShare):
        return line.share_id
    return f"{line.limit_id}:{value}" if line.of is None and value is not None else line.limit_id


def total_counter_name(share: DepartmentShare, at: datetime) -> str:
    """Name of the counter of all departments' messages in a share's period."""
    return f"{counter_name(share, at)}:all"


@lru_cache(maxsize=_KNOWN_PERIODS)
def period_key(period: Period, zone: str, at: datetime) -> str:
    """Name of the period that a moment falls into: local dates, and for an hour its beginning in UTC.

    Example:
        >>> from datetime import UTC
        >>> period_key(Period.HOUR, "Asia/Kolkata", datetime(2026, 11, 1, 12, tzinfo=UTC))
        '2026-11-01T11:30Z'
    """
    if period is Period.TOTAL:
        return "total"
    local = at.astimezone(_zone(zone))
    if period is Period.HOUR:
        # An hour that clocks show twice is two hours.
        return f"{_hour_begins(local):%Y-%m-%dT%H:%MZ}"
    if period is Period.DAY:
        return local.date().isoformat()
    if period is Period.WEEK:
        year, week, _ = local.isocalendar()
        return f"{year:04}-W{week:02}"
    return f"{local:%Y-%m}"


def period_ends_at(period: Period, zone: str, at: datetime) -> datetime | None:
    """First moment (UTC) after the period that a moment falls into; None for `total`, which has no end."""
    if period is Period.TOTAL:
        return None
    place = _zone(zone)
    local = at.astimezone(place)
    if period is Period.HOUR:
        return _hour_begins(local) + _HOUR
    return moment_of(_next_day(period, local.date()), 0, place)


def check_limits(limits: Sequence[Limit], shares: Sequence[DepartmentShare]) -> None:
    """Refuse limits and shares that cannot work.

    Raises:
        InvalidPolicyError: Two of one name, an amount or a share out of range, a zone that is none, a life that ends
            before it begins, or least shares of one period that are more than there is.
    """
    names = [limit.limit_id for limit in limits] + [share.share_id for share in shares]
    if len(set(names)) < len(names):
        raise InvalidPolicyError(f"limits and shares must have names of their own, got {names}; rename one")
    for limit in limits:
        _check_limit(limit)
    for share in shares:
        _check_share(share)
    for period in Period:
        least = math.fsum(share.min_share for share in shares if share.period is period)
        if least > 1 + 1e-9:
            raise InvalidPolicyError(f"least shares per {period} must sum to at most 1, got {least:g}; lower one")


def _check_limit(limit: Limit) -> None:
    name = limit.limit_id
    if not 0 <= limit.amount <= LARGEST_AMOUNT:
        raise InvalidPolicyError(f"amount of limit {name} must be in [0, {LARGEST_AMOUNT:g}], got {limit.amount}")
    if limit.scope is LimitScope.EVERYTHING and limit.of is not None:
        raise InvalidPolicyError(f"limit {name} on everything must have no `of`, got {limit.of!r}; choose a scope")
    _check_zone(f"limit {name}", limit.zone)
    for moment in (limit.starts_at, limit.ends_at):
        if moment is not None and moment.utcoffset() is None:
            raise InvalidPolicyError(f"life of limit {name} must be times with an offset, got {moment}")
    if limit.starts_at is not None and limit.ends_at is not None and limit.starts_at >= limit.ends_at:
        raise InvalidPolicyError(f"starts_at of limit {name} must be before ends_at, got {limit.starts_at}")


def _check_share(share: DepartmentShare) -> None:
    if not 0 <= share.min_share <= share.max_share <= 1:
        raise InvalidPolicyError(
            f"share {share.share_id} must have 0 <= min <= max <= 1, got {share.min_share} and {share.max_share}"
        )
    if share.slack < 0:
        raise InvalidPolicyError(f"slack of share {share.share_id} must be 0 or more, got {share.slack}")
    _check_zone(f"share {share.share_id}", share.zone)


def _check_zone(name: str, zone: str) -> None:
    if find_zone(zone) is None:
        raise InvalidPolicyError(f"zone of {name} must be an IANA zone, got {zone!r}")


def _zone(name: str) -> ZoneInfo:
    zone = find_zone(name)
    if zone is None:
        raise InvalidInputError(f"zone must be an IANA zone, got {name!r}")
    return zone


def _hour_begins(local: datetime) -> datetime:
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return local.astimezone(UTC) - into


def _next_day(period: Period, day: date) -> date:
    """First day of the next period."""
    if period is Period.DAY:
        return day + _DAY
    if period is Period.WEEK:
        return day + (7 - day.weekday()) * _DAY
    return date(day.year + day.month // _DECEMBER, day.month % _DECEMBER + 1, 1)
