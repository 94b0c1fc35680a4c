"""The JSON Schema of the catalogue files, for completion and checks in editors."""

from functools import cache
from typing import Any

import orjson

from features.catalogue.forms.catalogue_form import CatalogueFile
from features.catalogue.reading.documents import Location


def catalogue_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one catalogue file.

    No section is required in it, since the sections of a catalogue may be spread over several files; `nextbest
    catalogue check` looks at all of them together.

    Example:
        >>> sorted(catalogue_json_schema()["properties"])[:3]
        ['arbitration', 'care', 'channels']
    """
    schema = CatalogueFile.model_json_schema(by_alias=True)
    del schema["required"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """The JSON Schema as a file holds it."""
    return orjson.dumps(catalogue_json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


@cache
def _schema() -> dict[str, Any]:
    return catalogue_json_schema()


def fields_at(location: Location) -> frozenset[str]:
    """Names of the fields that the form knows at a place, such as those of an offer; empty for free names."""
    nodes = [_schema()]
    for part in location:
        nodes = [inner for node in nodes for inner in _inside(node, part)]
    return frozenset(name for node in nodes for name in node.get("properties", {}))


def _inside(node: dict[str, Any], part: str | int) -> list[dict[str, Any]]:
    if isinstance(part, int):
        found = [node["items"]] if "items" in node else []
    else:
        named = node.get("properties", {}).get(part)
        free = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        found = [named] if named else [each for each in free if isinstance(each, dict)]
    return [resolved for each in found for resolved in _resolved(each)]


def _resolved(node: dict[str, Any]) -> list[dict[str, Any]]:
    """A node with its reference followed, or the branches of a choice."""
    if "$ref" in node:
        return _resolved(_schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in node:
        return [inner for branch in node["anyOf"] for inner in _resolved(branch)]
    return [node]
