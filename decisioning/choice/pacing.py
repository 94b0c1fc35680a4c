"""Shadow prices of shared limits, updated while decisions are made.

Without a price, a limit goes to the first messages of the day and runs out by noon. A shadow price prevents that: every
message pays, in arbitration, for what it would use, so that less valuable messages leave room for more valuable ones,
and the amount lasts until its period ends. The right price is the one at which demand uses the amount up at the end of
the period and no sooner: the dual variable of the limit in the linear programme over everybody, which the batch
optimiser finds exactly and this controller finds by looking at use.

For amount B, use u of it and share of the period t, all between two looks (' marks the later one)::

    plan  = (1 - u / B) (t' - t) / (1 - t)                 what of B the looks between them may use
    phi'  = max(0, phi + g ((u' - u) / B - plan))          stochastic dual descent
    price = s phi                      where phi <= 1
          = s exp(phi - 1)             beyond

with s the typical worth of one unit and g = sqrt(B / largest use by one message), within [5, 200]. The plan always
spreads what is left over what is left of the period, so neither a slow start nor a rush leaves a debt. Beyond s the
price grows and falls by factors, so a wrong s costs time and nothing else.

Bound: use is never ahead of an even path by more than (1 + ln(w / s)) / g + r of the amount, for w >= s the greatest
worth of one unit and r what goes out between two looks. For where use crosses the path, phi >= 0;
from there it grows by at least g times the lead; and at a price of w nobody asks. So an amount lasts at least until
1 - bound of its period. It is never overspent: ceilings are checked with every commit, whatever the price.

The path is even unless somebody says at which hours of the week demand comes (`elapsed_share`). That matters: on an
even path a rush in the morning is held back for an evening that never comes.

Use behind the path brings the price down to 0 by itself: what is left over at the end was not asked for, or asked for
too late.

Departments' shares have a signed price per message, by the same descent on the share itself: above the maximum a
message pays, below the minimum it is paid for.

Reference:
    Balseiro, Lu and Mirrokni (2023), The Best of Many Worlds: Dual Mirror Descent for Online Allocation Problems,
    Operations Research 71(1), algorithm 1, with the fixed plan replaced by the one over what is left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from decisioning.catalogue.limits import DepartmentShare, Limit, Period, period_ends_at, period_key
from decisioning.errors import InvalidInputError

LEAST_GAIN, GREATEST_GAIN = 5.0, 200.0
SHARE_GAIN = 10.0
"""How fast a share's price follows, per message's part in all."""

_FEWEST = 50
"""Messages below which a share says little."""

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_HOUR = timedelta(hours=1)

_GREATEST_PHI = 1.0 + math.log(1e6)
_GREATEST_SHARE_PHI = 1.0 + math.log(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where a limit stood at the last look.

    Attributes:
        price_minor: Shadow price of one unit, at least 0.
        used: Amount used by then.
        elapsed: Share of the period that was over, in [0, 1).
    """

    price_minor: float = 0.0
    used: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePace:
    """Where a department's share stood at the last look.

    Attributes:
        price_minor: Price of one of its messages; negative lifts it.
        messages: Messages of the department by then.
        total: Messages of all departments by then.
    """

    price_minor: float = 0.0
    messages: float = 0.0
    total: float = 0.0


def next_price(
    *, amount: float, used: float, elapsed: float, last: Pace, scale_minor: float, step: float = 1.0
) -> Pace:
    """The shadow price of a limit from now until the next look.

    Args:
        amount: What the limit allows in its period, in units.
        used: What was used of it so far.
        elapsed: Share of the period that is over, in [0, 1]; where demand has its hours, the share of the use that is
            expected by now.
        last: The look before; one from a period that is over, or none, counts for its price alone.
        scale_minor: Typical worth of one unit, positive.
        step: Most that one message uses, positive.

    Raises:
        InvalidInputError: A scale or step that is not positive.

    Example:
        >>> calm = next_price(amount=100, used=5, elapsed=0.1, last=Pace(), scale_minor=200)
        >>> rush = next_price(amount=100, used=30, elapsed=0.1, last=Pace(), scale_minor=200)
        >>> calm.price_minor, round(rush.price_minor)
        (0.0, 544)
    """
    if scale_minor <= 0 or step <= 0:
        raise InvalidInputError(f"scale_minor and step must be positive, got {scale_minor} and {step}")
    if elapsed < last.elapsed or last.elapsed >= 1:
        last = Pace(price_minor=last.price_minor)
    if amount <= 0:
        return Pace(used=used, elapsed=elapsed)
    left = max(0.0, 1 - last.used / amount)
    plan = left * (min(elapsed, 1.0) - last.elapsed) / (1 - last.elapsed)
    lead = (used - last.used) / amount - plan
    phi = max(0.0, _phi(last.price_minor / scale_minor) + gain(amount, step) * lead)
    return Pace(price_minor=scale_minor * _price(min(phi, _GREATEST_PHI)), used=used, elapsed=elapsed)


def gain(amount: float, step: float = 1.0) -> float:
    """How strongly a lead of the whole amount moves the price, in scales."""
    return min(max(math.sqrt(amount / step), LEAST_GAIN), GREATEST_GAIN)


def next_share_price(
    share: DepartmentShare, *, messages: float, total: float, last: SharePace, scale_minor: float
) -> SharePace:
    """The price of one message of a department from now until the next look.

    Args:
        share: What the department must and may have.
        messages: Its messages in the period so far.
        total: All departments' messages so far.
        last: The look before; one with more messages than now is of a period that is over.
        scale_minor: Typical worth of a message, positive.

    Raises:
        InvalidInputError: A scale that is not positive.
    """
    if scale_minor <= 0:
        raise InvalidInputError(f"scale_minor must be positive, got {scale_minor}")
    if total < last.total or messages < last.messages:
        last = SharePace(price_minor=last.price_minor)
    phi = _signed_phi(last.price_minor / scale_minor)
    low = phi + _pull(share.min_share, messages, total, last)
    high = phi + _pull(share.max_share, messages, total, last)
    if phi < 0 or (phi == 0 and messages < share.min_share * total):
        phi = max(min(0.0, low), -_GREATEST_SHARE_PHI)
    elif phi > 0 or messages > share.max_share * total:
        phi = min(max(0.0, high), _GREATEST_SHARE_PHI)
    price = math.copysign(scale_minor * _price(abs(phi)), phi) if phi else 0.0
    return SharePace(price_minor=price, messages=messages, total=total)


def elapsed_share(
    limit: Limit, at: datetime, *, begun_at: datetime | None = None, hourly_demand: Sequence[float] = ()
) -> float | None:
    """Share of a limit's use that is expected by now, in [0, 1); None where nothing says when it ends.

    Args:
        limit: The limit; its life cuts its periods.
        at: Now (aware).
        begun_at: Where a limit for the whole of its life names no start: since when it was looked at.
        hourly_demand: Demand by hour of the week (168, from Monday 00:00 UTC), in any unit; empty for an even path.

    Example:
        >>> from datetime import UTC
        >>> from decisioning.catalogue.limits import LimitScope
        >>> calls = Limit(limit_id="calls", scope=LimitScope.CHANNEL, of="call", amount=9, period=Period.DAY)
        >>> elapsed_share(calls, datetime(2026, 11, 2, 6, tzinfo=UTC))
        0.25
        >>> mornings = ([0.0] * 6 + [1.0] * 6 + [0.0] * 12) * 7
        >>> elapsed_share(calls, datetime(2026, 11, 2, 9, tzinfo=UTC), hourly_demand=mornings)
        0.5
    """
    begins, ends = period_begins_at(limit.period, limit.zone, at), period_ends_at(limit.period, limit.zone, at)
    starts = [moment for moment in (begins, limit.starts_at) if moment is not None]
    stops = [moment for moment in (ends, limit.ends_at) if moment is not None]
    start = max(starts) if starts else begun_at
    if start is None or not stops or not start <= at < min(stops):
        return None
    done, all_of_it = _demand(start, at, hourly_demand), _demand(start, min(stops), hourly_demand)
    return done / all_of_it if all_of_it > 0 else (at - start) / (min(stops) - start)


def _demand(start: datetime, end: datetime, hourly: Sequence[float]) -> float:
    """Demand from one moment to another; nothing where nothing is known of its hours."""
    return _demand_until(end, hourly) - _demand_until(start, hourly) if hourly else 0.0


def _demand_until(moment: datetime, hourly: Sequence[float]) -> float:
    hours = (moment - _MONDAY) / _HOUR
    weeks, hour = divmod(int(hours), len(hourly))
    return weeks * math.fsum(hourly) + math.fsum(hourly[:hour]) + hourly[hour] * (hours % 1)


def period_begins_at(period: Period, zone: str, at: datetime) -> datetime | None:
    """First moment (UTC) of the period that a moment falls into; None for `total`."""
    if period is Period.TOTAL:
        return None
    key = period_key(period, zone, at)
    before = (period_ends_at(period, zone, at - back) for back in _BACK[period])
    return next(moment for moment in before if moment is not None and period_key(period, zone, moment) == key)


_BACK = {
    Period.HOUR: (timedelta(hours=1),),
    Period.DAY: tuple(timedelta(hours=hours) for hours in (24, 12, 30)),
    Period.WEEK: tuple(timedelta(days=days) for days in (7, 6, 8)),
    Period.MONTH: tuple(timedelta(days=days) for days in (31, 30, 29, 28)),
}
"""How far back the period before may lie: days and months have different lengths."""


def _phi(price: float) -> float:
    """The descent's variable of a price in scales."""
    return price if price <= 1 else 1 + math.log(price)


def _price(phi: float) -> float:
    return phi if phi <= 1 else math.exp(phi - 1)


def _signed_phi(price: float) -> float:
    return math.copysign(_phi(abs(price)), price)


def _pull(bound: float, messages: float, total: float, last: SharePace) -> float:
    """What the messages since the last look, and the debt so far, do to the price: positive above the bound."""
    new, all_new = messages - last.messages, total - last.total
    part = 1 / max(total, _FEWEST)
    return SHARE_GAIN * part * (new - bound * all_new + (messages - bound * total) * all_new * part)
