"""Cases from the log: owner, time to answer, first answer and resolution, consistent with live state."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import CarePolicy, CaseKind, CaseState, case_standing
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from features.log.case_log import cases_in_log
from features.log.cases import CASES_SCHEMA, cases_of
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from serving.live.reader import live_of

T = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = T + timedelta(days=10)


def kind(name: str, opened_by: set[str], resolved_by: set[str], **fields: Any) -> CaseKind:
    given = {"cooldown_seconds": {"normal": 86_400.0, "high": 2 * 86_400.0}, "default_severity": "normal", **fields}
    return CaseKind(kind=name, opened_by=frozenset(opened_by), resolved_by=frozenset(resolved_by), **given)


CARE = CarePolicy(
    kinds={
        "lost_item": kind(
            "lost_item", {"bag_lost", "case_opened"}, {"bag_found"}, owner="baggage", answer_within_seconds=4 * 3600.0
        ),
        "complaint": kind("complaint", {"complaint"}, {"case_resolved"}, max_open_seconds=5 * 86_400.0),
    }
)


@pytest.fixture(scope="session")
def catalogue(shop_catalogue: Catalogue) -> Catalogue:
    offers = dict(shop_catalogue.offers)
    offers["free-coffee"] = replace(offers["free-coffee"], message_class=MessageClass.RECOVERY, purpose="service")
    return replace(shop_catalogue, care=CARE, offers=offers)


type Rows = Sequence[tuple[str, float, dict[str, Any]]]


def events_of(rows: Rows) -> pl.DataFrame:
    """Events by type, hours after T and properties; `channel` and `recorded` (hours) may be among these."""
    made = []
    for place, (event_type, hours, fields) in enumerate(rows):
        properties = {name: value for name, value in fields.items() if name not in {"channel", "recorded"}}
        made.append(
            {
                "event_id": f"e{place}",
                "customer_id": "C",
                "type": event_type,
                "occurred_at": T + hours * HOUR,
                "recorded_at": T + fields["recorded"] * HOUR if "recorded" in fields else None,
                "channel": fields.get("channel"),
                "properties": orjson.dumps(properties).decode() if properties else None,
            }
        )
    return pl.DataFrame(made, schema=EVENTS.schema)


def messages_of(*rows: tuple[str, float, float, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Outcomes and decisions: offer, hours of deciding, hours of the outcome, its type."""
    decisions = [
        {"decision_id": f"d{place}", "customer_id": "C", "decided_at": T + decided * HOUR, "offer_id": offer,
         "channel": "push"}
        for place, (offer, decided, _, _) in enumerate(rows)
    ]  # fmt: skip
    outcomes = [
        {"outcome_id": f"o{place}", "decision_id": f"d{place}", "customer_id": "C", "type": outcome,
         "occurred_at": T + at * HOUR}
        for place, (_, _, at, outcome) in enumerate(rows)
    ]  # fmt: skip
    return pl.DataFrame(outcomes, schema=OUTCOMES.schema), pl.DataFrame(decisions, schema=DECISIONS.schema)


@pytest.fixture(scope="session")
def told(catalogue: Catalogue) -> Callable[..., list[dict[str, Any]]]:
    def tell(
        *rows: tuple[str, float, dict[str, Any]], messages: Sequence[Any] = (), as_of: datetime = LATER
    ) -> list[dict[str, Any]]:
        outcomes, decisions = messages_of(*messages)
        frame = cases_of(events_of(rows), outcomes, decisions, catalogue, as_of=as_of)
        assert frame.schema == pl.Schema(CASES_SCHEMA)
        return frame.to_dicts()

    return tell


type Tell = Callable[..., list[dict[str, Any]]]


def test_an_open_case_has_the_declared_owner_and_is_overdue_once_its_answer_is_late(told: Tell) -> None:
    [case] = told(("bag_lost", 0, {"channel": "airport_desk"}), as_of=T + 4 * HOUR)
    assert (case["customer_id"], case["case_id"], case["kind"]) == ("C", "lost_item", "lost_item")
    assert (case["owner"], case["channel"], case["severity"]) == ("baggage", "airport_desk", "normal")
    assert (case["answer_due_at"], case["answered_at"], case["is_open"]) == (T + 4 * HOUR, None, True)
    assert not case["is_overdue"]
    [case] = told(("bag_lost", 0, {}), as_of=T + 4 * HOUR + timedelta(seconds=1))
    assert case["is_overdue"]


def test_the_first_answer_ends_overdue_and_a_resolution_counts_as_an_answer(told: Tell) -> None:
    lost = ("bag_lost", 0, {"case_id": "b1"})
    [case] = told(lost, ("case_answered", 9, {"case_id": "b1"}), ("case_answered", 2, {"case_id": "b1"}))
    assert (case["answered_at"], case["is_open"], case["is_overdue"]) == (T + 2 * HOUR, True, False)
    [case] = told(lost, ("bag_found", 5, {"case_id": "b1"}))
    assert (case["answered_at"], case["resolved_at"], case["is_open"]) == (T + 5 * HOUR, T + 5 * HOUR, False)
    [case] = told(lost, ("case_answered", 1, {"case_id": "another"}))
    assert case["answered_at"] is None


def test_a_recovery_message_answers_only_if_it_was_decided_and_delivered_while_the_case_was_open(told: Tell) -> None:
    lost = ("bag_lost", 2, {})
    for messages, answered in (
        ([("free-coffee", 3, 4, "delivered")], T + 4 * HOUR),
        ([("free-coffee", 1, 4, "delivered")], None),  # decided before the bag was lost
        ([("free-coffee", 3, 4, "viewed")], None),
        ([("ten-percent", 3, 4, "delivered")], None),  # marketing does not answer a case
    ):
        [case] = told(lost, messages=messages)
        assert case["answered_at"] == answered, messages
    [case] = told(lost, ("bag_found", 3.5, {}), messages=[("free-coffee", 3, 4, "delivered")])
    assert case["answered_at"] == T + 3.5 * HOUR


def test_the_last_assignee_of_a_case_owns_it(told: Tell) -> None:
    assign = [("case_assigned", hours, {"case_id": "b1", "owner": owner}) for hours, owner in ((3, "Kim"), (1, "Lee"))]
    [case] = told(("bag_lost", 0, {"case_id": "b1"}), *assign)
    assert case["owner"] == "Kim"
    [case] = told(("complaint", 0, {}))
    assert (case["owner"], case["answer_due_at"], case["is_overdue"]) == (None, None, False)


def test_the_same_report_twice_is_one_case_and_a_case_opened_again_is_another(told: Tell) -> None:
    cases = told(
        ("bag_lost", 0, {}), ("bag_lost", 1, {}), ("bag_found", 5, {}), ("bag_found", 6, {}), ("bag_lost", 8, {})
    )
    assert [(case["opened_at"], case["resolved_at"]) for case in cases] == [(T, T + 5 * HOUR), (T + 8 * HOUR, None)]


def test_an_unresolved_case_expires_and_can_open_again(told: Tell) -> None:
    [first, second] = told(("complaint", 0, {}), ("complaint", 24 * 6, {}))
    assert (first["is_open"], first["resolved_at"], second["is_open"]) == (False, None, True)
    [one] = told(("complaint", 0, {}), ("complaint", 24 * 4, {}), as_of=T + timedelta(days=8))
    assert one["is_open"]  # the second report prolonged it


def test_case_opened_opens_only_the_kind_it_names(told: Tell) -> None:
    [case] = told(("case_opened", 0, {"kind": "complaint", "severity": "high", "case_id": "x"}))
    assert (case["kind"], case["severity"], case["case_id"]) == ("complaint", "high", "x")
    assert told(("case_opened", 0, {"kind": "weather"}), ("case_opened", 0, {})) == []
    [case] = told(("complaint", 0, {"severity": "enormous"}))
    assert case["severity"] == "normal"


def test_a_resolution_that_names_a_case_counts_for_it_whatever_the_kind(told: Tell) -> None:
    cases = told(
        ("bag_lost", 0, {"case_id": "x"}), ("complaint", 1, {"case_id": "y"}), ("case_resolved", 2, {"case_id": "x"})
    )
    assert [(case["case_id"], case["resolved_at"]) for case in cases] == [("x", T + 2 * HOUR), ("y", None)]
    [case] = told(("complaint", 0, {}), ("case_resolved", 2, {"kind": "complaint"}))
    assert not case["is_open"]


def heard(case_id: str, opens: str = "lost_item") -> dict[str, Any]:
    return {"text": "...", "heard": {"opens": opens, "case_id": case_id}}


def test_a_case_opened_by_a_text_is_resolved_with_others_of_its_kind(told: Tell) -> None:
    lost, post = ("bag_lost", 0, {"case_id": "b1"}), ("social_post", 1, heard("heard:p1"))
    cases = told(lost, post, ("case_answered", 2, {"case_id": "b1"}), ("bag_found", 5, {"case_id": "b1"}))
    assert [(case["answered_at"], case["resolved_at"]) for case in cases] == [(T + 2 * HOUR, T + 5 * HOUR)] * 2
    [_, alone] = told(lost, post, ("case_resolved", 5, {"kind": "complaint"}))
    assert (alone["case_id"], alone["is_open"]) == ("heard:p1", True)
    [first, own] = told(lost, post, ("case_resolved", 5, {"case_id": "heard:p1"}))
    assert (first["is_open"], own["is_open"]) == (True, False)  # but not vice versa
    assert told(("purchase", 0, heard("heard:p1"))) == []


def test_a_complaint_about_a_message_opens_a_case_on_its_channel(told: Tell) -> None:
    [case] = told(messages=[("ten-percent", 1, 2, "complained")])
    assert (case["kind"], case["channel"], case["opened_at"]) == ("complaint", "push", T + 2 * HOUR)


def test_what_became_known_later_was_not_known_before(told: Tell) -> None:
    late = ("bag_lost", 0, {"recorded": 50})
    assert told(late, as_of=T + 49 * HOUR) == []
    assert len(told(late, as_of=T + 50 * HOUR)) == 1


def test_an_empty_log_has_no_cases(tmp_path: Path, catalogue: Catalogue) -> None:
    found = cases_in_log(EventLog(tmp_path / "log"), catalogue, as_of=LATER)
    assert found.is_empty()
    assert found.schema == pl.Schema(CASES_SCHEMA)


def test_reading_the_log_gives_the_same_cases_as_whole_frames(tmp_path: Path, catalogue: Catalogue) -> None:
    events = events_of(
        [("bag_lost", 0, {}), ("review", 1, {"text": "x"}), ("social_post", 2, heard("heard:p")), ("purchase", 3, {})]
    )
    outcomes, decisions = messages_of(
        ("free-coffee", 1, 2, "delivered"), ("ten-percent", 1, 3, "complained"), ("ten-percent", 1, 3, "delivered")
    )
    log = EventLog(tmp_path / "log")
    for table, rows in ((EVENTS, events), (OUTCOMES, outcomes), (DECISIONS, decisions)):
        log.append(table, rows)
    whole = cases_of(events, outcomes, decisions, catalogue, as_of=LATER)
    assert whole.height == 3
    assert cases_in_log(log, catalogue, as_of=LATER).equals(whole)


_NAMES = st.sampled_from([{}, {"case_id": "a"}, {"case_id": "b"}])
_HAPPENED = st.one_of(
    st.tuples(st.sampled_from(["bag_lost", "bag_found", "complaint"]), _NAMES),
    st.tuples(
        st.just("case_resolved"), st.sampled_from([{"kind": "lost_item"}, {"kind": "complaint"}, {"case_id": "a"}])
    ),
    st.tuples(st.just("social_post"), st.sampled_from([heard("heard:1"), heard("heard:2"), heard("a", "complaint")])),
)


@settings(max_examples=120, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 200), _HAPPENED), max_size=12))
def test_the_log_and_live_state_agree_on_which_cases_are_open(
    catalogue: Catalogue, rows: list[tuple[int, tuple[str, dict[str, Any]]]]
) -> None:
    """The same events, received live in any order: a case is open in one exactly if it is open in the other."""
    from serving.forms import EventItem
    from serving.live.changes import Changes, changes_of_event

    known = replace(catalogue, event_types=(*catalogue.event_types, "bag_lost", "bag_found"))
    words: dict[str, str] = {}
    for place, (hours, (event_type, properties)) in enumerate(rows):
        item = EventItem(
            message_id=f"e{place}",
            customer_id="C",
            type=event_type,
            occurred_at=T + hours * HOUR,
            properties=properties,
        )
        changes = changes_of_event(item, known)
        assert isinstance(changes, Changes)
        for name, value in changes.greatest:
            words[name] = max(words.get(name, ""), value)
    flat = [word.encode() for pair in words.items() for word in pair]
    live = live_of([flat, [], [], None, []])
    now = T + 210 * HOUR
    alive = {(case.kind, case.case_id) for case in live.cases if case_standing(CARE, case, now)[0] is CaseState.OPEN}
    events = events_of([(event_type, hours, properties) for hours, (event_type, properties) in rows])
    outcomes, decisions = messages_of()
    told = cases_of(events, outcomes, decisions, known, as_of=now).filter("is_open")
    assert set(told.select("kind", "case_id").iter_rows()) == alive
