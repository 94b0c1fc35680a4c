"""Service before sales: how cases open, cool down, close and open again, and which messages they pause."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import (
    DEFAULT_CARE,
    CarePolicy,
    CareStanding,
    Case,
    CaseState,
    care_standing,
    case_standing,
    check_care,
    cooldown_seconds,
    paused_classes,
)
from decisioning.catalogue.message import MessageClass
from decisioning.errors import InvalidInputError, InvalidPolicyError

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
BAG = DEFAULT_CARE.kinds["lost_item"]


def case_of(opened: datetime | None, resolved: datetime | None = None, **fields: str) -> Case:
    known = {"case_id": "c1", "kind": "lost_item", "severity": "normal"} | fields
    return Case(opened_at=opened, resolved_at=resolved, **known)


# --- one case


@pytest.mark.parametrize(
    ("case", "state", "until"),
    [
        (case_of(NOW - DAY), CaseState.OPEN, NOW + 59 * DAY),
        (case_of(NOW + DAY), CaseState.OPEN, NOW + 61 * DAY),
        (case_of(NOW - 60 * DAY + TICK), CaseState.OPEN, NOW + TICK),
        (case_of(NOW - 60 * DAY), CaseState.CLOSED, None),
        (case_of(NOW - DAY, NOW - HOUR), CaseState.COOLING_DOWN, NOW - HOUR + 7 * DAY),
        (case_of(NOW - DAY, NOW - DAY), CaseState.COOLING_DOWN, NOW + 6 * DAY),
        (case_of(NOW - DAY, NOW - HOUR, severity="high"), CaseState.COOLING_DOWN, NOW - HOUR + 21 * DAY),
        (case_of(NOW - DAY, NOW - HOUR, severity="low"), CaseState.COOLING_DOWN, NOW - HOUR + 2 * DAY),
        (case_of(NOW - DAY, NOW - HOUR, severity="apocalyptic"), CaseState.COOLING_DOWN, NOW - HOUR + 21 * DAY),
        (case_of(NOW - 9 * DAY, NOW - 7 * DAY), CaseState.CLOSED, None),
        (case_of(NOW - 9 * DAY, NOW - 7 * DAY + TICK), CaseState.COOLING_DOWN, NOW + TICK),
        (case_of(NOW - HOUR, NOW - DAY), CaseState.OPEN, NOW - HOUR + 60 * DAY),  # opened again
        (case_of(NOW - DAY, NOW + HOUR), CaseState.OPEN, NOW + HOUR + 7 * DAY),  # the sender's clock is ahead of ours
        (
            case_of(None, NOW - HOUR, severity=""),
            CaseState.COOLING_DOWN,
            NOW - HOUR + 7 * DAY,
        ),  # its opening has not arrived yet
        (case_of(None), CaseState.CLOSED, None),
    ],
)
def test_the_state_of_a_case_follows_from_its_latest_opening_and_resolution(
    case: Case, state: CaseState, until: datetime | None
) -> None:
    assert case_standing(DEFAULT_CARE, case, NOW) == (state, until)


def test_a_case_without_a_maximum_duration_stays_open_until_it_is_resolved() -> None:
    endless = CarePolicy(kinds={"lost_item": replace(BAG, max_open_seconds=None)})
    assert case_standing(endless, case_of(NOW - 999 * DAY), NOW) == (CaseState.OPEN, None)


def test_the_state_of_a_case_of_an_undeclared_kind_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="declared"):
        case_standing(DEFAULT_CARE, case_of(NOW, kind="rain"), NOW)
    assert care_standing(DEFAULT_CARE, [case_of(NOW, kind="rain"), case_of(NOW, kind="")], NOW) == CareStanding()


def test_without_a_declared_cooldown_there_is_none() -> None:
    assert cooldown_seconds(replace(BAG, cooldown_seconds={}), "normal") == 0


# --- several cases


def test_the_most_severe_case_is_shown_and_the_longest_pause_applies() -> None:
    cooling = case_of(NOW - DAY, NOW - HOUR, case_id="cooling", severity="high")
    open_ = case_of(NOW - 50 * DAY, case_id="open")
    closed = case_of(NOW - 90 * DAY, NOW - 80 * DAY, case_id="closed")
    standing = care_standing(DEFAULT_CARE, [closed, cooling, open_], NOW)
    assert (standing.state, standing.case, standing.open_count) == (CaseState.OPEN, open_, 1)
    assert standing.until == NOW - HOUR + 21 * DAY
    assert care_standing(DEFAULT_CARE, [closed], NOW) == CareStanding(state=CaseState.CLOSED, case=closed)
    later = case_of(NOW - DAY, case_id="later")
    assert care_standing(DEFAULT_CARE, [open_, later], NOW).case == later


def test_the_channel_is_that_of_the_latest_case_that_is_not_closed() -> None:
    def told(*cases: Case) -> str | None:
        return care_standing(DEFAULT_CARE, cases, NOW).channel_id

    call = case_of(NOW - 5 * DAY, channel_id="call")
    post = case_of(NOW - 2 * DAY, NOW - HOUR, channel_id="social_dm", case_id="c2")
    unknown = case_of(NOW - DAY, case_id="c3")
    over = case_of(NOW - 90 * DAY, NOW - 80 * DAY, channel_id="email", case_id="c4")
    assert told(call, post, unknown, over) == told(over, unknown, post, call) == "social_dm"
    assert told(call, unknown) == "call"
    assert told(unknown, over) is None
    assert told(case_of(None, NOW - HOUR, channel_id="call")) is None


def test_a_case_that_never_expires_pauses_without_end() -> None:
    endless = CarePolicy(kinds={"lost_item": BAG, "outage": replace(BAG, kind="outage", max_open_seconds=None)})
    cases = [case_of(NOW - DAY), case_of(NOW - DAY, case_id="c2", kind="outage")]
    standing = care_standing(endless, cases, NOW)
    assert (standing.until, standing.open_count) == (None, 2)
    assert standing.case == cases[1]


def test_open_and_cooling_cases_pause_marketing_and_nothing_else() -> None:
    for case, is_paused in (
        (case_of(NOW - DAY), True),
        (case_of(NOW - DAY, NOW - HOUR), True),
        (case_of(NOW - 90 * DAY, NOW - 80 * DAY), False),
    ):
        standing = care_standing(DEFAULT_CARE, [case], NOW)
        paused = paused_classes(DEFAULT_CARE, standing)
        assert paused == ({MessageClass.MARKETING} if is_paused else set())
    assert not paused_classes(DEFAULT_CARE, CareStanding())


def test_other_classes_can_be_paused_too() -> None:
    policy = replace(DEFAULT_CARE, paused_classes=frozenset({MessageClass.SERVICE}))
    standing = care_standing(policy, [case_of(NOW)], NOW)
    assert paused_classes(policy, standing) == {MessageClass.SERVICE}


# --- invariants

MOMENTS = st.none() | st.integers(-20, 5).map(lambda days: NOW + days * DAY)
accounts = st.builds(
    Case,
    case_id=st.just("c1"),
    kind=st.sampled_from(["outage", "lost_item"]),
    severity=st.sampled_from(["low", "normal", "high"]),
    opened_at=MOMENTS,
    resolved_at=MOMENTS,
)


@settings(max_examples=100)
@given(case=accounts)
def test_a_case_is_open_exactly_when_its_latest_opening_is_after_its_latest_resolution(case: Case) -> None:
    is_open = case.opened_at is not None and (case.resolved_at is None or case.opened_at > case.resolved_at)
    standing = care_standing(DEFAULT_CARE, [case], NOW + 10 * DAY)
    assert (standing.state is CaseState.OPEN) is is_open


@settings(max_examples=100)
@given(heard=st.lists(accounts, min_size=1, max_size=4), data=st.data())
def test_the_order_of_cases_does_not_matter_and_one_more_never_ends_a_pause(
    heard: list[Case], data: st.DataObject
) -> None:
    cases = [replace(case, case_id=f"c{number}") for number, case in enumerate(heard)]
    standing = care_standing(DEFAULT_CARE, cases, NOW)
    assert care_standing(DEFAULT_CARE, data.draw(st.permutations(cases)), NOW) == standing
    if paused_classes(DEFAULT_CARE, care_standing(DEFAULT_CARE, cases[:-1], NOW)):
        assert paused_classes(DEFAULT_CARE, standing)


@settings(max_examples=100)
@given(heard=st.lists(accounts, min_size=1, max_size=4))
def test_marketing_is_paused_until_exactly_the_stated_moment(heard: list[Case]) -> None:
    cases = [replace(case, case_id=f"c{number}") for number, case in enumerate(heard)]
    standing = care_standing(DEFAULT_CARE, cases, NOW)
    if standing.until is not None:
        before = care_standing(DEFAULT_CARE, cases, standing.until - TICK)
        assert paused_classes(DEFAULT_CARE, before)
        assert not paused_classes(DEFAULT_CARE, care_standing(DEFAULT_CARE, cases, standing.until))


# --- the check


def test_the_default_care_policy_is_valid() -> None:
    check_care(DEFAULT_CARE)
    check_care(CarePolicy())
    assert set(DEFAULT_CARE.kinds) == {"complaint", "outage", "failed_payment", "delayed_delivery", "lost_item"}


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"bag": BAG}, "under its name"),
        ({"": replace(BAG, kind="")}, "under its name"),
        ({"lost_item": replace(BAG, cooldown_seconds={"normal": -1.0})}, "cooldown"),
        ({"lost_item": replace(BAG, cooldown_seconds={"normal": float("inf")})}, "cooldown"),
        ({"lost_item": replace(BAG, default_severity="odd")}, "default_severity"),
        ({"lost_item": replace(BAG, max_open_seconds=0.0)}, "max_open_seconds"),
        ({"lost_item": replace(BAG, answer_within_seconds=0.0)}, "answer_within_seconds"),
    ],
)
def test_kinds_that_cannot_work_are_refused(kinds: dict, words: str) -> None:
    with pytest.raises(InvalidPolicyError, match=words):
        check_care(CarePolicy(kinds=kinds))
