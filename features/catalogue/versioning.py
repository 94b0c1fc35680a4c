"""The version of a catalogue: a hash of what it says, whatever files say it in which order."""

from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date
from hashlib import sha256
from typing import Any

import orjson

from decisioning.catalogue import Catalogue

_DIGITS = 16


def catalogue_version(catalogue: Catalogue) -> str:
    """Hash of a catalogue's content, without its `version` field; file names, order and comments do not enter.

    Returns:
        16 hexadecimal digits.

    Example:
        >>> from dataclasses import replace
        >>> from pathlib import Path
        >>> from features.catalogue import load_catalogue
        >>> catalogue = load_catalogue(Path("tests/catalogues/shop"))
        >>> catalogue_version(replace(catalogue, version="another")) == catalogue.version
        True
    """
    content = {each.name: _canonical(getattr(catalogue, each.name)) for each in fields(catalogue)}
    del content["version"]
    return sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGITS]


def _canonical(value: Any) -> Any:
    """Plain values in one form: sets sorted, numbers as floats, types by name."""
    if is_dataclass(value):
        named = {each.name: _canonical(getattr(value, each.name)) for each in fields(value)}
        return {"": type(value).__name__, **named}
    if isinstance(value, Mapping):
        return {str(key): _canonical(each) for key, each in value.items()}
    if isinstance(value, Set):
        return sorted(_canonical(each) for each in value)
    if isinstance(value, tuple):
        return [_canonical(each) for each in value]
    if isinstance(value, date):  # a moment, too
        return value.isoformat()
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
