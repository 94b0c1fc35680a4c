"""Check each entry of the catalogue against its model, and say in plain words what is wrong.

A mistake in one offer does not hide those in the next: what is sound is kept, so that cross references among it can
still be checked, and all problems are told at once.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args, get_origin

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from features.catalogue.forms.catalogue_form import CatalogueFile
from features.catalogue.reading.documents import Location, Value
from features.catalogue.reading.json_schema import fields_at
from features.catalogue.reading.problems import nearest_to, shown
from features.catalogue.reading.sections import Sections

_ADAPTERS: Mapping[str, TypeAdapter[Any]] = MappingProxyType(
    {name: TypeAdapter(field.rebuild_annotation()) for name, field in CatalogueFile.model_fields.items()}
)
_SUBJECT = re.compile(r"^(Input|String|Dictionary|Tuple|Value) should")
_BRANCHES = frozenset({"float", "bool", "str"})
_NO_PLAIN_VALUE = "must be a number, a flag (true or false) or a word"
_PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$": "must be a name of letters, digits and _ . : -",
        r"^[a-z][a-z0-9_]*$": "must be a name of lower-case letters, digits and _ (it becomes a column)",
        r"^[A-Z]{3}$": "must be a currency code such as EUR",
        r"^(customers|events|decisions|outcomes)(\.[A-Za-z0-9_-]+){0,3}$": (
            "must name a table, or with dots a column, attribute, event type or property of it, such as"
            " customers.attributes.age or events.browse.page"
        ),
    }
)
_WEIGHTED = frozenset({"goals", "offers"})
_WEIGHT_RULE = (
    "must be a lever now, so that a weight has an owner, a reason and an end: "
    "levers: {NAME: {goal or offer: NAME, factor: 2, owner: TEAM, reason: WHY, expires_on: 2026-12-31}}"
)


def validate_sections(sections: Sections) -> dict[str, Any]:
    """Every sound entry by section, as instances of the models; what is wrong is added to `sections.problems`.

    Returns:
        Section name to a dict of entries, a tuple of entries, or one value; a section that is missing or wholly wrong
        has its default, or is empty.
    """
    for name in sections.values:
        if name not in _ADAPTERS:
            sections.add((name,), "must be a known section", shown(name), nearest_to(name, _ADAPTERS))
    return {name: _validated(name, sections) for name in _ADAPTERS}


def _validated(name: str, sections: Sections) -> Any:
    field = CatalogueFile.model_fields[name]
    value = sections.values.get(name)
    if value is None and field.is_required():
        sections.add((name,), "must be given", "nothing")
    if value is None:
        return _nothing(name)
    try:
        return _read(_ADAPTERS[name], value)
    except ValidationError as error:
        details = error.errors()
        _report(details, (name,), sections)
        return _sound_entries(name, value, {each["loc"][0] for each in details if each["loc"]})


def _nothing(name: str) -> Any:
    field = CatalogueFile.model_fields[name]
    if not field.is_required():
        return field.get_default(call_default_factory=True)
    return {dict: {}, tuple: ()}.get(get_origin(field.annotation), "")


def _sound_entries(name: str, value: Value, broken: set[str | int]) -> Any:
    """The entries that no error points into; a single value that is wrong counts as missing."""
    annotation = CatalogueFile.model_fields[name].annotation
    if get_origin(annotation) is dict and isinstance(value, dict):
        key, entry = map(TypeAdapter, get_args(annotation))
        whole = {k: v for k, v in value.items() if k not in broken}
        return {_read(key, k): _read(entry, v) for k, v in whole.items()}
    if get_origin(annotation) is tuple and isinstance(value, list):
        entry = TypeAdapter(get_args(annotation)[0])
        sound = [each for index, each in enumerate(value) if index not in broken]
        return tuple(_read(entry, each) for each in sound)
    return _nothing(name)


def _read(adapter: TypeAdapter[Any], value: Value) -> Any:
    return adapter.validate_json(orjson.dumps(value), strict=True)


def _report(errors: list[ErrorDetails], at: Location, sections: Sections) -> None:
    seen: set[Location] = set()
    for details in errors:
        location = (*at, *details["loc"])
        is_branch = location[-1] in _BRANCHES and location not in sections.places
        if is_branch or location[-1] == "[key]":
            location = location[:-1]
        if location in seen:  # the branches of a choice all say that they do not fit
            continue
        seen.add(location)
        words = (_NO_PLAIN_VALUE, shown(details["input"]), ()) if is_branch else _words(details, location)
        sections.add(location, *words)


def _words(details: ErrorDetails, location: Location) -> tuple[str, str, tuple[str, ...]]:
    """Rule, value and nearest words of one pydantic error."""
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        return "must be given", "nothing", ()
    if kind == "extra_forbidden":
        return _unknown_field_words(location, given)
    if kind == "value_error":
        return str(context["error"]), shown(given), getattr(context["error"], "nearest", ())
    if kind in {"enum", "literal_error"}:
        words = str(context["expected"])
        known = [word.strip("' ") for word in words.replace(" or ", ", ").split(",")]
        return f"must be {words}", shown(given), nearest_to(given, known)
    if kind == "string_pattern_mismatch":
        return _PATTERNS[str(context["pattern"])], shown(given), ()
    return _SUBJECT.sub("must", details["msg"]).removesuffix(" after validation"), shown(given), ()


def _unknown_field_words(location: Location, given: object) -> tuple[str, str, tuple[str, ...]]:
    name = location[-1]
    if name == "weight" and location[0] in _WEIGHTED:
        return _WEIGHT_RULE, shown(given), ()
    return "must be a known field", shown(name), nearest_to(name, fields_at(location[:-1]))
