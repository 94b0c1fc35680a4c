"""What a customer of an audience may get, as a plan over everybody sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from decisioning.catalogue.message import SILENCE
from decisioning.decision import Decision, Reason

_SETTLED = frozenset({Reason.PRECEDENCE, Reason.EXPERIMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """How many messages of an offer a batch must and may send."""

    offer_id: str
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerOptions:
    """What one customer of an audience may get.

    Attributes:
        net_minor: Net value by message key of what a plan may choose, without any shadow price.
        settled: Key of the message that no plan changes.
        stored_offer: Offer of the decision that the customer has already; its use is counted already.
    """

    net_minor: Mapping[str, float] = field(default_factory=dict[str, float])
    settled: str | None = None
    stored_offer: str | None = None


def options_of(decision: Decision) -> CustomerOptions:
    """What a decision, made without prices and without a plan, leaves open."""
    if decision.reason in _SETTLED:
        return CustomerOptions(settled=None if decision.message_key == SILENCE else decision.message_key)
    return CustomerOptions(
        net_minor={one.message_key: one.priority_minor for one in decision.evaluated if one.message_key != SILENCE}
    )
