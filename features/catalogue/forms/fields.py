"""Fields that many sections share: names, money, moments, hours of the day, zones, countries."""

import re
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from decisioning.errors import nearest_names
from features.moments import day_in_text, moment_in_text

_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
_COLUMN = r"^[a-z][a-z0-9_]*$"
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_LONGEST_DAYS = 3660

MINUTES_OF_DAY = 1440
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Names of weekdays; Monday is 0."""


class FileModel(BaseModel):
    """What people write in a catalogue file: nothing unknown, nothing guessed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=False, validate_by_alias=True
    )


Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER, max_length=100)]
ColumnName = Annotated[str, StringConstraints(pattern=_COLUMN, max_length=60)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
FieldPath = Annotated[str, StringConstraints(pattern=r"^(customer|context)\.[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0, le=1e9)]
Days = Annotated[float, Field(gt=0, le=_LONGEST_DAYS)]
Hours = Annotated[float, Field(gt=0, le=_LONGEST_DAYS * 24)]


def parse_moment(value: object) -> datetime:
    """A date (its first moment in UTC) or a time with its zone, as an aware UTC time.

    Raises:
        ValueError: It is neither.
    """
    day, moment = day_in_text(value), moment_in_text(value)
    if day is not None:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    rule = "must be a date such as 2026-01-31 or a time with its zone such as 2026-01-31T09:00:00+01:00"
    return _refuse(rule) if moment is None else moment


def _refuse(rule: str) -> Any:
    raise ValueError(rule)


def parse_day(value: object) -> date:
    """A calendar day.

    Raises:
        ValueError: It is none.
    """
    day = day_in_text(value)
    return _refuse("must be a date such as 2026-12-31") if day is None else day


def parse_clock(value: object) -> int:
    """Minute of the day of an hour such as `08:30`; `24:00` is the end of the day, 1440.

    Raises:
        ValueError: It is no hour of a day.

    Example:
        >>> parse_clock("08:30"), parse_clock("24:00")
        (510, 1440)
    """
    rule = 'must be an hour of the day such as "08:30"'
    if value == "24:00":
        return MINUTES_OF_DAY
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * 60 + int(found[2]) if found else _refuse(rule)


def _day_number(value: object) -> int:
    return DAYS.index(value) if value in DAYS else _refuse(f"must be one of {', '.join(DAYS)}")


@cache
def known_zones() -> frozenset[str]:
    """Names of every IANA time zone."""
    return frozenset(available_timezones())


@cache
def known_countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes of countries whose public holidays are known."""
    from holidays import list_supported_countries

    return frozenset(list_supported_countries(include_aliases=False))


class UnlistedNameError(ValueError):
    """A name that nobody knows, with the known ones most like it."""

    def __init__(self, rule: str, nearest: tuple[str, ...]) -> None:
        super().__init__(rule)
        self.nearest = nearest


def _zone(value: str) -> str:
    if value in known_zones():
        return value
    raise UnlistedNameError("must be an IANA time zone", nearest_names(value, known_zones(), limit=1))


def _country(value: str) -> str:
    if value in known_countries():
        return value
    near = nearest_names(value.upper(), known_countries(), limit=1)
    raise UnlistedNameError("must be an ISO 3166-1 code of two letters such as DE", near)


Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    WithJsonSchema(
        {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}], "examples": ["2026-01-31"]}
    ),
]
Day = Annotated[date, BeforeValidator(parse_day), WithJsonSchema({"type": "string", "format": "date"})]
ClockTime = Annotated[
    int,
    BeforeValidator(parse_clock),
    WithJsonSchema({"type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", "examples": ["08:30"]}),
]
Weekday = Annotated[int, BeforeValidator(_day_number), WithJsonSchema({"type": "string", "enum": list(DAYS)})]
Zone = Annotated[str, AfterValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})]
Country = Annotated[str, AfterValidator(_country), WithJsonSchema({"type": "string", "examples": ["DE"]})]
