"""Clock times of a place as moments, at both edges of daylight-saving time too."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_STEADY_DAYS = 3
_KNOWN_ZONES = 1024
_KNOWN_DAYS = 8192
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=_KNOWN_ZONES)
def find_zone(name: str) -> ZoneInfo | None:
    """The IANA zone of a name; None where there is none of that name.

    Example:
        >>> find_zone("Europe/Berlin"), find_zone("Europe/Bonn")
        (zoneinfo.ZoneInfo(key='Europe/Berlin'), None)
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, or the name of a folder
        return None


def moment_of(day: date, minute: int, zone: ZoneInfo, *, later: bool = False) -> datetime:
    """The moment when clocks in a zone show a time.

    Args:
        day: Local day.
        minute: Minute of that day, in [0, 1440].
        zone: Where.
        later: Which of two moments when clocks show the time twice: the first, or the later one.

    Returns:
        The moment (UTC). Where clocks skip the time: the moment at which they jump over it.

    Example:
        >>> berlin = ZoneInfo("Europe/Berlin")
        >>> moment_of(date(2026, 3, 29), 150, berlin).isoformat()  # 02:30 does not exist on that day
        '2026-03-29T01:00:00+00:00'
    """
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first > second:
        return _jump(second, first, zone)
    return second if later else first


def steady_offset(zone: ZoneInfo, at: datetime) -> timedelta | None:
    """The offset from UTC, where it does not change within days of a moment (aware, UTC); None where it does."""
    return _steady_offset(zone, at.toordinal())


@lru_cache(maxsize=_KNOWN_DAYS)
def _steady_offset(zone: ZoneInfo, ordinal: int) -> timedelta | None:
    start = datetime.fromordinal(ordinal).replace(tzinfo=UTC)
    offsets = {(start + days * _DAY).astimezone(zone).utcoffset() for days in range(-_STEADY_DAYS, _STEADY_DAYS + 2)}
    return offsets.pop() if len(offsets) == 1 else None


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment in (before, after] at which clocks jump forward, which they do on a whole second."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
