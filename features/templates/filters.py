"""Liquid's filters within bounds: what they make stays small, and what is missing stays missing.

A filter of something missing is missing, too, until `default` gives it a value.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import wraps
from typing import Any

from liquid import Undefined
from liquid.filter import num_arg

from decisioning.errors import MissingFieldError
from decisioning.rules.number_words import number_words
from features.templates.bounds import MAX_TEXT, BoundError, checked_size, spend, too_long
from features.templates.dates import format_date

_MOST_DIGITS = 15

type Filter = Callable[..., Any]


class Number(float):
    """A number that reads as people write it: 3, not 3.0."""

    __slots__ = ()

    def __str__(self) -> str:
        """Its digits."""
        return number_words(float(self))


class Missing(Undefined):
    """A value that is not known; it is nothing in a condition, and cannot be written."""

    __slots__ = ()

    def __str__(self) -> str:
        """Refuse to be written: a sentence with a hole in it is none.

        Raises:
            MissingFieldError: Always; it names the field.
        """
        raise MissingFieldError((self.hint or self.name).removesuffix(" is undefined"))


def bounded_filters(filters: Mapping[str, Filter]) -> dict[str, Filter]:
    """The library's filters within bounds, with our own in place of those that are not sound."""
    own: dict[str, Filter] = {"date": format_date, "round": _round}
    bounded = {name: _bounded(name, own.get(name, function)) for name, function in filters.items()}
    return bounded | {"default": filters["default"]}  # it makes nothing, and is what missing values wait for


def _bounded(name: str, function: Filter) -> Filter:
    @wraps(function)
    def checked(value: object, *args: object, **kwargs: object) -> object:
        for one in (value, *args):
            if isinstance(one, Undefined):
                return one
        work = sum(map(checked_size, (value, *args)))
        if (predicted := _PREDICTED.get(name)) is not None and predicted(value, *args) > MAX_TEXT:
            raise too_long()
        result = function(value, *args, **kwargs)
        spend(work + checked_size(result))
        return Number(result) if type(result) is float else result

    return checked


def _replaced(value: object, old: object = "", new: object = "", *_: object) -> int:
    text, old, new = str(value), str(old), str(new)
    return len(text) + text.count(old) * len(new)


def _joined(items: object, separator: object = " ", *_: object) -> int:
    some = items if isinstance(items, list | tuple | range) else [items]
    return sum(len(str(item)) for item in some) + len(str(separator)) * len(some)


_PREDICTED: Mapping[str, Callable[..., int]] = {"replace": _replaced, "join": _joined}
"""Length of what a filter would make, for those that multiply."""


def _round(value: object, digits: object = 0) -> object:
    """Round half away from zero, as people do; the library rounds 2.5 to 2, and 25 to no tens at all."""
    number, places = Decimal(str(num_arg(value, default=0))), int(num_arg(digits, default=0))
    if abs(places) > _MOST_DIGITS:
        raise BoundError(f"round to at most {_MOST_DIGITS} digits")
    rounded = number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return int(rounded) if places <= 0 else float(rounded)
