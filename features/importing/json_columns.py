"""JSON columns: checked for their shape and brought to one spelling, so that equal values are equal text."""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypedDict

import orjson
import polars as pl
from pydantic import AfterValidator, Field, TypeAdapter, with_config

from decisioning.customer import PROTECTIONS
from features.declared import read_flag
from features.log.customer_rows import CLEARABLE
from features.moments import moment_in_text

MOST_CHARACTERS = 200
"""Longest name of anything."""

_LONG_NUMBER = re.compile(r"\d{19}")
_SPELLING = orjson.OPT_SORT_KEYS


def _that(holds: Callable[[str], object]) -> AfterValidator:
    def checked(text: str) -> str:
        if not holds(text):
            raise ValueError("no such text")
        return text

    return AfterValidator(checked)


type Name = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS), _that(str.isprintable)]


@with_config(extra="forbid")
class _Consent(TypedDict):
    channel: Name
    purpose: Name
    granted: bool
    recorded_at: NotRequired[Annotated[str, _that(moment_in_text)] | None]
    source: NotRequired[str | None]


@with_config(extra="forbid")
class _Ghost(TypedDict):
    message_key: str
    action_probability: Annotated[float, Field(gt=0, le=1)]


_NAMES = TypeAdapter(list[Name])
_ANY_OBJECT = ("a JSON object", TypeAdapter(dict[str, Any]))
_SHAPES: dict[str, tuple[str, TypeAdapter[Any]]] = {
    "channels": ("a JSON list of channel names", _NAMES),
    "consents": (
        "a JSON list of objects with channel, purpose, granted (true or false), optionally recorded_at and source",
        TypeAdapter(list[_Consent]),
    ),
    "attributes": (
        "a JSON object of numbers, texts, true, false or null",
        TypeAdapter(dict[str, bool | int | float | str | None]),
    ),
    "cleared": (f"a JSON list of {', '.join(CLEARABLE)}", _NAMES),
    "protections": (f"a JSON list of {', '.join(sorted(PROTECTIONS))}", _NAMES),
    "ghost": ("a JSON object of message_key and action_probability (above 0 and at most 1)", TypeAdapter(_Ghost)),
    "arms": ("a JSON object of arm names by experiment", TypeAdapter(dict[str, Name])),
}


def shape_rule(column: str) -> str:
    """The rule that a JSON column's values follow, in words that complete 'must be'."""
    return _SHAPES.get(column, _ANY_OBJECT)[0]


def respell(values: pl.Series) -> pl.Series:
    """The values of a JSON column in one spelling: no spaces, sorted keys; missing where the shape is wrong."""
    shape = _SHAPES.get(values.name, _ANY_OBJECT)[1]
    known = {text: None if text is None else _respell_one(text, shape) for text in values.unique()}
    return pl.Series(values.name, [known[text] for text in values], dtype=pl.String)


def _respell_one(text: str, shape: TypeAdapter[Any]) -> str | None:
    try:
        if _LONG_NUMBER.search(text):  # orjson would round what 64 bits cannot hold, and say nothing
            json.loads(text, parse_int=_within_64_bits)
        value = _with_flags(orjson.loads(text))
        shape.validate_python(value, strict=True)
        return orjson.dumps(value, option=_SPELLING).decode()
    except (ValueError, RecursionError, orjson.JSONEncodeError):
        return None


def _with_flags(value: Any) -> Any:
    """A list of answers whose `granted` is a flag also where it was written as text or as 1 and 0."""
    if not isinstance(value, list):
        return value
    return [
        {**one, "granted": found}
        if isinstance(one, dict) and (found := read_flag(one.get("granted"))) is not None
        else one
        for one in value
    ]


def _within_64_bits(digits: str) -> int:
    if not -(2**63) <= int(digits) < 2**64:
        raise ValueError("whole number of more than 64 bits")
    return int(digits)
