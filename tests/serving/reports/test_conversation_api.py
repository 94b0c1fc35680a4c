"""One conversation over HTTP, in batch and at the permit: seen on one channel, followed up on another, not repeated."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import redis
from starlette.testclient import TestClient

from features.online.redis_keys import live_key
from features.settings import Settings
from pipelines.batch.run import BatchPlan, ModelCopy, decide_audience

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail", "explain": True}
AT = "2026-11-02T09:30:00Z"
BEGIN, FOLLOW = "ten-percent/email/plain", "ten-percent/push/again"
TALKING = """
conversation: {seen_days: 14}
touchpoints:
  weekly-mail: {channels: [email, push], permit: required}
  app-home: {channels: [push], context: {basket_value: number}}
"""
TEN = """
ten-percent:
  creatives:
    - {creative: plain, channel: email, content: {headline: Ten percent off}}
    - {creative: again, channel: push, follow_up: true, content: {headline: Still ten percent off}}
"""

type Serve = Callable[..., TestClient]


def ask(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def reasons(told: dict[str, Any]) -> dict[str, list[str]]:
    return {one["message"]: one["reasons"] for one in told["explanation"]["excluded"]}


def become(client: TestClient, decision_id: str, kind: str, at: str = AT) -> None:
    item = {"message_id": f"{decision_id}-{kind}-{at}", "decision_id": decision_id, "type": kind, "occurred_at": at}
    answer = client.post("/v1/outcomes", json={"outcomes": [item]})
    assert answer.json()["accepted"] == 1, answer.text


def test_an_email_that_was_seen_is_followed_up_by_push_at_once_and_in_batch(
    serve: Serve, customer: str, settings: Settings, registry: Any, clock: Any, tmp_path: Path
) -> None:
    client = serve(TALKING, TEN)
    first = ask(client)
    assert (first["selected"]["offer_id"], first["selected"]["channel"]) == ("ten-percent", "email")
    assert reasons(first) == {FOLLOW: ["NOTHING_TO_FOLLOW"]}

    become(client, first["decision_id"], "viewed")

    second = ask(client, dedupe_key="again")
    assert (second["selected"]["creative"], second["selected"]["content"]) == (
        "again",
        {"headline": "Still ten percent off"},
    )
    assert reasons(second) == {BEGIN: ["ALREADY_SEEN"]}
    audience, out = tmp_path / "audience.parquet", tmp_path / "out.parquet"
    pl.DataFrame({"customer_id": [customer]}).write_parquet(audience)
    plan = BatchPlan(audience=audience, out=out, touchpoint_id="weekly-mail", now=clock.now, is_dry_run=True)
    model = ModelCopy(folder=registry.champion.folder, version=registry.champion.version)
    decide_audience(plan, settings, redis_url=str(settings.redis_url), model=model)
    assert pl.read_parquet(out)["creative"].to_list() == ["again"]

    told = client.get(f"/v1/decisions/{second['decision_id']}/why-not", params={"offer": "ten-percent"}).json()
    assert [one["reason"] for one in told["then"]["messages"][1]["obstacles"]] == ["ALREADY_SEEN"]
    clock.now += timedelta(days=14)
    assert reasons(ask(client, dedupe_key="later")) == {FOLLOW: ["NOTHING_TO_FOLLOW"]}


def test_a_permit_is_denied_if_the_message_was_seen_on_another_channel_since(serve: Serve, customer: str) -> None:
    client = serve(TALKING, TEN)
    first, twin = ask(client), ask(client, dedupe_key="twin")
    assert first["selected"]["channel"] == twin["selected"]["channel"] == "email"
    become(client, first["decision_id"], "clicked")

    answer = client.post(f"/v1/decisions/{twin['decision_id']}/permit").json()

    assert (answer["permit"], answer["reasons"], answer["details"]) == ("denied", ["ALREADY_SEEN"], ["on email"])
    assert answer["because"] == ["the customer has seen it already (on email)"]


def test_a_retry_keeps_its_message_although_it_was_seen(serve: Serve, customer: str) -> None:
    client = serve(TALKING, TEN)
    first = ask(client, dedupe_key="tile")
    become(client, first["decision_id"], "viewed")
    again = ask(client, dedupe_key="tile")
    assert (again["decision_id"], again["selected"], again["withheld"]) == (
        first["decision_id"],
        first["selected"],
        [],
    )


def test_one_sighting_per_message_is_stored_with_its_latest_time(
    serve: Serve, customer: str, live_redis: redis.Redis, clock: Any
) -> None:
    client = serve(TALKING, TEN)
    decision_id = ask(client)["decision_id"]
    clock.now += timedelta(hours=1)
    become(client, decision_id, "clicked", "2026-11-02T09:50:00Z")
    become(client, decision_id, "viewed", "2026-11-02T09:40:00Z")
    become(client, decision_id, "delivered")
    fields = [name for name in live_redis.hkeys(live_key(customer)) if name.startswith(b"response:")]
    assert [orjson.loads(name.removeprefix(b"response:"))[0] for name in fields] == ["viewed"]
    latest = client.get(f"/v1/decisions/{ask(client, dedupe_key='next')['decision_id']}").json()
    [response] = latest["inputs"]["live"]["responses"]
    assert (response["outcome"], response["at"]) == ("viewed", "2026-11-02T09:50:00+00:00")


def test_without_a_conversation_no_sighting_is_kept(serve: Serve, customer: str, live_redis: redis.Redis) -> None:
    client = serve()
    become(client, ask(client)["decision_id"], "viewed")
    assert live_redis.hkeys(live_key(customer)) == []


def test_a_channel_sends_nothing_outside_its_purposes(serve: Serve, customer: str) -> None:
    channels = """
channels:
  email: {cost: 0.01, required_fields: [headline], purposes: {active: [care]}}
  push: {cost: 0.005, required_fields: [headline]}
"""
    told = ask(serve(channels))
    assert reasons(told)["ten-percent/email/plain"] == ["OTHER_PURPOSE"]
    assert told["explanation"]["excluded"][0]["because"] == [
        "the channel serves another purpose at this stage (in stage active email serves care)"
    ]
    assert told["selected"]["channel"] == "push"
