"""What each fact of a catalogue can be, so that rules over them can be proven."""

import re
from collections.abc import Mapping
from dataclasses import replace

from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.rules.fact_names import CONTEXT_PREFIX, CUSTOMER_PREFIX, STAGE_FACT
from decisioning.rules.value_cells import Domain, ValueKind
from features.catalogue.checks.live_facts import live_numbers, live_words
from features.computing.feature_set import STAGE_AGE_DAYS, STAGE_INDEX, feature_schema

_COUNT = re.compile(r"_count_\w+$|_count$")
_RATE = re.compile(r"_rate_\w+$|_rate$")
_AGE = re.compile(r"_(days|minutes)$")

_NUMBER = Domain(kind=ValueKind.NUMBER)
_CONTEXT = {
    "number": _NUMBER,
    "text": Domain(kind=ValueKind.WORD),
    "flag": Domain(kind=ValueKind.FLAG),
}


def domains_of(catalogue: Catalogue) -> dict[str, Domain]:
    """The domain of every fact that rules of a catalogue can ask about; any of them may be missing.

    A category is one of its declared words: what a profile holds beyond them is not looked at.

    Example:
        >>> from pathlib import Path
        >>> from features.catalogue import load_catalogue
        >>> domains_of(load_catalogue(Path("tests/catalogues/shop")))["customer.region"].words
        ('north', 'south')
    """
    features = {name: _number(name) for name in feature_schema(catalogue).names}
    attributes = {CUSTOMER_PREFIX + each.name: _attribute(each) for each in catalogue.customer_attributes}
    context = {
        CONTEXT_PREFIX + name: _CONTEXT[kind]
        for touchpoint in catalogue.touchpoints.values()
        for name, kind in touchpoint.context.items()
    }
    stages = tuple(stage.stage_id for stage in catalogue.stages)
    return {
        **features,
        **attributes,
        **context,
        **_live(catalogue),
        STAGE_FACT: Domain(kind=ValueKind.WORD, words=stages),
        STAGE_INDEX: replace(_NUMBER, lowest=0, highest=max(len(stages) - 1, 0), is_whole=True),
        STAGE_AGE_DAYS: replace(_NUMBER, lowest=0),
    }


def known_only(domains: Mapping[str, Domain]) -> dict[str, Domain]:
    """The same domains for a customer with no missing facts."""
    return {name: replace(domain, may_be_missing=False) for name, domain in domains.items()}


def _attribute(attribute: Attribute) -> Domain:
    match attribute.kind:
        case AttributeKind.CATEGORY:
            return Domain(kind=ValueKind.WORD, words=attribute.values)
        case AttributeKind.FLAG:
            return Domain(kind=ValueKind.FLAG)
        case AttributeKind.NUMBER:
            return _NUMBER


def _number(name: str) -> Domain:
    """A feature by the ending of its name: counts are whole, ages begin at 0, rates end at 1."""
    if name.startswith("attribute_"):
        return _NUMBER
    if _COUNT.search(name):
        return replace(_NUMBER, lowest=0, is_whole=True)
    if _RATE.search(name):
        return replace(_NUMBER, lowest=0, highest=1)
    return replace(_NUMBER, lowest=0) if _AGE.search(name) else _NUMBER


def _live(catalogue: Catalogue) -> dict[str, Domain]:
    words = live_words(catalogue.care.kinds)
    return {name: _number(name) for name in live_numbers(catalogue.event_types)} | {
        name: Domain(kind=ValueKind.WORD, words=known) for name, known in words.items()
    }
