"""A message is sent at the hour in which it does most, within the wait that its touchpoint allows."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Holdout
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.choice.waiting import AT_ONCE, WORTH_WAITING, left_put_off
from decisioning.decision import ONE_PLACEMENT, Action, Decision, Inputs, Placement, PutOff, Reason
from decisioning.explanation.agent_sentences import tell_agent
from decisioning.explanation.auditor_sentences import tell_auditor
from decisioning.explanation.customer_texts import CUSTOMER_TEXTS
from decisioning.explanation.plain_words import plain_reason
from decisioning.explanation.why_not import why_not_then
from decisioning.foresight.hours import HOURS, HourEffects, HourGroup
from decisioning.foresight.slots import Foresight
from decisioning.policy import Policy, decide
from decisioning.record.compact import compact_record, decision_from_compact
from decisioning.record.document import decision_from_record, decision_to_record, replay
from tests.decisioning.generated import made_catalogue, made_inputs
from tests.decisioning.record.test_compact import row_of, vocabulary_of

type MakeInputs = Callable[..., Inputs]
KEY, OTHER, SERVICE = "ten-percent/push/plain", "free-coffee/push/plain", "opening-hours/push/plain"
TOUCHPOINT = "app-home"
MONDAY_2 = datetime(2026, 11, 2, 2, 20, tzinfo=UTC)
"""Monday, 02:20 in UTC."""
NINE_O_CLOCK = datetime(2026, 11, 2, 9, tzinfo=UTC)
EARLIER = PutOff(asked_at=MONDAY_2 - timedelta(hours=1), until=NINE_O_CLOCK)


def week(**added: float) -> dict[int, float]:
    """Nothing but what is named, by hour of the week: `h9=30.0`."""
    return {hour: added.get(f"h{hour}", 0.0) for hour in range(HOURS)}


NINE = {("push", ""): week(h9=30.0)}


def waiting(catalogue: Catalogue, hours: float = 24.0, **fields: Any) -> Policy:
    touchpoint = replace(catalogue.touchpoints[TOUCHPOINT], wait_seconds=round(hours * 3600))
    return Policy(replace(catalogue, touchpoints={**catalogue.touchpoints, TOUCHPOINT: touchpoint}, **fields))


def decided(
    policy: Policy,
    inputs_of: MakeInputs,
    gains: Mapping[str, float],
    hours: Mapping[HourGroup, Mapping[int, float]] = NINE,
    now: datetime = MONDAY_2,
    **fields: Any,
) -> Decision:
    keys = [message.key for message in policy.candidates(TOUCHPOINT)]
    scores = np.array([1_000.0, *(1_000.0 + gains.get(key, -500.0) for key in keys)])
    foresight = Foresight(hours=HourEffects(by_group=hours))
    rest: dict[str, Any] = {"touchpoint_id": TOUCHPOINT, "expected_values": scores, "foresight": foresight, "now": now}
    rest["excluded_offers"] = frozenset({"opening-hours"})
    inputs = inputs_of(policy, **(rest | fields))
    customer = inputs.customer
    assert customer is not None
    return decide(policy, replace(inputs, customer=replace(customer, time_zone="UTC")), "D-1")


def test_an_ask_is_put_off_to_the_hour_in_which_a_message_does_most(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    found = decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0})
    nine = datetime(2026, 11, 2, 9, tzinfo=UTC)
    assert (found.action, found.reason, found.retry_at) == (Action.HOLD, Reason.BETTER_HOUR, nine)
    assert found.better_hour is not None
    assert (found.better_hour.message_key, found.better_hour.at) == (KEY, nine)
    assert (found.better_hour.priority_minor, found.better_hour.present_minor) == (79.5, 49.5)
    assert (found.action_probability, found.best.message_key) == (1.0, "silence")


def test_at_its_best_hour_a_message_goes_and_is_worth_what_the_hour_adds(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    found = decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}, now=datetime(2026, 11, 2, 9, 59, tzinfo=UTC))
    assert (found.message_key, found.reason) == (KEY, Reason.MODEL)
    assert (found.evaluated[1].hour_minor, found.evaluated[1].priority_minor) == (30.0, 79.5)


def test_a_message_that_does_not_pay_now_waits_for_the_hour_in_which_it_does(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    assert decided(waiting(plain_catalogue), inputs_of, {KEY: -10.0}).reason is Reason.BETTER_HOUR
    assert decided(waiting(plain_catalogue), inputs_of, {KEY: -31.0}).reason is Reason.SILENCE_BEST


def test_what_gains_too_little_does_not_wait(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    enough = 49.5 * (WORTH_WAITING - 1)
    for added, reason in ((enough - 0.01, Reason.MODEL), (enough + 0.01, Reason.BETTER_HOUR)):
        assert (
            decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}, {("push", ""): week(h9=added)}).reason is reason
        )


def test_hours_beyond_the_wait_are_not_waited_for(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    found = decided(waiting(plain_catalogue, hours=6.5), inputs_of, {KEY: 50.0})
    assert found.message_key == KEY
    assert decided(waiting(plain_catalogue, hours=7.0), inputs_of, {KEY: 50.0}).action is Action.HOLD


def test_message_channel_and_hour_are_chosen_together(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """The better message now may be the worse one then, by the hours of its own kind."""
    kinds = {one: plain_catalogue.offers[one].kind for one in ("ten-percent", "free-coffee")}
    assert len(set(kinds.values())) == 2
    hours = {("push", kinds["ten-percent"]): week(h9=5.0), ("push", kinds["free-coffee"]): week(h18=40.0)}
    found = decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0, OTHER: 45.0}, hours)
    assert found.better_hour is not None
    assert (found.better_hour.message_key, found.better_hour.at.hour) == (OTHER, 18)


def test_quiet_hours_are_not_waited_for(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    rest = QuietHours(rules=(QuietRule(from_minute=8 * 60, until_minute=9 * 60 + 30),))
    begun = decided(waiting(plain_catalogue, quiet_hours=rest), inputs_of, {KEY: 50.0})
    assert begun.retry_at == datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    whole = QuietHours(rules=(QuietRule(from_minute=8 * 60, until_minute=11 * 60),))
    later = {("push", ""): week(h9=30.0, h14=10.0)}
    assert decided(waiting(plain_catalogue, quiet_hours=whole), inputs_of, {KEY: 50.0}, later).retry_at == datetime(
        2026, 11, 2, 14, tzinfo=UTC
    )


def test_a_message_that_rests_now_is_put_off_to_its_best_hour_at_once(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    night = QuietHours(rules=(QuietRule(from_minute=21 * 60, until_minute=8 * 60),))
    found = decided(waiting(plain_catalogue, quiet_hours=night), inputs_of, {KEY: 50.0})
    assert (found.reason, found.retry_at) == (Reason.BETTER_HOUR, datetime(2026, 11, 2, 9, tzinfo=UTC))


def test_from_the_promised_hour_on_nothing_waits_any_more(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = waiting(plain_catalogue)
    nine = datetime(2026, 11, 2, 9, tzinfo=UTC)
    put_off = PutOff(asked_at=MONDAY_2, until=nine)
    for late in (timedelta(0), timedelta(hours=23, minutes=59)):
        found = decided(
            policy,
            inputs_of,
            {KEY: 50.0},
            {("push", ""): week(h9=9.0, h10=50.0, h33=90.0)},
            nine + late,
            put_off=put_off,
        )
        assert found.message_key == KEY
    over = decided(
        policy, inputs_of, {KEY: 50.0}, {("push", ""): week(h34=90.0)}, nine + timedelta(hours=24), put_off=put_off
    )
    assert over.reason is Reason.BETTER_HOUR


def test_an_early_ask_waits_within_the_first_wait(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    put_off = PutOff(asked_at=MONDAY_2, until=datetime(2026, 11, 2, 9, tzinfo=UTC))
    hours = {("push", ""): week(h9=30.0, h27=90.0)}  # 03:00 of the next day is more than 24 hours after the first ask
    early = datetime(2026, 11, 2, 8, tzinfo=UTC)
    assert (
        decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}, hours, early, put_off=put_off).retry_at
        == put_off.until
    )
    assert decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}, hours, early).retry_at == datetime(
        2026, 11, 3, 3, tzinfo=UTC
    )


def test_what_is_owed_does_not_wait(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = waiting(plain_catalogue)
    found = decided(policy, inputs_of, {KEY: -10.0}, excluded_offers=frozenset())
    assert found.message_key == SERVICE
    assert found.evaluated[1].hour_minor == 0.0


@pytest.mark.parametrize(
    "fields",
    [
        {"placements": (*ONE_PLACEMENT, Placement(placement_id="2"))},
        {"allocated": KEY},
        {"foresight": None},
        {"foresight": Foresight()},
    ],
)
def test_slates_plans_and_unknown_hours_are_decided_at_once(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, fields: dict[str, Any]
) -> None:
    assert decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}, **fields).message_key == KEY


def test_without_a_known_zone_the_hour_says_nothing(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    anywhere = QuietHours(unknown_zones=("Europe/Berlin", "Europe/Lisbon"))
    policy = waiting(plain_catalogue, quiet_hours=anywhere)
    made = decided(policy, inputs_of, {KEY: 50.0}).inputs
    assert made.customer is not None
    unknown = replace(made, customer=replace(made.customer, time_zone=None))
    assert decide(policy, unknown, "D-2").message_key == KEY


def test_an_offer_that_would_arrive_too_late_does_not_wait(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    ends = datetime(2026, 11, 2, 8, tzinfo=UTC)
    offers = {**plain_catalogue.offers, "ten-percent": replace(plain_catalogue.offers["ten-percent"], valid_until=ends)}
    assert decided(waiting(plain_catalogue, offers=offers), inputs_of, {KEY: 50.0}).message_key == KEY


def test_where_nothing_may_wait_the_hour_changes_nothing(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = waiting(plain_catalogue, hours=0.0)
    found, blind = decided(policy, inputs_of, {KEY: 50.0}), decided(policy, inputs_of, {KEY: 50.0}, foresight=None)
    assert decision_to_record(found) == decision_to_record(blind)
    assert policy.version == waiting(plain_catalogue, hours=0.0).version


def test_some_asks_are_decided_at_once_where_something_is_left_to_chance(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = waiting(plain_catalogue, exploration=Exploration(epsilon=0.1))
    held = [
        decided(policy, inputs_of, {KEY: 50.0}, request_key=f"k{number}").reason is Reason.BETTER_HOUR
        for number in range(400)
    ]
    assert 0.5 * AT_ONCE < 1 - np.mean(held) < 1.5 * AT_ONCE
    certain = waiting(plain_catalogue)
    assert all(
        decided(certain, inputs_of, {KEY: 50.0}, request_key=f"k{number}").better_hour is not None
        for number in range(40)
    )


def test_a_held_out_customer_is_put_off_alike(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = waiting(plain_catalogue, holdout=Holdout(share=0.99, salt="h"))
    found = decided(policy, inputs_of, {KEY: 50.0})
    assert (found.reason, found.ghost) == (Reason.HOLDOUT, None)
    assert found.retry_at == datetime(2026, 11, 2, 9, tzinfo=UTC)
    later = decided(policy, inputs_of, {KEY: 50.0}, now=datetime(2026, 11, 2, 9, tzinfo=UTC))
    assert later.ghost is not None
    assert later.ghost.message_key == KEY


def test_everybody_is_told_what_the_ask_waits_for(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    found = decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0, OTHER: 20.0})
    assert "expected to do most from 2026-11-02T09:00+00:00" in " ".join(tell_agent(found))
    assert "has priority 79.5 at 2026-11-02T09:00:00+00:00, the best choice now 49.5" in " ".join(tell_auditor(found))
    assert "the ask was put off, since it is worth 79.50" in why_not_then(found, "ten-percent").sentence
    assert f"since {KEY} is worth 79.50" in why_not_then(found, "free-coffee").sentence
    said = plain_reason(found, "EUR")
    assert "expected to bring 0.80 EUR after its cost from 2026-11-02T09:00+00:00" in said
    assert all(texts.why_held[Reason.BETTER_HOUR] for texts in CUSTOMER_TEXTS.values())
    again = decided(
        waiting(plain_catalogue),
        inputs_of,
        {KEY: 50.0},
        now=MONDAY_2 + timedelta(hours=7),
        put_off=PutOff(asked_at=MONDAY_2, until=datetime(2026, 11, 2, 9, tzinfo=UTC)),
    )
    told = " ".join(tell_auditor(again))
    assert "Put off before: at 2026-11-02T02:20:00+00:00 until 2026-11-02T09:00:00+00:00." in told
    assert "(worth 50.0000, uplift 50.0 + hour 30.0" in told


def test_a_record_holds_the_hours_that_decided_and_replays_bit_for_bit(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = waiting(plain_catalogue)
    put_off = PutOff(asked_at=MONDAY_2 - timedelta(hours=1), until=datetime(2026, 11, 2, 9, tzinfo=UTC))
    made = decided(policy, inputs_of, {KEY: 50.0}, put_off=put_off)
    record = orjson.loads(orjson.dumps(decision_to_record(made)))
    assert record["inputs"]["foresight"]["hours"] == [{"channel": "push", "kind": "", "added": {"2": 0.0, "9": 30.0}}]
    assert decision_to_record(replay(policy, record)) == record


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({}, PutOff(asked_at=MONDAY_2, until=NINE_O_CLOCK)),
        ({"put_off": EARLIER}, PutOff(asked_at=EARLIER.asked_at, until=NINE_O_CLOCK)),
        ({"put_off": EARLIER, "now": NINE_O_CLOCK}, None),
        ({"put_off": EARLIER, "foresight": None}, None),
    ],
)
def test_the_log_keeps_what_waits_and_what_is_left_for_the_next_ask(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, fields: dict[str, Any], left: PutOff | None
) -> None:
    policy = waiting(plain_catalogue)
    made = decided(policy, inputs_of, {KEY: 50.0}, **fields)
    assert left_put_off(made) == left
    vocabulary = vocabulary_of(policy, made)
    kept = orjson.loads(orjson.dumps(compact_record(made, vocabulary)))
    assert decision_to_record(decision_from_compact(row_of(made), kept, vocabulary)) == decision_to_record(made)


def test_where_every_hour_within_the_wait_is_quiet_nothing_waits(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    rest = QuietHours(rules=(QuietRule(from_minute=3 * 60, until_minute=2 * 60),))
    assert decided(waiting(plain_catalogue, 12.0, quiet_hours=rest), inputs_of, {KEY: 50.0}).message_key == KEY
    letters = {("letter", ""): week(h9=30.0)}
    assert decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}, letters).message_key == KEY


def test_a_put_off_without_its_hour_is_still_told(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    found = decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0})
    assert "a message does more at a later hour" in plain_reason(replace(found, better_hour=None))


def made_hours(policy: Policy, seed: int) -> HourEffects:
    random = Random(seed)
    catalogue = policy.catalogue
    groups = [(channel, kind) for channel in catalogue.channels for kind in ("", *catalogue.offer_kinds)]
    return HourEffects(
        by_group={
            group: {hour: random.gauss(0, 50) for hour in range(HOURS)} for group in groups if random.random() < 0.6
        }
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), hours=st.sampled_from([1, 24, 168]))
def test_whatever_is_declared_waits_are_kept_and_records_come_back(seed: int, hours: int) -> None:
    catalogue = made_catalogue(seed)
    touchpoints = {name: replace(one, wait_seconds=hours * 3600) for name, one in catalogue.touchpoints.items()}
    policy = Policy(replace(catalogue, touchpoints=touchpoints))
    for customer in range(3):
        inputs = replace(made_inputs(policy, seed + customer), foresight=Foresight(hours=made_hours(policy, seed)))
        made = decide(policy, inputs, f"D-{customer}")
        record = orjson.loads(orjson.dumps(decision_to_record(made)))
        assert sum(one.probability for one in made.evaluated) == pytest.approx(1.0, abs=1e-12)
        assert decision_to_record(replay(policy, record)) == record
        assert decision_to_record(decision_from_record(record)) == record
        vocabulary = vocabulary_of(policy, made)
        kept = orjson.loads(orjson.dumps(compact_record(made, vocabulary)))
        assert decision_to_record(decision_from_compact(row_of(made), kept, vocabulary)) == record
        better = made.better_hour
        if better is not None:
            assert inputs.now < better.at <= inputs.now + timedelta(hours=hours + 1)
            asked_then = replace(inputs, now=better.at, put_off=PutOff(asked_at=inputs.now, until=better.at))
            assert decide(policy, asked_then, "D-then").better_hour is None


def test_hours_are_those_of_clocks_that_are_changed_meanwhile(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    """In the night to 29 March clocks in Berlin jump from two to three, so that nine comes an hour sooner."""
    evening = datetime(2026, 3, 28, 19, 20, tzinfo=UTC)  # a Saturday
    made = decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}).inputs
    assert made.customer is not None
    berlin = replace(made.customer, time_zone="Europe/Berlin")
    hours = Foresight(hours=HourEffects(by_group={("push", ""): week(h153=30.0)}))  # Sunday, nine
    found = decide(waiting(plain_catalogue), replace(made, customer=berlin, now=evening, foresight=hours), "D-3")
    assert found.retry_at == datetime(2026, 3, 29, 7, tzinfo=UTC)


def test_a_wait_that_ends_within_the_hour_and_an_hour_that_is_not_known_add_nothing(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    assert decided(waiting(plain_catalogue, hours=0.5), inputs_of, {KEY: 50.0}).message_key == KEY
    unknown = decided(waiting(plain_catalogue), inputs_of, {KEY: 50.0}, {("push", ""): {9: 0.0}})
    assert (unknown.message_key, unknown.evaluated[1].hour_minor) == (KEY, 0.0)
