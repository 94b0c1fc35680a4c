"""Fairness guardrails of a catalogue: which groups are compared, on which measure, with which tolerance."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class FairnessUnit(StrEnum):
    """Unit of a measure and of its tolerance."""

    RATE = "rate"
    HOURS = "hours"
    CONTACTS = "contacts"
    MONEY_MINOR = "money_minor"


class FairnessMeasure(StrEnum):
    """What groups are compared on."""

    unit: FairnessUnit
    is_more_better: bool

    def __new__(cls, word: str, unit: FairnessUnit, more: str) -> Self:
        """A member from its value, its unit, and `more` or `less`, whichever is better."""
        self = str.__new__(cls, word)
        self._value_, self.unit, self.is_more_better = word, unit, more == "more"
        return self

    ANSWERED_IN_TIME = "answered_in_time", FairnessUnit.RATE, "more"  # share of cases
    HOURS_TO_ANSWER = "hours_to_answer", FairnessUnit.HOURS, "less"  # mean, each case counted as a week at most
    CONTACT_BURDEN = "contact_burden", FairnessUnit.CONTACTS, "less"  # marketing that arrived, per customer and 30 days
    UNWANTED_RATE = "unwanted_rate", FairnessUnit.RATE, "less"  # share of messages that arrived
    WANTED_RATE = "wanted_rate", FairnessUnit.RATE, "more"  # the same
    REACHED = "reached", FairnessUnit.RATE, "more"  # share of customers who got a message, on a channel if one is named
    BENEFIT = "benefit", FairnessUnit.MONEY_MINOR, "more"  # what messages bring beyond silence, where chance decided


class Grouping(StrEnum):
    """Built-in groups; `customer.NAME` groups by a declared attribute."""

    VALUE_TIER = "value_tier"
    TENURE = "tenure"
    REGION = "region"
    PREFERRED_CHANNEL = "preferred_channel"


ATTRIBUTE_PREFIX = "customer."


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """No group may fare worse than everybody else by more than a tolerance.

    Attributes:
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
        return self.measure.unit


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
