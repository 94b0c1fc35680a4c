"""The facts that rules can use: one flat mapping by name."""

from collections.abc import Collection, Iterable, Mapping, Set
from functools import lru_cache
from typing import Any

from decisioning.catalogue.care import NO_CASE, CareStanding
from decisioning.decision import Inputs
from decisioning.errors import InvalidInputError
from decisioning.live import live_facts
from decisioning.rules.fact_names import CONTEXT_PREFIX, CUSTOMER_PREFIX
from decisioning.rules.predicate import Facts, FactValue


def gather_facts(
    inputs: Inputs,
    *,
    is_profiled: bool,
    care: CareStanding = NO_CASE,
    event_types: Iterable[str] = (),
    words: Mapping[str, Collection[str]] | None = None,
    wanted: frozenset[str] | None = None,
) -> dict[str, FactValue]:
    """Every feature by name, `customer.<attribute>`, `context.<field>` and `live.<fact>`; the journey adds `stage`.

    For a customer who opted out of profiling there are no features and no live behaviour, even if they were read.

    Args:
        inputs: What is known.
        is_profiled: As `consent.is_profiled` says.
        care: Where service stands before sales, see `care.care_standing`.
        event_types: Types whose live counts are 0, and not missing, where nothing happened.
        words: Those that customer attributes may have which are categories: rules can tell nothing of another word.
        wanted: Names of the facts that rules look at; others may be left out. None for all.

    Raises:
        InvalidInputError: Feature names and values differ in number.
    """
    facts = live_facts(
        inputs.live, inputs.now, care=care, event_types=event_types, is_profiled=is_profiled, wanted=wanted
    )
    features = inputs.features
    if features is not None and is_profiled:
        if features.values.shape != (len(features.names),):
            raise InvalidInputError(
                f"features must have one value per name ({len(features.names)}), got shape {features.values.shape}"
            )
        value_at = features.values.item
        for name, place in _places(features.names, wanted):
            facts[name] = value_at(place)
    if inputs.customer is not None:
        _add(facts, CUSTOMER_PREFIX, inputs.customer.attributes, wanted)
        if words:
            facts.update(_undeclared_words(inputs.customer.attributes, words))
    _add(facts, CONTEXT_PREFIX, inputs.request.context, wanted)
    return facts


def _add(facts: dict[str, FactValue], prefix: str, found: Facts, wanted: Set[str] | None) -> None:
    for name, value in found.items():
        fact = prefix + name
        if wanted is None or fact in wanted:
            facts[fact] = value


@lru_cache(maxsize=64)
def _places(names: tuple[str, ...], wanted: frozenset[str] | None) -> tuple[tuple[str, int], ...]:
    """The wanted ones of some names, and where they stand."""
    return tuple((name, place) for place, name in enumerate(names) if wanted is None or name in wanted)


class _UndeclaredWord:
    """A fact of no kind that rules compare, so that neither a rule nor its negation holds."""

    def __str__(self) -> str:
        return "an undeclared word"


_UNDECLARED_WORD: Any = _UndeclaredWord()


def _undeclared_words(known: Facts, words: Mapping[str, Collection[str]]) -> dict[str, FactValue]:
    return {
        CUSTOMER_PREFIX + name: _UNDECLARED_WORD
        for name, declared in words.items()
        if known.get(name) is not None and known[name] not in declared
    }
