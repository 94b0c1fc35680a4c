"""Rows of customers and events brought to what the catalogue declares, or refused by name."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import orjson
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.customer import PROFILING, PROTECTIONS
from features.declared import Declared, UndeclaredError, alike, did_you_mean, fit_values
from features.importing.json_columns import shape_rule
from features.log.customer_rows import CLEARABLE
from features.log.declared_events import FITTED, fit_event

Fit = Callable[[Any], Any]
"""Brings a value to its spelling, or refuses it as an UndeclaredError."""


def fit_declared(values: pl.DataFrame, catalogue: Catalogue | None) -> tuple[pl.DataFrame, Mapping[str, pl.Series]]:
    """Customer rows in the catalogue's spelling, and per column what a row's value must be where it does not fit.

    Lists and objects are JSON text; without a catalogue any channels, purposes and attributes are good.
    """
    fits: Mapping[str, Fit] = {
        "protections": _names_in("protections", PROTECTIONS),
        "cleared": _names_in("cleared", CLEARABLE),
        **({} if catalogue is None else _fits_of(Declared(catalogue))),
    }
    faults: dict[str, pl.Series] = {}
    for column, fit in fits.items():
        known_texts = {text: _fitted(text, fit) for text in values[column].unique()}
        told = [known_texts[text] for text in values[column]]
        values = values.with_columns(pl.Series(column, [text for text, _ in told], dtype=pl.String))
        faults[column] = pl.Series(column, [fault for _, fault in told], dtype=pl.String)
    return _with_zones(values, faults)


def _fits_of(declared: Declared) -> dict[str, Fit]:
    return {
        "channels": lambda names: list(
            dict.fromkeys(_named(_about("channel", declared.channels), name, declared.channels) for name in names)
        ),
        "consents": lambda answers: [_consent(one, declared) for one in answers],
        "attributes": lambda given: fit_values(given, declared),
    }


def _names_in(column: str, known: Iterable[str]) -> Fit:
    names = sorted(known)
    return lambda given: list(dict.fromkeys(_named(shape_rule(column), one, names) for one in given))


def _with_zones(values: pl.DataFrame, faults: dict[str, pl.Series]) -> tuple[pl.DataFrame, Mapping[str, pl.Series]]:
    """Rows whose time zones are spelt as the database of zones has them, and what is wrong with the others."""
    told = {zone: _zone(zone) for zone in values["time_zone"].unique().drop_nulls()}
    read = [told.get(zone, (None, None)) for zone in values["time_zone"]]
    zones = pl.Series("time_zone", [zone for zone, _ in read], dtype=pl.String)
    faults["time_zone"] = pl.Series("time_zone", [fault for _, fault in read], dtype=pl.String)
    return values.with_columns(zones), faults


def _zone(name: str) -> tuple[str, str | None]:
    found = _zones().get(name.casefold())
    if found is not None:
        return found, None
    return name, f"an IANA time zone, such as Europe/Berlin{did_you_mean(name, _zones().values())}"


@cache
def _zones() -> Mapping[str, str]:
    return {zone.casefold(): zone for zone in sorted(available_timezones())}


def fit_said(values: pl.DataFrame, catalogue: Catalogue) -> tuple[pl.DataFrame, Mapping[str, pl.Series]]:
    """Event rows about what customers said, likewise; others stay as they are."""
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
    purpose = _named(_about("purpose", declared.purposes), answer["purpose"], declared.purposes)
    channel = answer["channel"]
    if purpose != PROFILING:  # an answer about profiling counts whatever its channel
        channel = _named(_about("channel", declared.channels), channel, declared.channels)
    return {**answer, "channel": channel, "purpose": purpose}


def _about(kind: str, known: Iterable[str]) -> str:
    return f"about a {kind} of the catalogue ({', '.join(known)})"


def _named(rule: str, name: str, known: list[str]) -> str:
    found = alike(name, known)
    if found is None:
        raise UndeclaredError(f"{rule}{did_you_mean(name, known)}")
    return found
