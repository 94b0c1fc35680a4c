"""Checks events about what customers said against the catalogue, in the same way for API, hand-offs and imports.

What is plain is brought to the catalogue's spelling. Of the rest a yes, a protection or an attribute is refused, for it
must say what it is about. A withdrawn consent is never refused: where nobody knows its channel or purpose it is taken
for every channel or purpose, and keeps under `as_sent` what was said.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from decisioning.customer import PROFILING
from features.declared import Declared, UndeclaredError, alike, folded, read_value, rule_of_names, rule_of_values
from features.log.event_types import StateEventType

AS_SENT = "as_sent"
"""Property that holds channel and purpose of a withdrawal which the catalogue does not know."""

FITTED = frozenset(
    {
        StateEventType.CONSENT_GIVEN.value,
        StateEventType.CONSENT_WITHDRAWN.value,
        StateEventType.PROTECTED.value,
        StateEventType.UNPROTECTED.value,
        StateEventType.ATTRIBUTE_TOLD.value,
    }
)
"""Types of events that are held against the catalogue."""

_LIKE_PROFILING = 0.7


def fit_event(kind: str, properties: Mapping[str, Any], declared: Declared) -> Mapping[str, Any]:
    """Properties in the catalogue's spelling; types other than FITTED stay, and doing it again changes nothing.

    Raises:
        UndeclaredError: The property `name` does not fit.
    """
    match kind:
        case StateEventType.CONSENT_GIVEN:
            return _given(properties, declared)
        case StateEventType.CONSENT_WITHDRAWN:
            return _withdrawn(properties, declared)
        case StateEventType.PROTECTED | StateEventType.UNPROTECTED:
            rule = f"one of {', '.join(declared.protections)}"
            return {**properties, "protection": _known("protection", properties, declared.protections, rule)}
        case StateEventType.ATTRIBUTE_TOLD:
            return _told(properties, declared)
        case _:
            return properties


def widened(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """What a withdrawal was taken for all of, since nobody knows the one that it named: `channel`, `purpose`."""
    as_sent = properties.get(AS_SENT)
    return tuple(sorted(as_sent)) if isinstance(as_sent, dict) else ()


def may_mean_profiling(properties: Mapping[str, Any]) -> bool:
    """Whether a withdrawal of an unknown purpose is about profiling, by the word that was sent."""
    as_sent = properties.get(AS_SENT)
    word = as_sent.get("purpose") if isinstance(as_sent, dict) else None
    return isinstance(word, str) and bool(get_close_matches(folded(word), [PROFILING], cutoff=_LIKE_PROFILING))


def _given(properties: Mapping[str, Any], declared: Declared) -> Mapping[str, Any]:
    if alike(properties.get("purpose"), declared.purposes) == PROFILING:  # counts whatever its channel
        return {**properties, "purpose": PROFILING}
    return {
        **properties,
        "channel": _known("channel", properties, declared.channels, "a channel of the catalogue"),
        "purpose": _known("purpose", properties, declared.purposes, "a purpose of the catalogue's offers"),
    }


def _withdrawn(properties: Mapping[str, Any], declared: Declared) -> Mapping[str, Any]:
    fitted, as_sent = dict(properties), dict[str, Any]()
    purpose = alike(properties.get("purpose"), declared.purposes)
    for name, known in (("channel", declared.channels), ("purpose", declared.purposes)):
        value = properties.get(name)
        if value is None or (name == "channel" and purpose == PROFILING):
            continue
        found = alike(value, known)
        if found is None:
            as_sent[name] = fitted.pop(name)
        else:
            fitted[name] = found
    return {**fitted, AS_SENT: as_sent} if as_sent else fitted


def _told(properties: Mapping[str, Any], declared: Declared) -> Mapping[str, Any]:
    name = _known("name", properties, list(declared.attributes), "a customer attribute of the catalogue")
    attribute, value = declared.attributes[name], properties.get("value")
    fitted = read_value(attribute, value)
    if fitted is None:
        raise UndeclaredError(rule_of_values(attribute, value), "value")
    return {**properties, "name": name, "value": fitted}


def _known(name: str, properties: Mapping[str, Any], known: list[str], what: str) -> str:
    value = properties.get(name)
    found = alike(value, known)
    if found is None:
        raise UndeclaredError(rule_of_names(what, value, known), name)
    return found
