"""The facts that rules can read from the live state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import DEFAULT_CARE, CarePolicy, Case, care_standing
from decisioning.catalogue.contact_policy import Contact
from decisioning.live import LiveState, RecentEvent, StageMove, live_facts, stage_moved_to
from decisioning.rules.predicate import FactValue
from tests.touches import make_touch

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
TOUCH = make_touch("coffee", department="sales")


def events_at(*ages: timedelta, event_type: str = "browse") -> tuple[RecentEvent, ...]:
    return tuple(RecentEvent(event_type=event_type, at=NOW - age) for age in ages)


def test_behaviour_is_counted_to_the_microsecond() -> None:
    live = LiveState(events=events_at(DAY, DAY - TICK, HOUR, HOUR - TICK, timedelta(minutes=30)))
    assert live_facts(live, NOW) == {
        "live.message_count_24h": 0,
        "live.open_case_count": 0,
        "live.browse_count_1h": 2,
        "live.browse_count_24h": 4,
        "live.browse_recency_minutes": 30.0,
    }


def test_a_declared_type_that_never_happened_counts_0_and_has_no_recency() -> None:
    facts = live_facts(LiveState(events=events_at(HOUR)), NOW, event_types=("purchase",))
    assert facts["live.purchase_count_1h"] == facts["live.purchase_count_24h"] == 0
    assert "live.purchase_recency_minutes" not in facts
    assert facts["live.browse_count_24h"] == 1


def test_an_event_dated_in_the_future_counts_as_just_happened() -> None:
    facts = live_facts(LiveState(events=events_at(-HOUR)), NOW)
    assert (facts["live.browse_count_1h"], facts["live.browse_recency_minutes"]) == (1, 0.0)


def test_without_profiling_service_facts_remain_and_behaviour_is_hidden() -> None:
    case = Case(case_id="c", kind="outage", severity="normal", opened_at=NOW)
    live, care = LiveState(events=events_at(HOUR)), care_standing(DEFAULT_CARE, [case], NOW)
    assert live_facts(live, NOW, care=care, event_types=("purchase",), is_profiled=False) == {
        "live.message_count_24h": 0,
        "live.open_case_count": 1,
        "live.open_case_kind": "outage",
        "live.care": "open",
    }


def test_counted_messages_of_the_last_day_are_a_fact() -> None:
    sent = Contact(contact_id="d", touch=TOUCH, at=NOW - HOUR, is_confirmed=True)
    contacts = (
        sent,
        replace(sent, at=NOW - DAY + TICK),
        replace(sent, at=NOW - DAY),
        replace(sent, is_ghost=True),
        replace(sent, is_confirmed=False, is_released=True),
        replace(sent, is_confirmed=False, reserved_until=NOW + TICK),
        replace(sent, is_confirmed=False, reserved_until=NOW),
    )
    assert live_facts(LiveState(contacts=contacts), NOW)["live.message_count_24h"] == 3


def test_care_facts_name_the_open_case_or_the_cooldown() -> None:
    case = Case(case_id="c", kind="lost_item", severity="normal", opened_at=NOW - DAY)
    resolved = replace(case, resolved_at=NOW - HOUR)
    assert case_facts(case)["live.open_case_kind"] == "lost_item"
    cooling = case_facts(resolved)
    assert (cooling["live.care"], cooling["live.open_case_count"]) == ("cooling_down", 0)
    assert "live.open_case_kind" not in cooling
    assert "live.care" not in case_facts(resolved, NOW + 30 * DAY)
    assert case_facts(case, care=CarePolicy())["live.open_case_count"] == 0


def case_facts(case: Case, now: datetime = NOW, care: CarePolicy = DEFAULT_CARE) -> dict[str, FactValue]:
    return live_facts(LiveState(), now, care=care_standing(care, [case], now))


@pytest.mark.parametrize(("age", "stage_id"), [(timedelta(0), "new"), (DAY - TICK, "new"), (DAY, None), (-HOUR, "new")])
def test_a_stage_set_by_an_event_holds_for_a_day(age: timedelta, stage_id: str | None) -> None:
    assert stage_moved_to(LiveState(stage=StageMove(stage_id="new", at=NOW - age)), NOW) == stage_id


def test_without_an_event_no_stage_is_set() -> None:
    assert stage_moved_to(LiveState(), NOW) is None


@settings(max_examples=100)
@given(
    heard=st.lists(
        st.builds(
            RecentEvent,
            event_type=st.sampled_from(["browse", "purchase"]),
            at=st.integers(-30 * 60, 60).map(lambda minutes: NOW + timedelta(minutes=minutes)),
        ),
        max_size=12,
    ),
    data=st.data(),
)
def test_the_order_of_events_does_not_matter_and_an_hour_is_within_a_day(
    heard: list[RecentEvent], data: st.DataObject
) -> None:
    facts = live_facts(LiveState(events=tuple(heard)), NOW)
    shuffled = data.draw(st.permutations(heard))
    assert live_facts(LiveState(events=tuple(shuffled)), NOW) == facts
    for event_type in {event.event_type for event in heard}:
        within_hour, within_day = (facts.get(f"live.{event_type}_count_{window}", 0) for window in ("1h", "24h"))
        assert isinstance(within_hour, int)
        assert isinstance(within_day, int)
        assert within_hour <= within_day <= len(heard)
