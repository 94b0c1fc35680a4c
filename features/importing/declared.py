"""Channels, purposes and attributes as the catalogue declares them: brought to its spelling where that is plain."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import orjson
import polars as pl

from decisioning.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.customer import PROFILING
from decisioning.errors import nearest_names
from features.tabular.cells import flags, numbers

_PURPOSES = ("marketing", "service", PROFILING)
_LIKENESS = 0.8  # an attribute that nobody declared is free, one that is almost a declared one is a slip


class UndeclaredError(ValueError):
    """What a value must be, in words that complete 'must be'; never the value."""


def fit_declared(values: pl.DataFrame, catalogue: Catalogue) -> tuple[pl.DataFrame, Mapping[str, pl.Series]]:
    """Customer rows in the catalogue's spelling, and per column what a row's value must be where it does not fit.

    Args:
        values: Parsed rows with `channels`, `consents` and `attributes` as JSON text.
        catalogue: Declares them.
    """
    known = _Known(catalogue)
    fits = {"channels": known.channels, "consents": known.consents, "attributes": known.attributes}
    faults: dict[str, pl.Series] = {}
    for column, fit in fits.items():
        known_texts = {text: _fitted(text, fit) for text in values[column].unique()}
        told = [known_texts[text] for text in values[column]]
        values = values.with_columns(pl.Series(column, [text for text, _ in told], dtype=pl.String))
        faults[column] = pl.Series(column, [fault for _, fault in told], dtype=pl.String)
    return values, faults


def _fitted(text: str | None, fit: Callable[[Any], Any]) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    try:
        return orjson.dumps(fit(orjson.loads(text)), option=orjson.OPT_SORT_KEYS).decode(), None
    except UndeclaredError as error:
        return text, str(error)


class _Known:
    """The names of a catalogue, and how to bring values to them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._channels = sorted(catalogue.channels)
        self._purposes = sorted({*_PURPOSES, *(one.purpose for one in catalogue.offers.values() if one.purpose)})
        self._attributes = {one.name: one for one in catalogue.customer_attributes}
        self._free = {field for channel in catalogue.channels.values() for field in channel.address_fields}

    def channels(self, names: list[str]) -> list[str]:
        return list(dict.fromkeys(_named("channel", name, self._channels) for name in names))

    def consents(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self._consent(one) for one in answers]

    def attributes(self, given: dict[str, Any]) -> dict[str, Any]:
        fitted: dict[str, Any] = {}
        for name, value in given.items():
            declared = self._declared(name)
            if declared is None or value is None:
                fitted[declared.name if declared else name] = value
            else:
                fitted[declared.name] = _value(declared, value)
        return fitted

    def _consent(self, answer: dict[str, Any]) -> dict[str, Any]:
        purpose = _named("purpose", answer["purpose"], self._purposes)
        channel = answer["channel"]
        if purpose != PROFILING:  # an answer about profiling counts whatever its channel
            channel = _named("channel", channel, self._channels)
        return {**answer, "channel": channel, "purpose": purpose}

    def _declared(self, name: str) -> Attribute | None:
        if name in self._attributes or name in self._free:
            return self._attributes.get(name)
        if (found := _alike(name, self._attributes)) is not None:
            return self._attributes[found]
        if near := get_close_matches(name, self._attributes, n=1, cutoff=_LIKENESS):
            raise UndeclaredError(f"named as the catalogue declares attributes; did you mean {near[0]!r}?")
        return None


def _named(kind: str, name: str, known: list[str]) -> str:
    found = name if name in known else _alike(name, known)
    if found is None:
        near = nearest_names(name, known, limit=1)
        raise UndeclaredError(f"about a {kind} of the catalogue ({', '.join(known)})" + _hint(near))
    return found


def _hint(near: tuple[str, ...]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""


def _alike(name: str, known: Iterable[str]) -> str | None:
    """The known name that differs in capitals, spaces, hyphens and underscores only; None where none or several do."""
    found = [one for one in known if _folded(one) == _folded(name)]
    return found[0] if len(found) == 1 else None


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "").replace("-", "").replace("_", "")


def _value(attribute: Attribute, value: Any) -> Any:
    match attribute.kind:
        case AttributeKind.CATEGORY:
            text = value if isinstance(value, str) else str(value)
            found = text if text in attribute.values else _alike(text, attribute.values)
            rule = f"{attribute.name} one of {', '.join(attribute.values)}"
            if found is None:
                raise UndeclaredError(f"an object with {rule}" + _hint(nearest_names(text, attribute.values, limit=1)))
            return found
        case AttributeKind.FLAG:
            return value if isinstance(value, bool) else _read(attribute, value, "true or false")
        case AttributeKind.NUMBER:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return value if is_number else _read(attribute, value, "a number")


def _read(attribute: Attribute, value: Any, rule: str) -> float | bool | None:
    """A number or a flag from text, or a flag from 1 and 0; null where the text says that there is none."""
    cell = pl.Series("cell", [None if isinstance(value, bool) else str(value)], dtype=pl.String)
    is_flag = attribute.kind is AttributeKind.FLAG
    found = cell.to_frame().select(flags(pl.col("cell"))).item() if is_flag else numbers(cell).item()
    if found is None:
        raise UndeclaredError(f"an object with {attribute.name} as {rule}")
    return int(found) if not is_flag and found.is_integer() else found
