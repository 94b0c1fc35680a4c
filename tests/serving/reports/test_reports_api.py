from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
import redis
from starlette.testclient import TestClient

from decisioning.customer import Consent, Customer
from features.log.contracts import EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.online.redis_keys import SHARD_COUNT, stream_key
from serving.http.documents import ReportAnswer

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
AT = "2026-11-02T09:30:00Z"


@pytest.fixture
def decision_id(client: TestClient, customer: str) -> str:
    return client.post("/v1/decisions", json=ASK).json()["decision_id"]


def outcome(decision_id: str, **changes: Any) -> dict[str, Any]:
    return {"message_id": "m-1", "decision_id": decision_id, "type": "delivered", "occurred_at": AT, **changes}


def event(**changes: Any) -> dict[str, Any]:
    return {"message_id": "e-1", "customer_id": "C-1", "type": "purchase", "occurred_at": AT, **changes}


def report(client: TestClient, kind: str, *items: Any) -> ReportAnswer:
    answer = client.post(f"/v1/{kind}", json={kind: list(items)})
    assert answer.status_code == 202, answer.text
    return ReportAnswer.model_validate(answer.json())


def test_outcomes_reach_the_log_with_their_customer_and_money(
    client: TestClient, decision_id: str, drain: Callable[[], EventLog]
) -> None:
    value = {"amount": 49.9, "currency": "EUR"}
    taken = report(
        client,
        "outcomes",
        outcome(decision_id),
        outcome(decision_id, message_id="m-2", type="converted", value=value, properties={"basket": ["a", 1]}),
    )

    rows = {row["outcome_id"]: row for row in drain().read(OUTCOMES).to_dicts()}
    assert (taken.accepted, taken.duplicate, taken.rejected) == (2, 0, [])
    assert {row["customer_id"] for row in rows.values()} == {"C-1"}
    assert (rows["m-2"]["amount_minor"], rows["m-2"]["currency"]) == (4990, "EUR")
    assert orjson.loads(rows["m-2"]["properties"]) == {"basket": ["a", 1]}


def test_a_message_id_is_accepted_once_within_and_across_requests(
    client: TestClient, decision_id: str, live_redis: redis.Redis
) -> None:
    first = report(client, "outcomes", outcome(decision_id), outcome(decision_id))
    again = report(client, "outcomes", outcome(decision_id), outcome(decision_id, message_id="m-2"))

    waiting = sum(live_redis.xlen(stream_key(shard)) for shard in range(SHARD_COUNT))
    assert [item.status for item in first.items] == ["accepted", "duplicate"]
    assert [item.status for item in again.items] == ["duplicate", "accepted"]
    assert waiting == 1 + 2  # the decision and two outcomes


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"decision_id": "dec_00" + "0" * 32}, "unknown_decision", None),
        ({"decision_id": "D-1"}, "unknown_decision", None),
        ({"customer_id": "C-2"}, "customer_mismatch", None),
        ({"type": "deliverd"}, "validation_error", "/type"),
        ({"occurred_at": "2026-11-02T09:30:00"}, "validation_error", "/occurred_at"),
        ({"occurred_at": 1_700_000_000}, "validation_error", "/occurred_at"),
        ({"occurred_at": "2026-11-02T10:30:00Z"}, "validation_error", "/occurred_at"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "validation_error", "/occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "validation_error", "/occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59-14:00"}, "validation_error", "/occurred_at"),
        ({"value": {"amount": 1, "currency": "USD"}}, "validation_error", "/value/currency"),
        ({"value": {"amount": 1.005, "currency": "EUR"}}, "validation_error", "/value/amount"),
        ({"value": {"amount": 1e13, "currency": "EUR"}}, "validation_error", "/value/amount"),
        ({"value": {"amount": 1, "curency": "EUR"}}, "validation_error", "/value/curency"),
        ({"properties": {"x": "y" * 40_000}}, "validation_error", "/properties"),
        ({"message": 1}, "validation_error", "/message"),
    ],
)
def test_an_invalid_outcome_is_refused_alone_and_the_others_are_accepted(
    client: TestClient, decision_id: str, changes: dict[str, Any], code: str, pointer: str | None
) -> None:
    taken = report(client, "outcomes", outcome(decision_id, message_id="good"), outcome(decision_id) | changes)

    assert taken.accepted == 1
    [rejected] = taken.rejected
    assert (rejected.index, rejected.code) == (1, code)
    assert pointer is None or pointer in [fault.pointer for fault in rejected.errors]


def test_an_outcome_of_a_decision_made_elsewhere_is_accepted_with_its_customer(
    client: TestClient, drain: Callable[[], EventLog]
) -> None:
    taken = report(client, "outcomes", outcome("D-imported", customer_id="C-9"))

    assert taken.accepted == 1
    assert drain().read(OUTCOMES)["customer_id"].to_list() == ["C-9"]


def test_an_outcome_finds_a_decision_that_only_the_log_still_has(
    client: TestClient, decision_id: str, drain: Callable[[], EventLog], live_redis: redis.Redis
) -> None:
    drain()
    live_redis.flushall()

    assert report(client, "outcomes", outcome(decision_id)).accepted == 1
    record = client.get(f"/v1/decisions/{decision_id}")
    assert record.json()["decision_id"] == decision_id
    assert drain().read(OUTCOMES)["customer_id"].to_list() == ["C-1"]


def test_the_next_decision_respects_an_unsubscription(
    client: TestClient, customer: str, live_redis: redis.Redis
) -> None:
    by_mail = client.post("/v1/decisions", json={**ASK, "channels": ["email"], "dedupe_key": "one"}).json()
    assert by_mail["selected"]["channel"] == "email"

    report(client, "outcomes", outcome(by_mail["decision_id"], type="unsubscribed"))

    told = client.post("/v1/decisions", json={**ASK, "channels": ["email"], "explain": True}).json()
    assert told["action"] == "hold"
    mail = [one for one in told["explanation"]["excluded"] if "/email/" in one["message"]]
    assert mail
    assert all("UNSUBSCRIBED" in one["reasons"] for one in mail)
    push = client.post("/v1/decisions", json={**ASK, "channels": ["push"], "explain": True}).json()
    assert {"double-stamps/push/plain", "ten-percent/push/plain"} <= {
        one["message"] for one in push["explanation"]["evaluated"]
    }


def test_a_retry_does_not_send_after_an_unsubscription(client: TestClient, customer: str) -> None:
    ask = {**ASK, "channels": ["email"], "dedupe_key": "one"}
    first = client.post("/v1/decisions", json=ask).json()
    report(client, "outcomes", outcome(first["decision_id"], type="unsubscribed"))

    again = client.post("/v1/decisions", json=ask).json()

    assert (first["action"], again["action"]) == ("send", "hold")
    assert again["decision_id"] == first["decision_id"]
    assert again["withheld"] == ["NO_CONSENT", "UNSUBSCRIBED"]
    assert again["selected"] is None


def test_a_retry_keeps_its_message_while_it_is_permitted(
    client: TestClient, customer: str, store: Any, new_customer: Callable[..., Customer]
) -> None:
    ask = {**ASK, "dedupe_key": "one"}
    first = client.post("/v1/decisions", json=ask).json()
    store.put(new_customer("C-1"), features={"customer_tenure_days": 3.0, "purchase_count_90d": 0.0})
    assert client.post("/v1/decisions", json=ask).json()["selected"] == first["selected"]

    store.put(new_customer("C-1", consents=()))
    assert client.post("/v1/decisions", json=ask).json()["withheld"] == ["NO_CONSENT"]


@pytest.mark.parametrize(
    ("kind", "item", "reasons"),
    [
        ("events", {"type": "protected", "properties": {"protection": "legal_hold"}}, ["PROTECTED"]),
        ("events", {"type": "case_opened", "properties": {"kind": "outage", "case_id": "c"}}, ["CASE_OPEN"]),
        ("outcomes", {"type": "declined"}, ["SUPPRESSED"]),
        ("outcomes", {"type": "delivered"}, []),
    ],
)
def test_a_retry_respects_events_since_and_ignores_its_own_contact(
    serve: Callable[..., TestClient], customer: str, kind: str, item: dict[str, Any], reasons: list[str]
) -> None:
    client = serve("""
contact_policy:
  caps: {once: {scope: everything, limit: 1, window_days: 7}}
  suppressions: [{after: declined, scope: offer, days: 30}]
""")
    ask = {**ASK, "dedupe_key": "one", "exclude_offers": ["opening-hours"]}
    first = client.post("/v1/decisions", json=ask).json()
    report(client, kind, event(**item) if kind == "events" else outcome(first["decision_id"], **item))

    again = client.post("/v1/decisions", json=ask).json()

    assert again["withheld"] == reasons
    assert again["action"] == ("hold" if reasons else "send")
    assert client.post("/v1/decisions", json={**ask, "dedupe_key": "two"}).json()["action"] == "hold"


def test_unsubscribing_after_silence_leaves_every_channel(client: TestClient, decision_id: str) -> None:
    hold = client.post("/v1/decisions", json={**ASK, "channels": ["email"], "exclude_offers": [
        "double-stamps", "free-coffee", "ten-percent", "opening-hours"]}).json()  # fmt: skip
    assert hold["action"] == "hold"

    report(client, "outcomes", outcome(hold["decision_id"], type="unsubscribed"))

    assert client.post("/v1/decisions", json=ASK).json()["action"] == "hold"


def test_a_consent_given_after_unsubscribing_counts_again_for_its_purpose(
    client: TestClient, customer: str, store: Any, new_customer: Callable[..., Customer], clock: Any
) -> None:
    by_mail = client.post("/v1/decisions", json={**ASK, "channels": ["email"], "dedupe_key": "one"}).json()
    report(client, "outcomes", outcome(by_mail["decision_id"], type="unsubscribed"))
    yes = Consent(channel_id="email", purpose="service", is_granted=True, recorded_at=clock.now + timedelta(minutes=1))
    store.put(new_customer("C-1", consents=(*new_customer("C-1").consents, yes)))
    clock.now += timedelta(minutes=2)

    told = client.post("/v1/decisions", json={**ASK, "channels": ["email"], "explain": True}).json()

    permitted = {one["message"] for one in told["explanation"]["evaluated"]}
    assert permitted == {"silence", "opening-hours/email/plain"}


def test_events_reach_the_log(client: TestClient, drain: Callable[[], EventLog]) -> None:
    value = {"amount": 12, "currency": "EUR"}
    taken = report(client, "events", event(value=value, channel="web"), event(message_id="e-2", type="stamp_paid"))

    rows = {row["event_id"]: row for row in drain().read(EVENTS).to_dicts()}
    assert taken.accepted == 2
    assert (rows["e-1"]["amount_minor"], rows["e-1"]["channel"], rows["e-1"]["type"]) == (1200, "web", "purchase")


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"type": "purchas"}, "/type", "did you mean 'purchase'"),
        ({"customer_id": ""}, "/customer_id", "at least 1"),
        ({"ocurred_at": AT}, "/ocurred_at", "did you mean 'occurred_at'"),
        ({"value": {"amount": "12", "currency": "EUR"}}, "/value/amount", "number"),
        ({"value": {"amount": 12, "currency": "eur"}}, "/value/currency", "pattern"),
        ({"properties": {"n": 2**70}}, "/properties", "64 bits"),
    ],
)
def test_an_invalid_event_is_refused_with_a_pointer(
    client: TestClient, changes: dict[str, Any], pointer: str, words: str
) -> None:
    import json

    content = json.dumps({"events": [event() | changes]}).encode()
    answer = client.post("/v1/events", content=content, headers={"content-type": "application/json"})

    [rejected] = ReportAnswer.model_validate(answer.json()).rejected
    assert words in {fault.pointer: fault.detail for fault in rejected.errors}[pointer]


def test_an_event_and_an_outcome_may_share_a_message_id(client: TestClient, decision_id: str) -> None:
    assert report(client, "events", event(message_id="same")).accepted == 1
    assert report(client, "outcomes", outcome(decision_id, message_id="same")).accepted == 1


def test_a_report_of_five_hundred_is_accepted_completely(client: TestClient, drain: Callable[[], EventLog]) -> None:
    taken = report(client, "events", *(event(message_id=f"e-{n}") for n in range(500)))

    assert taken.accepted == 500
    assert drain().read(EVENTS).height == 500


def test_reports_are_counted(client: TestClient, decision_id: str) -> None:
    report(client, "outcomes", outcome(decision_id), outcome("D-unknown", message_id="x"))

    text = client.get("/metrics").text
    assert 'nextbest_reports_total{kind="outcomes",status="accepted"} 1.0' in text
    assert 'nextbest_reports_total{kind="outcomes",status="rejected"} 1.0' in text
