"""The touch of a contact: a marketing message of the shop, with only the fields that matter to a test."""

from typing import Any

from decisioning.catalogue.contact_policy import Touch
from decisioning.catalogue.message import MessageClass


def make_touch(offer_id: str = "free-coffee", channel_id: str = "email", **fields: Any) -> Touch:
    known: dict[str, Any] = {
        "message_class": MessageClass.MARKETING,
        "department": "marketing",
        "goal_id": "loyalty",
        "creative_id": "plain",
    }
    return Touch(offer_id=offer_id, channel_id=channel_id, **(known | fields))
