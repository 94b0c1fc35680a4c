"""Fairness guardrails of a catalogue: which groups are compared, on which measure, with which tolerance."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FairnessMeasure(StrEnum):
    """What groups are compared on."""

    ANSWERED_IN_TIME = "answered_in_time"  # share of cases; more is better
    HOURS_TO_ANSWER = "hours_to_answer"  # mean, each case counted as a week at most; less is better
    CONTACT_BURDEN = "contact_burden"  # marketing messages that arrived, per customer and 30 days; less is better
    UNWANTED_RATE = "unwanted_rate"  # share of messages that arrived; less is better
    WANTED_RATE = "wanted_rate"  # the same; more is better
    REACHED = "reached"  # share of customers who got a message, on a channel where one is named; more is better
    BENEFIT = "benefit"  # money that messages bring beyond silence, where chance decided; more is better


class FairnessUnit(StrEnum):
    """Unit of a measure and of its tolerance."""

    RATE = "rate"
    HOURS = "hours"
    CONTACTS = "contacts"
    MONEY_MINOR = "money_minor"


class Grouping(StrEnum):
    """Built-in groups; `customer.NAME` groups by a declared attribute."""

    VALUE_TIER = "value_tier"
    TENURE = "tenure"
    REGION = "region"
    PREFERRED_CHANNEL = "preferred_channel"


ATTRIBUTE_PREFIX = "customer."

UNITS: Mapping[FairnessMeasure, FairnessUnit] = {
    FairnessMeasure.ANSWERED_IN_TIME: FairnessUnit.RATE,
    FairnessMeasure.HOURS_TO_ANSWER: FairnessUnit.HOURS,
    FairnessMeasure.CONTACT_BURDEN: FairnessUnit.CONTACTS,
    FairnessMeasure.UNWANTED_RATE: FairnessUnit.RATE,
    FairnessMeasure.WANTED_RATE: FairnessUnit.RATE,
    FairnessMeasure.REACHED: FairnessUnit.RATE,
    FairnessMeasure.BENEFIT: FairnessUnit.MONEY_MINOR,
}

MORE_IS_BETTER = frozenset(
    {
        FairnessMeasure.ANSWERED_IN_TIME,
        FairnessMeasure.WANTED_RATE,
        FairnessMeasure.REACHED,
        FairnessMeasure.BENEFIT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """No group may fare worse than everybody else by more than a tolerance.

    Attributes:
        guardrail_id: Its name.
        groups: A `Grouping`, or `customer.` and an attribute.
        tolerance: In the unit of the measure, 0 or more.
        channel: Only messages of this channel; None for all.
        blocks_promotion: No model becomes champion while this is broken or unknown.
    """

    guardrail_id: str
    measure: FairnessMeasure
    groups: str
    tolerance: float
    channel: str | None = None
    blocks_promotion: bool = True

    @property
    def unit(self) -> FairnessUnit:
        """Of the measure and the tolerance."""
        return UNITS[self.measure]


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessRules:
    """The `fairness` section.

    Attributes:
        period_days: Days that a report looks back, where the command names no other number.
        max_age_days: A stored report older than this answers for nothing.
    """

    period_days: float = 90.0
    max_age_days: float = 31.0
    guardrails: tuple[Guardrail, ...] = ()
