"""Moments as people and tools write them: ISO 8601 with an offset, and no digits that something else would read."""

import re
from datetime import UTC, date, datetime, tzinfo

from decisioning.errors import InvalidInputError

ISO_RULE = "ISO 8601 with an offset, such as 2026-11-22T09:03:11Z"
"""What a moment must be, in words that complete 'must be'."""

_EXTENDED = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?"
_BASIC = r"\d{8}[Tt]\d{4}(?:\d\d(?:[.,]\d{1,9})?)?"
_OFFSET = r"(?:[Zz]|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)"

ISO_PATTERN = rf"^(?:{_EXTENDED}|{_BASIC}){_OFFSET}$"
"""The texts that are moments, for Python and for Polars."""

_WITH_OFFSET = re.compile(rf"(?:{_EXTENDED}|{_BASIC}){_OFFSET}", re.ASCII)
_WITHOUT = re.compile(rf"{_EXTENDED}|{_BASIC}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def moment_in_text(text: object, *, zone: tzinfo | None = None) -> datetime | None:
    """The moment (aware, UTC) that ISO 8601 with an offset names; None for anything else.

    Args:
        text: What was written.
        zone: Where a time without an offset is taken to be; None where such a time is none.

    Example:
        >>> moment_in_text("2026-01-31T09:30:00+01").isoformat()
        '2026-01-31T08:30:00+00:00'
        >>> moment_in_text("20260131") is moment_in_text("1769851800") is moment_in_text("2026-01-31") is None
        True
    """
    if not isinstance(text, str):
        return None
    is_whole = _WITH_OFFSET.fullmatch(text) is not None
    if not is_whole and (zone is None or _WITHOUT.fullmatch(text) is None):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        return (moment if is_whole else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):  # a 30th of February, or a moment that UTC cannot tell
        return None


def day_in_text(text: object) -> date | None:
    """The calendar day that a text such as `2026-01-31` names; None for anything else."""
    if not isinstance(text, str) or _DAY.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def moment_from(text: str, name: str) -> datetime:
    """A moment that somebody typed, as an aware moment; a day is its beginning, and UTC where no zone is named.

    Raises:
        InvalidInputError: It is no such thing.

    Example:
        >>> moment_from("2026-11-01", "as_of").isoformat()
        '2026-11-01T00:00:00+00:00'
    """
    day = day_in_text(text)
    moment = moment_in_text(text, zone=UTC) if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
    if moment is None:
        raise InvalidInputError(
            f"{name} must be an ISO 8601 time such as 2026-11-01T00:00:00Z, got {text!r}: write it like that"
        )
    return moment
