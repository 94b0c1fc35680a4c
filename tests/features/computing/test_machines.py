"""Opens and clicks of machines: told by what reports say and by their timing, and by nothing that people do."""

from datetime import UTC, datetime, timedelta

import orjson
import polars as pl
import pytest

from decisioning.catalogue.measure import Engagement, Measure, Unit
from features.computing.machines import machine_made
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from training.data.measures import decision_values

SENT_AT = datetime(2026, 3, 1, 9, 0, 7, tzinfo=UTC)
ON_MAIL = Engagement(scanned_channels=frozenset({"email"}))

type Report = tuple[str, float, dict[str, object] | None]


def outcomes_of(*reports: Report, decision_id: str = "D") -> pl.DataFrame:
    rows = [
        {
            "outcome_id": f"{decision_id}-{place}",
            "decision_id": decision_id,
            "customer_id": "A",
            "type": kind,
            "occurred_at": SENT_AT + timedelta(seconds=seconds),
            "properties": None if said is None else orjson.dumps(said).decode(),
        }
        for place, (kind, seconds, said) in enumerate(reports)
    ]
    return pl.DataFrame(rows, schema=OUTCOMES.schema)


def decisions_of(channel: str = "email", decision_id: str = "D") -> pl.DataFrame:
    row = {"decision_id": decision_id, "customer_id": "A", "decided_at": SENT_AT, "offer_id": "deal"}
    return pl.DataFrame([{**row, "channel": channel}], schema=DECISIONS.schema)


def rules_of(*reports: Report, channel: str = "email") -> dict[str, str]:
    found = machine_made(outcomes_of(*reports), decisions_of(channel), ON_MAIL)
    return dict(found.select("outcome_id", "machine").iter_rows())


@pytest.mark.parametrize("channel", ["email", "push"])
@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"sg_machine_open": True}, "said"),
        ({"bot": "apple"}, "said"),
        ({"user_agent": "Mozilla/5.0"}, "user_agent"),
        ({"user_agent": "Mozilla/5.0 (compatible; Barracuda Sentinel (EE))"}, "user_agent"),
    ],
)
def test_what_a_report_says_of_itself_counts_on_every_channel(channel: str, said: dict[str, object], rule: str):
    assert rules_of(("viewed", 4000, said), channel=channel) == {"D-0": rule}


@pytest.mark.parametrize(
    "said",
    [
        None,
        {"bot": False, "machine": 0},
        {"bot": "none"},
        {"user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"},
        {"user_agent": "Mozilla/5.0 (Windows NT 5.1) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"},
        {"user_agent": "Mozilla/5.0 (Linux; Android 15; CUBOT X70) AppleWebKit/537.36 Chrome/140 Mobile"},
    ],
)
def test_people_are_not_taken_for_machines(said: dict[str, object] | None):
    assert rules_of(("delivered", 0, None), ("viewed", 400, said), ("clicked", 420, said)) == {}


def test_who_opens_or_clicks_within_seconds_of_delivery_is_a_machine_on_a_scanned_channel_only():
    reports = (("delivered", 0, None), ("viewed", 3, None), ("clicked", 4.5, None), ("viewed", 90, None))
    assert rules_of(*reports) == {"D-1": "at_delivery", "D-2": "at_delivery"}
    assert rules_of(*reports, channel="push") == {}


def test_a_moment_copied_from_the_delivery_says_nothing():
    assert rules_of(("delivered", 0, None), ("viewed", 0, None), ("clicked", 0, None)) == {}


def test_clocks_of_whole_minutes_say_nothing():
    whole = 53  # seconds until the next whole minute
    links = [("clicked", whole + 60, {"link": link}) for link in ("a", "b", "c")]
    assert rules_of(("delivered", whole, None), ("viewed", whole, None), *links) == {}


def test_different_links_clicked_at_once_are_a_scanners_and_one_link_clicked_twice_is_not():
    scan = [("viewed", 300, None), ("clicked", 900, {"link": "a"}), ("clicked", 901, {"link": "b"})]
    assert rules_of(*scan) == {"D-1": "links_at_once", "D-2": "links_at_once"}
    assert rules_of(("viewed", 300, None), ("clicked", 900, {"link": "a"}), ("clicked", 900.4, {"link": "a"})) == {}
    assert rules_of(("viewed", 300, None), ("clicked", 900, {"link": "a"}), ("clicked", 960, {"link": "b"})) == {}


def test_without_links_it_takes_three_clicks_at_once():
    two = [("viewed", 300, None), ("clicked", 900, None), ("clicked", 901, None)]
    assert rules_of(*two) == {}
    assert set(rules_of(*two, ("clicked", 902, None)).values()) == {"links_at_once"}


def test_a_quick_click_counts_as_a_scanners_only_where_nobody_opened_before():
    assert rules_of(("delivered", 0, None), ("clicked", 20, None)) == {"D-1": "before_open"}
    assert rules_of(("delivered", 0, None), ("viewed", 15, None), ("clicked", 20, None)) == {}
    assert rules_of(("delivered", 0, None), ("clicked", 600, None)) == {}  # pictures off: nobody hears of the view


def test_all_links_of_a_message_in_one_go_are_a_scanners():
    clicks = [("clicked", 900 + 8 * place, {"link": link, "link_count": 3}) for place, link in enumerate("abc")]
    assert set(rules_of(("viewed", 300, None), *clicks).values()) == {"all_links"}
    assert rules_of(("viewed", 300, None), *clicks[:2]) == {}


def history_of(outcomes: pl.DataFrame, decisions: pl.DataFrame) -> History:
    empty = {"customers": pl.DataFrame(schema=CUSTOMERS.schema), "events": pl.DataFrame(schema=EVENTS.schema)}
    return History(**empty, decisions=decisions, outcomes=outcomes)


def worth_of(weight: float, *reports: Report, unit: Unit = Unit.RATE) -> float:
    measure = Measure(
        measure_id="engaged",
        unit=unit,
        outcomes=frozenset({"viewed", "clicked"}),
        outcome_worth_minor={"viewed": 10.0, "clicked": 40.0} if unit is Unit.MONEY else {},
        engagement=Engagement(machine_weight=weight, scanned_channels=frozenset({"email"})),
    )
    ends_at = SENT_AT + timedelta(days=7)
    windows = decisions_of().select("decision_id", "customer_id", starts_at="decided_at", ends_at=pl.lit(ends_at))
    history = history_of(outcomes_of(*reports), decisions_of())
    return decision_values(history, windows, measure, cap=True)["value"].item()


def test_a_rate_counts_a_machine_as_declared_and_a_person_beside_it_in_full():
    machine, person = ("viewed", 2.0, None), ("viewed", 500.0, None)
    assert worth_of(0.0, ("delivered", 0, None), machine) == 0.0
    assert worth_of(0.25, ("delivered", 0, None), machine) == 0.25
    assert worth_of(0.25, ("delivered", 0, None), machine, person) == 1.0


def test_money_weighs_what_machines_did():
    reports = (("delivered", 0.0, None), ("viewed", 2.0, None), ("clicked", 500.0, None))
    assert worth_of(0.0, *reports, unit=Unit.MONEY) == 40.0
    assert worth_of(0.5, *reports, unit=Unit.MONEY) == 45.0
