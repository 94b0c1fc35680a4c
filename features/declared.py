"""What the catalogue declares of customers: its channels, purposes and attributes, and how values are brought to them.

Whatever way a value comes in (a file, the API, a hand-off, an older row of the log), it is read here: what differs in
capitals, spaces, hyphens and underscores only, or is a number or a flag written as text, is meant; the rest is not
guessed at.
"""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import polars as pl

from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.customer import PROFILING, PROTECTIONS
from decisioning.errors import nearest_names
from features.tabular.cells import flags, numbers

_PURPOSES = ("marketing", "service", PROFILING)
_LIKENESS = 0.8  # an attribute that nobody declared is free, one that is almost a declared one is a slip
_SHOWN_NAMES = 12


class UndeclaredError(ValueError):
    """What a value must be, in words that complete 'must be'; never the value.

    Attributes:
        name: Property that is wrong, where one is.
    """

    def __init__(self, rule: str, name: str = "") -> None:
        super().__init__(rule)
        self.name = name


class Declared:
    """The names of a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.channels = sorted(catalogue.channels)
        self.purposes = sorted({*_PURPOSES, *(one.purpose for one in catalogue.offers.values() if one.purpose)})
        self.protections = sorted(PROTECTIONS)
        self.attributes = {one.name: one for one in catalogue.customer_attributes}
        self.free = frozenset(field for channel in catalogue.channels.values() for field in channel.address_fields)
        """Fields that nobody declares as attributes and that channels need."""

    def attribute(self, name: str) -> Attribute | None:
        """The declared attribute that a name means; None for one that nobody declared.

        Raises:
            UndeclaredError: The name is almost a declared one.
        """
        if name in self.attributes or name in self.free:
            return self.attributes.get(name)
        if (found := alike(name, self.attributes)) is not None:
            return self.attributes[found]
        if near := get_close_matches(name, self.attributes, n=1, cutoff=_LIKENESS):
            raise UndeclaredError(f"named as the catalogue declares attributes; did you mean {near[0]!r}?")
        return None


def alike(name: object, known: Iterable[str]) -> str | None:
    """The known name that is the same, or differs in capitals, spaces, hyphens and underscores only.

    Returns:
        None where none or several do.

    Example:
        >>> alike("E-Mail", ["email", "push"]), alike("emial", ["email", "push"])
        ('email', None)
    """
    if not isinstance(name, str):
        return None
    names = list(known)
    found = [name] if name in names else [one for one in names if folded(one) == folded(name)]
    return found[0] if len(found) == 1 else None


def folded(name: str) -> str:
    """A name without what people spell in several ways."""
    return name.strip().casefold().replace(" ", "").replace("-", "").replace("_", "")


def rule_of_names(what: str, value: object, known: Iterable[str]) -> str:
    """What a name must be, with the nearest known ones, or with all where they are few and none is near."""
    names = sorted(known)
    nearest = nearest_names(value, names) if isinstance(value, str) else ()
    hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
    if not nearest and names and len(names) <= _SHOWN_NAMES:
        hint = f"; known are {', '.join(names)}"
    return f"{what}{hint}"


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """The end of a message that names the nearest known name; nothing where none is near."""
    near = nearest_names(value, known, limit=1) if isinstance(value, str) else ()
    return f"; did you mean {near[0]!r}?" if near else ""


def read_value(attribute: Attribute, value: object) -> float | str | bool | None:
    """A value as JSON has it, of the declared kind and in the catalogue's spelling; text may say a number or a flag.

    Returns:
        None where it is of another kind, or no declared word.

    Example:
        >>> region = Attribute(name="region", kind=AttributeKind.CATEGORY, values=("north", "south"))
        >>> read_value(region, "North"), read_value(region, "nroth")
        ('north', None)
        >>> read_value(Attribute(name="age", kind=AttributeKind.NUMBER), "42,5")
        42.5
    """
    match attribute.kind:
        case AttributeKind.CATEGORY:
            return None if value is None else alike(_text(value), attribute.values)
        case AttributeKind.FLAG:
            return read_flag(value)
        case AttributeKind.NUMBER:
            return read_number(value)


def read_number(value: object) -> float | None:
    """A number, also from text; None where it is none, or cannot be read without a guess."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return _number_in(value) if isinstance(value, str) else None


def read_flag(value: object) -> bool | None:
    """True or false, also from 1, 0, yes and no; None where it is neither."""
    if isinstance(value, bool):
        return value
    return _flag_in(_text(value)) if isinstance(value, str | int | float) else None


def rule_of_values(attribute: Attribute, value: object) -> str:
    """What a value of an attribute must be."""
    match attribute.kind:
        case AttributeKind.CATEGORY:
            return f"one of {', '.join(attribute.values)}{did_you_mean(value, attribute.values)}"
        case AttributeKind.FLAG:
            return "true or false"
        case AttributeKind.NUMBER:
            return "a number"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@lru_cache(maxsize=4_096)
def _number_in(text: str) -> float | None:
    found = numbers(pl.Series([text], dtype=pl.String)).item()
    return int(found) if found is not None and found.is_integer() else found


@lru_cache(maxsize=4_096)
def _flag_in(text: str) -> bool | None:
    return pl.DataFrame({"cell": [text]}).select(flags(pl.col("cell"))).item()


def fit_values(given: Mapping[str, Any], declared: Declared) -> dict[str, Any]:
    """Attributes with the names and kinds that are declared; null stays null, and what is not declared stays.

    Raises:
        UndeclaredError: A name is almost a declared one, or a value does not fit.
    """
    fitted: dict[str, Any] = {}
    for name, value in given.items():
        attribute = declared.attribute(name)
        if attribute is None or value is None:
            fitted[attribute.name if attribute else name] = value
            continue
        fitted[attribute.name] = read_value(attribute, value)
        if fitted[attribute.name] is None:
            raise UndeclaredError(f"an object with {attribute.name} as {rule_of_values(attribute, value)}")
    return fitted


def read_attributes(known: Mapping[str, Any], declared: Mapping[str, Attribute]) -> dict[str, Any]:
    """Attributes as older rows have them, each of the declared kind where it can be read so; the rest stays as it is.

    Rules can tell nothing of a value that stays of another kind.
    """
    read = {name: read_value(declared[name], value) for name, value in known.items() if name in declared}
    return {name: value if read.get(name) is None else read[name] for name, value in known.items()}
