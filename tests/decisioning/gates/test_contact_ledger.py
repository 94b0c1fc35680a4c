"""Frequency caps, their scopes and what counts in them; and cap bugs of other systems."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from decisioning.catalogue.contact_policy import CapUnit, ContactPolicy
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope, ClassRules
from decisioning.decision import Exclusion
from decisioning.gates.contact_rules import span_words
from tests.decisioning.gates.contact_book import DAY, HOUR, NOW, OTHER, TICK, cap_of, contact_at, ledger, touch_of

# --- caps mean exactly what they say


def test_without_a_contact_policy_no_cap_is_full() -> None:
    book = ledger(ContactPolicy(), [contact_at(NOW - timedelta(minutes=i)) for i in range(1, 50)])
    assert book.refusal(touch_of()) is None
    assert book.suppression(touch_of()) is None
    assert book.fatigue_minor(touch_of()) == 0


def test_a_cap_of_0_means_never_and_no_cap_means_no_limit() -> None:
    """Mautic #10416 and #10753: 0 meant one message ever, and blank was read as 0."""
    assert ledger(cap_of(0)).refusal(touch_of()) == (Exclusion.CAP_REACHED, "cap cap: 0 of 0 in 7 days", None)
    assert ledger(ContactPolicy(caps=())).refusal(touch_of()) is None


def test_a_cap_of_1_allows_one() -> None:
    assert ledger(cap_of(1)).refusal(touch_of()) is None
    assert ledger(cap_of(1), [contact_at(NOW - HOUR)]).refusal(touch_of()) == (
        Exclusion.CAP_REACHED,
        "cap cap: 1 of 1 in 7 days",
        NOW - HOUR + 7 * DAY,
    )


def test_a_cap_of_three_a_week_allows_the_fourth_when_the_first_leaves_the_window() -> None:
    """Mautic #4761: with three a week, the fourth was delayed by three weeks."""
    contacts = [contact_at(NOW - days * DAY) for days in (1, 3, 6)]
    refusal = ledger(cap_of(3), contacts).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == NOW + DAY
    assert ledger(cap_of(3), contacts, now=NOW + DAY).refusal(touch_of()) is None


def test_windows_slide_and_do_not_reset_at_midnight() -> None:
    """Counters per calendar day let messages at 23:59 and 00:01 through a cap of one a day."""
    daily = cap_of(1, window_seconds=86_400.0)
    evening = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)
    refusal = ledger(daily, [contact_at(evening)], now=evening + timedelta(minutes=2)).refusal(touch_of())
    assert refusal is not None
    assert refusal[2] == evening + DAY


@pytest.mark.parametrize(("since", "is_full"), [(-TICK, True), (timedelta(0), False), (TICK, False)])
def test_a_contact_leaves_the_window_exactly_one_window_length_later(since: timedelta, is_full: bool) -> None:
    book = ledger(cap_of(1), [contact_at(NOW)], now=NOW + 7 * DAY + since)
    assert (book.refusal(touch_of()) is not None) is is_full


def test_a_contact_now_and_one_dated_in_the_future_count() -> None:
    for at in (NOW, NOW + HOUR):
        refusal = ledger(cap_of(1), [contact_at(at)]).refusal(touch_of())
        assert refusal is not None
        assert refusal[2] == at + 7 * DAY


def test_an_exceeded_cap_says_so_and_waits_until_enough_contacts_have_left() -> None:
    contacts = [contact_at(NOW - days * DAY) for days in range(1, 6)]
    assert ledger(cap_of(2), contacts).refusal(touch_of()) == (
        Exclusion.CAP_REACHED,
        "cap cap: 5 of 2 in 7 days",
        NOW + 5 * DAY,
    )


def test_of_several_full_caps_the_longest_lasting_is_reported() -> None:
    caps = (cap_of(1, window_seconds=86_400.0, cap_id="day"), cap_of(1, cap_id="week"), cap_of(9, cap_id="wide"))
    refusal = ledger(ContactPolicy(caps=caps), [contact_at(NOW - HOUR)]).refusal(touch_of())
    assert refusal is not None
    assert refusal[1:] == ("cap week: 1 of 1 in 7 days", NOW - HOUR + 7 * DAY)
    never = ContactPolicy(caps=(cap_of(0, cap_id="never"), *caps))
    refusal = ledger(never, [contact_at(NOW - HOUR)]).refusal(touch_of())
    assert refusal is not None
    assert (refusal[1].split(":")[0], refusal[2]) == ("cap never", None)


NAMES = {
    CapScope.DEPARTMENT: "sales",
    CapScope.GOAL: "loyalty",
    CapScope.CLASS: "marketing",
    CapScope.CHANNEL: "email",
    CapScope.OFFER: "coffee",
    CapScope.CREATIVE: "plain",
}


@pytest.mark.parametrize("scope", OTHER)
def test_each_scope_counts_only_its_own_contacts(scope: CapScope) -> None:
    """Mautic #4761 too: text messages counted against the limit of e-mail."""
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


def test_a_cap_on_creatives_counts_by_key_or_by_name() -> None:
    coffee, tea = touch_of("coffee"), touch_of("tea")
    contacts = [contact_at(NOW - HOUR, coffee)]
    assert coffee.message_key == "coffee/email/plain"
    assert ledger(cap_of(1, CapScope.CREATIVE), contacts).refusal(tea) is None
    assert ledger(cap_of(1, CapScope.CREATIVE, of="coffee/email/plain"), contacts).refusal(coffee) is not None
    assert ledger(cap_of(1, CapScope.CREATIVE, of="coffee/email/plain"), contacts).refusal(tea) is None
    assert ledger(cap_of(1, CapScope.CREATIVE, of="plain"), contacts).refusal(tea) is not None


def test_a_household_cap_counts_the_household_and_the_customers_own_contacts() -> None:
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


def test_a_past_contact_counts_as_its_own_class_declares() -> None:
    """Mautic #6760 and #6896: transactional mail filled the caps and was then refused by them."""
    receipt = touch_of("receipt", message_class=MessageClass.TRANSACTIONAL)
    sorry = touch_of("sorry", message_class=MessageClass.RECOVERY)
    contacts = [contact_at(NOW - HOUR, receipt), contact_at(NOW - HOUR, sorry)]
    assert ledger(cap_of(1), contacts).refusal(touch_of()) is None
    by_offer = ledger(cap_of(1, CapScope.OFFER), contacts)
    assert by_offer.refusal(sorry) is not None
    assert by_offer.refusal(receipt) is None
    assert ledger(cap_of(1), contacts, classes={}).refusal(touch_of()) is not None


def test_a_checked_candidate_needs_room_even_if_its_class_does_not_count() -> None:
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


def test_a_contact_without_permit_counts_until_it_is_released() -> None:
    sent = contact_at(NOW - HOUR, is_confirmed=False)
    assert ledger(cap_of(1), [sent], now=NOW + 5 * DAY).refusal(touch_of()) is not None
    assert ledger(cap_of(1), [replace(sent, is_released=True)]).refusal(touch_of()) is None


def test_two_entries_of_one_contact_count_once() -> None:
    held = contact_at(NOW - HOUR, contact_id="d", is_confirmed=False, reserved_until=NOW)
    sent = replace(held, is_confirmed=True)
    for accounts in ([held, sent], [sent, held, sent]):
        refusal = ledger(cap_of(1), accounts).refusal(touch_of())
        assert refusal is not None
        assert "1 of 1" in refusal[1]


# --- ghosts


def test_ghosts_count_among_ghosts_only_and_replace_what_the_decision_sent() -> None:
    """Otherwise held-out customers would look less contacted than treated ones, which would bias the experiment."""
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


def test_durations_are_written_in_the_largest_whole_unit() -> None:
    spoken = [span_words(seconds) for seconds in (86_400.0, 3_600.0, 7_200.0, 60.0, 1.0, 1.5)]
    assert spoken == ["1 day", "1 hour", "2 hours", "1 minute", "1 second", "1.5 seconds"]
