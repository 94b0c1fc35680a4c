"""Check that every rule uses facts that exist, and compares them with values they can have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from decisioning.catalogue.catalogue import AttributeKind
from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import Comparison
from features.catalogue.building.catalogue_parts import build_catalogue
from features.catalogue.checks.live_facts import live_numbers, live_words
from features.catalogue.checks.references import check_value
from features.catalogue.forms.offer_form import RULE_FIELDS, CreativeFile, OfferFile
from features.catalogue.forms.rule_form import RuleFile
from features.catalogue.reading.documents import Location
from features.catalogue.reading.names import Names
from features.catalogue.reading.problems import nearest_to, shown
from features.catalogue.reading.sections import Sections

_ORDERINGS = frozenset({Comparison.AT_LEAST, Comparison.MORE_THAN, Comparison.AT_MOST, Comparison.LESS_THAN})
_JOURNEY_FEATURES = frozenset({"stage_index", "stage_age_days"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """What a fact can be: `number`, `category` (one of `words`), `flag` or `text`."""

    kind: str
    words: tuple[str, ...] = ()


def check_rules(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for every fact that no rule can ask about, and every value it can never have."""
    features = _features(sections, sound)
    if features is None:
        return
    attributes = {
        f"customer.{name}": _Fact(kind=each.kind, words=each.values)
        for name, each in sound["customer_attributes"].items()
    }
    # a rule is not wrong because the attribute that it names is declared in a way that is
    broken = dict.fromkeys((f"customer.{name}" for name in names.customer_attributes), _Fact(kind="any"))
    known = features | broken | attributes | _live(sound, names)
    for location, rule in stage_rules(sound):
        outside = {name: fact for name, fact in known.items() if name not in _JOURNEY_FEATURES}
        _check(sections, location, rule, outside, "feature, customer.<attribute> or live.<fact>")
    known |= {f"context.{name}": _Fact(kind=kind) for name, kind in names.context.items()}
    known["stage"] = _Fact(kind="category", words=tuple(sorted(names.stages)))
    for location, rule in (*_offer_rules(sound), *_lever_rules(sound)):
        _check(sections, location, rule, known, "feature, customer.<attribute>, context.<field>, live.<fact> or stage")


def _live(sound: dict[str, Any], names: Names) -> dict[str, _Fact]:
    numbers = {name: _Fact(kind="number") for name in live_numbers(names.events)}
    words = live_words(sound["care"].cases)
    return numbers | {name: _Fact(kind="category", words=known) for name, known in words.items()}


def _features(sections: Sections, sound: dict[str, Any]) -> dict[str, _Fact] | None:
    """Feature names of the catalogue as far as it is sound; None where two features would share a name."""
    from features.computing.feature_set import feature_schema

    try:
        catalogue = build_catalogue({**sound, "offers": {}, "experiments": {}, "measures": {}})
        return {name: _Fact(kind="number") for name in feature_schema(catalogue).names}
    except InvalidPolicyError as error:
        sections.add((), str(error).split(", got ", 1)[0], str(error).split(", got ", 1)[-1])
        return None


def all_rules(sound: dict[str, Any]) -> Iterator[tuple[Location, RuleFile]]:
    """Every rule that is written, with its path."""
    yield from stage_rules(sound)
    yield from _offer_rules(sound)
    yield from _lever_rules(sound)


def stage_rules(sound: dict[str, Any]) -> Iterator[tuple[Location, RuleFile]]:
    """The entry rules of stages that have one, with their paths."""
    for index, stage in enumerate(sound["stages"]):
        if stage.entry is not None:
            yield ("stages", index, "entry"), stage.entry


def _offer_rules(sound: dict[str, Any]) -> Iterator[tuple[Location, RuleFile]]:
    for name, offer in sound["offers"].items():
        yield from rules_of(offer, ("offers", name))
        for index, creative in enumerate(offer.creatives):
            yield from rules_of(creative, ("offers", name, "creatives", index))


def rules_of(entry: OfferFile | CreativeFile, at: Location) -> Iterator[tuple[Location, RuleFile]]:
    """The rules of an offer or a creative that are written, with their paths."""
    for field in RULE_FIELDS:
        rule = getattr(entry, field)
        if rule is not None:
            yield (*at, field), rule


def _lever_rules(sound: dict[str, Any]) -> Iterator[tuple[Location, RuleFile]]:
    for name, lever in sound["levers"].items():
        if lever.when is not None:
            yield ("levers", name, "when"), lever.when


def _check(sections: Sections, at: Location, rule: RuleFile, known: Mapping[str, _Fact], what: str) -> None:
    for path, leaf in rule.leaves(at):
        fact = known.get(leaf.fact or "")
        if fact is None:
            sections.add((*path, "fact"), f"must be a known {what}", shown(leaf.fact), nearest_to(leaf.fact, known))
            continue
        for comparison, value in leaf.comparisons().items():
            _check_comparison(sections, (*path, comparison.value), fact, comparison, value)


def _check_comparison(sections: Sections, at: Location, fact: _Fact, comparison: Comparison, value: object) -> None:
    if comparison is Comparison.IS_MISSING or fact.kind == "any":
        return
    if comparison in _ORDERINGS:
        if fact.kind != AttributeKind.NUMBER:
            sections.add(at, f"must compare a number: this fact is a {fact.kind}", shown(value))
        return
    if isinstance(value, tuple):
        for index, each in enumerate(value):
            check_value(sections, (*at, index), each, fact.kind, fact.words)
    else:
        check_value(sections, at, value, fact.kind, fact.words)
