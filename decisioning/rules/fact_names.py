"""Names of the facts that rules may use, and the source of each fact."""

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
    """True for a live fact about what the customer did; not used for customers who are not profiled.

    Example:
        >>> is_behaviour("live.browse_count_1h"), is_behaviour("live.care"), is_behaviour("browse_count_30d")
        (True, False, False)
    """
    return fact.startswith(LIVE_PREFIX) and fact not in SERVICE_FACTS
