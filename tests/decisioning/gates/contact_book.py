"""Contacts, caps and ledgers with every field that a test does not care about."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from decisioning.catalogue.contact_policy import Cap, Contact, ContactPolicy, Due, Touch
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope
from decisioning.gates.contact_ledger import ContactLedger
from decisioning.gates.contact_rules import ContactRules
from tests.touches import make_touch

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
WEEK_SECONDS = 7 * 86_400.0


def touch_of(offer: str = "coffee", **fields: Any) -> Touch:
    return make_touch(offer, **({"department": "sales"} | fields))


def contact_at(at: datetime, touch: Touch | None = None, contact_id: str = "", **fields: Any) -> Contact:
    name = contact_id or f"d-{at.isoformat()}-{touch}"
    return Contact(contact_id=name, touch=touch or touch_of(), at=at, **({"is_confirmed": True} | fields))


def cap_of(limit: int, scope: CapScope = CapScope.EVERYTHING, **fields: Any) -> Cap:
    return Cap(**({"cap_id": "cap", "scope": scope, "limit": limit, "window_seconds": WEEK_SECONDS} | fields))


def ledger(
    policy: ContactPolicy | Cap,
    contacts: Sequence[Contact] = (),
    *,
    due: Sequence[Due] = (),
    now: datetime = NOW,
    **fields: Any,
) -> ContactLedger:
    if isinstance(policy, Cap):
        policy = ContactPolicy(caps=(policy,))
    return ContactLedger(
        ContactRules(policy, fields.get("classes", DEFAULT_CLASSES)),
        contacts,
        fields.get("household", ()),
        due,
        fields.get("responses", ()),
        now,
        ghosts=fields.get("ghosts", False),
    )


# --- scopes


OTHER = {
    CapScope.DEPARTMENT: {"department": "care"},
    CapScope.GOAL: {"goal_id": "service"},
    CapScope.CLASS: {"message_class": MessageClass.SERVICE},
    CapScope.CHANNEL: {"channel_id": "sms"},
    CapScope.OFFER: {"offer_id": "tea"},
    CapScope.CREATIVE: {"creative_id": "long"},
}
