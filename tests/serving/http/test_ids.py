"""Ids over HTTP: whole numbers sent as floats become whole numbers, and unknown ids are reported."""

from collections.abc import Callable

import redis
from starlette.testclient import TestClient

from decisioning.customer import Customer
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
from features.settings import Settings
from serving.log.drain import drain_alone

AT = "2026-11-02T09:30:00Z"


def event(customer_id: str, number: int = 1, **changes: object) -> dict[str, object]:
    return {"message_id": f"e-{number}", "customer_id": customer_id, "type": "browse", "occurred_at": AT, **changes}


def outcome(decision_id: str, **changes: object) -> dict[str, object]:
    return {"message_id": "o-1", "decision_id": decision_id, "type": "clicked", "occurred_at": AT, **changes}


def test_a_whole_number_sent_as_a_float_is_the_same_customer_on_every_path(
    client: TestClient, store, new_customer: Callable[..., Customer], settings: Settings, live_redis: redis.Redis
) -> None:
    store.put(new_customer("17850"))
    ask = {"customer_id": "17850.0", "touchpoint": "weekly-mail", "dedupe_key": "one"}
    decided = client.post("/v1/decisions", json=ask).json()
    assert (
        decided["decision_id"]
        == client.post("/v1/decisions", json=ask | {"customer_id": "17850"}).json()["decision_id"]
    )
    assert client.get(f"/v1/decisions/{decided['decision_id']}").json()["customer_id"] == "17850"
    assert client.get("/v1/customers/17850.0/known").json()["customer_id"] == "17850"
    withdrawal = event("17850.0", type="consent_withdrawn", properties={})
    assert client.post("/v1/events", json={"events": [withdrawal]}).json()["items"] == [
        {"index": 0, "status": "accepted"}
    ]
    again = client.post("/v1/decisions", json={**ask, "dedupe_key": "two"}).json()
    assert again["action"] == "hold"
    drain_alone(live_redis, EventLog(settings.log_path), settings.spool_path)
    assert EventLog(settings.log_path).read(EVENTS)["customer_id"].to_list() == ["17850"]


def test_reports_with_unknown_ids_are_accepted_and_reported(client: TestClient, customer: str) -> None:
    items = [event(customer), event("V-1", 2), event("V-1", 2), event("V-1", 3, type="brwse")]
    told = client.post("/v1/events", json={"events": items}).json()
    assert told["items"] == [
        {"index": 0, "status": "accepted"},
        {"index": 1, "status": "accepted", "unknown": "/customer_id"},
        {"index": 2, "status": "duplicate", "unknown": "/customer_id"},
        {"index": 3, "status": "rejected"},
    ]
    told = client.post("/v1/outcomes", json={"outcomes": [outcome("elsewhere-1", customer_id=customer)]}).json()
    assert told["items"] == [{"index": 0, "status": "accepted", "unknown": "/decision_id"}]
