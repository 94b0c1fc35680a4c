"""JSON columns: checked for their shape and brought to one spelling, so that equal values are equal text."""

import json
import re
from collections.abc import Callable
from typing import Any

import orjson
import polars as pl

from decisioning.customer import PROTECTIONS
from features.declared import read_flag
from features.log.customer_rows import CLEARABLE
from features.moments import moment_in_text

MOST_CHARACTERS = 200
"""Longest name of anything."""

_LONG_NUMBER = re.compile(r"\d{19}")
_SPELLING = orjson.OPT_SORT_KEYS
_CONSENT_KEYS = {"channel", "purpose", "granted"}
_CONSENT_EXTRAS = {"recorded_at", "source"}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_CHARACTERS and value.isprintable()


def _is_aware_time(value: object) -> bool:
    return moment_in_text(value) is not None


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_name, value))


def _is_consent(value: Any) -> bool:
    if not isinstance(value, dict) or not _CONSENT_KEYS <= set(value) <= _CONSENT_KEYS | _CONSENT_EXTRAS:
        return False
    recorded_at, source = value.get("recorded_at"), value.get("source")
    return (
        _is_name(value["channel"])
        and _is_name(value["purpose"])
        and isinstance(value["granted"], bool)
        and (recorded_at is None or _is_aware_time(recorded_at))
        and (source is None or isinstance(source, str))
    )


def _is_list_of_consents(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_consent, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_flat_object(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(item, dict | list) for item in value.values())


def _is_object_of_names(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_name, value.values()))


def _is_ghost(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"message_key", "action_probability"}:
        return False
    probability = value["action_probability"]
    is_number = isinstance(probability, int | float) and not isinstance(probability, bool)
    return isinstance(value["message_key"], str) and is_number and 0 < probability <= 1


_SHAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "channels": ("a JSON list of channel names", _is_list_of_names),
    "consents": (
        "a JSON list of objects with channel, purpose, granted (true or false), optionally recorded_at and source",
        _is_list_of_consents,
    ),
    "attributes": ("a JSON object of numbers, texts, true, false or null", _is_flat_object),
    "cleared": (f"a JSON list of {', '.join(CLEARABLE)}", _is_list_of_names),
    "protections": (f"a JSON list of {', '.join(sorted(PROTECTIONS))}", _is_list_of_names),
    "ghost": ("a JSON object of message_key and action_probability (above 0 and at most 1)", _is_ghost),
    "arms": ("a JSON object of arm names by experiment", _is_object_of_names),
}
_ANY_OBJECT = ("a JSON object", _is_object)


def shape_rule(column: str) -> str:
    """The rule that a JSON column's values follow, in words that complete 'must be'."""
    return _SHAPES.get(column, _ANY_OBJECT)[0]


def respell(values: pl.Series) -> pl.Series:
    """The values of a JSON column in one spelling: no spaces, sorted keys; missing where the shape is wrong."""
    has_shape = _SHAPES.get(values.name, _ANY_OBJECT)[1]
    known: dict[str | None, str | None] = {None: None}
    spelt = []
    for text in values:
        if text not in known:
            known[text] = _respell_one(text, has_shape)
        spelt.append(known[text])
    return pl.Series(values.name, spelt, dtype=pl.String)


def _respell_one(text: str, has_shape: Callable[[Any], bool]) -> str | None:
    try:
        if _LONG_NUMBER.search(text):  # orjson would round what 64 bits cannot hold, and say nothing
            json.loads(text, parse_int=_within_64_bits)
        value = _with_flags(orjson.loads(text))
        return orjson.dumps(value, option=_SPELLING).decode() if has_shape(value) else None
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
