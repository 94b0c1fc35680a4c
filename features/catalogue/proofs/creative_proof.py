"""Creatives that do not fit their channel for some customers, or read like marketing in another class.

A template is expanded with the values that are known beforehand: the offer's own, every word of a category, both
states of a flag. What is not known, such as a name, counts as nothing, so a text that passes may still grow too long;
the gate looks at every expanded text once more when it decides.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, product

from decisioning.catalogue.catalogue import AttributeKind, Catalogue
from decisioning.catalogue.creative_limits import creative_faults
from decisioning.catalogue.message import Creative, Message, MessageClass
from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import FactValue
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.checks.marketing_words import read_text
from features.catalogue.proofs.ground import ProofInputs
from features.templates.renderer import fields_written, offer_variables, render_template, template_paths

MOST_VARIANTS = 256
"""Expansions tried per creative; beyond, each value is tried on its own."""

_CONDITION = re.compile(r"\{%.*?%\}", re.DOTALL)
_VALUE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")

type FactValues = tuple[tuple[str, FactValue], ...]


def prove_creatives(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about creatives, one of each kind at most per creative."""
    for creatives in ground.creatives.values():
        for creative in creatives:
            yield from _gap_findings(ground, creative)
            yield from _channel_findings(ground, creative)
            yield from _class_findings(ground, creative)


def _gap_findings(ground: ProofInputs, creative: Creative) -> Iterator[Finding]:
    """A field that may be missing, and then leaves a hole in a sentence: the message is not sent to these customers."""
    offer = ground.catalogue.offers[creative.offer_id]
    covered = {*creative.requires, *(f"offer.{name}" for name in ("id", "kind", *offer.attributes))}
    for name, text in creative.content.items():
        gaps = sorted({f"{root}.{field}" for root, field in fields_written(text)} - covered)
        if gaps:
            lacking = " or ".join(gaps)
            is_lasting = any(gap.startswith("offer.") for gap in gaps)
            found = f"is never sent: {lacking} is missing" if is_lasting else f"is not sent where {lacking} is missing"
            advice = (
                "give it a `default` or a condition, or name it in the creative's `requires` to say that this is meant"
            )
            at = (*ground.creative_at(creative), "content", name)
            yield ground.warning(at, Proof.CREATIVE_NEEDS_FIELD, found, advice)


def _channel_findings(ground: ProofInputs, creative: Creative) -> Iterator[Finding]:
    catalogue = ground.catalogue
    message = Message(
        offer=catalogue.offers[creative.offer_id], channel=catalogue.channels[creative.channel_id], creative=creative
    )
    for values in _variants(catalogue, creative):
        faults = _faults(message, dict(values))
        if faults:
            who = " and ".join(f"customer.{name} is {_word(value)}" for name, value in values if value is not None)
            found = f"breaks channel {creative.channel_id!r} where {who}: {'; '.join(faults)}"
            advice = "shorten it, or write a creative of its own for these customers"
            at = (*ground.creative_at(creative), "content")
            yield ground.warning(at, Proof.CREATIVE_BREAKS_CHANNEL, found, advice)
            return


def _word(value: FactValue) -> str:
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def _variants(catalogue: Catalogue, creative: Creative) -> Iterator[FactValues]:
    """Values of the declared attributes that a creative uses: all together, or each alone where they are too many."""
    paths = [path for text in creative.content.values() for path in template_paths(text)]
    used = sorted({path[1] for path in paths if len(path) > 1 and path[0] == "customer"})
    declared = {each.name: each for each in catalogue.customer_attributes}
    choices: dict[str, tuple[FactValue, ...]] = {}
    for name in used:
        attribute = declared.get(name)
        if attribute is not None and attribute.kind is not AttributeKind.NUMBER:
            choices[name] = attribute.values or (True, False)
    together = product(*([(name, value) for value in (*values, None)] for name, values in choices.items()))
    tried = list(islice(together, MOST_VARIANTS + 1))
    if len(tried) <= MOST_VARIANTS:
        yield from (values for values in tried if any(value is not None for _, value in values))
        return
    yield from (((name, value),) for name, values in choices.items() for value in values)


def _faults(message: Message, customer: Mapping[str, FactValue]) -> tuple[str, ...]:
    """What the channel cannot carry of a creative with these values; a text that a template cannot make is none."""
    variables = {"customer": customer, "context": {}, "offer": offer_variables(message)}
    try:
        content = {
            name: render_template(text, variables, missing_is_nothing=True)
            for name, text in message.creative.content.items()
        }
    except InvalidPolicyError:
        return ()
    channel = replace(message.channel, required_fields=frozenset(), allowed_formats=frozenset())  # a gap breaks nothing
    return creative_faults(channel, content)


def _class_findings(ground: ProofInputs, creative: Creative) -> Iterator[Finding]:
    offer = ground.catalogue.offers[creative.offer_id]
    if offer.message_class is MessageClass.MARKETING:
        return
    reading = read_text("\n".join(map(_fixed_text, creative.content.values())))
    if reading.is_marketing:
        words = ", ".join(repr(word) for word in reading.words)
        found = f"reads like marketing ({words}) but is declared {offer.message_class}"
        advice = "declare the offer as marketing, or take these words out: other classes pass gates that protect people"
        at = (*ground.creative_at(creative), "content")
        yield ground.warning(at, Proof.CREATIVE_READS_LIKE_MARKETING, found, advice)


def _fixed_text(text: str) -> str:
    """The words of a template in every branch: conditions hide none, values that are filled in count as a number."""
    return _VALUE.sub(_literals, _CONDITION.sub(" ", text))


def _literals(mark: re.Match[str]) -> str:
    return " ".join(word for pair in _QUOTED.findall(mark[0]) for word in pair if word) or "9"
