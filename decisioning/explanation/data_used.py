"""Which kinds of data a decision used, according to its record."""

from enum import StrEnum

from decisioning.consent import is_profiled as may_profile
from decisioning.decision import Decision, Inputs
from decisioning.rules.predicate import is_missing


class DataCategory(StrEnum):
    """A kind of personal data, in the order of the explanation."""

    CONSENTS = "consents"
    CHANNELS = "channels"
    DETAILS = "details"  # declared attributes
    PLACE = "place"  # time zone, country
    PURCHASES = "purchases"
    VISITS = "visits"
    SERVICE = "service"  # complaints, tickets, returns, open cases
    OTHER_USE = "other_use"  # any other feature
    CONTACTS = "contacts"  # messages so far, and the answers to them
    HOUSEHOLD = "household"
    SITUATION = "situation"  # what the caller told of the moment


_BY_WORD = {
    "attribute": DataCategory.DETAILS,
    "message": DataCategory.CONTACTS,
    "delivered": DataCategory.CONTACTS,
    "viewed": DataCategory.CONTACTS,
    "clicked": DataCategory.CONTACTS,
    "click": DataCategory.CONTACTS,
    "accepted": DataCategory.CONTACTS,
    "silence": DataCategory.CONTACTS,
    "purchase": DataCategory.PURCHASES,
    "browse": DataCategory.VISITS,
    "complaint": DataCategory.SERVICE,
    "service": DataCategory.SERVICE,
    "return": DataCategory.SERVICE,
    "review": DataCategory.SERVICE,
    "delivery": DataCategory.SERVICE,
}
"""The first of these words in a feature's name, or in an event's type, says what it is about."""


def is_profiled(decision: Decision) -> bool:
    """Whether features of the customer could have a say."""
    return may_profile(decision.inputs)


def data_used(decision: Decision) -> tuple[DataCategory, ...]:
    """Every kind of personal data that the decision had before it, in a fixed order."""
    found = set(_of_profile(decision.inputs)) | set(_of_live_state(decision.inputs))
    if is_profiled(decision):
        found |= set(_of_behaviour(decision.inputs))
    return tuple(category for category in DataCategory if category in found)


def _of_profile(inputs: Inputs) -> list[DataCategory]:
    customer = inputs.customer
    if customer is None:
        return []
    present = {
        DataCategory.CONSENTS: bool(customer.consents or inputs.live.consents or customer.unsubscribed_channels),
        DataCategory.CHANNELS: bool(customer.reachable_channels),
        DataCategory.DETAILS: bool(customer.attributes or customer.protections),
        DataCategory.PLACE: bool(
            customer.time_zone or customer.country or customer.plausible_zones or customer.locale_zones
        ),
        DataCategory.HOUSEHOLD: customer.household_id is not None,
    }
    return [category for category, is_present in present.items() if is_present]


def _of_live_state(inputs: Inputs) -> list[DataCategory]:
    live = inputs.live
    present = {
        DataCategory.CONTACTS: bool(live.contacts or live.due or live.responses),
        DataCategory.HOUSEHOLD: bool(live.household_contacts),
        DataCategory.SERVICE: bool(live.cases),
        DataCategory.SITUATION: bool(inputs.request.context),
    }
    return [category for category, is_present in present.items() if is_present]


def _of_behaviour(inputs: Inputs) -> list[DataCategory]:
    features = inputs.features
    known = () if features is None else zip(features.names, features.values.tolist(), strict=True)
    names = [name for name, value in known if not is_missing(value)]
    return [_category(name) for name in (*names, *(event.event_type for event in inputs.live.events))]


def _category(name: str) -> DataCategory:
    words = name.split("_")
    return next((category for word, category in _BY_WORD.items() if word in words), DataCategory.OTHER_USE)
