"""One conversation across channels: a message that was seen is followed up, not repeated; channels have purposes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Response, Touch
from decisioning.catalogue.conversation import SEEN_OUTCOMES, Conversation, seen_lately
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES
from decisioning.decision import Decision, Excluded, Exclusion, Inputs
from decisioning.errors import InvalidPolicyError
from decisioning.explanation.explanation import Reader, explain_decision
from decisioning.explanation.nearest_change import nearest_change
from decisioning.live import LiveState
from decisioning.permit import decided_of, permit
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_from_record, decision_to_record, replay
from tests.touches import make_touch

type MakeInputs = Callable[..., Inputs]

WEEK = timedelta(days=7)
FOLLOWING = "ten-percent/push/plain"
ORDINARY = "ten-percent/email/plain"


def touch(channel_id: str = "email", offer_id: str = "ten-percent", creative_id: str = "plain") -> Touch:
    return make_touch(offer_id, channel_id, creative_id=creative_id)


def seen(at: datetime, channel_id: str = "email", outcome: str = "viewed") -> LiveState:
    return LiveState(responses=(Response(outcome=outcome, touch=touch(channel_id), at=at),))


@pytest.fixture
def talking(plain_catalogue: Catalogue) -> Policy:
    """`ten-percent` starts by e-mail and is followed up by push; other offers stand alone."""
    conversation = Conversation(seen_seconds=WEEK.total_seconds(), follow_ups=frozenset({FOLLOWING}))
    return Policy(replace(plain_catalogue, conversation=conversation))


def decided(policy: Policy, inputs: Inputs) -> Decision:
    """Decide, and check that the record replays to the same decision."""
    record = orjson.loads(orjson.dumps(decision_to_record(decide(policy, inputs, "D-1"))))
    assert decision_to_record(replay(policy, record)) == record
    return decision_from_record(record)


def refusals(decision: Decision) -> Mapping[str, Excluded]:
    return {one.message_key: one for one in decision.excluded}


def codes(decision: Decision) -> dict[str, tuple[Exclusion, ...]]:
    return {key: one.reasons for key, one in refusals(decision).items()}


def test_before_anything_is_seen_only_the_first_message_is_possible(talking: Policy, inputs_of: MakeInputs) -> None:
    assert codes(decided(talking, inputs_of(talking))) == {FOLLOWING: (Exclusion.NOTHING_TO_FOLLOW,)}


@pytest.mark.parametrize("outcome", sorted(SEEN_OUTCOMES))
def test_a_message_that_was_seen_is_followed_up_and_not_repeated_on_any_channel(
    talking: Policy, inputs_of: MakeInputs, now: datetime, outcome: str
) -> None:
    decision = decided(talking, inputs_of(talking, live=seen(now - timedelta(days=1), outcome=outcome)))
    assert codes(decision) == {ORDINARY: (Exclusion.ALREADY_SEEN,)}
    assert refusals(decision)[ORDINARY].details == ("on email",)
    assert refusals(decision)[ORDINARY].allowed_at == now + timedelta(days=6)
    assert decision.message_key == FOLLOWING
    elsewhere = inputs_of(talking, live=seen(now, channel_id="call", outcome=outcome))
    assert codes(decided(talking, elsewhere)) == {ORDINARY: (Exclusion.ALREADY_SEEN,)}


def test_a_follow_up_that_was_seen_ends_the_conversation_until_memory_runs_out(
    talking: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    begun, followed = seen(now - timedelta(days=2)), seen(now - timedelta(days=1), channel_id="push")
    live = LiveState(responses=begun.responses + followed.responses)
    decision = decided(talking, inputs_of(talking, live=live))
    assert codes(decision) == {ORDINARY: (Exclusion.ALREADY_SEEN,), FOLLOWING: (Exclusion.ALREADY_SEEN,)}
    assert refusals(decision)[ORDINARY].details == ("on push",)


def test_memory_lasts_as_long_as_declared_to_the_second(talking: Policy, inputs_of: MakeInputs, now: datetime) -> None:
    just = timedelta(seconds=1)
    assert ORDINARY in codes(decided(talking, inputs_of(talking, live=seen(now - WEEK + just))))
    assert codes(decided(talking, inputs_of(talking, live=seen(now - WEEK)))) == {
        FOLLOWING: (Exclusion.NOTHING_TO_FOLLOW,)
    }


@pytest.mark.parametrize("outcome", ["delivered", "accepted", "declined", "bounced"])
def test_a_delivered_message_does_not_count_as_seen(
    talking: Policy, inputs_of: MakeInputs, now: datetime, outcome: str
) -> None:
    decision = decided(talking, inputs_of(talking, live=seen(now, outcome=outcome)))
    assert codes(decision) == {FOLLOWING: (Exclusion.NOTHING_TO_FOLLOW,)}


def test_without_a_conversation_every_message_stands_alone(
    plain_policy: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    assert decided(plain_policy, inputs_of(plain_policy, live=seen(now))).excluded == ()


@pytest.mark.parametrize("message_class", [MessageClass.MANDATORY, MessageClass.TRANSACTIONAL, MessageClass.RECOVERY])
def test_classes_that_may_repeat_still_need_a_first_message_before_a_follow_up(
    talking: Policy, inputs_of: MakeInputs, now: datetime, message_class: MessageClass
) -> None:
    offer = replace(talking.catalogue.offers["ten-percent"], message_class=message_class, purpose="service")
    offers = {**talking.catalogue.offers, "ten-percent": offer}
    policy = Policy(replace(talking.catalogue, offers=offers, classes=DEFAULT_CLASSES))
    assert codes(decided(policy, inputs_of(policy, live=seen(now)))) == {}
    assert codes(decided(policy, inputs_of(policy))) == {FOLLOWING: (Exclusion.NOTHING_TO_FOLLOW,)}


def test_a_permit_is_denied_if_the_message_was_seen_since_but_not_if_the_memory_of_a_follow_up_ran_out(
    talking: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    begin = decide(talking, inputs_of(talking, channels=frozenset({"email"})), "D-1")
    assert begin.message_key == ORDINARY
    later = replace(begin.inputs, now=now + timedelta(hours=2))
    assert permit(talking, decided_of(begin), later).is_allowed
    answer = permit(talking, decided_of(begin), replace(later, live=seen(now, channel_id="push")))
    assert (answer.reasons, answer.details) == ((Exclusion.ALREADY_SEEN,), ("on push",))
    follow = decide(talking, inputs_of(talking, live=seen(now - WEEK + timedelta(hours=1))), "D-2")
    assert follow.message_key == FOLLOWING
    assert permit(talking, decided_of(follow), replace(follow.inputs, now=now + timedelta(hours=2))).is_allowed


def test_the_nearest_change_for_a_seen_follow_up_removes_only_that_sighting(
    talking: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    live = LiveState(responses=seen(now).responses + seen(now, channel_id="push").responses)
    change = nearest_change(talking, decided(talking, inputs_of(talking, live=live)), "ten-percent", "push")
    assert change.is_verified


@pytest.mark.parametrize(
    ("reader", "locale", "words"),
    [
        (Reader.CUSTOMER, "en", "you have seen them already"),
        (Reader.CUSTOMER, "de", "Sie sie schon gesehen haben"),
        (Reader.AGENT, "en", "the customer has seen it already"),
        (Reader.AUDITOR, "en", "ALREADY_SEEN (on email)"),
    ],
)
def test_every_reader_is_told_why_a_message_is_not_repeated(
    talking: Policy, inputs_of: MakeInputs, now: datetime, reader: Reader, locale: str, words: str
) -> None:
    decision = decided(talking, inputs_of(talking, live=seen(now)))
    assert words in " ".join(explain_decision(decision, reader, locale))


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(st.tuples(st.sampled_from(["email", "push"]), st.integers(0, 20)), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_only_sightings_within_memory_decide_between_first_message_and_follow_up(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, days: list[tuple[str, int]], order: Any
) -> None:
    conversation = Conversation(seen_seconds=WEEK.total_seconds(), follow_ups=frozenset({FOLLOWING}))
    policy = Policy(replace(plain_catalogue, conversation=conversation))
    inputs = inputs_of(policy)
    responses = [
        Response(outcome="viewed", touch=touch(channel), at=inputs.now - timedelta(days=day)) for channel, day in days
    ]
    order.shuffle(responses)
    refused = codes(decide(policy, replace(inputs, live=LiveState(responses=tuple(responses))), "D-1"))
    is_seen = any(day < 7 for _, day in days)
    is_followed = any(day < 7 and channel == "push" for channel, day in days)
    assert (refused.get(ORDINARY) == (Exclusion.ALREADY_SEEN,)) is is_seen
    expected = Exclusion.ALREADY_SEEN if is_followed else None if is_seen else Exclusion.NOTHING_TO_FOLLOW
    assert refused.get(FOLLOWING) == (None if expected is None else (expected,))


def test_the_latest_of_several_sightings_is_reported(now: datetime) -> None:
    responses = [
        Response(outcome="viewed", touch=touch(channel), at=now - timedelta(days=days))
        for channel, days in (("email", 3), ("push", 1), ("display", 2))
    ]
    found = seen_lately(Conversation(seen_seconds=WEEK.total_seconds()), responses, now)
    assert found.offers["ten-percent"].channel_id == "push"


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e12, float("nan")])
def test_an_invalid_memory_is_refused(plain_catalogue: Catalogue, seconds: float) -> None:
    with pytest.raises(InvalidPolicyError, match="seen_seconds of the conversation must be in"):
        Policy(replace(plain_catalogue, conversation=Conversation(seen_seconds=seconds)))


def purposeful(catalogue: Catalogue, purposes: Mapping[str, frozenset[str]]) -> Policy:
    push = replace(catalogue.channels["push"], purposes=purposes)
    return Policy(replace(catalogue, channels={**catalogue.channels, "push": push}))


@pytest.mark.parametrize(
    ("stage", "purposes", "detail"),
    [
        ("active", {"active": frozenset({"care"})}, "in stage active push serves care"),
        ("active", {"new": frozenset({"loyalty"})}, "in stage active push serves nothing"),
        ("active", {"active": frozenset({"loyalty"})}, None),
        ("new", {"new": frozenset({"care", "loyalty"})}, None),
    ],
)
def test_a_channel_serves_the_goals_of_the_stage_and_no_others(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    stage: str,
    purposes: Mapping[str, frozenset[str]],
    detail: str | None,
) -> None:
    policy = purposeful(plain_catalogue, purposes)
    refused = refusals(decided(policy, inputs_of(policy, stage_id=stage)))
    if detail is None:
        assert FOLLOWING not in refused
    else:
        assert (refused[FOLLOWING].reasons, refused[FOLLOWING].details) == ((Exclusion.OTHER_PURPOSE,), (detail,))
    assert ORDINARY not in refused, "a channel without purposes serves every goal everywhere"


def test_a_channel_with_purposes_serves_nothing_if_the_stage_is_unknown(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = purposeful(plain_catalogue, {name: frozenset({"loyalty"}) for name in ("new", "active", "lapsed")})
    refused = refusals(decided(policy, inputs_of(policy, features=None)))
    assert refused["double-stamps/push/plain"].details == ("where no stage is known push serves nothing",)


def test_a_permit_does_not_check_the_purposes_of_the_channel_again(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = purposeful(plain_catalogue, {"active": frozenset({"loyalty"})})
    decision = decide(policy, inputs_of(policy, channels=frozenset({"push"})), "D-1")
    lapsed = replace(decision.inputs, features=None)
    assert permit(policy, decided_of(decision), lapsed).is_allowed
