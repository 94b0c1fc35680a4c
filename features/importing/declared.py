"""Rows of customers and events brought to what the catalogue declares, or refused by name."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import polars as pl

from decisioning.catalogue import Catalogue
from decisioning.customer import PROFILING
from decisioning.errors import nearest_names
from features.declared import Declared, UndeclaredError, alike, fit_values
from features.declared_events import FITTED, fit_event


def fit_declared(values: pl.DataFrame, catalogue: Catalogue) -> tuple[pl.DataFrame, Mapping[str, pl.Series]]:
    """Customer rows in the catalogue's spelling, and per column what a row's value must be where it does not fit.

    Args:
        values: Parsed rows with `channels`, `consents` and `attributes` as JSON text.
        catalogue: Declares them.
    """
    declared = Declared(catalogue)
    fits: Mapping[str, Callable[[Any], Any]] = {
        "channels": lambda names: list(dict.fromkeys(_named("channel", name, declared.channels) for name in names)),
        "consents": lambda answers: [_consent(one, declared) for one in answers],
        "attributes": lambda given: fit_values(given, declared),
    }
    faults: dict[str, pl.Series] = {}
    for column, fit in fits.items():
        known_texts = {text: _fitted(text, fit) for text in values[column].unique()}
        told = [known_texts[text] for text in values[column]]
        values = values.with_columns(pl.Series(column, [text for text, _ in told], dtype=pl.String))
        faults[column] = pl.Series(column, [fault for _, fault in told], dtype=pl.String)
    return values, faults


def fit_said(values: pl.DataFrame, catalogue: Catalogue) -> tuple[pl.DataFrame, Mapping[str, pl.Series]]:
    """Event rows about what customers said, likewise; others stay as they are.

    Args:
        values: Parsed rows with `type` and `properties` as JSON text.
        catalogue: Declares what they name.
    """
    declared = Declared(catalogue)
    is_said = pl.col("type").is_in(sorted(FITTED))
    if not values.select(is_said.any()).item():
        return values, {}
    pairs = values.select("type", pl.when(is_said).then("properties"), is_said=is_said).rows()
    found = {pair: _fitted(pair[1] or "{}", _fit_of(pair[0], declared)) for pair in set(pairs) if pair[2]}
    told = [found.get(pair, (None, None)) for pair in pairs]
    fitted = pl.Series("fitted", [text for text, _ in told], dtype=pl.String)
    faults = pl.Series("properties", [fault for _, fault in told], dtype=pl.String)
    properties = pl.when(is_said & (fitted != "{}")).then(fitted).otherwise("properties").alias("properties")
    return values.with_columns(properties), {"properties": faults}


def _fit_of(kind: str, declared: Declared) -> Callable[[Any], Any]:
    def fit(properties: Any) -> Any:
        try:
            return fit_event(kind, properties, declared)
        except UndeclaredError as error:
            raise UndeclaredError(f"an object with {error.name} as {error}") from error

    return fit


def _fitted(text: str | None, fit: Callable[[Any], Any]) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    try:
        return orjson.dumps(fit(orjson.loads(text)), option=orjson.OPT_SORT_KEYS).decode(), None
    except UndeclaredError as error:
        return text, str(error)


def _consent(answer: dict[str, Any], declared: Declared) -> dict[str, Any]:
    purpose = _named("purpose", answer["purpose"], declared.purposes)
    channel = answer["channel"]
    if purpose != PROFILING:  # an answer about profiling counts whatever its channel
        channel = _named("channel", channel, declared.channels)
    return {**answer, "channel": channel, "purpose": purpose}


def _named(kind: str, name: str, known: list[str]) -> str:
    found = alike(name, known)
    if found is None:
        near = nearest_names(name, known, limit=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UndeclaredError(f"about a {kind} of the catalogue ({', '.join(known)}){hint}")
    return found
