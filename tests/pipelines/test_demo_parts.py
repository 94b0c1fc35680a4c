"""Parts of the demo that need no server: order of a week, care, money, diary, and the choice of a story."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from decisioning.catalogue.care import CarePolicy, CaseKind
from decisioning.errors import InvalidInputError
from features.settings import Settings
from pipelines.demo.airline.airline_report import print_journey, print_worth
from pipelines.demo.airline.care_book import CareBook
from pipelines.demo.airline.customer_journey import Journeys
from pipelines.demo.airline.diary import Diary, PlayedWeek, Scenario, agreed
from pipelines.demo.airline.live_table import line_of, table_of
from pipelines.demo.airline.scoreboard import Purse, Scoreboard
from pipelines.demo.airline.story import told
from pipelines.demo.airline.timeline import timeline_of
from pipelines.demo.preparation import check_home
from pipelines.demo.traffic import Traffic
from pipelines.simulation.contest.comparison import compare_plays
from pipelines.simulation.contest.judge import Recount
from pipelines.simulation.contest.play import Played
from pipelines.simulation.events.frames import Frames

MONDAY = datetime(2026, 10, 5, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOST = CaseKind(
    kind="lost_item",
    opened_by=frozenset({"bag_lost"}),
    resolved_by=frozenset({"bag_found"}),
    cooldown_seconds={"normal": 0.0},
    default_severity="normal",
    answer_within_seconds=3_600.0,
)
SCENARIO = Scenario(customers=500, seed=7, history_days=180, live_at=MONDAY)


def event(customer_id: str, kind: str, at: datetime, **more: Any) -> dict[str, Any]:
    empty = {"channel": None, "amount_minor": None, "currency": None, "properties": None}
    return {"event_id": f"{customer_id}-{kind}-{at}", "customer_id": customer_id, "type": kind} | {
        "occurred_at": at,
        **empty,
        **more,
    }


def frames(events: list[dict[str, Any]], outcomes: list[dict[str, Any]]) -> Frames:
    schema = {"occurred_at": pl.Datetime("us", "UTC"), "amount_minor": pl.Int64(), "properties": pl.String()}
    columns = {"customer_id": pl.String(), "type": pl.String(), "channel": pl.String(), "currency": pl.String()}
    ids = {"outcome_id": pl.String(), "decision_id": pl.String()}
    return Frames(
        events=pl.DataFrame(events, schema={"event_id": pl.String(), **columns, **schema}),
        outcomes=pl.DataFrame(outcomes, schema={**ids, **columns, **schema}),
    )


def moments(*rows: tuple[str, datetime, str]) -> pl.DataFrame:
    schema = {"customer_id": pl.String(), "at": pl.Datetime("us", "UTC"), "moment": pl.String()}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def board(**more: Any) -> Scoreboard:
    care = CareBook(policy=CarePolicy(kinds={"lost_item": LOST}), since=MONDAY)
    purse = replace(Purse.empty(4), is_held_out=np.array([False, False, True, True]))
    return Scoreboard(**{"weeks": 4, "now": MONDAY, "care": care, "purse": purse, "week": 1} | more)


def shown(*renderables: Any) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(*renderables)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue] - the file given above


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 167), max_size=25), st.integers(1, 40))
def test_every_event_is_delivered_once_and_in_time_order_whatever_the_steps(hours: list[int], step: int) -> None:
    rows = [event("C-1", "browse", MONDAY + hour * HOUR, event_id=str(place)) for place, hour in enumerate(hours)]
    timeline = timeline_of(frames(rows, []), moments())
    taken: list[datetime] = []
    for until in range(step, 168 + step, step):
        for item in timeline.happened(MONDAY + until * HOUR)[0]:
            assert item["at"] < MONDAY + until * HOUR
            taken.append(item["at"])
    assert taken == sorted(MONDAY + hour * HOUR for hour in hours)


def test_reports_have_the_form_the_api_accepts() -> None:
    bought = event("C-1", "purchase", MONDAY, amount_minor=1_234, currency="EUR", properties='{"trip": 3}')
    (item,), _ = timeline_of(frames([bought], []), moments()).happened(MONDAY + HOUR)
    assert item["body"]["value"] == {"amount": 12.34, "currency": "EUR"}
    assert item["body"]["properties"] == {"trip": 3}
    assert item["body"]["message_id"] == bought["event_id"]


def test_a_postponed_moment_returns_at_its_time_and_not_before() -> None:
    timeline = timeline_of(frames([], []), moments(("C-1", MONDAY, "bag_lost"), ("C-2", MONDAY + HOUR, "landed")))
    first = timeline.next_moment(MONDAY + 9 * HOUR)
    assert first is not None
    assert first.name == "bag_lost"
    timeline.put_off(first, MONDAY + 2 * HOUR)
    names = []
    while (moment := timeline.next_moment(MONDAY + 9 * HOUR)) is not None:
        names.append((moment.name, moment.attempt))
    assert names == [("landed", 0), ("bag_lost", 1)]


@pytest.mark.parametrize(("hours", "due", "in_time"), [(0.5, 1, 1), (2.0, 1, 0), (None, 1, 0)])
def test_an_answer_is_in_time_only_within_the_hours_the_catalogue_promises(
    hours: float | None, due: int, in_time: int
) -> None:
    care = CareBook(policy=CarePolicy(kinds={"lost_item": LOST}), since=MONDAY)
    care.saw_event("C-1", "bag_lost", MONDAY)
    assert care.count(MONDAY).due == 0
    if hours is not None:
        care.saw_answer("C-2", MONDAY)
        care.saw_answer("C-1", MONDAY + hours * HOUR)
    count = care.count(MONDAY + 3 * HOUR)
    assert (count.opened, count.still_open, count.due, count.in_time) == (1, 1, due, in_time)
    assert care.is_waiting("C-1") == (hours is None)


def test_a_resolution_closes_a_case_and_counts_as_its_answer() -> None:
    care = CareBook(policy=CarePolicy(kinds={"lost_item": LOST}), since=MONDAY)
    care.saw_event("C-1", "bag_lost", MONDAY)
    care.saw_event("C-1", "bag_found", MONDAY + HOUR / 2)
    care.saw_event("C-1", "bag_found", MONDAY + HOUR)
    count = care.count(MONDAY + HOUR)
    assert (count.opened, count.still_open, count.in_time) == (1, 0, 1)
    assert not care.open_of("C-1")


def test_cases_from_before_the_demo_are_followed_and_not_counted() -> None:
    care = CareBook(policy=CarePolicy(kinds={"lost_item": LOST}), since=MONDAY)
    row = {"customer_id": "C-1", "kind": "lost_item", "opened_at": MONDAY - HOUR, "is_open": True}
    care.read(pl.DataFrame([{**row, "answered_at": None, "resolved_at": None}]))
    assert care.open_of("C-1")
    assert care.count(MONDAY + 9 * HOUR).opened == 0


def test_the_true_gain_is_the_difference_to_the_twin_world_and_the_holdout_estimate_has_an_interval() -> None:
    here = np.array([1_000.0, 3_000.0, 500.0, 700.0])
    held_out = np.array([False, False, True, True])
    money = Purse(here=here, alone=here - 100.0, expected=np.full(4, 50.0), is_held_out=held_out).money()
    assert (money.spoken_to, money.held_out, money.realised_gain, money.expected_gain) == (20.0, 6.0, 1.0, 0.5)
    assert money.gain_lower < money.gain == 14.0 < money.gain_upper


def test_without_a_holdout_the_gain_is_unknown_and_not_0() -> None:
    money = replace(Purse.empty(3), here=np.ones(3)).money()
    assert np.isnan(money.held_out)
    assert np.isnan(money.gain_lower)


def test_a_recorded_week_is_read_back_unchanged(tmp_path: Path) -> None:
    diary = Diary(Settings(home=tmp_path))
    assert diary.scenario() is None
    diary.begin(SCENARIO)
    week = PlayedWeek(
        actions=np.array([3, -1]),
        decision_ids=("dec_1", None),
        answered=np.array([True, False]),
        is_held_out=np.array([False, True]),
    )
    diary.note(0, week)
    assert diary.scenario() == SCENARIO
    (back,) = diary.weeks()
    assert back.decision_ids == week.decision_ids
    for name in ("actions", "answered", "is_held_out"):
        np.testing.assert_array_equal(getattr(back, name), getattr(week, name))


def test_a_home_continues_its_own_world_and_refuses_another() -> None:
    wanted = Scenario(customers=900, seed=1, history_days=180, live_at=MONDAY)
    assert agreed(None, wanted, {"customers": 900, "seed": 1}) == wanted
    assert agreed(SCENARIO, wanted, {"customers": None, "seed": 7}) == SCENARIO
    with pytest.raises(InvalidInputError, match=r"--customers must be 500 .*got 900.*--home"):
        agreed(SCENARIO, wanted, {"customers": 900, "seed": None})


def test_a_home_with_another_example_is_refused_with_what_to_do(tmp_path: Path) -> None:
    check_home(Settings(home=tmp_path), "airline")
    (tmp_path / "examples" / "grocery").mkdir(parents=True)
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "catalogue.yaml").touch()
    check_home(Settings(home=tmp_path), "grocery")
    with pytest.raises(
        InvalidInputError, match="example grocery; choose another folder with --home, or --example grocery"
    ):
        check_home(Settings(home=tmp_path), "airline")


def answer(customer_id: str, at: datetime, **more: Any) -> dict[str, Any]:
    hold = {"action": "hold", "reason": "SILENCE_BEST", "selected": None, "held_out": False, "stage": "plan"}
    named = {"customer_id": customer_id, "decided_at": at.isoformat(), "touchpoint": "weekly-campaign"}
    return {"decision_id": f"dec-{customer_id}", **named, **hold, **more}


SENT = {
    "action": "send",
    "reason": "MODEL",
    "selected": {
        "offer_id": "fare-alert",
        "channel": "push",
        "creative": "alert",
        "content": {"title": "Your fare moves"},
        "uplift": {"amount": 3.2, "currency": "EUR"},
    },
}


def test_the_story_is_about_the_busiest_customer_who_is_not_held_out() -> None:
    journeys = Journeys()
    journeys.saw_decision(answer("C-dull", MONDAY), "weekly campaign")
    for name, held_out in (("C-rich", False), ("C-kept", True)):
        journeys.saw_decision(answer(name, MONDAY, held_out=held_out, **SENT), "weekly campaign")
        journeys.saw_reports(timeline_of(frames([event(name, "purchase", MONDAY)], []), moments()).events)
    journeys.saw_reports(timeline_of(frames([event("C-kept", "review", MONDAY)], []), moments()).events)
    assert journeys.most_telling() == "C-rich"


def test_a_story_says_what_was_decided_why_and_what_the_customer_did() -> None:
    journeys = Journeys()
    journeys.saw_decision(answer("C-1", MONDAY, **SENT), "weekly campaign")
    seen = {"outcome_id": "o-1", "decision_id": "dec-C-1"} | {
        name: value for name, value in event("C-1", "viewed", MONDAY + HOUR).items() if name != "event_id"
    }
    looks = [event("C-1", "browse", MONDAY + hours * HOUR) for hours in (2, 3)]
    bought = event("C-1", "purchase", MONDAY + 4 * HOUR, amount_minor=5_000, currency="EUR")
    events, outcomes = timeline_of(frames([*looks, bought], [seen]), moments()).happened(MONDAY + 9 * HOUR)
    journeys.saw_reports([*events, *outcomes])
    lines = told(journeys.entries["C-1"], lambda _: "Sent fare-alert/push/alert: worth most: +3.20 EUR.")
    assert [line.what for line in lines] == [
        'weekly campaign: fare alert by app notification "Your fare moves"',
        "sees the message",
        "looks at destinations",
        "buys, contribution 50.00 EUR",
    ]
    assert lines[0].why == "worth most: +3.20 EUR; stage plan"
    console = Console(file=StringIO(), width=120)
    print_journey(console, "C-1", lines, here=50.0, alone=0.0)
    assert "would have brought 0.00 EUR" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_live_table_shows_messages_by_stage_and_channel_reasons_cases_and_money() -> None:
    state = board()
    state.saw_answer(answer("C-1", MONDAY, **SENT))
    state.saw_answer(answer("C-2", MONDAY, reason="CARE"))
    state.care.saw_event("C-2", "bag_lost", MONDAY)
    traffic = Traffic(client=None, decided=2, deciding_seconds=0.5)  # pyright: ignore[reportArgumentType] - not used
    text = shown(table_of(state, traffic, ("plan", "lapse")))
    for words in ("week 1 of 4", "4 a second", "push", "plan", "an open case comes before sales", "1 open", "held out"):
        assert words in text
    assert "lapse" not in text
    assert "2 decisions (4 a second), 1 messages, 1 silences" in line_of(state, traffic)


def played(gain_minor: float, **messages: int) -> Played:
    gains = np.array([gain_minor - 1.0, gain_minor + 1.0])
    verdict = Recount(contacts=sum(messages.values()), violations={"cap": 0})
    return Played(gain_minor=gains, expected_minor=gains, messages=messages, verdict=verdict)


def test_a_postponed_report_is_sent_again_and_counts_once() -> None:
    heard: list[bytes] = []

    def busy_at_first(request: httpx.Request) -> httpx.Response:
        heard.append(request.content)
        if len(heard) < 3:
            return httpx.Response(503, headers={"Retry-After": "0"})
        return httpx.Response(202, json={"accepted": 1, "rejected": []})

    with httpx.Client(base_url="http://shop", transport=httpx.MockTransport(busy_at_first)) as client:
        traffic = Traffic(client=client)
        traffic.report("events", [{"message_id": "e-1"}])

    assert len(heard) == 3
    assert len(set(heard)) == 1
    assert traffic.reported == 1


def test_the_ranking_shows_each_gain_over_silence_as_a_share_of_the_oracles() -> None:
    plays = {
        "silence": played(0.0),
        "served": played(150.0, **{"fare-alert/push/alert": 3}),
        "best single message": played(20.0, **{"fare-alert/email/alert": 2}),
        "oracle": played(200.0, **{"fare-alert/push/alert": 1}),
    }
    notes = {"best single message": "fare-alert/email/alert"}
    comparison = compare_plays(plays, seed=7, weeks=4, bound_minor=0.0, notes=notes)
    console = Console(file=StringIO(), width=140)
    print_worth(console, board(), "No answer yet.", comparison, emphasis=3.0)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    for words in (
        "75%",
        "+1.50",
        "1.50",
        "No answer yet.",
        "fare-alert/email/alert",
        "counted again from the logs: 0",
        "3 times",
    ):
        assert words in text
    assert text.index("the oracle, which") > text.index("as it was served") > text.index("best single message  ")


def test_repeated_entries_are_shown_once_with_their_number() -> None:
    journeys = Journeys()
    for days in range(4):
        waiting = answer("C-1", MONDAY + days * 24 * HOUR, touchpoint="journey-moment", **SENT)
        journeys.saw_decision(waiting, "case waiting")
    (line,) = told(journeys.entries["C-1"], lambda _: "Sent it: owed.")
    assert line.what.endswith('"Your fare moves" (and 3 more times)')
    assert line.why == "owed; stage plan"
