"""The ledger compared with a naive recount, and its invariants."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.contact_policy import Cap, Contact, ContactPolicy, Due, PressureBudget, Touch
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope
from decisioning.gates.contact_ledger import BookRefusal
from tests.decisioning.gates.contact_book import HOUR, NOW, TICK, cap_of, contact_at, ledger, touch_of

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
    """A cap or the pressure limit, in the form the recount uses."""

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
    """The weight at a moment of the contacts that count now."""
    return sum(
        line.weight(contact.touch)
        for contact in contacts
        if contact.counts_at(NOW) and contact.counts_at(at) and contact.at + line.length > at
        if line.counts(contact.touch, touch)
    )


def collides(policy: ContactPolicy, line: Line, contacts: Sequence[Contact], due: Sequence[Due], touch: Touch) -> bool:
    """Whether this message would leave no room for one of the heavier messages due soon."""
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
    """Recount every cap one contact at a time, now and at every moment a message is due."""
    for line in lines_of(policy):
        if line.fits(touch):
            is_full = made_load(line, contacts, touch, NOW) + line.weight(touch) > line.limit
            keeps = policy.look_ahead_seconds > 0 and counts(touch, line.scope)
            if is_full or (keeps and collides(policy, line, contacts, due, touch)):
                return True
    return False


def is_refused(found: BookRefusal | None) -> bool:
    return found is not None


@pytest.mark.no_cover
@settings(max_examples=300, deadline=None)
@given(policy=policies_given, contacts=contacts_given, due=dues_given, touch=touches)
def test_the_ledger_agrees_with_a_naive_recount(
    policy: ContactPolicy, contacts: list[Contact], due: list[Due], touch: Touch
) -> None:
    expected = naive_is_refused(policy, contacts, due, touch)
    assert is_refused(ledger(policy, contacts, due=due).refusal(touch)) is expected


@pytest.mark.no_cover
@settings(max_examples=200, deadline=None)
@given(policy=policies_given, contacts=contacts_given, touch=touches)
def test_there_is_room_at_the_stated_moment_and_none_a_microsecond_before(
    policy: ContactPolicy, contacts: list[Contact], touch: Touch
) -> None:
    refusal = ledger(policy, contacts).refusal(touch)
    if refusal is None or refusal[2] is None:
        return
    assert refusal[2] > NOW
    assert ledger(policy, contacts, now=refusal[2]).refusal(touch) is None
    assert ledger(policy, contacts, now=refusal[2] - TICK).refusal(touch) is not None


@pytest.mark.no_cover
@settings(max_examples=200, deadline=None)
@given(cap=caps_given.filter(len), contacts=contacts_given, due=dues_given, touch=touches)
def test_the_stated_moment_is_right_if_planned_messages_go_out(
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


@pytest.mark.no_cover
@settings(max_examples=150, deadline=None)
@given(policy=policies_given, contacts=contacts_given, due=dues_given, touch=touches, more=contacts_given)
def test_one_more_contact_or_plan_never_permits_anything(
    policy: ContactPolicy, contacts: list[Contact], due: list[Due], touch: Touch, more: list[Contact]
) -> None:
    further = [replace(contact, contact_id=f"more-{contact.contact_id}") for contact in more]
    if is_refused(ledger(policy, contacts, due=due).refusal(touch)):
        assert is_refused(ledger(policy, contacts + further, due=due).refusal(touch))
        assert is_refused(ledger(policy, contacts, due=[*due, *due]).refusal(touch))
        assert is_refused(ledger(policy, contacts, due=due).with_contact(touch).refusal(touch))


@pytest.mark.no_cover
@settings(max_examples=150, deadline=None)
@given(policy=policies_given, contacts=contacts_given, due=dues_given, touch=touches)
def test_a_higher_limit_never_refuses_anything(
    policy: ContactPolicy, contacts: list[Contact], due: list[Due], touch: Touch
) -> None:
    if not is_refused(ledger(policy, contacts, due=due).refusal(touch)):
        wider = replace(policy, caps=tuple(replace(cap, limit=cap.limit + 1) for cap in policy.caps))
        assert not is_refused(ledger(wider, contacts, due=due).refusal(touch))


@pytest.mark.no_cover
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
