"""The rules of an offer and its creative in one layer of gates, compiled with what they need to be checked."""

from dataclasses import dataclass
from enum import StrEnum

from decisioning.rules.fact_names import STAGE_FACT, is_behaviour, is_feature
from decisioning.rules.predicate import AllOf, Predicate, Rule, compile_predicate, facts_of


class RuleOwner(StrEnum):
    """Whose rule it is."""

    OFFER = "offer"
    CREATIVE = "creative"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRule:
    """A rule that has something to say.

    Attributes:
        is_met: `predicate`, compiled.
        features: Features that it looks at: it cannot be checked where one of them was not read.
        needs_behaviour: It looks at what the customer just did, so it cannot be checked on who is not profiled.
        needs_stage: It looks at the stage.
    """

    owner: RuleOwner
    predicate: Predicate
    is_met: Rule
    features: frozenset[str]
    needs_behaviour: bool
    needs_stage: bool


def layer_rules(offer_rule: Predicate, creative_rule: Predicate) -> tuple[LayerRule, ...]:
    """The rules of one layer, the offer's first; one that always holds and asks nothing is left out.

    Raises:
        InvalidPolicyError: A rule that could never be true.
    """
    owned = ((RuleOwner.OFFER, offer_rule), (RuleOwner.CREATIVE, creative_rule))
    return tuple(_compiled(owner, rule) for owner, rule in owned if rule != AllOf(parts=()))


def _compiled(owner: RuleOwner, predicate: Predicate) -> LayerRule:
    needed = facts_of(predicate)
    return LayerRule(
        owner=owner,
        predicate=predicate,
        is_met=compile_predicate(predicate),
        features=frozenset(filter(is_feature, needed)),
        needs_behaviour=any(map(is_behaviour, needed)),
        needs_stage=STAGE_FACT in needed,
    )
