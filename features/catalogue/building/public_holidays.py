"""Public holidays of the countries that a catalogue names, as they stand in the `holidays` package."""

from collections.abc import Iterable
from datetime import date
from functools import cache

FIRST_YEAR, LAST_YEAR = 2020, 2040


def public_holidays(countries: Iterable[str]) -> dict[str, frozenset[date]]:
    """Nationwide holidays by country (ISO code), from `FIRST_YEAR` to `LAST_YEAR`, with the days they are moved to.

    Example:
        >>> date(2026, 10, 3) in public_holidays(["DE"])["DE"]
        True
    """
    return {country: _holidays_of(country) for country in sorted(set(countries))}


@cache
def _holidays_of(country: str) -> frozenset[date]:
    from holidays import country_holidays

    return frozenset(country_holidays(country, years=range(FIRST_YEAR, LAST_YEAR + 1)))
