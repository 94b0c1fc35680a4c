"""Equal service: messages other than marketing must not depend on customer value.

Premium service may be sold: as an offer of its own, in class marketing. Who has bought it is then an attribute like any
other, and a rule may ask for that.
"""

from collections.abc import Iterator
from typing import Any

from decisioning.catalogue.message import MessageClass
from features.catalogue.checks.rule_facts import rules_of, stage_rules
from features.catalogue.forms.offer_form import OfferFile
from features.catalogue.forms.rule_form import RuleFile
from features.catalogue.reading.documents import Location
from features.catalogue.reading.problems import shown
from features.catalogue.reading.sections import Sections

_MONEY_FEATURES = ("purchase_sum_", "purchase_mean_", "purchase_max_")
"""Beginnings of the names of features about how much a customer spends."""

_RULE = (
    "must not ask what the customer is worth: a {what} message is owed to everybody alike;"
    " sell premium service as an offer of its own and ask who has bought it"
)


def check_equal_service(sections: Sections, sound: dict[str, Any]) -> None:
    """Add a problem for every rule by which a message of another class than marketing depends on customer value.

    Looked at are the rules of the offer, of its creatives, and of the stages that it is for.
    """
    told = {f"customer.{name}" for name, one in sound["customer_attributes"].items() if one.tells_value}
    by_value = {sound["stages"][at[1]].stage for at, rule in stage_rules(sound) if any(_value_leaves(at, rule, told))}
    for name, offer in sound["offers"].items():
        if offer.message_class is MessageClass.MARKETING:
            continue
        rule = _RULE.format(what=offer.message_class)
        for at, written in _rules(("offers", name), offer):
            for place, fact in _value_leaves(at, written, told):
                sections.add((*place, "fact"), rule, shown(fact))
        for index, stage in enumerate(offer.stages):
            if stage in by_value:
                sections.add(("offers", name, "stages", index), rule, f"the stage {shown(stage)}, whose rule does")


def _rules(at: Location, offer: OfferFile) -> Iterator[tuple[Location, RuleFile]]:
    yield from rules_of(offer, at)
    for index, creative in enumerate(offer.creatives):
        yield from rules_of(creative, (*at, "creatives", index))


def _value_leaves(at: Location, rule: RuleFile, told: set[str]) -> Iterator[tuple[Location, str]]:
    for place, leaf in rule.leaves(at):
        if leaf.fact is not None and (leaf.fact in told or leaf.fact.startswith(_MONEY_FEATURES)):
            yield place, leaf.fact
