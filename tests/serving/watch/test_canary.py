"""A canary decides for its share of customers on a real server, and is taken back by itself if it harms."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
import redis
from starlette.testclient import TestClient

from features.catalogue import load_catalogue
from features.chain.audit_chain import open_log
from features.log.contracts import DECISIONS
from features.models.logged_decisions import LoggedDecisions
from features.models.rollout import Rollout, RolloutKind, read_rollout, write_rollout
from features.models.rollout_counts import read_counts
from features.settings import Settings
from pipelines.audit.audit import AuditPlan, audit_policy
from pipelines.audit.replay import ReplayPlan, replay_log
from pipelines.batch.run import BatchPlan, ModelCopy, decide_audience
from pipelines.server.canary_watch import guard_once, read_canary, run_guarding
from serving.log.drain import drain_alone
from tests.waiting import wait_until
from training.registry.promotion_ledger import TAKEN_BACK, read_ledger

CUSTOMERS = [f"C-{number}" for number in range(160)]


@pytest.fixture
def canary(settings: Settings, clock: Any) -> Rollout:
    """Version 8 decides for half of the customers."""
    rollout = Rollout(kind=RolloutKind.CANARY, version="8", share=0.5, began_at=clock.now)
    write_rollout(settings, rollout)
    return rollout


@pytest.fixture
def client(serve, challenger, new_bundle, store, new_customer, shop_files: Path, canary: Rollout) -> TestClient:
    """A server whose canary is another model than its champion."""
    for name in CUSTOMERS:
        store.put(new_customer(name))
    other = new_bundle(load_catalogue(shop_files), seed=9)
    return serve(fetch_arm=challenger(other))


def ask_for_all(client: TestClient, key: str) -> dict[str, dict[str, Any]]:
    asks = [{"customer_id": name, "touchpoint": "weekly-mail", "dedupe_key": key} for name in CUSTOMERS]
    return {ask["customer_id"]: client.post("/v1/decisions", json=ask).json() for ask in asks}


def versions(answers: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: answer["model"]["version"] for name, answer in answers.items()}


def report(client: TestClient, kind: str, items: list[dict[str, Any]]) -> None:
    told = client.post(f"/v1/{kind}", json={kind: items})
    assert told.status_code == 202
    assert told.json()["rejected"] == []


def bought(client: TestClient, clock: Any, names: list[str], amount: Callable[[str], float]) -> None:
    money = [{"amount": amount(name), "currency": "EUR"} for name in names]
    at = (clock.now - timedelta(minutes=1)).isoformat()
    ids = {"type": "purchase", "occurred_at": at}
    items = [
        {"message_id": f"e-{name}", "customer_id": name, "value": one, **ids}
        for name, one in zip(names, money, strict=True)
    ]
    report(client, "events", items)


def unsubscribed(client: TestClient, clock: Any, answers: dict[str, dict[str, Any]], names: list[str]) -> None:
    about = {"type": "unsubscribed", "occurred_at": clock.now.isoformat()}
    ids = {name: answers[name]["decision_id"] for name in names}
    items = [{"message_id": f"o-{name}", "decision_id": one, **about} for name, one in ids.items()]
    report(client, "outcomes", items)


def drained(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url or "") as connection:
        drain_alone(connection, open_log(settings), settings.spool_path)


@contextmanager
def guarded(settings: Settings) -> Iterator[None]:
    """The guard at work, as beside a server's drain."""
    stop = threading.Event()
    arguments = (settings, settings.redis_url or "", stop)
    thread = threading.Thread(target=run_guarding, args=arguments, kwargs={"every_s": 0.05})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_hash_says_whom_the_canary_decides_for_and_every_record_names_its_model(
    client: TestClient, settings: Settings, canary: Rollout
) -> None:
    told = versions(ask_for_all(client, "one"))

    assert told == {name: "8" if canary.takes(name) else "7" for name in CUSTOMERS}
    assert 60 < sum(version == "8" for version in told.values()) < 100
    drained(settings)
    log = open_log(settings)
    logged = log.read(DECISIONS, columns=["customer_id", "model_version", "action_probability"])
    assert dict(zip(logged["customer_id"], logged["model_version"], strict=True)) == told
    decisions = LoggedDecisions(settings)
    replayed = replay_log(log, decisions, ReplayPlan())
    assert (replayed.same, replayed.changed, replayed.absent) == (len(CUSTOMERS), [], {})
    assert audit_policy(log, decisions, AuditPlan(draws=20)).passes


def test_a_batch_decides_as_the_api_does_beside_a_canary(
    client: TestClient, settings: Settings, canary: Rollout, registry: Any, clock: Any, tmp_path: Path
) -> None:
    told = ask_for_all(client, "one")
    drained(settings)
    pl.DataFrame({"customer_id": CUSTOMERS}).write_parquet(tmp_path / "audience.parquet")
    plan = BatchPlan(
        audience=tmp_path / "audience.parquet", out=tmp_path / "out.parquet", touchpoint_id="weekly-mail", now=clock.now
    )
    champion = ModelCopy(folder=registry.champion.folder, version="7")
    arms = {"rollout": ModelCopy(folder=tmp_path / "challenger", version="8")}
    decide_audience(plan, settings, redis_url=settings.redis_url or "", model=champion, arms=arms, rollout=canary)
    drained(settings)
    of_batch = open_log(settings).read(DECISIONS, columns=["customer_id", "decision_id", "model_version"])
    first = {answer["decision_id"] for answer in told.values()}
    later = of_batch.filter(~pl.col("decision_id").is_in(list(first)))
    assert dict(zip(later["customer_id"], later["model_version"], strict=True)) == versions(told)


def test_a_canary_that_drives_customers_away_is_taken_back_by_itself(
    client: TestClient, settings: Settings, canary: Rollout, clock: Any
) -> None:
    answers = ask_for_all(client, "one")
    taken = [name for name in CUSTOMERS if canary.takes(name) and answers[name]["action"] == "send"]
    with guarded(settings):
        drained(settings)
        assert read_rollout(settings) == canary
        unsubscribed(client, clock, answers, taken[:40])
        drained(settings)
        wait_until(lambda: read_rollout(settings) is None)

    wait_until(lambda: client.app.state.engine.refresher.current().rollout is None)
    assert set(versions(ask_for_all(client, "two")).values()) == {"7"}
    [entry] = read_ledger(settings)
    assert (entry.action, entry.version, entry.by) == (TAKEN_BACK, "8", "guard")
    assert entry.reason.startswith("guardrail broken: customers who unsubscribed or complained 0.")
    assert entry.numbers["customers who unsubscribed or complained: canary"] > 0.4
    assert entry.numbers["customers who unsubscribed or complained: champion"] == 0.0


def test_a_canary_that_loses_money_is_taken_back_and_one_that_does_not_goes_on(
    client: TestClient, settings: Settings, canary: Rollout, clock: Any
) -> None:
    url = settings.redis_url or ""
    ask_for_all(client, "one")
    clock.now += timedelta(hours=1)
    bought(client, clock, CUSTOMERS[:60], lambda name: 20.0 + len(name) + int(name[2:]) % 5)
    drained(settings)
    later = clock.now + timedelta(hours=1)
    assert not guard_once(settings, url, later)
    assert not any(one.is_broken for one in read_canary(settings, url, canary, later))

    rest = [name for name in CUSTOMERS[60:] if not canary.takes(name)]
    bought(client, clock, rest, lambda _name: 80.0)
    drained(settings)

    assert guard_once(settings, url, later)
    assert "net_revenue by customer" in read_ledger(settings)[-1].reason
    assert read_rollout(settings) is None
    assert not guard_once(settings, url, later)


def test_where_the_canary_fails_the_champion_decides_and_the_canary_is_taken_back(
    client: TestClient, settings: Settings, canary: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force = client.app.state.engine.refresher.current()
    broken = in_force.arm_models["rollout"].on_touchpoint
    monkeypatch.setitem(broken, "weekly-mail", None)

    answers = ask_for_all(client, "one")

    assert set(versions(answers).values()) == {"7"}
    assert not any(answer["degraded"] for answer in answers.values())
    counted = sum(canary.takes(name) for name in CUSTOMERS)

    def failed() -> float:
        with redis.Redis.from_url(settings.redis_url or "") as connection:
            return read_counts(connection, canary).get("canary/failed", 0.0)

    wait_until(lambda: failed() == counted)
    assert guard_once(settings, settings.redis_url or "", canary.began_at + timedelta(hours=1))
    assert "failed scorings 1 against 0" in read_ledger(settings)[-1].reason


def test_a_server_without_a_rollout_counts_nothing(serve, store, new_customer, settings: Settings) -> None:
    store.put(new_customer("C-1"))
    client = serve()
    assert client.post("/v1/decisions", json={"customer_id": "C-1", "touchpoint": "weekly-mail"}).status_code == 200
    assert not client.app.state.engine.refresher.current().tally
    assert orjson.dumps(read_ledger(settings)) == b"[]"
