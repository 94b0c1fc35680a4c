"""While a component is down, callers get an answer in time, and never a message that a gate refused."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from decisioning.customer import Customer
from decisioning.record.document import decision_to_record, replay
from features.catalogue import load_catalogue
from features.log.contracts import DECISIONS, OUTCOMES
from features.log.event_log import EventLog
from features.models.logged_decisions import LoggedDecisions
from features.online.redis_keys import feature_key, profile_key
from features.settings import Settings
from serving.decisions.answer import Answer
from serving.http.app import create_app
from serving.log.drain import drain_spool, drain_streams
from tests.serving.other_models import learned_by
from tests.waiting import wait_until

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
DEADLINE_MS = 1_000  # long enough for a busy machine; the test checks that it is kept


@pytest.fixture
def away(settings: Settings, own_redis: Any) -> Settings:
    return settings.model_copy(update={"redis_url": own_redis.url, "deadline_ms": DEADLINE_MS})


@pytest.fixture
def shop_customer(own_redis: Any, store: Any, new_customer: Callable[..., Customer]) -> str:
    store.client = own_redis.client
    return store.put(new_customer("C-1"))


@pytest.fixture
def served(away: Settings, registry: Any, clock: Any, shop_customer: str) -> Iterator[TestClient]:
    app = create_app(away, fetch_model=registry.fetch, now=clock, refresh_every_s=0.05)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def timed(client: TestClient, **changes: Any) -> tuple[dict[str, Any], float]:
    started = time.perf_counter()
    answer = client.post("/v1/decisions", json={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    TypeAdapter(Answer).validate_python(answer.json())
    return answer.json(), time.perf_counter() - started


def test_with_redis_killed_the_answer_is_silence_at_once_and_reaches_the_log(
    served: TestClient, own_redis: Any, away: Settings
) -> None:
    assert timed(served)[0]["degraded"] is False
    own_redis.send(signal.SIGKILL)

    answers = [timed(served, dedupe_key=str(n), explain=True) for n in range(5)]

    for answer, seconds in answers:
        assert (answer["action"], answer["reason"], answer["ttl_s"]) == ("hold", "DEGRADED", 0)
        assert answer["degraded_reasons"] == ["state_unavailable"]
        assert seconds < DEADLINE_MS / 1000
        assert "unavailable" in answer["explanation"]["summary"]
    log = EventLog(away.log_path)
    drain_spool(log, away.spool_path)
    rows = log.read(DECISIONS)
    assert set(rows["decision_id"]) == {answer["decision_id"] for answer, _ in answers}
    policy = served.app.state.engine.refresher.current().policy  # pyright: ignore[reportAttributeAccessIssue]
    for record in map(LoggedDecisions(away).document, rows.iter_rows(named=True)):
        assert decision_to_record(replay(policy, record)) == record
        assert record["action_probability"] == 1.0


def test_with_redis_frozen_the_deadline_holds_and_later_requests_no_longer_wait(
    served: TestClient, own_redis: Any
) -> None:
    own_redis.send(signal.SIGSTOP)

    first, seconds = timed(served)
    assert first["degraded_reasons"] == ["state_unavailable"]
    assert seconds < DEADLINE_MS / 1000 + 0.1
    wait_until(lambda: not served.app.state.engine.state.is_up)  # pyright: ignore[reportAttributeAccessIssue]
    assert min(timed(served)[1] for _ in range(5)) < 0.05


def test_the_callers_own_deadline_is_kept_too(served: TestClient, own_redis: Any) -> None:
    own_redis.send(signal.SIGSTOP)

    assert timed(served, deadline_ms=30)[1] < DEADLINE_MS / 2_000


def test_after_redis_recovers_decisions_are_no_longer_degraded(served: TestClient, own_redis: Any) -> None:
    own_redis.send(signal.SIGKILL)
    assert timed(served)[0]["degraded"]

    own_redis.start()

    wait_until(lambda: not timed(served)[0]["degraded"])


def test_a_decision_whose_commit_was_not_confirmed_is_withdrawn_and_marked_not_sent(
    served: TestClient, own_redis: Any, away: Settings
) -> None:
    """Redis freezes between read and commit; the commit waits in its socket and runs when Redis resumes."""
    engine = served.app.state.engine  # pyright: ignore[reportAttributeAccessIssue]
    read = engine.state.read_many

    async def read_then_freeze(lookups: Any) -> Any:
        known = await read(lookups)
        own_redis.send(signal.SIGSTOP)
        return known

    engine.state.read_many = read_then_freeze
    answer, seconds = timed(served, dedupe_key="w45")
    engine.state.read_many = read
    own_redis.send(signal.SIGCONT)

    assert seconds < DEADLINE_MS / 1000 + 0.1
    assert (answer["action"], answer["degraded_reasons"]) == ("hold", ["log_unavailable"])
    log = EventLog(away.log_path)
    drain_spool(log, away.spool_path)
    drain_streams(own_redis.client, log, away.spool_path)
    decisions = {row["decision_id"]: row for row in log.read(DECISIONS).to_dicts()}
    [withdrawn] = log.read(OUTCOMES).to_dicts()
    assert withdrawn["type"] == "not_sent"
    assert decisions[withdrawn["decision_id"]]["offer_id"] is not None
    assert decisions[answer["decision_id"]]["offer_id"] is None


def test_a_decision_that_cannot_be_logged_is_not_given(served: TestClient, own_redis: Any, away: Settings) -> None:
    own_redis.send(signal.SIGKILL)
    away.spool_path.parent.mkdir(parents=True, exist_ok=True)
    away.spool_path.write_text("a file where the folder should be")

    answer, seconds = timed(served)

    assert (answer["decision_id"], answer["action"]) == (None, "hold")
    assert answer["degraded_reasons"] == ["state_unavailable", "log_unavailable"]
    assert seconds < DEADLINE_MS / 1000


def test_a_full_redis_refuses_to_log_and_so_nothing_is_sent(served: TestClient, own_redis: Any) -> None:
    own_redis.client.config_set("maxmemory", "1")

    answer, _ = timed(served)

    assert (answer["action"], answer["degraded_reasons"]) == ("hold", ["log_unavailable"])


def test_a_redis_that_lost_its_scripts_gets_them_again(served: TestClient, own_redis: Any) -> None:
    own_redis.client.script_flush()

    assert timed(served)[0]["degraded"] is False


def test_reports_are_refused_while_redis_is_down_so_that_senders_retry(served: TestClient, own_redis: Any) -> None:
    own_redis.send(signal.SIGKILL)
    item = {"message_id": "e", "customer_id": "C-1", "type": "purchase", "occurred_at": "2026-11-02T09:30:00Z"}

    answer = served.post("/v1/events", json={"events": [item]})

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_record_is_not_called_unknown_while_redis_is_down(served: TestClient, own_redis: Any) -> None:
    decision_id = timed(served)[0]["decision_id"]
    own_redis.send(signal.SIGKILL)

    assert served.get(f"/v1/decisions/{decision_id}").status_code == 503


def test_readiness_names_the_component_that_is_down_and_keeps_the_server_in_service(
    served: TestClient, own_redis: Any
) -> None:
    assert served.get("/readyz").json()["status"] == "ready"
    own_redis.send(signal.SIGKILL)

    wait_until(lambda: served.get("/readyz").json()["status"] == "degraded")
    answer = served.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["checks"]["redis"]["problem"]
    assert "nextbest_redis_up 0.0" in served.get("/metrics").text


def test_a_server_that_starts_without_redis_answers_degraded_and_is_not_ready(
    away: Settings, registry: Any, own_redis: Any
) -> None:
    own_redis.send(signal.SIGKILL)

    with TestClient(create_app(away, fetch_model=registry.fetch)) as client:
        assert timed(client)[0]["degraded_reasons"] == ["state_unavailable"]
        assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("url", ["rediss://127.0.0.1:1/0", "http://x"])
def test_a_redis_that_was_never_reachable_is_treated_the_same(away: Settings, registry: Any, url: str) -> None:
    settings = away.model_copy(update={"redis_url": url})

    with TestClient(create_app(settings, fetch_model=registry.fetch)) as client:
        assert timed(client)[0]["degraded_reasons"] == ["state_unavailable"]
        assert client.get("/readyz").json()["checks"]["redis"]["problem"]


def test_without_redis_many_concurrent_callers_are_all_answered_in_time(served: TestClient, own_redis: Any) -> None:
    own_redis.send(signal.SIGKILL)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: timed(served, dedupe_key=str(n)), range(64)))

    assert all(answer["action"] == "hold" for answer, _ in answers)


def test_without_a_model_only_messages_that_need_none_are_sent(
    settings: Settings, registry: Any, clock: Any, customer: str
) -> None:
    registry.champion = None
    app = create_app(settings, fetch_model=registry.fetch, now=clock)
    with TestClient(app) as client:
        answers = [timed(client, customer_id=customer, touchpoint="app-home", explain=True)[0] for _ in range(30)]
        ready = client.get("/readyz")

    sent = {answer["selected"]["offer_id"] for answer in answers if answer["selected"]}
    assert sent == {"opening-hours"}
    for answer in answers:
        assert answer["degraded_reasons"] == ["model_unavailable"]
        assert answer["model"] is None
        marketing = [one for one in answer["explanation"]["excluded"] if "ten-percent" in one["message"]]
        assert all("NOT_SCORED" in one["reasons"] for one in marketing)
    assert ready.status_code == 503
    assert "nextbest model promote" in ready.json()["checks"]["model"]["problem"]


def test_a_model_of_another_feature_schema_is_not_used_and_readiness_says_why(
    settings: Settings, registry: Any, new_bundle: Callable[..., Any], customer: str, shop_files: Path, clock: Any
) -> None:
    registry.promote(new_bundle(load_catalogue(shop_files), schema="0123456789abcdef"), "8")

    with TestClient(create_app(settings, fetch_model=registry.fetch, now=clock)) as client:
        assert timed(client)[0]["degraded_reasons"] == ["model_unavailable"]
        ready = client.get("/readyz")

    assert ready.status_code == 503
    assert "0123456789abcdef" in ready.json()["checks"]["model"]["problem"]


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_model_is_not_used(settings: Settings, registry: Any, clock: Any, customer: str, damage: str) -> None:
    booster = registry.champion.folder / "booster.txt"
    text = booster.read_text()
    {
        "missing": booster.unlink,
        "cut": lambda: booster.write_text(text[:500]),
        "changed": lambda: booster.write_text(text + " "),
    }[damage]()

    with TestClient(create_app(settings, fetch_model=registry.fetch, now=clock)) as client:
        assert timed(client)[0]["degraded_reasons"] == ["model_unavailable"]
        assert "booster.txt" in client.get("/readyz").json()["checks"]["model"]["problem"]


def test_scores_that_are_not_numbers_never_send(client: TestClient, customer: str) -> None:
    refresher = client.app.state.engine.refresher  # pyright: ignore[reportAttributeAccessIssue]
    refresher.in_force = learned_by(refresher.in_force, lambda matrix: np.full(len(matrix), np.nan))

    answers = [timed(client, touchpoint="app-home")[0] for _ in range(20)]

    assert {answer["selected"]["offer_id"] for answer in answers if answer["selected"]} <= {"opening-hours"}
    assert all(answer["degraded_reasons"] == ["model_unavailable"] for answer in answers)


def test_without_features_rules_over_them_fail_and_other_messages_are_scored_as_for_a_new_customer(
    client: TestClient, customer: str, live_redis: redis.Redis
) -> None:
    live_redis.delete(feature_key(customer))

    answer, _ = timed(client, explain=True)

    assert answer["degraded_reasons"] == ["features_missing"]
    assert answer["features_as_of"] is None
    assert answer["model"]["version"] == "7"
    excluded = {one["message"]: one["reasons"] for one in answer["explanation"]["excluded"]}
    assert excluded["free-coffee/email/plain"] == ["WRONG_STAGE"]
    permitted = {one["message"] for one in answer["explanation"]["evaluated"]}
    assert "ten-percent/email/plain" in permitted


def test_features_of_another_schema_count_as_unreadable(
    client: TestClient, customer: str, live_redis: redis.Redis
) -> None:
    live_redis.set(feature_key(customer), b"\x01" * 400)

    assert timed(client)[0]["degraded_reasons"] == ["features_unavailable"]


def test_features_beyond_their_maximum_age_are_reported_as_stale(client: TestClient, customer: str, clock: Any) -> None:
    from datetime import timedelta

    clock.now += timedelta(days=60)

    answer, _ = timed(client)
    assert answer["degraded_reasons"] == ["features_stale"]


def test_an_unreadable_profile_gives_silence(client: TestClient, customer: str, live_redis: redis.Redis) -> None:
    live_redis.set(profile_key(customer), b'{"customer_id": ')

    answer, _ = timed(client)

    assert (answer["action"], answer["degraded_reasons"]) == ("hold", ["profile_unreadable"])


def test_a_message_that_cannot_be_rendered_is_not_sent(
    settings: Settings, registry: Any, clock: Any, store: Any, new_customer: Callable[..., Customer]
) -> None:
    offers = settings.catalogue_path / "offers.yaml"
    text = offers.read_text()
    template = "{% assign rest = customer.age | minus: 43 %}{{ 100 | divided_by: rest }}"
    broken = text.replace("{{ customer.first_name | default: 'you' }}", template)
    assert broken != text
    offers.write_text(broken)
    store.put(new_customer("C-1", attributes={"age": 43}))

    with TestClient(create_app(settings, fetch_model=registry.fetch, now=clock)) as client:
        answers = [timed(client)[0] for _ in range(8)]

    assert {(answer["action"], answer["reason"]) for answer in answers} == {("hold", "NOTHING_PERMITTED")}


def test_a_message_that_cannot_be_rendered_leaves_the_choice_to_the_others(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]
) -> None:
    template = "{% assign rest = customer.age | minus: 43 %}{{ 100 | divided_by: rest }}"
    creative = f"{{creative: plain, channel: push, content: {{headline: '{template}'}}}}"
    client = serve(offers=f"ten-percent: {{creatives: [{creative}]}}")
    store.put(new_customer("C-1", attributes={"age": 43}))
    store.put(new_customer("C-2", attributes={"age": 44}))

    broken, whole = (timed(client, customer_id=one, touchpoint="app-home", explain=True)[0] for one in ("C-1", "C-2"))

    excluded = {one["message"]: one["reasons"] for one in broken["explanation"]["excluded"]}
    assert excluded["ten-percent/push/plain"] == ["CREATIVE_UNFIT"]
    assert broken["action"] == "send"
    assert not broken["degraded"]
    assert sum(one["action_probability"] for one in broken["explanation"]["evaluated"]) == pytest.approx(1)
    assert "ten-percent/push/plain" in {one["message"] for one in whole["explanation"]["evaluated"]}


def test_content_without_bounds_is_left_out_too_and_the_answer_says_so(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]
) -> None:
    creative = "{creative: plain, channel: push, content: {headline: Hi, body: '{{ customer.note }}'}}"
    client = serve(offers=f"ten-percent: {{creatives: [{creative}]}}")
    store.put(new_customer("C-1", attributes={"age": 43, "note": "x" * 120_000}))

    answer, _ = timed(client, touchpoint="app-home", explain=True)

    excluded = {one["message"]: one["reasons"] for one in answer["explanation"]["excluded"]}
    assert (answer["action"], answer["degraded_reasons"]) == ("send", ["content_unavailable"])
    assert excluded["ten-percent/push/plain"] == ["CREATIVE_UNFIT"]
