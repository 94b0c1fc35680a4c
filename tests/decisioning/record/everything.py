"""Inputs with every field filled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from decisioning.catalogue.care import Case
from decisioning.catalogue.contact_policy import (
    Contact,
    Due,
    Response,
    Touch,
)
from decisioning.catalogue.limits import Supply
from decisioning.customer import Consent
from decisioning.decision import Inputs, Placement
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.policy import Policy
from tests.touches import make_touch

type MakeInputs = Callable[..., Inputs]
WEEK = 7 * 86_400.0
MOMENT = datetime(2026, 10, 30, 9, 30, 15, 123, tzinfo=UTC)


def touch(offer_id: str = "double-stamps", channel_id: str = "push") -> Touch:
    return make_touch(offer_id, channel_id)


FULL_LIVE = LiveState(
    version=7,
    household_version=3,
    contacts=(
        Contact(contact_id="d0", touch=touch(), at=MOMENT, is_confirmed=True),
        Contact(contact_id="d1", touch=touch("free-coffee"), at=MOMENT, reserved_until=MOMENT + timedelta(days=9)),
        Contact(contact_id="d2", touch=touch("ten-percent"), at=MOMENT, is_confirmed=True, is_released=True),
        Contact(contact_id="d3-ghost", touch=touch("ten-percent"), at=MOMENT, is_confirmed=True, is_ghost=True),
    ),
    household_contacts=(Contact(contact_id="e0", touch=touch(channel_id="email"), at=MOMENT, is_confirmed=True),),
    due=(Due(due_id="pass", due_at=MOMENT + timedelta(days=3), touch=touch("opening-hours")),),
    responses=(Response(outcome="declined", touch=touch(), at=MOMENT),),
    cases=(
        Case(
            case_id="c1",
            kind="lost_item",
            severity="high",
            opened_at=MOMENT - timedelta(days=90),
            resolved_at=MOMENT - timedelta(days=80),
            channel_id="call",
        ),
        Case(case_id="c2", kind="outage", severity="normal"),
    ),
    consents=(Consent(channel_id="push", purpose="service", is_granted=True, recorded_at=MOMENT, source="app"),),
    protections={"vulnerable": False},
    has_opted_out_of_profiling=False,
    stage=StageMove(stage_id="lapsed", at=MOMENT),
    events=(RecentEvent(event_type="browse", at=MOMENT), RecentEvent(event_type="purchase", at=MOMENT)),
)
FULL_SUPPLY = Supply(
    used={"limit:pushes:total": 5.0}, prices_minor={"pushes": 0.25, "m": -1.5}, evidence={"ten-percent": 9}
)


def full_inputs(policy: Policy, inputs_of: MakeInputs, **fields: Any) -> Inputs:
    everything: dict[str, Any] = {
        "placements": (Placement(placement_id="a", channels=frozenset({"push"})), Placement(placement_id="b")),
        "live": FULL_LIVE,
        "supply": FULL_SUPPLY,
        "unfit": {"opening-hours/email/plain": "headline is too long"},
        "allocated": "free-coffee/push/plain",
        "household_id": "H-1",
        "country": "DE",
        "time_zone": None,
        "plausible_zones": ("Europe/Berlin", "Europe/Busingen"),
        "locale_zones": ("Europe/London",),
    }
    return inputs_of(policy, **everything | fields)
