"""A challenger looks on at a real server: answers come from the champion alone, and what differs is counted."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from features.catalogue import load_catalogue
from features.models.rollout import Rollout, RolloutKind, write_rollout
from features.models.rollout_counts import read_counts
from features.settings import Settings
from pipelines.analyses.rollout_reading import ShadowReading, read_shadow
from serving.watch import rollout_watch
from tests.waiting import wait_until

CUSTOMERS = [f"C-{number}" for number in range(30)]


@pytest.fixture
def shadow(settings: Settings, clock: Any) -> Rollout:
    """Version 8 looks on."""
    rollout = Rollout(kind=RolloutKind.SHADOW, version="8", share=0.0, began_at=clock.now)
    write_rollout(settings, rollout)
    return rollout


def ask_for_all(client: TestClient, store: Any, new_customer: Callable[..., Any]) -> list[dict[str, Any]]:
    for place, name in enumerate(CUSTOMERS):
        store.put(
            new_customer(name), features={"purchase_count_90d": float(place % 7), "customer_tenure_days": 30.0 * place}
        )
    asks = [{"customer_id": name, "touchpoint": "app-home", "dedupe_key": "one"} for name in CUSTOMERS]
    return [client.post("/v1/decisions", json=ask).json() for ask in asks]


def seen(settings: Settings, shadow: Rollout, decisions: int) -> ShadowReading:
    def told() -> float:
        with redis.Redis.from_url(settings.redis_url or "") as client:
            return sum(number for name, number in read_counts(client, shadow).items() if "/" in name)

    wait_until(lambda: told() >= decisions)
    return read_shadow(settings, shadow)


def test_a_shadow_that_is_the_champion_would_do_the_same(
    serve, settings: Settings, shadow: Rollout, challenger, shop_bundle, store, new_customer
) -> None:
    client = serve(fetch_arm=challenger(shop_bundle))
    ask_for_all(client, store, new_customer)
    reading = seen(settings, shadow, 30)
    assert (reading.decisions, reading.differing_rate, reading.distance) == (30, 0.0, 0.0)
    assert reading.touchpoints["app-home"]["same"] == 30


def test_another_shadow_changes_no_answer_and_its_differences_are_counted(
    serve, settings: Settings, shadow: Rollout, challenger, new_bundle, store, new_customer, shop_files: Path
) -> None:
    other = new_bundle(load_catalogue(shop_files), seed=9)
    other.coding.offer_offsets.update({"ten-percent": -4_000.0, "double-stamps": 4_000.0})
    client = serve(fetch_arm=challenger(other))

    answers = ask_for_all(client, store, new_customer)

    assert {answer["model"]["version"] for answer in answers} == {"7"}
    reading = seen(settings, shadow, 30)
    differing = sum((answer["selected"] or {}).get("offer_id") != "double-stamps" for answer in answers)
    assert differing > 0
    assert reading.differing_rate == pytest.approx(differing / 30)
    metrics = client.get("/metrics").text
    counted = [line for line in metrics.splitlines() if line.startswith("nextbest_shadow_decisions_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in counted) == 30


def test_a_repeated_ask_and_a_dry_run_are_not_looked_at(
    serve, settings: Settings, shadow: Rollout, challenger, shop_bundle, store, new_customer
) -> None:
    client = serve(fetch_arm=challenger(shop_bundle))
    ask_for_all(client, store, new_customer)
    ask_for_all(client, store, new_customer)
    client.post("/v1/decisions", json={"customer_id": "C-1", "touchpoint": "app-home", "dry_run": True})
    client.post("/v1/decisions", json={"customer_id": "C-1", "touchpoint": "app-home", "dedupe_key": "two"})
    assert seen(settings, shadow, 31).decisions == 31


def test_a_shadow_that_fails_harms_nobody_and_is_told(
    serve, settings: Settings, shadow: Rollout, challenger, shop_bundle, store, new_customer, monkeypatch
) -> None:
    monkeypatch.setattr(rollout_watch, "shadow_of", lambda *_: 1 / 0)
    client = serve(fetch_arm=challenger(shop_bundle))
    answers = ask_for_all(client, store, new_customer)
    assert not any(answer["degraded"] for answer in answers)
    assert seen(settings, shadow, 30).touchpoints["app-home"]["failed"] == 30


def test_what_cannot_be_looked_at_in_time_is_dropped_and_told(
    serve, settings: Settings, shadow: Rollout, challenger, shop_bundle, store, new_customer, monkeypatch
) -> None:
    monkeypatch.setattr(rollout_watch, "MOST_WAITING", 0)
    client = serve(fetch_arm=challenger(shop_bundle))
    ask_for_all(client, store, new_customer)
    assert seen(settings, shadow, 30).touchpoints["app-home"]["dropped"] == 30


def test_a_rollout_begins_and_ends_without_a_restart(
    serve, settings: Settings, clock: Any, challenger, shop_bundle, store, new_customer
) -> None:
    client = serve(fetch_arm=challenger(shop_bundle))
    in_force = client.app.state.engine.refresher.current
    assert in_force().rollout is None
    rollout = Rollout(kind=RolloutKind.SHADOW, version="8", share=0.0, began_at=clock.now + timedelta(days=1))
    write_rollout(settings, rollout)
    wait_until(lambda: in_force().rollout == rollout)
    write_rollout(settings, None)
    wait_until(lambda: in_force().rollout is None and not in_force().arm_models)
    ask_for_all(client, store, new_customer)
    with redis.Redis.from_url(settings.redis_url or "") as connection:
        assert read_counts(connection, rollout) == {}
