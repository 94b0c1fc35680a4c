"""What rules can ask about: one flat mapping of facts by name."""

from decisioning.decision import Inputs
from decisioning.errors import InvalidInputError
from decisioning.predicate import FactValue

STAGE_FACT = "stage"
CUSTOMER_PREFIX = "customer."
CONTEXT_PREFIX = "context."
LIVE_PREFIX = "live."

SERVICE_FACTS = frozenset({"live.care", "live.open_case_count", "live.open_case_kind", "live.message_count_24h"})
"""Live facts about what we owe or sent the customer; all others are about what the customer did."""


def is_feature(fact: str) -> bool:
    """True for a fact that comes from the feature store, and not from profile, request, journey or live state.

    Example:
        >>> is_feature("purchase_count_30d"), is_feature("customer.age"), is_feature("stage")
        (True, False, False)
    """
    return fact != STAGE_FACT and not fact.startswith((CUSTOMER_PREFIX, CONTEXT_PREFIX, LIVE_PREFIX))


def is_behaviour(fact: str) -> bool:
    """True for a live fact about what the customer did; nothing looks at those of who is not profiled.

    Example:
        >>> is_behaviour("live.browse_count_1h"), is_behaviour("live.care"), is_behaviour("browse_count_30d")
        (True, False, False)
    """
    return fact.startswith(LIVE_PREFIX) and fact not in SERVICE_FACTS


def gather_facts(inputs: Inputs) -> dict[str, FactValue]:
    """Every feature by name, `customer.<attribute>` and `context.<field>`; the journey adds `stage`.

    Raises:
        InvalidInputError: Feature names and values differ in number.
    """
    facts: dict[str, FactValue] = {}
    features = inputs.features
    if features is not None:
        if features.values.shape != (len(features.names),):
            raise InvalidInputError(
                f"features must have one value per name ({len(features.names)}), got shape {features.values.shape}"
            )
        facts.update(zip(features.names, features.values.tolist(), strict=True))
    if inputs.customer is not None:
        for name, value in inputs.customer.attributes.items():
            facts[CUSTOMER_PREFIX + name] = value
    for name, value in inputs.request.context.items():
        facts[CONTEXT_PREFIX + name] = value
    return facts
