"""When nothing is sent on a channel: local hours, weekdays and holidays in the customer's own time zone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from decisioning.customer import Customer
from decisioning.errors import InvalidPolicyError
from decisioning.local_time import find_zone, moment_of, steady_offset


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietRule:
    """A time of rest; it applies if everything that it names matches.

    Attributes:
        channels: Channels it is for; empty means all.
        countries: ISO 3166 codes it is for; empty means all. An unknown country may be any of them.
        from_minute: Minute of the local day when rest begins, in [0, 1440).
        until_minute: Minute when it ends; not after `from_minute` means on the next day; equal means the whole day.
            1440 is the end of the day.
        weekdays: Days on which rest begins, Monday is 0; empty means every day.
        only_holidays: Rest begins on public holidays only.
    """

    channels: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    from_minute: int = 0
    until_minute: int = 0
    weekdays: frozenset[int] = frozenset()
    only_holidays: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """All times of rest.

    Attributes:
        holidays: Public holidays by country.
        unknown_zones: Zones that a customer of unknown location may live in: none may be at rest.
    """

    rules: tuple[QuietRule, ...] = ()
    holidays: Mapping[str, frozenset[date]] = field(default_factory=dict[str, frozenset[date]])
    unknown_zones: tuple[str, ...] = ("UTC",)


NEVER = datetime.max.replace(tzinfo=UTC)
"""The longest search: a channel that is quiet for two weeks has no next moment."""

LOOK_AHEAD = timedelta(days=14)
"""How far ahead the first allowed moment is looked for."""

_DAY = timedelta(days=1)
_NEAR_DAYS = (-2, -1, 0, 1)
_MINUTES = 1440
_LAST_WEEKDAY = 6
_KNOWN_ZONES = 1024


def zones_of(customer: Customer | None, hours: QuietHours) -> tuple[str, ...]:
    """The zones a customer may be in: their own; else what country and number leave open; else anybody's.

    Anybody's are the policy's `unknown_zones` and those of the locale's region: what software ships with may add a
    zone, and never takes one away. A name that is no zone counts as unknown.

    Example:
        >>> zones_of(None, QuietHours(unknown_zones=("Europe/Berlin", "Europe/Lisbon")))
        ('Europe/Berlin', 'Europe/Lisbon')
    """
    if customer is None:
        return hours.unknown_zones
    if customer.time_zone is not None and find_zone(customer.time_zone) is not None:
        return (customer.time_zone,)
    plausible = _real(customer.plausible_zones)
    if plausible:
        return plausible
    return tuple(dict.fromkeys((*hours.unknown_zones, *_real(customer.locale_zones))))


def _real(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if find_zone(name) is not None)


def rules_for(hours: QuietHours, channel_id: str) -> tuple[int, ...]:
    """Positions of the rules for a channel: channels with the same rules rest together."""
    return tuple(place for place, rule in enumerate(hours.rules) if not rule.channels or channel_id in rule.channels)


class QuietPlan:
    """Quiet hours, with what is for a channel and a country worked out once."""

    __slots__ = ("_hours", "_rests")

    def __init__(self, hours: QuietHours) -> None:
        """Take hours that `check_quiet_hours` checked."""
        self._hours = hours
        self._rests: dict[tuple[str, str | None], tuple[_Rest, ...]] = {}

    def quiet_until(
        self, *, channel_id: str, zones: tuple[str, ...], country: str | None, now: datetime
    ) -> datetime | None:
        """When quiet time ends for a channel: the first moment at which it is over in all of the zones.

        A boundary that clocks skip is the moment after the gap; one that they show twice is read so that the rest is
        longer. Rest begins with its first moment and is over at its last.

        Args:
            channel_id: The channel.
            zones: IANA zones that the customer may be in, as `zones_of`; names that are none are left out, and where
                nothing is left those of nobody known count.
            country: ISO 3166 code; None where unknown: the rules and holidays of every country apply then.
            now: The moment of the decision (aware, UTC).

        Returns:
            None where the channel is awake now. `NEVER` where there is no such moment within `LOOK_AHEAD`.

        Example:
            >>> night = QuietPlan(QuietHours(rules=(QuietRule(from_minute=21 * 60, until_minute=8 * 60),)))
            >>> late = datetime(2026, 11, 1, 22, tzinfo=UTC)
            >>> night.quiet_until(channel_id="sms", zones=("Europe/Berlin",), country="DE", now=late).isoformat()
            '2026-11-02T07:00:00+00:00'
        """
        rests = self._rests_of(channel_id, country)
        if not rests:
            return None
        now = now.astimezone(UTC)
        awake_at = _first_awake(rests, _places(zones, self._hours.unknown_zones), now)
        return None if awake_at == now else awake_at

    def _rests_of(self, channel_id: str, country: str | None) -> "tuple[_Rest, ...]":
        key = (channel_id, country)
        if key not in self._rests:
            found = (_rest_of(rule, self._hours, channel_id, country) for rule in self._hours.rules)
            self._rests[key] = tuple(rest for rest in found if rest is not None)
        return self._rests[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """A rule that applies to a channel and a country, with the days on which it begins."""

    rule: QuietRule
    holidays: tuple[frozenset[date], ...]

    def begins_on(self, day: date) -> bool:
        rule = self.rule
        if rule.weekdays and day.weekday() not in rule.weekdays:
            return False
        return not rule.only_holidays or any(day in dates for dates in self.holidays)

    def ends_after(self, day: date, minute: int) -> int | None:
        """Minutes from the beginning of a day to the end of the rest that its clocks show at a minute, if any.

        It is for days on which no clock is changed.
        """
        begins, ends = self.rule.from_minute, self.rule.until_minute
        if begins < ends:
            return ends if begins <= minute < ends and self.begins_on(day) else None
        if minute >= begins and self.begins_on(day):
            return _MINUTES + ends
        return ends if minute < ends and self.begins_on(day - _DAY) else None

    def span_on(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """First moment of the rest that begins on a local day, and the first after it."""
        begins, ends = self.rule.from_minute, self.rule.until_minute
        last = day if begins < ends else day + _DAY
        return moment_of(day, begins, zone), moment_of(last, ends, zone, later=True)


def _rest_of(rule: QuietRule, hours: QuietHours, channel_id: str, country: str | None) -> _Rest | None:
    if rule.channels and channel_id not in rule.channels:
        return None
    if rule.countries and country is not None and country not in rule.countries:
        return None
    if not rule.only_holidays:
        return _Rest(rule=rule, holidays=())
    countries = (country,) if country is not None else sorted(rule.countries or hours.holidays)
    return _Rest(rule=rule, holidays=tuple(hours.holidays.get(name, frozenset()) for name in countries))


@lru_cache(maxsize=_KNOWN_ZONES)
def _places(zones: tuple[str, ...], unknown_zones: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    found = tuple(zone for name in zones if (zone := find_zone(name)) is not None)
    return found or tuple(zone for name in unknown_zones if (zone := find_zone(name)) is not None)


def _rest_end(rests: tuple[_Rest, ...], place: ZoneInfo, at: datetime) -> datetime | None:
    """End of the longest rest that a moment is in; None where it is in none."""
    offset = steady_offset(place, at)
    if offset is None:
        return _rest_end_by_clock(rests, place, at)
    local = at + offset
    day, minute = local.date(), local.hour * 60 + local.minute
    ends = [end for rest in rests if (end := rest.ends_after(day, minute)) is not None]
    if not ends:
        return None
    into = timedelta(minutes=max(ends) - minute, seconds=-local.second, microseconds=-local.microsecond)
    return at + into


def _rest_end_by_clock(rests: tuple[_Rest, ...], place: ZoneInfo, at: datetime) -> datetime | None:
    """The same on days around a change of clocks, from every rest that may hold the moment."""
    today = at.astimezone(place).date()
    ends = [
        span[1]
        for rest in rests
        for shift in _NEAR_DAYS
        if rest.begins_on(day := today + shift * _DAY)
        if (span := rest.span_on(day, place))[0] <= at < span[1]
    ]
    return max(ends, default=None)


def _first_awake(rests: tuple[_Rest, ...], places: tuple[ZoneInfo, ...], now: datetime) -> datetime:
    at = now
    while at - now <= LOOK_AHEAD:
        ends = [end for place in places if (end := _rest_end(rests, place, at)) is not None]
        if not ends:
            return at
        at = max(ends)
    return NEVER


def check_quiet_hours(hours: QuietHours) -> None:
    """Refuse times and places that do not exist.

    Raises:
        InvalidPolicyError: A minute, a weekday or a zone that is none, no zone for the unknown, or a rule for the
            holidays of a country that none are known of.
    """
    if not hours.unknown_zones:
        raise InvalidPolicyError("unknown_zones must name a zone, got none; name those that customers may live in")
    for name in hours.unknown_zones:
        if find_zone(name) is None:
            raise InvalidPolicyError(f"unknown_zones must be IANA zones, got {name!r}")
    for rule in hours.rules:
        _check_rule(rule, hours)


def _check_rule(rule: QuietRule, hours: QuietHours) -> None:
    for name, minute in (("from_minute", rule.from_minute), ("until_minute", rule.until_minute)):
        if not 0 <= minute < _MINUTES + (name == "until_minute"):
            raise InvalidPolicyError(f"{name} of a quiet rule must be a minute of the day, got {minute}")
    if any(not 0 <= day <= _LAST_WEEKDAY for day in rule.weekdays):
        raise InvalidPolicyError(f"weekdays of a quiet rule must be in [0, 6], got {sorted(rule.weekdays)}")
    unknown = rule.countries - set(hours.holidays)
    if rule.only_holidays and (unknown or not hours.holidays):
        raise InvalidPolicyError(
            f"holidays must be known for the countries of a holiday rule, got none for {sorted(unknown) or 'any'}"
        )
