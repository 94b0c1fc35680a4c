"""The plausible time zones of a customer: their own, or those that country and telephone number allow.

What is known better wins:

1. a known zone needs no guess;
2. the zones of the country, narrowed by those of the telephone number: +1 808 leaves one of the United States'.
   Zones of the country that the tables of numbers do not know at all stay plausible whatever the number. Where the two
   contradict each other one of them is wrong, and nobody knows which, so both stay plausible;
3. the country alone, or the number alone with every zone of its country: numbers are ported and travel, and the tables
   give some countries nothing but a neighbour's zone;
4. nothing: the policy's `unknown_zones` then count, and those of the locale's region (`locale_zones`) beside them.
   `en-US` is also what software ships with, so a locale takes no zone away and narrows nothing.

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


def plausible_zones(*, time_zone: str | None, country: str | None, phone_prefix: str | None) -> tuple[str, ...]:
    """IANA zones that a customer may live in, sorted; empty where the zone is known, or neither of the others is.

    Args:
        time_zone: IANA zone, where it is known.
        country: ISO 3166-1 alpha-2 code.
        phone_prefix: International telephone number or its beginning; what cannot be read counts as missing.

    Example:
        >>> plausible_zones(time_zone=None, country="US", phone_prefix="+1 808")
        ('Pacific/Honolulu',)
        >>> plausible_zones(time_zone=None, country=None, phone_prefix="+213")  # the tables say Paris alone
        ('Africa/Algiers', 'Europe/Paris')
    """
    if time_zone is not None:
        return ()
    return _plausible(country, _digits(phone_prefix)[:_LONGEST_NUMBER])


def locale_zones(locale: str | None) -> tuple[str, ...]:
    """IANA zones of the region of a locale (BCP 47 tag), sorted; empty where it names none.

    A hint and no more: they count beside the policy's `unknown_zones`, where nothing better is known.

    Example:
        >>> locale_zones("pt-PT"), locale_zones("pt")
        (('Atlantic/Azores', 'Europe/Lisbon'), ())
    """
    return tuple(sorted(_zones_of_country(_region(locale)).values()))


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
def _plausible(country: str | None, digits: str) -> tuple[str, ...]:
    by_country, by_number = _zones_of_country(country), _zones_of_number(digits)
    if not by_country:
        return tuple(sorted((by_number | _zones_of_numbers_country(digits)).values()))
    both = {hours: zone for hours, zone in by_country.items() if hours in by_number}
    narrowed = both and both | _zones_without_numbers(country or "")
    return tuple(sorted((narrowed or by_number | by_country).values()))


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
    """Zones of a number by the time they keep."""
    return _distinct(sorted(_names_of_number(digits)))


@lru_cache(maxsize=65_536)
def _names_of_number(digits: str) -> frozenset[str]:
    """Zones of the longest beginning that is known, and of everything that this may be the beginning of."""
    if not digits:
        return frozenset()
    from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

    known = (digits[:length] for length in range(min(len(digits), TIMEZONE_LONGEST_PREFIX), 0, -1))
    found = set(next((TIMEZONE_DATA[one] for one in known if one in TIMEZONE_DATA), ()))
    if len(digits) < TIMEZONE_LONGEST_PREFIX:
        found.update(zone for prefix, zones in TIMEZONE_DATA.items() if prefix.startswith(digits) for zone in zones)
    return frozenset(found - {_NOWHERE})


def _zones_of_numbers_country(digits: str) -> dict[Hours, str]:
    """Every zone of the country that a number belongs to; of several that share its code, of those it points to."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    codes = (int(digits[:length]) for length in range(1, min(len(digits), _LONGEST_CODE) + 1))
    sharing = next((COUNTRY_CODE_TO_REGION_CODE[code] for code in codes if code in COUNTRY_CODE_TO_REGION_CODE), ())
    names = _names_of_number(digits)
    pointed = [country for country in sharing if not names.isdisjoint(_names_by_country().get(country, ()))]
    found: dict[Hours, str] = {}
    for country in pointed or sharing:
        found |= _zones_of_country(country)
    return found


@cache
def _zones_without_numbers(country: str) -> dict[Hours, str]:
    """Zones of a country that no number of it leads to: a table that does not know them cannot rule them out."""
    from phonenumbers import country_code_for_region

    known = _zones_of_number(str(country_code_for_region(country)))
    return {hours: zone for hours, zone in _zones_of_country(country).items() if hours not in known}


@cache
def _by_country() -> dict[str, dict[Hours, str]]:
    return {country: _distinct(names) for country, names in _names_by_country().items()}


@cache
def _names_by_country() -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for country, _place, zone, *_comment in _rows("zone.tab"):
        names.setdefault(country, []).append(zone)
    return names


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
