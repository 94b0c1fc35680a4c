"""Liquid's `date` without a clock: a text is a full date or stays as it is, and numbers are seconds since 1970 in UTC.

The library fills what a text lacks from the day on which it is read, and keeps the result; it reads numbers in the
zone of the server. A message would say another day tomorrow, or elsewhere.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from dateutil import parser, tz

from features.templates.bounds import BoundError

_CLOCK_WORDS = frozenset({"now", "today"})
_LONGEST_TEXT = 64
_LONGEST_FORMAT = 200
_SECONDS = re.compile(r"\d{9,10}")
_DIRECTIVE = re.compile(r"%([-_0^#]?)([a-zA-Z%+]|.|$)", re.DOTALL)
_LETTERS = frozenset("aAbBCdDeFgGhHIjklmMnpPrRSstTuUVwWyYzZ%")
_ASSUMED = (datetime(2000, 1, 1), datetime(2001, 2, 2))  # noqa: DTZ001 - a full date depends on neither
_SECONDS_OF_YEARS = range(-62_135_596_800, 253_402_300_800)
"""Seconds since 1970 of the years 1 to 9999."""


def format_date(value: object, form: object = "") -> object:
    """A full date in text, or seconds since 1970, in the form of `strftime`; what is none stays as it is.

    A time is written as its text says it, whatever its offset; one without an offset counts as UTC.

    Raises:
        BoundError: It asks for the clock, or the form has a directive that is none.

    Example:
        >>> format_date("2026-01-31T09:30:00Z", "%d.%m.%Y %H:%M"), format_date("10 May", "%Y"), format_date(0, "%F %R")
        ('31.01.2026 09:30', '10 May', '1970-01-01 00:00')
    """
    if isinstance(value, str) and value.strip().lower() in _CLOCK_WORDS:
        raise BoundError("take its dates from customer, context or offer, not from the clock")
    moment = _moment(value)
    return value if moment is None else moment.strftime(_portable(str(form), moment))


def _portable(form: str, moment: datetime) -> str:
    """The form, if it is one, with what would be read in the server's zone filled in."""
    if len(form) > _LONGEST_FORMAT:
        raise BoundError(f"give dates in a form of at most {_LONGEST_FORMAT} characters")
    for directive in _DIRECTIVE.finditer(form):
        if directive[2] not in _LETTERS:
            raise BoundError("give dates in a form of directives such as %d.%m.%Y, without widths")
    seconds = str(int(moment.timestamp()))
    return _DIRECTIVE.sub(lambda found: seconds if found[2] == "s" else found[0], form)


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _moment_of_seconds(value)
    return _moment_of_text(value) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None


def _moment_of_seconds(seconds: float) -> datetime | None:
    is_known = _SECONDS_OF_YEARS.start <= seconds < _SECONDS_OF_YEARS.stop
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds) if is_known else None


@lru_cache(maxsize=1024)
def _moment_of_text(text: str) -> datetime | None:
    """The moment of a text; None where it lacks year, month or day, or could be read as two dates."""
    if _SECONDS.fullmatch(text.strip()):
        return _moment_of_seconds(int(text))
    try:
        found = {datetime.fromisoformat(text.strip())}
    except ValueError:
        found = _readings(text)
    if len(found) != 1:
        return None
    moment = found.pop()
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _readings(text: str) -> set[datetime]:
    """What a text in words may mean: today lacks in none of them, and 01/02/2026 is two."""
    try:
        return {
            parser.parse(text, default=assumed, dayfirst=day_first, tzinfos=_offset)
            for assumed in _ASSUMED
            for day_first in (False, True)
        }
    except (ValueError, OverflowError, TypeError):
        return set()


def _offset(name: str | None, seconds: int | None) -> tzinfo | None:
    """A zone that the text gives in hours; a name alone could be the server's own, so it counts for nothing."""
    return None if seconds is None else tz.tzoffset(name, seconds)
