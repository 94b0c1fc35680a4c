"""The decision right after a report reflects it: events, outcomes and the next ask, all over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import redis
from starlette.testclient import TestClient

from features.online.redis_keys import counter_key, feature_key, household_pointer_key

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail", "channels": ["email"], "explain": True}
AT = "2026-11-02T09:30:00Z"

CAPPED = """
contact_policy:
  caps: {week: {scope: offer, limit: 1, window_days: 7}, home: {scope: everything, limit: 2, window_days: 7, per: household}}
limits: {mails: {scope: channel, of: email, amount: 2, per: total}}
"""  # noqa: E501 - as people write it

type Serve = Callable[..., TestClient]


def tell(client: TestClient, kind: str, name: str, **fields: Any) -> None:
    whose = {"customer_id": "C-1"} if kind == "events" else {}
    item = {"message_id": f"{name}-{len(fields)}-{fields}"[:200], "type": name, "occurred_at": AT, **whose, **fields}
    answer = client.post(f"/v1/{kind}", json={kind: [item]})
    assert answer.json()["accepted"] == 1, answer.text


def ask(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def reasons(told: dict[str, Any]) -> dict[str, list[str]]:
    return {one["message"]: one["reasons"] for one in told["explanation"]["excluded"]}


def test_marketing_pauses_right_after_a_complaint_until_resolution_and_cooldown(
    serve: Serve, customer: str, clock: Any
) -> None:
    client = serve()
    assert ask(client)["selected"]["offer_id"] != "opening-hours"

    tell(client, "events", "complaint")
    assert "CASE_OPEN" in reasons(ask(client))["ten-percent/email/plain"]

    tell(client, "events", "case_resolved", properties={"kind": "complaint"}, occurred_at="2026-11-02T09:30:01Z")
    clock.now += timedelta(minutes=1)
    assert "CASE_COOLING_DOWN" in reasons(ask(client))["ten-percent/email/plain"]
    clock.now += timedelta(days=60)
    assert "ten-percent/email/plain" not in reasons(ask(client))


def test_a_withdrawn_consent_closes_the_channel_for_the_next_ask(serve: Serve, customer: str) -> None:
    client = serve()
    tell(client, "events", "consent_withdrawn", properties={"channel": "email", "purpose": "marketing"})

    told = ask(client)

    assert told["selected"]["offer_id"] == "opening-hours"
    assert "NO_CONSENT" in reasons(told)["ten-percent/email/plain"]


def test_a_profiling_opt_out_deletes_the_feature_record_and_the_choice_does_without_it(
    serve: Serve, customer: str, live_redis: redis.Redis
) -> None:
    client = serve()
    assert live_redis.exists(feature_key("C-1"))

    tell(client, "events", "profiling_opted_out")

    assert not live_redis.exists(feature_key("C-1"))
    told = ask(client)
    assert (told["reason"], told["degraded"]) == ("NOT_PROFILED", False)


def test_a_protected_person_gets_no_more_messages(serve: Serve, customer: str) -> None:
    client = serve()
    tell(client, "events", "protected", properties={"protection": "deceased"})

    told = ask(client)

    assert told["action"] == "hold"
    assert all("PROTECTED" in found for found in reasons(told).values())


def test_a_cap_counts_earlier_decisions_and_not_messages_that_were_not_sent(
    serve: Serve, customer: str, live_redis: redis.Redis
) -> None:
    client = serve(CAPPED)
    first = ask(client)
    key = f"{first['selected']['offer_id']}/email/plain"
    assert "CAP_REACHED" in reasons(ask(client, dry_run=True))[key]
    assert float(live_redis.get(counter_key("limit:mails:total")) or 0) == 1  # pyright: ignore[reportArgumentType]

    tell(client, "outcomes", "not_sent", decision_id=first["decision_id"])

    assert ask(client, dry_run=True)["selected"] == first["selected"]
    assert float(live_redis.get(counter_key("limit:mails:total")) or 0) == 0  # pyright: ignore[reportArgumentType]


def test_a_household_cap_counts_every_member_and_a_capacity_counts_everybody(
    serve: Serve, store: Any, new_customer: Callable[..., Any], live_redis: redis.Redis
) -> None:
    for name in ("C-1", "C-2", "C-3"):
        store.put(new_customer(name, household_id="H" if name != "C-3" else None))
        if name != "C-3":
            live_redis.set(household_pointer_key(name), "H")
    client = serve(CAPPED)

    assert [ask(client, customer_id=name)["action"] for name in ("C-1", "C-2")] == ["send", "send"]

    held = ask(client, customer_id="C-2")
    assert held["action"] == "hold"
    assert all("CAP_REACHED" in found for found in reasons(held).values())
    alone = ask(client, customer_id="C-3")
    assert alone["action"] == "hold"
    assert {"CAPACITY_FULL"} <= set().union(*reasons(alone).values())


def test_an_invalid_state_event_is_refused_with_a_pointer(serve: Serve, customer: str) -> None:
    client = serve()
    event = {"message_id": "x", "customer_id": "C-1", "type": "stage_entered", "occurred_at": AT}

    told = client.post("/v1/events", json={"events": [{**event, "properties": {"stage": "lapesd"}}]}).json()

    assert told["accepted"] == 0
    assert "/properties/stage" in str(told)
    assert "did you mean 'lapsed'" in str(told)
