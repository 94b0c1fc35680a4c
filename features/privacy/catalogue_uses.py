"""What a catalogue's rules, wordings and measures look at, by the name of the data."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from decisioning.catalogue.catalogue import Catalogue
from decisioning.rules.predicate import Compare
from features.log.outcome_types import OutcomeType

_PLACEHOLDER = re.compile(r"\bcustomer\.([A-Za-z_][A-Za-z0-9_]*)")
_NAMED_PARTS = ("offer_id", "stage_id", "limit_id", "experiment_id", "lever_id", "share_id")


type _Uses = dict[str, tuple[str, ...]]


def rule_facts(catalogue: Catalogue) -> _Uses:
    """Facts that rules ask about, each with where: `offers.deal.eligibility` and the like."""
    return _uses((fact, where) for where, fact in _facts(catalogue, ()))


def template_attributes(catalogue: Catalogue) -> _Uses:
    """Attributes of customers that wordings name, each with the messages."""
    return _uses(
        (name, creative.message_key)
        for creative in catalogue.creatives
        for text in creative.content.values()
        for name in _PLACEHOLDER.findall(text)
    )


def measured(catalogue: Catalogue) -> _Uses:
    """Event and outcome types that measures count, as `events.<type>` and `outcomes.<type>`, each with the measures."""
    plain = [(name, one) for name, measure in catalogue.measures.items() for one, _ in measure.plain]
    taken = [(name, one.returns) for name, one in plain if one.returns is not None]
    events = [(name, one.added_events | one.subtracted_events) for name, one in plain]
    events += [(name, returns.events) for name, returns in taken]
    outcomes = [(name, one.outcomes) for name, one in plain]
    outcomes += [(name, frozenset({OutcomeType.RETURNED.value})) for name, _ in taken]
    return _uses(
        (f"{table}.{kind}", name)
        for table, used in (("events", events), ("outcomes", outcomes))
        for name, kinds in used
        for kind in kinds
    )


def case_events(catalogue: Catalogue) -> _Uses:
    """Event types that open or resolve a case, each with the kinds of case."""
    kinds = catalogue.care.kinds.items()
    return _uses((f"events.{one}", name) for name, kind in kinds for one in kind.opened_by | kind.resolved_by)


def asked_attributes(catalogue: Catalogue) -> _Uses:
    """Attributes that offers ask customers for, so that none asks what is known; each with the offers."""
    return _uses((name, offer.offer_id) for offer in catalogue.offers.values() for name in offer.asks)


def _uses(pairs: Iterable[tuple[str, str]]) -> _Uses:
    """Users by what they use, each once, in order."""
    found: dict[str, set[str]] = {}
    for used, user in pairs:
        found.setdefault(used, set()).add(user)
    return {used: tuple(sorted(users)) for used, users in sorted(found.items())}


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
