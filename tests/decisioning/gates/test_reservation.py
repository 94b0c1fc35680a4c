"""What a decision reserves: contacts, units of shared limits, evidence."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, Contact, ContactPolicy
from decisioning.catalogue.journey import Touchpoint
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitScope, Supply
from decisioning.catalogue.message import SILENCE
from decisioning.catalogue.message_classes import CapScope
from decisioning.decision import Action, Decision, Ghost, Inputs, Placement, Position, Reason
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.gates.contact_ledger import ContactLedger
from decisioning.gates.contact_rules import ContactRules
from decisioning.gates.reservation import Reservation, position_id, renewed_reservation, reservation_of, touch_of
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from tests.touches import make_touch

COFFEE = "free-coffee/email/plain"
HOURS = "opening-hours/push/plain"
COFFEE_TOUCH = make_touch()

type MakeDecision = Callable[..., Decision]


@pytest.fixture(scope="session")
def decision_of(plain_policy: Policy, inputs_of: Callable[..., Inputs]) -> MakeDecision:
    """A decision about one customer; its fields, the live state and the supply can be replaced."""

    def make(message_key: str = COFFEE, **fields: Any) -> Decision:
        known = {name: fields.pop(name) for name in ("live", "supply") if name in fields}
        inputs = inputs_of(plain_policy, **known)
        is_sent = message_key != SILENCE
        return Decision(
            **{
                "decision_id": "d1",
                "customer_id": "C-1",
                "touchpoint_id": "weekly-mail",
                "decided_at": inputs.now,
                "action": Action.SEND if is_sent else Action.HOLD,
                "reason": Reason.MODEL,
                "message_key": message_key,
                "offer_id": None,
                "channel_id": None,
                "creative_id": None,
                "action_probability": 1.0,
                "stage_id": None,
                "arms": {},
                "is_held_out": False,
                "policy_version": "v",
                "model_version": None,
                "degraded": (),
                "evaluated": (),
                "excluded": (),
                "inputs": inputs,
            }
            | fields
        )

    return make


def test_a_message_takes_a_contact_that_counts_until_it_is_released(
    plain_catalogue: Catalogue, decision_of: MakeDecision, now: datetime
) -> None:
    reservation = reservation_of(plain_catalogue, decision_of(live=LiveState(version=7, household_version=3)))
    (contact,) = reservation.contacts
    assert contact == Contact(contact_id="d1", touch=COFFEE_TOUCH, at=now)
    assert contact.counts_at(now + timedelta(days=9))
    assert not replace(contact, is_released=True).counts_at(now)
    assert (reservation.version, reservation.household_version) == (7, 3)
    assert reservation.evidence == {"free-coffee": 1}
    assert not reservation.is_empty


def test_if_a_permit_is_needed_the_contact_is_only_reserved(
    plain_catalogue: Catalogue, decision_of: MakeDecision, now: datetime
) -> None:
    asked = Touchpoint(
        touchpoint_id="weekly-mail", channels=frozenset({"email"}), needs_permit=True, reserve_seconds=3_600
    )
    catalogue = replace(plain_catalogue, touchpoints={"weekly-mail": asked})
    (contact,) = reservation_of(catalogue, decision_of()).contacts
    assert contact.reserved_until == now + timedelta(hours=1)
    assert not contact.counts_at(now + timedelta(hours=1))


def test_silence_reserves_nothing(plain_catalogue: Catalogue, decision_of: MakeDecision) -> None:
    reservation = reservation_of(plain_catalogue, decision_of(SILENCE, live=LiveState(version=7)))
    assert reservation == Reservation(version=7)
    assert reservation.is_empty


def test_a_slate_reserves_every_position_at_once(plain_catalogue: Catalogue, decision_of: MakeDecision) -> None:
    limit = Limit(limit_id="all", scope=LimitScope.EVERYTHING, amount=5)
    share = DepartmentShare(share_id="most", department="marketing", max_share=0.5, slack=1)
    catalogue = replace(plain_catalogue, limits=(limit,), shares=(share,))
    further = (
        Position(placement_id="2", message_key=SILENCE, action_probability=1.0, is_best=True),
        Position(placement_id="3", message_key=HOURS, action_probability=1.0, is_best=True),
        Position(placement_id="4", message_key="free-coffee/push/plain", action_probability=1.0, is_best=True),
    )
    supply = Supply(used={"share:most:2026-11-01:all": 9.0})
    reservation = reservation_of(catalogue, decision_of(further=further, supply=supply))
    assert [contact.contact_id for contact in reservation.contacts] == ["d1", "d1-3", "d1-4"]
    assert reservation.uses == {
        "limit:all:total": 3.0,
        "share:most:2026-11-01": 2.0,
        "share:most:2026-11-01:all": 3.0,
    }
    assert reservation.ceilings == pytest.approx(
        {"limit:all:total": 5.0, "share:most:2026-11-01": 0.5 * (9 + 2 + 1) + 1}
    )
    assert reservation.evidence == {"free-coffee": 2, "opening-hours": 1}
    silent_first = reservation_of(catalogue, decision_of(SILENCE, further=further))
    assert [contact.contact_id for contact in silent_first.contacts] == ["d1-3", "d1-4"]


def test_a_ghost_reserves_a_ghost_contact_and_no_shared_limit(
    plain_catalogue: Catalogue, decision_of: MakeDecision, now: datetime
) -> None:
    catalogue = replace(plain_catalogue, limits=(Limit(limit_id="all", scope=LimitScope.EVERYTHING, amount=5),))
    ghost = Ghost(message_key=COFFEE, action_probability=1.0)
    reservation = reservation_of(catalogue, decision_of(SILENCE, ghost=ghost))
    (contact,) = reservation.contacts
    assert (contact.contact_id, contact.is_ghost, contact.touch) == ("d1-ghost", True, COFFEE_TOUCH)
    assert contact.counts_at(now + timedelta(days=9))
    assert (reservation.uses, reservation.ceilings, reservation.evidence) == ({}, {}, {})
    assert not reservation.is_empty
    nothing = Ghost(message_key=SILENCE, action_probability=1.0)
    assert reservation_of(catalogue, decision_of(SILENCE, ghost=nothing)).is_empty


def test_the_next_decision_finds_the_reserved_contact_in_the_book(
    plain_catalogue: Catalogue, inputs_of: Callable[..., Inputs], now: datetime
) -> None:
    """Decide, reserve, add to the book of contacts, decide again: the cap holds."""
    week = Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=2, window_seconds=7 * 86_400.0)
    policy = Policy(replace(plain_catalogue, contact_policy=ContactPolicy(caps=(week,))))
    placements = tuple(Placement(placement_id=name) for name in ("1", "2", "3"))
    inputs = inputs_of(policy)
    slate = decide(policy, replace(inputs, request=replace(inputs.request, placements=placements)), "d1")
    contacts = reservation_of(policy.catalogue, slate).contacts
    assert 0 < len(contacts) <= 2
    live = LiveState(contacts=contacts)
    again = decide(policy, replace(inputs, live=live, now=now + timedelta(hours=1)), "d2")
    taken = live.contacts + reservation_of(policy.catalogue, again).contacts
    assert len(taken) == 2
    book = ContactLedger(
        ContactRules(policy.catalogue.contact_policy, policy.catalogue.classes), taken, (), (), (), now
    )
    assert book.refusal(COFFEE_TOUCH) is not None


def test_positions_have_ids_of_their_own() -> None:
    assert [position_id("d", position) for position in (1, 2, 10)] == ["d", "d-2", "d-10"]


def test_a_decision_of_another_catalogue_is_refused(plain_catalogue: Catalogue, decision_of: MakeDecision) -> None:
    with pytest.raises(InvalidInputError, match="offer/channel/creative"):
        touch_of(plain_catalogue, "free-coffee")
    with pytest.raises(UnknownNameError, match="offer"):
        touch_of(plain_catalogue, "tea/email/plain")
    with pytest.raises(UnknownNameError, match="channel"):
        touch_of(plain_catalogue, "free-coffee/fax/plain")
    with pytest.raises(InvalidInputError, match="'silence'"):
        touch_of(plain_catalogue, SILENCE)
    decision = decision_of()
    elsewhere = replace(decision.inputs, request=replace(decision.inputs.request, touchpoint_id="kiosk"))
    with pytest.raises(UnknownNameError, match="touchpoint"):
        reservation_of(plain_catalogue, replace(decision, inputs=elsewhere))


def test_a_renewed_message_reserves_its_current_use_and_adds_no_evidence(
    plain_catalogue: Catalogue, decision_of: MakeDecision
) -> None:
    decision = decision_of()
    first = reservation_of(plain_catalogue, decision)
    later = replace(decision.inputs, now=decision.decided_at + timedelta(hours=2))
    renewed = renewed_reservation(plain_catalogue, decision.decision_id, decision.message_key, later)
    assert [one.contact_id for one in renewed.contacts] == [decision.decision_id]
    assert renewed.contacts[0].at == later.now
    assert first.evidence
    assert not renewed.evidence
    with pytest.raises(UnknownNameError, match="offer"):
        renewed_reservation(plain_catalogue, decision.decision_id, "tea/email/plain", later)
