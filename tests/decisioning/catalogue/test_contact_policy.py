"""What a contact policy may declare, and what feedback does to a contact."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.contact_policy import (
    LONGEST_SECONDS,
    Cap,
    Contact,
    ContactPolicy,
    Fatigue,
    PressureBudget,
    Suppression,
    SuppressionScope,
    book_seconds,
    check_contact_policy,
    merge_contacts,
)
from decisioning.catalogue.message import MessageClass, Offer
from decisioning.catalogue.message_classes import CapScope
from decisioning.errors import InvalidInputError, InvalidPolicyError
from tests.touches import make_touch

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY_SECONDS = 86_400.0
CAP = Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=3, window_seconds=7 * DAY_SECONDS)
PRESSURE = PressureBudget(limit=10.0, window_seconds=7 * DAY_SECONDS)
SUPPRESSION = Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=DAY_SECONDS)
FATIGUE = Fatigue(cost_minor=2.0, half_life_seconds=7 * DAY_SECONDS)
TOUCH = make_touch("coffee", department="sales")
HELD = Contact(contact_id="d1", touch=TOUCH, at=NOW, reserved_until=NOW + timedelta(hours=1))


def test_a_valid_contact_policy_passes() -> None:
    forever = replace(SUPPRESSION, cooldown_seconds=None)
    by_channel = replace(CAP, cap_id="mail", scope=CapScope.CHANNEL, of="email", limit=0)
    check_contact_policy(ContactPolicy())
    check_contact_policy(
        ContactPolicy(
            caps=(CAP, by_channel),
            pressure=replace(PRESSURE, limit=0.0, channel_weights={"sms": 0.0}),
            suppressions=(SUPPRESSION, forever),
            look_ahead_seconds=LONGEST_SECONDS,
            fatigue=FATIGUE,
        )
    )


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (ContactPolicy(caps=(CAP, CAP)), "names of their own"),
        (ContactPolicy(caps=(replace(CAP, limit=-1),)), "limit of cap week"),
        (ContactPolicy(caps=(replace(CAP, window_seconds=0.0),)), "window_seconds of cap week"),
        (ContactPolicy(caps=(replace(CAP, window_seconds=float("nan")),)), "window_seconds of cap week"),
        (ContactPolicy(caps=(replace(CAP, window_seconds=LONGEST_SECONDS + 1),)), "window_seconds of cap week"),
        (ContactPolicy(caps=(replace(CAP, scope=CapScope.PRESSURE),)), "scope of cap week"),
        (ContactPolicy(caps=(replace(CAP, of="email"),)), "must have no `of`"),
        (ContactPolicy(pressure=replace(PRESSURE, limit=-0.1)), "limit of pressure"),
        (ContactPolicy(pressure=replace(PRESSURE, limit=float("inf"))), "limit of pressure"),
        (ContactPolicy(pressure=replace(PRESSURE, window_seconds=-1.0)), "window_seconds of pressure"),
        (ContactPolicy(pressure=replace(PRESSURE, class_weights={MessageClass.SERVICE: -1.0})), "weight of service"),
        (ContactPolicy(pressure=replace(PRESSURE, channel_weights={"sms": float("nan")})), "weight of sms"),
        (ContactPolicy(suppressions=(replace(SUPPRESSION, cooldown_seconds=0.0),)), "after declined"),
        (ContactPolicy(fatigue=replace(FATIGUE, cost_minor=-1.0)), "cost_minor of fatigue"),
        (ContactPolicy(fatigue=replace(FATIGUE, half_life_seconds=0.0)), "half_life_seconds of fatigue"),
        (ContactPolicy(look_ahead_seconds=-1.0), "look_ahead_seconds"),
        (ContactPolicy(look_ahead_seconds=float("inf")), "look_ahead_seconds"),
    ],
)
def test_impossible_numbers_are_refused_and_the_field_is_named(policy: ContactPolicy, words: str) -> None:
    with pytest.raises(InvalidPolicyError, match=words):
        check_contact_policy(policy)


def test_the_book_of_contacts_is_kept_as_long_as_any_rule_needs_it() -> None:
    assert book_seconds(ContactPolicy()) == 0
    assert book_seconds(ContactPolicy(caps=(CAP,), pressure=PRESSURE)) == 7 * DAY_SECONDS
    assert book_seconds(ContactPolicy(caps=(CAP,), fatigue=FATIGUE)) == 70 * DAY_SECONDS
    offer = Offer(
        offer_id="tea",
        goal_id="loyalty",
        kind="gift",
        message_class=MessageClass.MARKETING,
        purpose="marketing",
        not_after={"coffee": 9 * DAY_SECONDS},
    )
    assert book_seconds(ContactPolicy(caps=(CAP,)), [offer]) == 9 * DAY_SECONDS


def test_a_confirmed_contact_counts_for_good_and_a_released_one_not_at_all() -> None:
    late = NOW + timedelta(days=3)
    assert HELD.counts_at(NOW)
    assert not HELD.counts_at(late)
    assert replace(HELD, is_confirmed=True).counts_at(late)
    assert replace(HELD, is_confirmed=True, is_released=True).counts_at(late), "a delivered contact keeps counting"
    assert not replace(HELD, is_released=True).counts_at(NOW)
    assert replace(HELD, reserved_until=None).counts_at(late)


def test_entries_of_different_contacts_are_not_merged() -> None:
    with pytest.raises(InvalidInputError, match="one id"):
        merge_contacts(HELD, replace(HELD, contact_id="d2"))


accounts = st.builds(
    Contact,
    contact_id=st.just("d1"),
    touch=st.sampled_from([TOUCH, replace(TOUCH, offer_id="tea")]),
    at=st.sampled_from([NOW, NOW + timedelta(hours=1)]),
    reserved_until=st.sampled_from([None, NOW, NOW + timedelta(hours=2)]),
    is_confirmed=st.booleans(),
    is_released=st.booleans(),
    is_ghost=st.booleans(),
)


@settings(max_examples=150)
@given(one=accounts, two=accounts, three=accounts)
def test_merging_entries_is_commutative_associative_and_idempotent(one: Contact, two: Contact, three: Contact) -> None:
    assert merge_contacts(one, two) == merge_contacts(two, one)
    assert merge_contacts(one, merge_contacts(two, three)) == merge_contacts(merge_contacts(one, two), three)
    assert merge_contacts(one, one) == one
    assert merge_contacts(merge_contacts(one, two), two) == merge_contacts(one, two)
