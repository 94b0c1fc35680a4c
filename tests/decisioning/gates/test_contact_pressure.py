"""Contact pressure, room kept for due messages, suppression after a response, and fatigue."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from decisioning.catalogue.contact_policy import (
    ContactPolicy,
    Due,
    Fatigue,
    PressureBudget,
    Response,
    Suppression,
    SuppressionScope,
)
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope, ClassRules
from decisioning.decision import Exclusion
from tests.decisioning.gates.contact_book import (
    DAY,
    HOUR,
    NOW,
    OTHER,
    TICK,
    WEEK_SECONDS,
    cap_of,
    contact_at,
    ledger,
    touch_of,
)

# --- pressure


PRESSURE = PressureBudget(
    limit=10.0,
    window_seconds=WEEK_SECONDS,
    class_weights={MessageClass.SERVICE: 0.5, MessageClass.MANDATORY: 0.0},
    channel_weights={"sms": 3.0},
)


def test_pressure_is_the_weighted_sum_over_class_and_channel() -> None:
    text = touch_of(channel_id="sms")
    contacts = [contact_at(NOW - days * DAY, text) for days in (1, 2, 6)]
    book = ledger(ContactPolicy(pressure=PRESSURE), contacts)
    assert book.refusal(touch_of()) is None
    assert book.refusal(text) == (
        Exclusion.PRESSURE_REACHED,
        "pressure: 9 of 10 in 7 days, this weighs 3",
        NOW + DAY,
    )
    assert book.refusal(touch_of(channel_id="sms", message_class=MessageClass.SERVICE)) is not None
    assert book.with_contact(touch_of()).refusal(touch_of()) is not None


def test_weight_0_always_fits_and_a_weight_above_the_limit_never_does() -> None:
    book = ledger(ContactPolicy(pressure=replace(PRESSURE, limit=0.0)))
    assert book.refusal(touch_of(message_class=MessageClass.MANDATORY)) is None
    heavy = ledger(ContactPolicy(pressure=replace(PRESSURE, limit=2.5)), [contact_at(NOW - HOUR)])
    refusal = heavy.refusal(touch_of(channel_id="sms"))
    assert refusal is not None
    assert refusal[2] is None


def test_rounding_of_weights_refuses_no_message() -> None:
    tenth = PressureBudget(limit=0.3, window_seconds=WEEK_SECONDS, class_weights={MessageClass.MARKETING: 0.1})
    contacts = [contact_at(NOW - HOUR), contact_at(NOW - 2 * HOUR)]
    assert ledger(ContactPolicy(pressure=tenth), contacts).refusal(touch_of()) is None


def test_transactional_contacts_have_weight_0() -> None:
    receipt = touch_of(message_class=MessageClass.TRANSACTIONAL)
    tight = ContactPolicy(pressure=PressureBudget(limit=1.0, window_seconds=WEEK_SECONDS))
    assert ledger(tight, [contact_at(NOW - HOUR, receipt)]).refusal(touch_of()) is None


# --- look-ahead


def due_at(at: datetime, **fields: Any) -> Due:
    return Due(due_id=f"due-{at}", due_at=at, touch=touch_of("boarding-pass", **fields))


AHEAD = ContactPolicy(caps=(cap_of(2),), look_ahead_seconds=2 * 86_400.0)


def test_room_is_kept_for_a_heavier_message_that_is_due() -> None:
    pass_due = due_at(NOW + DAY, message_class=MessageClass.SERVICE)
    contacts = [contact_at(NOW - HOUR)]
    refusal = ledger(AHEAD, contacts, due=[pass_due]).refusal(touch_of())
    assert refusal == (
        Exclusion.ROOM_KEPT,
        "cap cap: 1 of 2 in 7 days, and heavier messages are due",
        NOW - HOUR + 7 * DAY,
    )
    assert ledger(AHEAD, contacts, due=[pass_due]).refusal(pass_due.touch) is None
    assert ledger(AHEAD, (), due=[pass_due]).refusal(touch_of()) is None
    assert ledger(replace(AHEAD, look_ahead_seconds=0.0), contacts, due=[pass_due]).refusal(touch_of()) is None


@pytest.mark.parametrize(
    ("due", "is_kept"),
    [
        (due_at(NOW, message_class=MessageClass.SERVICE), True),
        (due_at(NOW + 2 * DAY, message_class=MessageClass.SERVICE), True),
        (due_at(NOW + 2 * DAY + TICK, message_class=MessageClass.SERVICE), False),
        (due_at(NOW - TICK, message_class=MessageClass.SERVICE), False),
        (due_at(NOW + DAY), False),  # not heavier
        (due_at(NOW + DAY, message_class=MessageClass.TRANSACTIONAL), False),  # needs no room
    ],
)
def test_room_is_kept_only_for_messages_that_are_due_soon_heavier_and_counted(due: Due, is_kept: bool) -> None:
    refusal = ledger(AHEAD, [contact_at(NOW - HOUR)], due=[due]).refusal(touch_of())
    assert (refusal is not None) is is_kept


def test_a_candidate_that_does_not_count_need_not_leave_room() -> None:
    due = due_at(NOW + DAY, message_class=MessageClass.SERVICE)
    classes = {**DEFAULT_CLASSES, MessageClass.MARKETING: ClassRules(counts_towards=frozenset())}
    service = contact_at(NOW - HOUR, touch_of(message_class=MessageClass.SERVICE))
    assert ledger(AHEAD, [service], due=[due]).refusal(touch_of()) is not None
    assert ledger(AHEAD, [service], due=[due], classes=classes).refusal(touch_of()) is None


def test_a_window_that_ends_before_the_heavier_message_is_due_needs_no_room() -> None:
    hourly = ContactPolicy(caps=(cap_of(1, window_seconds=3_600.0),), look_ahead_seconds=86_400.0)
    soon = due_at(NOW + HOUR - TICK, message_class=MessageClass.SERVICE)
    later = due_at(NOW + HOUR, message_class=MessageClass.SERVICE)
    assert ledger(hourly, due=[soon]).refusal(touch_of()) is not None
    assert ledger(hourly, due=[later]).refusal(touch_of()) is None


def test_a_contact_dated_in_the_future_and_a_later_plan_must_both_leave_first() -> None:
    plan = due_at(NOW + 3 * DAY, message_class=MessageClass.SERVICE)
    policy = ContactPolicy(caps=(cap_of(1),), look_ahead_seconds=2 * 86_400.0)
    refusal = ledger(policy, [contact_at(NOW + HOUR)], due=[plan]).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == NOW + 10 * DAY


def test_pressure_leaves_room_for_the_heavier_weight() -> None:
    policy = ContactPolicy(pressure=replace(PRESSURE, limit=4.0), look_ahead_seconds=86_400.0)
    text = due_at(NOW + HOUR, channel_id="sms")
    once = [contact_at(NOW - HOUR)]
    refusal = ledger(policy, once, due=[text]).refusal(touch_of())
    assert refusal is not None
    assert refusal[0] is Exclusion.ROOM_KEPT
    assert refusal[2] == NOW - HOUR + 7 * DAY
    assert ledger(policy, (), due=[text]).refusal(touch_of()) is None
    assert ledger(policy, once, due=[text]).refusal(text.touch) is None


def test_a_message_above_the_pressure_limit_never_fits_whatever_is_planned() -> None:
    policy = ContactPolicy(pressure=replace(PRESSURE, limit=0.5), look_ahead_seconds=86_400.0)
    plan = due_at(NOW + HOUR, message_class=MessageClass.SERVICE)
    refusal = ledger(policy, due=[plan]).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] is None


# --- suppression


def response_at(at: datetime, outcome: str = "declined", **fields: Any) -> Response:
    return Response(outcome=outcome, touch=touch_of(**fields), at=at)


def test_a_declined_offer_is_suppressed_and_then_returns() -> None:
    rule = Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=30 * 86_400.0)
    policy = ContactPolicy(suppressions=(rule,))
    ends = NOW - DAY + 30 * DAY
    book = ledger(policy, responses=[response_at(NOW - DAY), response_at(NOW - 9 * DAY)])
    assert book.suppression(touch_of()) == (Exclusion.SUPPRESSED, "declined: offer rests for 30 days", ends)
    assert book.suppression(touch_of("tea")) is None
    assert ledger(policy, responses=[response_at(NOW - DAY)], now=ends - TICK).suppression(touch_of()) is not None
    assert ledger(policy, responses=[response_at(NOW - DAY)], now=ends).suppression(touch_of()) is None
    assert ledger(policy, responses=[response_at(NOW - DAY, "clicked")]).suppression(touch_of()) is None
    assert ledger(policy, responses=[response_at(NOW + DAY)]).suppression(touch_of()) is not None


def test_a_suppression_without_a_duration_never_ends_and_outlasts_all_others() -> None:
    rules = (
        Suppression(after="unsubscribed", scope=SuppressionScope.CHANNEL, cooldown_seconds=None),
        Suppression(after="unsubscribed", scope=SuppressionScope.EVERYTHING, cooldown_seconds=5 * 86_400.0),
        Suppression(after="bounced", scope=SuppressionScope.CHANNEL, cooldown_seconds=9 * 86_400.0),
    )
    gone = [response_at(NOW - DAY, "unsubscribed"), response_at(NOW - DAY, "bounced")]
    book = ledger(ContactPolicy(suppressions=rules), responses=gone)
    assert book.suppression(touch_of("tea")) == (Exclusion.SUPPRESSED, "unsubscribed: channel rests for ever", None)
    by_letter = book.suppression(touch_of(channel_id="letter"))
    assert by_letter == (Exclusion.SUPPRESSED, "unsubscribed: everything rests for 5 days", NOW + 4 * DAY)


@pytest.mark.parametrize("scope", SuppressionScope)
def test_every_scope_suppresses_messages_that_share_it_with_the_answered_one(scope: SuppressionScope) -> None:
    rule = Suppression(after="complained", scope=scope, cooldown_seconds=86_400.0)
    book = ledger(ContactPolicy(suppressions=(rule,)), responses=[response_at(NOW, "complained")])
    assert book.suppression(touch_of()) is not None
    if scope is not SuppressionScope.EVERYTHING:
        other = replace(touch_of(), **OTHER[CapScope(scope.value)])
        assert book.suppression(other) is None


# --- fatigue and what was sent


def test_fatigue_is_the_sum_of_weighted_contacts_decayed_by_half_life() -> None:
    policy = ContactPolicy(fatigue=Fatigue(cost_minor=2.0, half_life_seconds=86_400.0), pressure=PRESSURE)
    contacts = [contact_at(NOW), contact_at(NOW - DAY, touch_of(channel_id="sms")), contact_at(NOW + HOUR)]
    book = ledger(policy, contacts)
    assert book.fatigue_minor(touch_of()) == pytest.approx(2.0 * (1 + 3 / 2 + 1))
    assert book.fatigue_minor(touch_of(channel_id="sms")) == pytest.approx(3 * 2.0 * 3.5)
    assert book.fatigue_minor(touch_of(message_class=MessageClass.RECOVERY)) == 0
    assert book.with_contact(touch_of()).fatigue_minor(touch_of()) == pytest.approx(2.0 * 4.5)
    receipt = contact_at(NOW, touch_of(message_class=MessageClass.TRANSACTIONAL))
    unweighted = replace(policy, pressure=None)
    assert ledger(unweighted, [receipt, contact_at(NOW - DAY)]).fatigue_minor(touch_of()) == pytest.approx(1.0)


def test_the_latest_contact_of_each_offer_is_found() -> None:
    contacts = [
        contact_at(NOW - DAY),
        contact_at(NOW - HOUR),
        contact_at(NOW - 2 * DAY),
        contact_at(NOW - HOUR, touch_of("tea"), is_confirmed=False, is_released=True),
    ]
    assert ledger(ContactPolicy(), contacts).sent_offers({"coffee"}) == {"coffee": NOW - HOUR}
