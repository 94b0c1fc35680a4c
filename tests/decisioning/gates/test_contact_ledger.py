"""Caps, pressure, look-ahead, suppression and fatigue, against a naive recount; and the cap bugs of other systems."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.contact_policy import (
    Cap,
    CapUnit,
    Contact,
    ContactPolicy,
    Due,
    Fatigue,
    PressureBudget,
    Response,
    Suppression,
    SuppressionScope,
    Touch,
)
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope, ClassRules
from decisioning.decision import Exclusion
from decisioning.gates.contact_ledger import BookRefusal, ContactLedger, span_words

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
WEEK_SECONDS = 7 * 86_400.0
COUNTING = ClassRules()
PLAIN = {each: replace(COUNTING, has_precedence=False) for each in MessageClass}


def touch_of(offer: str = "coffee", **fields: Any) -> Touch:
    known = {
        "message_class": MessageClass.MARKETING,
        "department": "sales",
        "goal_id": "loyalty",
        "channel_id": "email",
        "offer_id": offer,
        "creative_id": "plain",
    }
    return Touch(**(known | fields))


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
        policy,
        fields.get("classes", DEFAULT_CLASSES),
        contacts,
        fields.get("household", ()),
        due,
        fields.get("responses", ()),
        now,
        ghosts=fields.get("ghosts", False),
    )


# --- caps mean exactly what they say


def test_without_a_policy_nothing_is_full() -> None:
    book = ledger(ContactPolicy(), [contact_at(NOW - timedelta(minutes=i)) for i in range(1, 50)])
    assert book.refusal(touch_of()) is None
    assert book.suppression(touch_of()) is None
    assert book.fatigue_minor(touch_of()) == 0


def test_a_cap_of_0_means_never_and_no_cap_means_no_limit() -> None:
    """Mautic #10416 and #10753: 0 meant one message ever, and blank was read as 0."""
    assert ledger(cap_of(0)).refusal(touch_of()) == (Exclusion.CAP_REACHED, "cap cap: 0 of 0 in 7 days", None)
    assert ledger(ContactPolicy(caps=())).refusal(touch_of()) is None


def test_a_cap_of_1_takes_one() -> None:
    assert ledger(cap_of(1)).refusal(touch_of()) is None
    assert ledger(cap_of(1), [contact_at(NOW - HOUR)]).refusal(touch_of()) == (
        Exclusion.CAP_REACHED,
        "cap cap: 1 of 1 in 7 days",
        NOW - HOUR + 7 * DAY,
    )


def test_three_per_week_let_the_fourth_go_when_the_first_of_them_leaves_the_window() -> None:
    """Mautic #4761: with three a week, the fourth was put off by three weeks."""
    contacts = [contact_at(NOW - days * DAY) for days in (1, 3, 6)]
    refusal = ledger(cap_of(3), contacts).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == NOW + DAY
    assert ledger(cap_of(3), contacts, now=NOW + DAY).refusal(touch_of()) is None


def test_windows_slide_and_do_not_begin_anew_at_midnight() -> None:
    """Counters of calendar days let a message at 23:59 and one at 00:01 through a cap of one a day."""
    daily = cap_of(1, window_seconds=86_400.0)
    evening = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)
    refusal = ledger(daily, [contact_at(evening)], now=evening + timedelta(minutes=2)).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == evening + DAY


@pytest.mark.parametrize(("since", "is_full"), [(-TICK, True), (timedelta(0), False), (TICK, False)])
def test_a_contact_leaves_the_window_exactly_one_length_after_it_was_made(since: timedelta, is_full: bool) -> None:
    book = ledger(cap_of(1), [contact_at(NOW)], now=NOW + 7 * DAY + since)
    assert (book.refusal(touch_of()) is not None) is is_full


def test_a_contact_of_this_very_moment_and_one_from_a_wrong_clock_count() -> None:
    for at in (NOW, NOW + HOUR):
        refusal = ledger(cap_of(1), [contact_at(at)]).refusal(touch_of())
        assert refusal is not None
        assert refusal[2] == at + 7 * DAY


def test_a_fuller_cap_than_allowed_says_so_and_waits_until_enough_have_left() -> None:
    contacts = [contact_at(NOW - days * DAY) for days in range(1, 6)]
    assert ledger(cap_of(2), contacts).refusal(touch_of()) == (
        Exclusion.CAP_REACHED,
        "cap cap: 5 of 2 in 7 days",
        NOW + 5 * DAY,
    )


def test_of_several_full_caps_the_one_that_lasts_longest_is_told() -> None:
    caps = (cap_of(1, window_seconds=86_400.0, cap_id="day"), cap_of(1, cap_id="week"), cap_of(9, cap_id="wide"))
    refusal = ledger(ContactPolicy(caps=caps), [contact_at(NOW - HOUR)]).refusal(touch_of())
    assert refusal is not None
    assert refusal[1:] == ("cap week: 1 of 1 in 7 days", NOW - HOUR + 7 * DAY)
    never = ContactPolicy(caps=(cap_of(0, cap_id="never"), *caps))
    refusal = ledger(never, [contact_at(NOW - HOUR)]).refusal(touch_of())
    assert refusal is not None
    assert (refusal[1].split(":")[0], refusal[2]) == ("cap never", None)


# --- scopes


OTHER = {
    CapScope.DEPARTMENT: {"department": "care"},
    CapScope.GOAL: {"goal_id": "service"},
    CapScope.CLASS: {"message_class": MessageClass.SERVICE},
    CapScope.CHANNEL: {"channel_id": "sms"},
    CapScope.OFFER: {"offer_id": "tea"},
    CapScope.CREATIVE: {"creative_id": "long"},
}
NAMES = {
    CapScope.DEPARTMENT: "sales",
    CapScope.GOAL: "loyalty",
    CapScope.CLASS: "marketing",
    CapScope.CHANNEL: "email",
    CapScope.OFFER: "coffee",
    CapScope.CREATIVE: "plain",
}


@pytest.mark.parametrize("scope", OTHER)
def test_each_scope_counts_its_own_and_leaves_others_alone(scope: CapScope) -> None:
    """Mautic #4761 as well: text messages were counted against the limit of e-mail."""
    other = replace(touch_of(), **OTHER[scope])
    book = ledger(cap_of(1, scope), [contact_at(NOW - HOUR)])
    assert book.refusal(touch_of()) is not None
    assert book.refusal(other) is None
    assert book.with_contact(other).refusal(other) is not None


@pytest.mark.parametrize("scope", OTHER)
def test_a_named_value_is_capped_and_no_other(scope: CapScope) -> None:
    other = replace(touch_of(), **OTHER[scope])
    contacts = [contact_at(NOW - HOUR), contact_at(NOW - HOUR, other)]
    book = ledger(cap_of(1, scope, of=NAMES[scope]), contacts)
    assert book.refusal(touch_of()) is not None
    assert book.refusal(other) is None


def test_creatives_of_one_name_are_told_apart_by_their_key_and_taken_together_by_their_name() -> None:
    coffee, tea = touch_of("coffee"), touch_of("tea")
    contacts = [contact_at(NOW - HOUR, coffee)]
    assert coffee.message_key == "coffee/email/plain"
    assert ledger(cap_of(1, CapScope.CREATIVE), contacts).refusal(tea) is None
    assert ledger(cap_of(1, CapScope.CREATIVE, of="coffee/email/plain"), contacts).refusal(coffee) is not None
    assert ledger(cap_of(1, CapScope.CREATIVE, of="coffee/email/plain"), contacts).refusal(tea) is None
    assert ledger(cap_of(1, CapScope.CREATIVE, of="plain"), contacts).refusal(tea) is not None


def test_a_household_is_counted_together_with_the_customer_s_own_book() -> None:
    mine, theirs = contact_at(NOW - HOUR, contact_id="mine"), contact_at(NOW - 2 * HOUR, contact_id="theirs")
    cap = cap_of(2, unit=CapUnit.HOUSEHOLD)
    assert ledger(cap, [mine]).refusal(touch_of()) is None
    assert ledger(cap, [mine], household=[mine]).refusal(touch_of()) is None
    assert ledger(cap, [mine], household=[mine, theirs]).refusal(touch_of()) == (
        Exclusion.CAP_REACHED,
        "cap cap: 2 of 2 in 7 days per household",
        NOW - 2 * HOUR + 7 * DAY,
    )
    assert ledger(cap, [mine], household=[theirs]).refusal(touch_of()) is not None
    assert ledger(cap_of(2), [mine], household=[mine, theirs]).refusal(touch_of()) is None


# --- classes


def test_a_past_contact_counts_where_its_own_class_says() -> None:
    """Mautic #6760 and #6896: caps were filled, and then refused, by transactional mail."""
    receipt = touch_of("receipt", message_class=MessageClass.TRANSACTIONAL)
    sorry = touch_of("sorry", message_class=MessageClass.RECOVERY)
    contacts = [contact_at(NOW - HOUR, receipt), contact_at(NOW - HOUR, sorry)]
    assert ledger(cap_of(1), contacts).refusal(touch_of()) is None
    by_offer = ledger(cap_of(1, CapScope.OFFER), contacts)
    assert by_offer.refusal(sorry) is not None
    assert by_offer.refusal(receipt) is None
    assert ledger(cap_of(1), contacts, classes={}).refusal(touch_of()) is not None


def test_a_candidate_that_is_asked_must_find_room_whether_its_class_counts_there_or_not() -> None:
    news = touch_of(message_class=MessageClass.SERVICE)
    silent = {**DEFAULT_CLASSES, MessageClass.SERVICE: ClassRules(counts_towards=frozenset())}
    assert ledger(cap_of(0, CapScope.CHANNEL), classes=silent).refusal(news) is not None
    assert ledger(cap_of(1), [contact_at(NOW - HOUR)], classes=silent).refusal(news) is not None
    assert ledger(cap_of(1), [contact_at(NOW - HOUR, news)], classes=silent).refusal(touch_of()) is None


# --- reservations


def test_a_reservation_counts_until_it_ends_is_released_or_is_confirmed() -> None:
    held = contact_at(NOW - HOUR, is_confirmed=False, reserved_until=NOW + HOUR)
    refusal = ledger(cap_of(1), [held]).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == NOW + HOUR
    assert ledger(cap_of(1), [held], now=NOW + HOUR - TICK).refusal(touch_of()) is not None
    assert ledger(cap_of(1), [held], now=NOW + HOUR).refusal(touch_of()) is None
    assert ledger(cap_of(1), [replace(held, is_released=True)]).refusal(touch_of()) is None
    sent = replace(held, is_confirmed=True, is_released=True)
    refusal = ledger(cap_of(1), [sent], now=NOW + 2 * HOUR).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == NOW - HOUR + 7 * DAY


def test_what_needs_no_permit_counts_without_end_until_it_is_released() -> None:
    sent = contact_at(NOW - HOUR, is_confirmed=False)
    assert ledger(cap_of(1), [sent], now=NOW + 5 * DAY).refusal(touch_of()) is not None
    assert ledger(cap_of(1), [replace(sent, is_released=True)]).refusal(touch_of()) is None


def test_two_accounts_of_one_contact_are_one() -> None:
    held = contact_at(NOW - HOUR, contact_id="d", is_confirmed=False, reserved_until=NOW)
    sent = replace(held, is_confirmed=True)
    for accounts in ([held, sent], [sent, held, sent]):
        refusal = ledger(cap_of(1), accounts).refusal(touch_of())
        assert refusal is not None
        assert "1 of 1" in refusal[1]


# --- ghosts


def test_ghosts_count_among_ghosts_only_and_in_place_of_what_the_decision_sent() -> None:
    """Otherwise a held-out customer would look less contacted than the treated, and the test would be biased."""
    sent = contact_at(NOW - HOUR, contact_id="d1")
    ghosts = [
        contact_at(NOW - HOUR, contact_id="d1-ghost", is_ghost=True),
        contact_at(NOW - 2 * HOUR, contact_id="d2-ghost", is_ghost=True),
    ]
    assert ledger(cap_of(2), [sent, *ghosts]).refusal(touch_of()) is None
    freed = ledger(cap_of(2), [sent, *ghosts], ghosts=True).refusal(touch_of())
    assert freed is not None
    assert "2 of 2" in freed[1]
    real = ledger(cap_of(2), [sent]).with_contact(touch_of())
    assert real.refusal(touch_of()) is not None
    assert ledger(cap_of(1), ghosts=True).with_contact(touch_of()).refusal(touch_of()) is not None


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


def test_what_weighs_nothing_meets_no_pressure_and_what_weighs_more_than_all_never_fits() -> None:
    book = ledger(ContactPolicy(pressure=replace(PRESSURE, limit=0.0)))
    assert book.refusal(touch_of(message_class=MessageClass.MANDATORY)) is None
    heavy = ledger(ContactPolicy(pressure=replace(PRESSURE, limit=2.5)), [contact_at(NOW - HOUR)])
    refusal = heavy.refusal(touch_of(channel_id="sms"))
    assert refusal is not None
    assert refusal[2] is None


def test_rounding_of_weights_costs_nobody_their_message() -> None:
    tenth = PressureBudget(limit=0.3, window_seconds=WEEK_SECONDS, class_weights={MessageClass.MARKETING: 0.1})
    contacts = [contact_at(NOW - HOUR), contact_at(NOW - 2 * HOUR)]
    assert ledger(ContactPolicy(pressure=tenth), contacts).refusal(touch_of()) is None


def test_transactional_contacts_weigh_nothing() -> None:
    receipt = touch_of(message_class=MessageClass.TRANSACTIONAL)
    tight = ContactPolicy(pressure=PressureBudget(limit=1.0, window_seconds=WEEK_SECONDS))
    assert ledger(tight, [contact_at(NOW - HOUR, receipt)]).refusal(touch_of()) is None


# --- look-ahead


def due_at(at: datetime, **fields: Any) -> Due:
    return Due(due_id=f"due-{at}", due_at=at, touch=touch_of("boarding-pass", **fields))


AHEAD = ContactPolicy(caps=(cap_of(2),), look_ahead_seconds=2 * 86_400.0)


def test_a_heavier_message_that_is_due_keeps_its_room() -> None:
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
def test_room_is_kept_for_what_is_due_soon_heavier_and_counts(due: Due, is_kept: bool) -> None:
    refusal = ledger(AHEAD, [contact_at(NOW - HOUR)], due=[due]).refusal(touch_of())
    assert (refusal is not None) is is_kept


def test_a_candidate_that_takes_no_room_need_not_keep_any() -> None:
    due = due_at(NOW + DAY, message_class=MessageClass.SERVICE)
    classes = {**DEFAULT_CLASSES, MessageClass.MARKETING: ClassRules(counts_towards=frozenset())}
    service = contact_at(NOW - HOUR, touch_of(message_class=MessageClass.SERVICE))
    assert ledger(AHEAD, [service], due=[due]).refusal(touch_of()) is not None
    assert ledger(AHEAD, [service], due=[due], classes=classes).refusal(touch_of()) is None


def test_a_short_window_is_over_before_the_heavier_message_is_due() -> None:
    hourly = ContactPolicy(caps=(cap_of(1, window_seconds=3_600.0),), look_ahead_seconds=86_400.0)
    soon = due_at(NOW + HOUR - TICK, message_class=MessageClass.SERVICE)
    later = due_at(NOW + HOUR, message_class=MessageClass.SERVICE)
    assert ledger(hourly, due=[soon]).refusal(touch_of()) is not None
    assert ledger(hourly, due=[later]).refusal(touch_of()) is None


def test_a_contact_from_a_wrong_clock_and_a_later_plan_both_have_to_leave_first() -> None:
    plan = due_at(NOW + 3 * DAY, message_class=MessageClass.SERVICE)
    policy = ContactPolicy(caps=(cap_of(1),), look_ahead_seconds=2 * 86_400.0)
    refusal = ledger(policy, [contact_at(NOW + HOUR)], due=[plan]).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == NOW + 10 * DAY


def test_pressure_keeps_room_for_the_heavier_weight() -> None:
    policy = ContactPolicy(pressure=replace(PRESSURE, limit=4.0), look_ahead_seconds=86_400.0)
    text = due_at(NOW + HOUR, channel_id="sms")
    once = [contact_at(NOW - HOUR)]
    refusal = ledger(policy, once, due=[text]).refusal(touch_of())
    assert refusal is not None
    assert refusal[0] is Exclusion.ROOM_KEPT
    assert refusal[2] == NOW - HOUR + 7 * DAY
    assert ledger(policy, (), due=[text]).refusal(touch_of()) is None
    assert ledger(policy, once, due=[text]).refusal(text.touch) is None


def test_a_message_heavier_than_all_pressure_allowed_never_has_room_whatever_is_planned() -> None:
    policy = ContactPolicy(pressure=replace(PRESSURE, limit=0.5), look_ahead_seconds=86_400.0)
    plan = due_at(NOW + HOUR, message_class=MessageClass.SERVICE)
    refusal = ledger(policy, due=[plan]).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] is None


# --- suppression


def response_at(at: datetime, outcome: str = "declined", **fields: Any) -> Response:
    return Response(outcome=outcome, touch=touch_of(**fields), at=at)


def test_after_declining_the_offer_rests_and_then_returns() -> None:
    rule = Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=30 * 86_400.0)
    policy = ContactPolicy(suppressions=(rule,))
    ends = NOW - DAY + 30 * DAY
    book = ledger(policy, responses=[response_at(NOW - DAY), response_at(NOW - 9 * DAY)])
    assert book.suppression(touch_of()) == ("declined: offer rests for 30 days", ends)
    assert book.suppression(touch_of("tea")) is None
    assert ledger(policy, responses=[response_at(NOW - DAY)], now=ends - TICK).suppression(touch_of()) is not None
    assert ledger(policy, responses=[response_at(NOW - DAY)], now=ends).suppression(touch_of()) is None
    assert ledger(policy, responses=[response_at(NOW - DAY, "clicked")]).suppression(touch_of()) is None
    assert ledger(policy, responses=[response_at(NOW + DAY)]).suppression(touch_of()) is not None


def test_without_a_cool_down_the_rest_is_for_ever_and_outlasts_all_others() -> None:
    rules = (
        Suppression(after="unsubscribed", scope=SuppressionScope.CHANNEL, cooldown_seconds=None),
        Suppression(after="unsubscribed", scope=SuppressionScope.EVERYTHING, cooldown_seconds=5 * 86_400.0),
        Suppression(after="bounced", scope=SuppressionScope.CHANNEL, cooldown_seconds=9 * 86_400.0),
    )
    gone = [response_at(NOW - DAY, "unsubscribed"), response_at(NOW - DAY, "bounced")]
    book = ledger(ContactPolicy(suppressions=rules), responses=gone)
    assert book.suppression(touch_of("tea")) == ("unsubscribed: channel rests for ever", None)
    by_letter = book.suppression(touch_of(channel_id="letter"))
    assert by_letter == ("unsubscribed: everything rests for 5 days", NOW + 4 * DAY)


@pytest.mark.parametrize("scope", SuppressionScope)
def test_every_scope_spares_what_shares_it_with_the_answered_message(scope: SuppressionScope) -> None:
    rule = Suppression(after="complained", scope=scope, cooldown_seconds=86_400.0)
    book = ledger(ContactPolicy(suppressions=(rule,)), responses=[response_at(NOW, "complained")])
    assert book.suppression(touch_of()) is not None
    if scope is not SuppressionScope.EVERYTHING:
        other = replace(touch_of(), **OTHER[CapScope(scope.value)])
        assert book.suppression(other) is None


# --- fatigue and what was sent


def test_fatigue_is_weighted_contacts_each_fading_by_half_life() -> None:
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


def test_the_latest_contact_of_each_offer_is_told() -> None:
    contacts = [
        contact_at(NOW - DAY),
        contact_at(NOW - HOUR),
        contact_at(NOW - 2 * DAY),
        contact_at(NOW - HOUR, touch_of("tea"), is_confirmed=False, is_released=True),
    ]
    assert ledger(ContactPolicy(), contacts).sent_offers() == {"coffee": NOW - HOUR}


def test_lengths_are_said_in_the_largest_whole_unit() -> None:
    spoken = [span_words(seconds) for seconds in (86_400.0, 3_600.0, 7_200.0, 60.0, 1.0, 1.5)]
    assert spoken == ["1 day", "1 hour", "2 hours", "1 minute", "1 second", "1.5 seconds"]


# --- what must always hold

OFFERS = ("coffee", "tea")
CHANNELS = ("email", "sms")
touches = st.builds(
    touch_of,
    st.sampled_from(OFFERS),
    channel_id=st.sampled_from(CHANNELS),
    message_class=st.sampled_from([MessageClass.MARKETING, MessageClass.SERVICE, MessageClass.RECOVERY]),
)
moments = st.integers(-9 * 24, 24).map(lambda hours: NOW + hours * HOUR)
contacts_given = st.lists(
    st.tuples(touches, moments, st.booleans(), st.booleans(), st.none() | moments), max_size=12
).map(
    lambda rows: [
        Contact(contact_id=f"d{i}", touch=t, at=at, is_confirmed=c, is_released=r, reserved_until=until)
        for i, (t, at, c, r, until) in enumerate(rows)
    ]
)
caps_given = st.lists(
    st.builds(
        lambda scope, limit, hours, is_named: cap_of(
            limit,
            scope,
            window_seconds=hours * 3_600.0,
            of={CapScope.OFFER: "tea", CapScope.CHANNEL: "sms", CapScope.CLASS: "service"}.get(scope)
            if is_named
            else None,
        ),
        st.sampled_from([CapScope.EVERYTHING, CapScope.OFFER, CapScope.CHANNEL, CapScope.CLASS, CapScope.CREATIVE]),
        st.integers(0, 4),
        st.integers(1, 200),
        st.booleans(),
    ),
    max_size=4,
).map(lambda caps: tuple(replace(cap, cap_id=f"c{i}") for i, cap in enumerate(caps)))
pressures = st.none() | st.builds(
    PressureBudget,
    limit=st.integers(0, 20).map(lambda half: half / 2),
    window_seconds=st.integers(1, 200).map(lambda hours: hours * 3_600.0),
    class_weights=st.just({MessageClass.SERVICE: 0.5}),
    channel_weights=st.just({"sms": 3.0}),
)
dues_given = st.lists(st.tuples(touches, st.integers(-4, 90).map(lambda hours: NOW + hours * HOUR)), max_size=3).map(
    lambda rows: [Due(due_id=f"p{i}", due_at=at, touch=t) for i, (t, at) in enumerate(rows)]
)
policies_given = st.builds(
    ContactPolicy,
    caps=caps_given,
    pressure=pressures,
    look_ahead_seconds=st.integers(0, 72).map(lambda hours: hours * 3_600.0),
)

ATTRIBUTES = {CapScope.OFFER: "offer_id", CapScope.CHANNEL: "channel_id", CapScope.CLASS: "message_class"}


def shares(scope: CapScope, one: Touch, other: Touch) -> bool:
    if scope in {CapScope.EVERYTHING, CapScope.PRESSURE}:
        return True
    if scope is CapScope.CREATIVE:
        return one.message_key == other.message_key
    return getattr(one, ATTRIBUTES[scope]) == getattr(other, ATTRIBUTES[scope])


class Line(NamedTuple):
    """One cap, or the pressure, as the recount sees it."""

    scope: CapScope
    of: str | None
    limit: float
    length: timedelta
    is_weighted: bool

    def fits(self, touch: Touch) -> bool:
        return self.of is None or getattr(touch, ATTRIBUTES[self.scope]) == self.of

    def counts(self, other: Touch, touch: Touch) -> bool:
        return counts(other, self.scope) and shares(self.scope, other, touch)

    def weight(self, touch: Touch) -> float:
        return weight_of(touch) if self.is_weighted else 1.0


def counts(touch: Touch, scope: CapScope) -> bool:
    return scope in DEFAULT_CLASSES[touch.message_class].counts_towards


def weight_of(touch: Touch) -> float:
    return (0.5 if touch.message_class is MessageClass.SERVICE else 1.0) * (3.0 if touch.channel_id == "sms" else 1.0)


def rank_of(touch: Touch, policy: ContactPolicy) -> tuple[bool, float]:
    return DEFAULT_CLASSES[touch.message_class].has_precedence, weight_of(touch) if policy.pressure else 1.0


def lines_of(policy: ContactPolicy) -> list[Line]:
    lines = [
        Line(cap.scope, cap.of, cap.limit, timedelta(seconds=cap.window_seconds), is_weighted=False)
        for cap in policy.caps
    ]
    if policy.pressure is not None:
        length = timedelta(seconds=policy.pressure.window_seconds)
        lines.append(Line(CapScope.PRESSURE, None, policy.pressure.limit, length, is_weighted=True))
    return lines


def made_load(line: Line, contacts: Sequence[Contact], touch: Touch, at: datetime) -> float:
    """What contacts that count now still weigh at a moment."""
    return sum(
        line.weight(contact.touch)
        for contact in contacts
        if contact.counts_at(NOW) and contact.counts_at(at) and contact.at + line.length > at
        if line.counts(contact.touch, touch)
    )


def collides(policy: ContactPolicy, line: Line, contacts: Sequence[Contact], due: Sequence[Due], touch: Touch) -> bool:
    """One of the heavier messages that are due soon would find no room after this one."""
    heavier = [
        plan
        for plan in due
        if plan.due_at >= NOW
        and rank_of(plan.touch, policy) > rank_of(touch, policy)
        and line.counts(plan.touch, touch)
    ]
    horizon = min(NOW + timedelta(seconds=policy.look_ahead_seconds), NOW + line.length - TICK)
    for at in [plan.due_at for plan in heavier if plan.due_at <= horizon]:
        sent = sum(line.weight(plan.touch) for plan in heavier if plan.due_at <= at < plan.due_at + line.length)
        if made_load(line, contacts, touch, at) + sent + line.weight(touch) > line.limit:
            return True
    return False


def naive_is_refused(policy: ContactPolicy, contacts: Sequence[Contact], due: Sequence[Due], touch: Touch) -> bool:
    """Recount everything for every cap, one contact at a time, and again at every moment that something is due."""
    for line in lines_of(policy):
        if line.fits(touch):
            is_full = made_load(line, contacts, touch, NOW) + line.weight(touch) > line.limit
            keeps = policy.look_ahead_seconds > 0 and counts(touch, line.scope)
            if is_full or (keeps and collides(policy, line, contacts, due, touch)):
                return True
    return False


def is_refused(found: BookRefusal | None) -> bool:
    return found is not None


@settings(max_examples=300, deadline=None)
@given(policy=policies_given, contacts=contacts_given, due=dues_given, touch=touches)
def test_the_ledger_agrees_with_a_naive_recount(
    policy: ContactPolicy, contacts: list[Contact], due: list[Due], touch: Touch
) -> None:
    expected = naive_is_refused(policy, contacts, due, touch)
    assert is_refused(ledger(policy, contacts, due=due).refusal(touch)) is expected


@settings(max_examples=200, deadline=None)
@given(policy=policies_given, contacts=contacts_given, touch=touches)
def test_at_the_moment_that_is_told_there_is_room_and_a_microsecond_before_there_is_none(
    policy: ContactPolicy, contacts: list[Contact], touch: Touch
) -> None:
    refusal = ledger(policy, contacts).refusal(touch)
    if refusal is None or refusal[2] is None:
        return
    assert refusal[2] > NOW
    assert ledger(policy, contacts, now=refusal[2]).refusal(touch) is None
    assert ledger(policy, contacts, now=refusal[2] - TICK).refusal(touch) is not None


@settings(max_examples=200, deadline=None)
@given(cap=caps_given.filter(len), contacts=contacts_given, due=dues_given, touch=touches)
def test_the_moment_that_is_told_holds_when_plans_go_out_as_planned(
    cap: tuple[Cap, ...], contacts: list[Contact], due: list[Due], touch: Touch
) -> None:
    policy = ContactPolicy(caps=cap[:1], look_ahead_seconds=2 * 86_400.0)
    due = [plan for plan in due if plan.due_at >= NOW]
    refusal = ledger(policy, contacts, due=due).refusal(touch)
    if refusal is None or refusal[2] is None:
        return
    room_at = refusal[2]
    heavier = [plan for plan in due if rank_of(plan.touch, policy) > rank_of(touch, policy)]
    sent = [contact_at(plan.due_at, plan.touch, plan.due_id) for plan in heavier if plan.due_at < room_at]
    later = [plan for plan in heavier if plan.due_at >= room_at]
    assert ledger(policy, contacts + sent, due=later, now=room_at).refusal(touch) is None


@settings(max_examples=150, deadline=None)
@given(policy=policies_given, contacts=contacts_given, due=dues_given, touch=touches, more=contacts_given)
def test_a_contact_or_a_plan_more_never_opens_anything(
    policy: ContactPolicy, contacts: list[Contact], due: list[Due], touch: Touch, more: list[Contact]
) -> None:
    further = [replace(contact, contact_id=f"more-{contact.contact_id}") for contact in more]
    if is_refused(ledger(policy, contacts, due=due).refusal(touch)):
        assert is_refused(ledger(policy, contacts + further, due=due).refusal(touch))
        assert is_refused(ledger(policy, contacts, due=[*due, *due]).refusal(touch))
        assert is_refused(ledger(policy, contacts, due=due).with_contact(touch).refusal(touch))


@settings(max_examples=150, deadline=None)
@given(policy=policies_given, contacts=contacts_given, due=dues_given, touch=touches)
def test_a_higher_limit_never_closes_anything(
    policy: ContactPolicy, contacts: list[Contact], due: list[Due], touch: Touch
) -> None:
    if not is_refused(ledger(policy, contacts, due=due).refusal(touch)):
        wider = replace(policy, caps=tuple(replace(cap, limit=cap.limit + 1) for cap in policy.caps))
        assert not is_refused(ledger(wider, contacts, due=due).refusal(touch))


@settings(max_examples=100, deadline=None)
@given(policy=policies_given, contacts=contacts_given, due=dues_given, touch=touches, data=st.data())
def test_the_order_of_contacts_plans_and_questions_does_not_matter(
    policy: ContactPolicy, contacts: list[Contact], due: list[Due], touch: Touch, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(contacts))
    other = data.draw(touches)
    asked = ledger(policy, shuffled + shuffled[:2], due=data.draw(st.permutations(due)))
    asked.refusal(other)
    assert asked.refusal(touch) == ledger(policy, contacts, due=due).refusal(touch)
