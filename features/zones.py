"""Where a customer may live, by the clock: their own zone, else the zones that country and telephone leave open.

What is known better wins:

1. a known zone needs no guess;
2. the zones of the country, narrowed by those of the telephone number: +1 808 leaves one of the United States'.
   Where the two contradict each other one of them is wrong, and nobody knows which, so both stay plausible;
3. the country alone, or the number alone (numbers are ported and travel, so a number never outweighs a country);
4. the region of the locale, as a last hint: `pt-BR` is more likely Brazil than nowhere at all, and better than nothing,
   but `en-US` is also what software ships with, so it never narrows anything that is known;
5. nothing: the policy's `unknown_zones` then count.

Zones that keep the same time from 2026 to 2028 are one: the 29 zones of the United States leave eight.

Countries and their zones come from the time zone database (`zone.tab`), the zones of numbers from `phonenumbers`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

type Hours = tuple[timedelta | None, ...]

_SAMPLES = tuple(datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=7 * week) for week in range(3 * 52 + 1))
_NOWHERE = "Etc/Unknown"
_LONGEST_NUMBER = 15
_LONGEST_CODE = 3
_REGION_LETTERS = 2


def plausible_zones(
    *, time_zone: str | None, country: str | None, phone_prefix: str | None, locale: str | None
) -> tuple[str, ...]:
    """IANA zones that a customer may live in, sorted; empty where the zone is known, or nothing is.

    Args:
        time_zone: IANA zone, where it is known.
        country: ISO 3166-1 alpha-2 code.
        phone_prefix: International telephone number or its beginning; what cannot be read counts as missing.
        locale: BCP 47 tag.

    Example:
        >>> plausible_zones(time_zone=None, country="US", phone_prefix="+1 808", locale=None)
        ('Pacific/Honolulu',)
    """
    if time_zone is not None:
        return ()
    return _plausible(country, _digits(phone_prefix)[:_LONGEST_NUMBER], None if country else _region(locale))


@cache
def country_codes() -> frozenset[str]:
    """Every ISO 3166-1 alpha-2 code that the time zone database knows."""
    return frozenset(line[0] for line in _rows("iso3166.tab"))


@lru_cache(maxsize=65_536)
def is_international(number: str) -> bool:
    """Whether a telephone number, or its beginning, names a country: `+`, a country code, and at most 15 digits."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    digits = _digits(number)
    is_plain = number.startswith("+") and set(number[1:]) <= set("0123456789 ()-./")
    codes = {digits[:length] for length in range(1, _LONGEST_CODE + 1)}
    return is_plain and len(digits) <= _LONGEST_NUMBER and not codes.isdisjoint(map(str, COUNTRY_CODE_TO_REGION_CODE))


@lru_cache(maxsize=65_536)
def _plausible(country: str | None, digits: str, region: str | None) -> tuple[str, ...]:
    by_country, by_number = _zones_of_country(country), _zones_of_number(digits)
    both = {hours: zone for hours, zone in by_country.items() if hours in by_number}
    return tuple(sorted((both or by_number | by_country or _zones_of_country(region)).values()))


def _digits(number: str | None) -> str:
    return "".join(filter(str.isdecimal, number)) if number else ""


def _region(locale: str | None) -> str | None:
    """The region of a locale: its first part of two letters after the language."""
    parts = locale.replace("_", "-").split("-")[1:] if locale else []
    return next((part.upper() for part in parts if len(part) == _REGION_LETTERS and part.isalpha()), None)


def _zones_of_country(country: str | None) -> dict[Hours, str]:
    """Zones of a country by the time they keep; empty for a code without any."""
    return {} if country is None else _by_country().get(country, {})


def _zones_of_number(digits: str) -> dict[Hours, str]:
    """Zones of the longest beginning that is known, and of everything that this may be the beginning of."""
    if not digits:
        return {}
    from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

    known = (digits[:length] for length in range(min(len(digits), TIMEZONE_LONGEST_PREFIX), 0, -1))
    found = set(next((TIMEZONE_DATA[one] for one in known if one in TIMEZONE_DATA), ()))
    if len(digits) < TIMEZONE_LONGEST_PREFIX:
        found.update(zone for prefix, zones in TIMEZONE_DATA.items() if prefix.startswith(digits) for zone in zones)
    return _distinct(sorted(found - {_NOWHERE}))


@cache
def _by_country() -> dict[str, dict[Hours, str]]:
    zones: dict[str, list[str]] = {}
    for country, _place, zone, *_comment in _rows("zone.tab"):
        zones.setdefault(country, []).append(zone)
    return {country: _distinct(some) for country, some in zones.items()}


def _distinct(zones: Iterable[str]) -> dict[Hours, str]:
    """The first of each that keep the same time."""
    distinct: dict[Hours, str] = {}
    for zone in zones:
        distinct.setdefault(_hours(zone), zone)
    return distinct


@cache
def _hours(zone: str) -> Hours:
    clock = ZoneInfo(zone)
    return tuple(moment.astimezone(clock).utcoffset() for moment in _SAMPLES)


def _rows(table: str) -> list[list[str]]:
    text = files("tzdata").joinpath("zoneinfo", table).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
