"""Temporary refusals: cases, caps, quiet hours and limits say when a message may go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from decisioning.catalogue.care import DEFAULT_CARE, Case
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, ContactPolicy, Response, Suppression, SuppressionScope
from decisioning.catalogue.limits import Limit, LimitMeasure, LimitScope, Period, Supply
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.decision import Excluded, Exclusion
from decisioning.live import LiveState
from decisioning.policy import Policy
from tests.decisioning.gates.judging import (
    DAY,
    KEY,
    NIGHT,
    MakeInputs,
    contact,
    excluded,
    judge,
    permitted,
    reasons,
    with_offer,
)


def test_an_open_case_pauses_marketing_and_a_cooldown_follows(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = Policy(replace(plain_catalogue, care=DEFAULT_CARE))
    case = Case(case_id="c", kind="lost_item", severity="normal", opened_at=now - timedelta(days=1))
    paused = judge(policy, inputs_of, live=LiveState(cases=(case,)))
    assert permitted(policy, paused) == {"opening-hours/email/plain", "opening-hours/push/plain"}
    told = excluded(paused)
    assert (told.reasons, told.details) == ((Exclusion.CASE_OPEN,), ("lost_item",))
    assert told.allowed_at == now + timedelta(days=59)
    solved = replace(case, resolved_at=now - timedelta(hours=1))
    told = excluded(judge(policy, inputs_of, live=LiveState(cases=(solved,))))
    assert told.reasons == (Exclusion.CASE_COOLING_DOWN,)
    assert told.allowed_at == now + timedelta(days=7, hours=-1)
    later = judge(policy, inputs_of, live=LiveState(cases=(solved,)), now=now + timedelta(days=7))
    assert later.excluded == ()


def test_caps_and_suppressions_say_when_there_is_room_again(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    rules = ContactPolicy(
        caps=(Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=1, window_seconds=7 * DAY),),
        suppressions=(
            Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=30 * DAY),
            Suppression(after="complained", scope=SuppressionScope.CHANNEL, cooldown_seconds=None),
        ),
    )
    policy = Policy(replace(plain_catalogue, contact_policy=rules))
    sent = contact(policy, KEY, now - timedelta(days=2))
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(sent,))))
    assert (told.reasons, told.details) == ((Exclusion.CAP_REACHED,), ("cap week: 1 of 1 in 7 days",))
    assert told.allowed_at == now + timedelta(days=5)
    declined = Response(outcome="declined", touch=sent.touch, at=now - timedelta(days=2))
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(sent,), responses=(declined,))))
    assert told.reasons == (Exclusion.CAP_REACHED, Exclusion.SUPPRESSED)
    assert told.allowed_at == now + timedelta(days=28)
    complained = replace(declined, outcome="complained")
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(sent,), responses=(complained,))))
    assert told.allowed_at is None


def test_quiet_hours_defer_to_their_end(plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime) -> None:
    policy = Policy(replace(plain_catalogue, quiet_hours=NIGHT))
    screening = judge(policy, inputs_of)
    assert {one.message_key.split("/")[1] for one in screening.excluded} == {"email"}
    assert excluded(screening) == Excluded(
        message_key=KEY,
        reasons=(Exclusion.QUIET_HOURS,),
        details=("",),
        allowed_at=datetime(2026, 11, 1, 14, tzinfo=UTC),
    )
    assert reasons(judge(policy, inputs_of, now=datetime(2026, 11, 1, 14, tzinfo=UTC))) == ()
    unknown = {"time_zone": None, "plausible_zones": ("Europe/Berlin", "Europe/London")}
    assert excluded(judge(policy, inputs_of, **unknown)).allowed_at == datetime(2026, 11, 1, 15, tzinfo=UTC)


def test_the_allowed_moment_is_never_in_quiet_hours_or_after_the_offer_ends(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    rules = ContactPolicy(caps=(Cap(cap_id="day", scope=CapScope.EVERYTHING, limit=1, window_seconds=DAY),))
    catalogue = replace(plain_catalogue, contact_policy=rules, quiet_hours=NIGHT)
    before = datetime(2026, 11, 1, 10, tzinfo=UTC)  # 11:00 in Berlin, an hour before quiet hours
    awake_again = datetime(2026, 11, 1, 14, tzinfo=UTC)
    for end, expected in ((awake_again + timedelta(seconds=1), awake_again), (awake_again, None)):
        policy = with_offer(catalogue, valid_until=end)
        book = LiveState(contacts=(contact(policy, KEY, before - timedelta(hours=21, minutes=30)),))
        told = excluded(judge(policy, inputs_of, live=book, now=before))
        assert told.reasons == (Exclusion.CAP_REACHED,)
        assert told.allowed_at == expected
    always = QuietHours(rules=(QuietRule(channels=frozenset({"email"})),))
    asleep = judge(Policy(replace(plain_catalogue, quiet_hours=always)), inputs_of)
    assert (excluded(asleep).reasons, excluded(asleep).allowed_at) == ((Exclusion.QUIET_HOURS,), None)
    capped = judge(
        Policy(replace(plain_catalogue, contact_policy=rules, quiet_hours=always)),
        inputs_of,
        live=LiveState(contacts=(contact(policy, KEY, now - timedelta(hours=1)),)),
    )
    assert excluded(capped).allowed_at is None
    assert excluded(capped, "ten-percent/push/plain").allowed_at == now + timedelta(hours=23)


def test_there_is_no_allowed_moment_if_the_channel_stays_quiet_for_weeks(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    caps = ContactPolicy(caps=(Cap(cap_id="day", scope=CapScope.EVERYTHING, limit=1, window_seconds=DAY),))
    days = frozenset(now.date() + timedelta(days=number) for number in range(1, 30))
    holidays = QuietHours(rules=(QuietRule(only_holidays=True),), holidays={"DE": days})
    policy = Policy(replace(plain_catalogue, contact_policy=caps, quiet_hours=holidays))
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(contact(policy, KEY, now),))))
    assert (told.reasons, told.allowed_at) == ((Exclusion.CAP_REACHED,), None)


def test_an_offer_that_is_not_yet_valid_says_when_it_will_be(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    start = now + timedelta(days=2)
    policy = with_offer(plain_catalogue, valid_from=start)
    told = excluded(judge(policy, inputs_of))
    assert (told.reasons, told.allowed_at) == ((Exclusion.NOT_YET_VALID,), start)
    both = excluded(judge(policy, inputs_of, reachable_channels=frozenset()))
    assert both.allowed_at is None


@pytest.mark.parametrize(
    ("message_class", "moment"),
    [
        (MessageClass.TRANSACTIONAL, datetime(2026, 11, 2, 12, tzinfo=UTC)),
        (MessageClass.SERVICE, datetime(2026, 11, 2, 14, tzinfo=UTC)),
    ],
)
def test_a_class_that_bypasses_quiet_hours_does_not_wait_for_them(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, message_class: MessageClass, moment: datetime
) -> None:
    at_night = now + timedelta(days=1)
    resting = replace(plain_catalogue, quiet_hours=NIGHT)
    policy = with_offer(resting, message_class=message_class, purpose="service", valid_from=at_night)
    assert excluded(judge(policy, inputs_of)).allowed_at == moment


def test_a_used_up_limit_refuses_only_messages_that_would_use_it(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    slots = Limit(limit_id="slots", scope=LimitScope.CHANNEL, of="email", amount=10, period=Period.DAY)
    budget = Limit(limit_id="budget", scope=LimitScope.DEPARTMENT, of="marketing", measure=LimitMeasure.COST, amount=5)
    policy = Policy(replace(plain_catalogue, limits=(slots, budget)))
    used = {"limit:slots:2026-11-01": 10.0, "limit:budget:total": 4.5}
    screening = judge(policy, inputs_of, supply=Supply(used=used))
    told = excluded(screening)
    assert told.reasons in {(Exclusion.CAPACITY_FULL,), (Exclusion.BUDGET_SPENT,)}
    assert reasons(screening, "opening-hours/email/plain") == (Exclusion.CAPACITY_FULL,)
    assert excluded(screening, "opening-hours/email/plain").allowed_at == datetime(2026, 11, 2, tzinfo=UTC)
    assert reasons(screening, "ten-percent/push/plain") == ()  # half a cent is left
    assert judge(policy, inputs_of).excluded == ()


def test_a_limit_on_one_offer_leaves_the_others_alone(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    seats = Limit(limit_id="seats", scope=LimitScope.OFFER, of="ten-percent", amount=2)
    policy = Policy(replace(plain_catalogue, limits=(seats,)))
    screening = judge(policy, inputs_of, supply=Supply(used={"limit:seats:total": 2.0}))
    assert {one.message_key.split("/")[0] for one in screening.excluded} == {"ten-percent"}
    assert excluded(screening).details == ("limit seats: 2 of 2 messages",)
