"""Rules that nobody can meet, and rules that ask nothing because everybody meets them."""

from collections.abc import Iterator
from typing import Any

from decisioning.catalogue.catalogue import Catalogue
from decisioning.rules.predicate import AllOf, Comparison, describe, facts_of
from decisioning.rules.predicate_analysis import Domains, ProofVerdict, always_holds, can_hold
from features.catalogue.checks.domains import domains_of, known_only
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.checks.rule_facts import all_rules, rules_of
from features.catalogue.forms.rule_form import RuleFile, to_predicate
from features.catalogue.proofs.ground import ProofInputs
from features.catalogue.reading.documents import Location
from features.catalogue.reading.sections import Sections

_LONGEST_WORDS = 120


def check_contradictions(sections: Sections, sound: dict[str, Any], catalogue: Catalogue) -> None:
    """Add a problem for every rule of an offer, creative or lever that nobody can ever meet.

    A stage may have such a rule: an event can still name the stage.
    """
    domains = domains_of(catalogue)
    for at, rule in all_rules(sound):
        if at[0] != "stages" and can_hold(to_predicate(rule), domains) is ProofVerdict.NO:
            for place, part in _culprits(rule, at, domains):
                sections.add(place, "must be a rule that somebody can meet", _words(part))
    for name, offer in sound["offers"].items():
        _check_together(sections, ("offers", name), offer, domains)


def _check_together(sections: Sections, at: Location, entry: Any, domains: Domains) -> None:
    rules = {place[-1]: to_predicate(rule) for place, rule in rules_of(entry, at)}
    if len(rules) < 2:  # noqa: PLR2004 - a rule alone was looked at alone
        return
    each_can = all(can_hold(rule, domains) is not ProofVerdict.NO for rule in rules.values())
    if each_can and can_hold(AllOf(parts=tuple(rules.values())), domains) is ProofVerdict.NO:
        named = " and ".join(map(str, rules))
        rule = f"must have rules that one customer can meet at once: {named} exclude each other"
        sections.add((*at, list(rules)[-1]), rule, _shortened(describe(AllOf(parts=tuple(rules.values())))))


def _culprits(rule: RuleFile, at: Location, domains: Domains) -> Iterator[tuple[Location, RuleFile]]:
    """The innermost parts because of which a rule never holds."""
    dead = [(place, part) for place, part in rule.parts(at) if can_hold(to_predicate(part), domains) is ProofVerdict.NO]
    if not dead:
        yield at, rule
    for place, part in dead:
        yield from _culprits(part, place, domains)


def _words(rule: RuleFile) -> str:
    return _shortened(describe(to_predicate(rule)))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_WORDS else f"{text[: _LONGEST_WORDS - 3]}..."


def prove_rules(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about rules that always hold, ask nothing, have a dead part, or are beyond proof."""
    for at, rule in all_rules(ground.sound):
        can = can_hold(to_predicate(rule), ground.domains)
        if ProofVerdict.UNKNOWN in (can, always_holds(to_predicate(rule), ground.domains)):
            found = "is too complicated to prove whether anybody meets it"
            yield ground.warning(at, Proof.RULE_UNPROVEN, found, "split it, or check it by hand")
        elif can is ProofVerdict.YES:  # one that never holds is a mistake, or a stage that nobody enters
            yield from _idle_parts(ground, at, rule)


def _idle_parts(ground: ProofInputs, at: Location, rule: RuleFile) -> Iterator[Finding]:
    """Findings about a rule as a whole, or else about its parts."""
    predicate = to_predicate(rule)
    if always_holds(predicate, ground.domains) is ProofVerdict.YES:
        yield ground.warning(at, Proof.RULE_ALWAYS_HOLDS, "holds for everybody, so it does nothing", "leave it out")
    elif can_hold(predicate, ground.domains) is ProofVerdict.NO:
        advice = "leave it out, or correct its values"
        found = f"never holds for anybody: {_words(rule)}"
        yield ground.warning(at, Proof.RULE_PART_NEVER_HOLDS, found, advice)
    elif _asks_only_whether_known(ground, rule):
        facts = ", ".join(sorted(facts_of(predicate)))
        found = f"holds for everybody of whom {facts} is known, whatever the value"
        advice = "write `is_missing: false` if that is meant, or correct its values"
        yield ground.warning(at, Proof.RULE_ASKS_NOTHING, found, advice)
    else:
        for place, part in rule.parts(at):
            yield from _idle_parts(ground, place, part)


def _asks_only_whether_known(ground: ProofInputs, rule: RuleFile) -> bool:
    if any(Comparison.IS_MISSING in leaf.comparisons() for _, leaf in rule.leaves()):
        return False
    return always_holds(to_predicate(rule), known_only(ground.domains)) is ProofVerdict.YES
