"""A message id names one report of one customer: a repeat counts once, a clash is reported, and no refusal is lost."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from features.log.contracts import EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.online.redis_keys import seen_key

AT = "2026-11-02T09:30:00Z"
ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail", "channels": ["email"]}
EMAIL = {"channel": "email", "purpose": "marketing"}
REFUSALS = [
    ("consent_withdrawn", EMAIL),
    ("profiling_opted_out", {}),
    ("protected", {"protection": "minor"}),
    ("case_opened", {"kind": "complaint"}),
]


def event(who: str = "C-1", kind: str = "browse", name: str = "m-1", **fields: Any) -> dict[str, Any]:
    return {"message_id": name, "customer_id": who, "type": kind, "occurred_at": AT, **fields}


def report(client: TestClient, *items: dict[str, Any], kind: str = "events") -> dict[str, Any]:
    answer = client.post(f"/v1/{kind}", json={kind: list(items)})
    assert answer.status_code == 202, answer.text
    return answer.json()


def statuses(told: dict[str, Any]) -> list[str]:
    return [one["status"] for one in told["items"]]


EXAMPLES = count()
"""Numbers new customers for each example, since all examples of a test share one Redis."""

names = st.text("C1:m~", min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=st.lists(st.text("C1:-é", min_size=1, max_size=6), min_size=2, max_size=6, unique=True), name=names)
def test_customers_do_not_share_ids_in_live_state(client: TestClient, people: list[str], name: str) -> None:
    example = next(EXAMPLES)
    who = [f"{one}-{example}" for one in people]
    assert statuses(report(client, *(event(one, name=name) for one in who))) == ["accepted"] * len(who)
    assert statuses(report(client, *(event(one, name=name) for one in who))) == ["duplicate"] * len(who)


def test_one_id_of_two_customers_makes_two_rows_in_the_log(client: TestClient, drain: Callable[[], EventLog]) -> None:
    who = [f"C-{place}" for place in range(40)]  # more customers than shards
    report(client, *(event(one, kind="consent_withdrawn", properties=EMAIL) for one in who))
    report(
        client,
        *({**event(one, kind="clicked", name="o-1"), "decision_id": "elsewhere"} for one in who),
        kind="outcomes",
    )
    log = drain()
    assert sorted(log.read(EVENTS)["customer_id"]) == sorted(who)
    assert sorted(log.read(OUTCOMES)["customer_id"]) == sorted(who)
    assert set(log.read(EVENTS)["event_id"]) == {"m-1"}


@pytest.mark.parametrize("together", [True, False])
def test_another_report_with_the_same_id_is_reported_as_a_clash(client: TestClient, together: bool) -> None:
    one, other = event(), event(kind="purchase", value={"amount": 12.0, "currency": "EUR"})
    told = [report(client, one, other)] if together else [report(client, one), report(client, other)]

    assert [status for part in told for status in statuses(part)] == ["accepted", "rejected"]
    [rejected] = told[-1]["rejected"]
    assert (rejected["code"], rejected["errors"][0]["pointer"]) == ("message_id_taken", "/message_id")
    assert "send it under an id of its own" in rejected["detail"]
    assert statuses(report(client, one, other)) == ["duplicate", "rejected"]


@pytest.mark.parametrize(("kind", "properties"), REFUSALS)
@pytest.mark.parametrize("together", [True, False])
def test_a_refusal_with_an_id_already_used_counts_once(
    client: TestClient,
    drain: Callable[[], EventLog],
    customer: str,
    kind: str,
    properties: dict[str, str],
    together: bool,
) -> None:
    other, refusal = event(), event(kind=kind, properties=properties)
    if together:
        assert statuses(report(client, other, refusal)) == ["accepted", "accepted"]
    else:
        assert statuses(report(client, other)) + statuses(report(client, refusal)) == ["accepted", "accepted"]
    assert statuses(report(client, refusal, other, refusal)) == ["duplicate"] * 3

    told = client.post("/v1/decisions", json=ASK).json()
    if kind != "profiling_opted_out":
        assert (told.get("selected") or {}).get("offer_id") in (None, "opening-hours")
    rows = drain().read(EVENTS)
    assert sorted(rows["type"]) == sorted(["browse", kind])
    assert rows["event_id"].n_unique() == 2


def test_an_unsubscription_with_an_id_already_used_counts(
    client: TestClient, customer: str, drain: Callable[[], EventLog]
) -> None:
    decision_id = client.post("/v1/decisions", json={"customer_id": "C-1", "touchpoint": "weekly-mail"}).json()[
        "decision_id"
    ]
    item = {"message_id": "1", "decision_id": decision_id, "type": "delivered", "occurred_at": AT}
    left = {**item, "type": "unsubscribed"}
    assert statuses(report(client, item, left, kind="outcomes")) == ["accepted", "accepted"]
    again = report(client, item, left, {**item, "type": "clicked"}, kind="outcomes")
    assert statuses(again) == ["duplicate", "duplicate", "rejected"]
    assert sorted(drain().read(OUTCOMES)["type"]) == ["delivered", "unsubscribed"]


def test_a_mark_without_content_stops_duplicates_but_no_refusal(client: TestClient, live_redis: redis.Redis) -> None:
    """A restore marks the ids in the log, without their content."""
    live_redis.set(seen_key("C-1", "events:m-1"), "1")
    assert statuses(report(client, event())) == ["duplicate"]
    withdrawn = event(kind="consent_withdrawn", properties=EMAIL)
    assert statuses(report(client, withdrawn)) == ["accepted"]
    assert statuses(report(client, withdrawn)) == ["duplicate"]
