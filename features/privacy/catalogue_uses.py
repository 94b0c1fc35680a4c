"""What a catalogue's rules, wordings and measures look at, by the name of the data."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from decisioning.catalogue.catalogue import Catalogue
from decisioning.rules.predicate import Compare

_PLACEHOLDER = re.compile(r"\bcustomer\.([A-Za-z_][A-Za-z0-9_]*)")
_NAMED_PARTS = ("offer_id", "stage_id", "limit_id", "experiment_id", "lever_id", "share_id")


def rule_facts(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Facts that rules ask about, each with where: `offers.deal.eligibility` and the like."""
    found: dict[str, set[str]] = {}
    for where, fact in _facts(catalogue, ()):
        found.setdefault(fact, set()).add(where)
    return {fact: tuple(sorted(places)) for fact, places in sorted(found.items())}


def template_attributes(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Attributes of customers that wordings name, each with the messages."""
    found: dict[str, set[str]] = {}
    for creative in catalogue.creatives:
        for text in creative.content.values():
            for name in _PLACEHOLDER.findall(text):
                found.setdefault(name, set()).add(creative.message_key)
    return {name: tuple(sorted(keys)) for name, keys in sorted(found.items())}


def measured(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Event and outcome types that measures count, as `events.<type>` and `outcomes.<type>`, each with the measures."""
    found: dict[str, set[str]] = {}
    for name, measure in catalogue.measures.items():
        named = {f"events.{one}" for one in measure.added_events | measure.subtracted_events}
        for one in named | {f"outcomes.{one}" for one in measure.outcomes}:
            found.setdefault(one, set()).add(name)
    return {one: tuple(sorted(measures)) for one, measures in sorted(found.items())}


def case_events(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Event types that open or resolve a case, each with the kinds of case."""
    found: dict[str, set[str]] = {}
    for name, kind in catalogue.care.kinds.items():
        for event_type in kind.opened_by | kind.resolved_by:
            found.setdefault(f"events.{event_type}", set()).add(name)
    return {one: tuple(sorted(kinds)) for one, kinds in sorted(found.items())}


def asked_attributes(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Attributes that offers ask customers for, so that none asks what is known; each with the offers."""
    found: dict[str, set[str]] = {}
    for offer in catalogue.offers.values():
        for name in getattr(offer, "asks", ()):
            found.setdefault(name, set()).add(offer.offer_id)
    return {name: tuple(sorted(offers)) for name, offers in sorted(found.items())}


def _facts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Every comparison below a value, with the names that lead to it."""
    if isinstance(value, Compare):
        yield ".".join(path), value.fact
    elif is_dataclass(value):
        here = (*path[:-1], _name_of(value, path)) if path else path
        for one in fields(value):
            is_part = one.name in {"parts", "part"}
            yield from _facts(getattr(value, one.name), here if is_part else (*here, one.name))
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _facts(one, (*path, str(name)))
    elif isinstance(value, tuple):
        for place, one in enumerate(value):
            yield from _facts(one, (*path, str(place)) if path[-1:] and is_dataclass(one) and _has_name(one) else path)


def _has_name(value: Any) -> bool:
    return any(hasattr(value, name) for name in _NAMED_PARTS)


def _name_of(value: Any, path: tuple[str, ...]) -> str:
    """The name of an entry of a list, in place of its number."""
    if not path[-1].isdecimal():
        return path[-1]
    return next(str(getattr(value, name)) for name in _NAMED_PARTS if hasattr(value, name))
