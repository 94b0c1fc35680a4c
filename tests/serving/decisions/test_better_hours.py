"""Asks that are put off to a better hour over HTTP: nothing is held meanwhile, and none is put off twice."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
import yaml
from starlette.testclient import TestClient

from decisioning.foresight.hours import HOURS, HourEffects
from decisioning.foresight.slots import Foresight
from features.online.redis_keys import book_key, live_key, shard_of, stream_key

NINE = datetime(2026, 11, 3, 8, tzinfo=UTC)
"""Tuesday, 09:00 in Berlin."""


@pytest.fixture
def waiting(serve: Callable[..., TestClient], registry: Any, shop_bundle: Any, shop_files: Path) -> TestClient:
    """A shop whose home screen may wait for a day; everything does most on Tuesdays at nine, and second most at ten."""
    week = {hour: {33: 900.0, 34: 800.0}.get(hour, -100.0) for hour in range(HOURS)}
    hours = HourEffects(by_group={(channel, ""): week for channel in ("email", "push")})
    registry.promote(replace(shop_bundle, foresight=Foresight(hours=hours)), "8")
    touchpoints = yaml.safe_load((shop_files / "catalogue.yaml").read_text())["touchpoints"]
    touchpoints["app-home"]["wait_hours"] = 24
    return serve(yaml.safe_dump({"touchpoints": touchpoints}))


def ask(client: TestClient, **changes: Any) -> dict[str, Any]:
    body = {"customer_id": "C-1", "touchpoint": "app-home", **changes}
    found = client.post("/v1/decisions", json=body)
    assert found.status_code == 200, found.text
    return found.json()


def test_an_ask_is_put_off_once_and_then_decided(
    waiting: TestClient, customer: str, clock: Any, live_redis: redis.Redis
) -> None:
    first = ask(waiting, explain=True)
    assert (first["action"], first["reason"], first["retry_at"]) == ("hold", "BETTER_HOUR", NINE.isoformat())
    better = first["explanation"]["better_hour"]
    assert better["at"] == NINE.isoformat()
    assert better["priority"]["amount"] > better["present"]["amount"]
    assert any("hour" in one for one in first["explanation"]["evaluated"])
    assert not live_redis.exists(book_key("C-1")), "nothing is reserved"

    clock.now = NINE - timedelta(minutes=30)
    assert ask(waiting)["retry_at"] == NINE.isoformat()
    clock.now = NINE - timedelta(minutes=1) + timedelta(hours=23)
    assert ask(waiting)["action"] == "send", "hours later than promised, it goes although the next nine is near"
    assert not live_redis.hexists(live_key("C-1"), "put_off:app-home")


def test_the_log_tells_what_was_put_off_from_what_was_chosen(
    waiting: TestClient, customer: str, clock: Any, live_redis: redis.Redis
) -> None:
    ask(waiting)
    clock.now = NINE
    assert ask(waiting)["action"] == "send"
    entries: Any = live_redis.xrange(stream_key(shard_of("C-1")))
    rows = [orjson.loads(fields[b"row"]) for _, fields in entries]
    assert [row[19] if len(row) > 19 else None for row in rows] == [NINE.isoformat(), None]


def test_a_repeat_gets_the_same_answer_until_the_hour_has_come(waiting: TestClient, customer: str, clock: Any) -> None:
    first = ask(waiting, dedupe_key="k")
    assert first["ttl_s"] == (NINE - clock.now).total_seconds()
    clock.now += timedelta(minutes=20)
    assert ask(waiting, dedupe_key="k")["decision_id"] == first["decision_id"]


def test_what_is_put_off_replays_from_its_record(waiting: TestClient, customer: str, clock: Any) -> None:
    ask(waiting)
    clock.now = NINE - timedelta(minutes=30)
    put_off = ask(waiting)
    record = waiting.get(f"/v1/decisions/{put_off['decision_id']}").json()
    assert record["inputs"]["put_off"]["until"] == NINE.isoformat()
    assert record["better_hour"]["at"] == NINE.isoformat()
