from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from decisioning.customer import Customer
from decisioning.record.document import decision_to_record, replay
from features.log.contracts import DECISIONS, TABLES
from features.log.rows import fields_in
from features.online.redis_keys import SHARD_COUNT, shard_of, stream_key
from serving.decisions.answer import Answer
from serving.http.documents import BatchAnswer
from serving.http.flat_answer import FlatAnswer
from tests.serving.other_models import learned_by

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}


def entries(live_redis: redis.Redis) -> list[dict[str, Any]]:
    found = [entry for shard in range(SHARD_COUNT) for _, entry in live_redis.xrange(stream_key(shard))]
    named = [(entry[b"table"].decode(), entry[b"row"]) for entry in found]
    return [fields_in(TABLES[table], row) | {"table": table} for table, row in named]


def test_a_decision_has_the_documented_shape_and_names_what_to_send(client: TestClient, customer: str) -> None:
    answer = client.post("/v1/decisions", json={**ASK, "dedupe_key": "w45", "explain": True})

    assert answer.status_code == 200
    body = TypeAdapter(Answer).validate_python(answer.json())
    assert body["action"] == "send"
    assert body["selected"] is not None
    assert body["selected"]["content"]["headline"].endswith("for Ada")
    assert body["selected"]["action_probability"] == body["action_probability"]
    assert body["slate"] == []
    assert body["retry_at"] is None
    assert body["model"] == {"version": "7", "measure": "net_revenue"}
    assert body["ttl_s"] == 86_400
    assert not body["degraded"]
    explanation = body.get("explanation")
    assert explanation is not None
    assert sum(one["action_probability"] for one in explanation["evaluated"]) == pytest.approx(1)
    scored = [one["expected_value"] for one in explanation["evaluated"] if one["expected_value"] is not None]
    assert {one["currency"] for one in scored} == {"EUR"}


def test_a_decision_is_in_the_log_stream_before_it_is_answered(
    client: TestClient, customer: str, live_redis: redis.Redis
) -> None:
    body = client.post("/v1/decisions", json=ASK).json()

    [row] = entries(live_redis)
    assert row["table"] == "decisions"
    assert row["decision_id"] == body["decision_id"]
    assert row["action_probability"] == body["action_probability"]
    assert set(row) - {"table"} <= set(DECISIONS.schema)
    assert None not in row.values()
    assert live_redis.xlen(stream_key(shard_of(customer))) == 1


def test_nothing_to_send_is_a_valid_answer_and_not_an_error(
    client: TestClient, store: Any, new_customer: Callable[..., Customer]
) -> None:
    store.put(new_customer("C-1", reachable_channels=frozenset()))

    answer = client.post("/v1/decisions", json=ASK)

    assert answer.status_code == 200
    assert answer.json()["action"] == "hold"
    assert answer.json()["selected"] is None
    assert answer.json()["reason"] == "NOTHING_PERMITTED"
    TypeAdapter(Answer).validate_python(answer.json())


def test_an_unknown_customer_gets_silence_and_is_logged(client: TestClient, live_redis: redis.Redis) -> None:
    body = client.post("/v1/decisions", json={**ASK, "customer_id": "nobody"}).json()

    assert (body["action"], body["reason"], body["degraded"]) == ("hold", "UNKNOWN_CUSTOMER", False)
    assert [row["decision_id"] for row in entries(live_redis)] == [body["decision_id"]]


def test_the_same_dedupe_key_gets_the_same_decision_and_one_log_entry(
    client: TestClient, customer: str, live_redis: redis.Redis, clock: Any
) -> None:
    first = client.post("/v1/decisions", json={**ASK, "dedupe_key": "w45"}).json()
    clock.now += timedelta(hours=1)
    again = client.post("/v1/decisions", json={**ASK, "dedupe_key": "w45"}).json()

    assert again["replayed"]
    assert again["ttl_s"] == first["ttl_s"] - 3600
    assert {**again, "replayed": False, "ttl_s": first["ttl_s"]} == first
    assert len(entries(live_redis)) == 1


def test_a_flat_ask_and_a_full_ask_with_the_same_key_share_the_decision(client: TestClient, customer: str) -> None:
    full = client.post("/v1/decisions", json={**ASK, "dedupe_key": "w45"}).json()
    flat = client.get("/v1/decisions/next", params={**ASK, "key": "w45"}).json()

    assert flat["decision_id"] == full["decision_id"]


def test_one_dedupe_key_for_many_customers_gives_each_their_own_decision(
    client: TestClient, store: Any, new_customer: Callable[..., Customer]
) -> None:
    answers = [
        client.post(
            "/v1/decisions", json={**ASK, "customer_id": store.put(new_customer(f"C-{n}")), "dedupe_key": "send"}
        )
        for n in range(5)
    ]

    assert len({answer.json()["decision_id"] for answer in answers}) == 5


def test_without_a_key_every_ask_is_a_new_decision(client: TestClient, customer: str) -> None:
    ids = {client.post("/v1/decisions", json=ASK).json()["decision_id"] for _ in range(3)}

    assert len(ids) == 3


def test_an_idempotency_key_repeats_its_answer_and_refuses_another_request(
    client: TestClient, customer: str, live_redis: redis.Redis
) -> None:
    key = {"Idempotency-Key": "5b1c"}
    first = client.post("/v1/decisions", json=ASK, headers=key)
    again = client.post("/v1/decisions", json=ASK, headers=key)
    other = client.post("/v1/decisions", json={**ASK, "customer_id": "C-2"}, headers=key)

    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["decision_id"] == first.json()["decision_id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(entries(live_redis)) == 1


def test_a_dry_run_decides_as_usual_and_stores_nothing(
    client: TestClient, customer: str, live_redis: redis.Redis
) -> None:
    before = sorted(live_redis.keys())
    dry = client.post("/v1/decisions", json={**ASK, "dedupe_key": "w45", "dry_run": True}).json()
    after = sorted(live_redis.keys())
    real = client.post("/v1/decisions", json={**ASK, "dedupe_key": "w45"}).json()

    assert before == after
    assert (dry["decision_id"], dry["dry_run"], dry["ttl_s"]) == (None, True, 0)
    assert dry["selected"] == real["selected"]
    assert not real["replayed"]


def test_explaining_changes_nothing_and_gives_the_same_text_on_a_repeat(client: TestClient, customer: str) -> None:
    plain = client.post("/v1/decisions", json={**ASK, "dedupe_key": "a"}).json()
    explained = client.post("/v1/decisions", json={**ASK, "dedupe_key": "a", "explain": True}).json()
    fresh = client.post("/v1/decisions", json={**ASK, "dedupe_key": "b", "explain": True}).json()
    again = client.post("/v1/decisions", json={**ASK, "dedupe_key": "b", "explain": True}).json()

    assert "explanation" not in plain
    assert explained["decision_id"] == plain["decision_id"]
    assert explained["explanation"]["evaluated"]
    assert again["explanation"] == fresh["explanation"]


def test_every_refusal_is_explained_by_code_and_in_words(
    client: TestClient, store: Any, new_customer: Callable[..., Customer]
) -> None:
    store.put(new_customer("C-1", reachable_channels=frozenset({"email"}), attributes={"age": 12}))

    told = client.post("/v1/decisions", json={**ASK, "exclude_offers": ["free-coffee"], "explain": True}).json()

    excluded = {one["message"]: one["reasons"] for one in told["explanation"]["excluded"]}
    assert excluded["ten-percent/email/plain"] == ["NOT_ELIGIBLE"]
    assert excluded["double-stamps/push/plain"] == ["NOT_REACHABLE"]
    assert excluded["free-coffee/push/plain"] == ["EXCLUDED_BY_CALLER", "NOT_REACHABLE"]
    assert all(one["because"] for one in told["explanation"]["excluded"])


def test_a_record_replays_bit_for_bit(client: TestClient, customer: str) -> None:
    body = client.post("/v1/decisions", json=ASK).json()
    record = client.get(f"/v1/decisions/{body['decision_id']}").json()

    policy = client.app.state.engine.refresher.current().policy  # pyright: ignore[reportAttributeAccessIssue]
    assert decision_to_record(replay(policy, record)) == record
    assert record["inputs"]["features"]["values"]["customer_tenure_days"] == 400.0


def test_an_unknown_decision_is_not_found(client: TestClient) -> None:
    for name in ("dec_00" + "0" * 32, "dec_ff" + "0" * 32, "D-1", "dec_", "dec_zz", "%00"):
        answer = client.get(f"/v1/decisions/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_decision"), name


def test_the_flat_answer_has_the_content_and_may_be_cached_briefly(client: TestClient, customer: str) -> None:
    kept = client.get("/v1/decisions/next", params={**ASK, "key": "w45"})
    fresh = client.get("/v1/decisions/next", params=ASK)

    TypeAdapter(FlatAnswer).validate_python(kept.json())
    assert kept.json()["headline"].endswith("for Ada")
    assert all(not isinstance(value, dict | list) for value in kept.json().values())
    assert kept.headers["cache-control"] == "private, max-age=300"
    assert fresh.headers["cache-control"] == "no-store"


def test_a_flat_hold_has_every_field_so_that_templates_need_no_guards(client: TestClient) -> None:
    body = client.get("/v1/decisions/next", params={**ASK, "customer_id": "nobody"}).json()

    TypeAdapter(FlatAnswer).validate_python(body)
    assert (body["action"], body["offer_id"], body["channel"]) == ("hold", None, None)


def test_channels_restrict_what_may_be_sent(client: TestClient, customer: str) -> None:
    for n in range(6):
        body = client.get("/v1/decisions/next", params={**ASK, "channels": "email", "key": str(n)}).json()
        assert body["channel"] in ("email", None)


def test_context_reaches_the_record_with_its_declared_type(client: TestClient, customer: str) -> None:
    flat = client.get(
        "/v1/decisions/next", params={"customer_id": "C-1", "touchpoint": "app-home", "ctx.basket_value": "42.5"}
    ).json()

    record = client.get(f"/v1/decisions/{flat['decision_id']}").json()
    assert record["inputs"]["request"]["context"] == {"basket_value": 42.5}


def test_a_batch_answers_every_item_as_if_it_were_alone(
    client: TestClient, store: Any, new_customer: Callable[..., Customer], live_redis: redis.Redis
) -> None:
    asks: list[Any] = [{**ASK, "customer_id": store.put(new_customer(f"C-{n}")), "dedupe_key": "b"} for n in range(45)]
    asks[7] = {**ASK, "touchpoint": "weekly-mial"}
    asks[9] = {**ASK, "customer": "C-1"}
    asks[11] = asks[12]

    answer = client.post("/v1/decisions/batch", json={"requests": asks})

    BatchAnswer.model_validate(answer.json())
    results = answer.json()["results"]
    assert [place for place, one in enumerate(results) if "problem" in one] == [7, 9]
    assert results[7]["problem"]["nearest"] == ["weekly-mail"]
    assert [results[place]["decision"]["replayed"] for place in (11, 12)] == [False, True]
    assert len(entries(live_redis)) == 42
    for ask, result in zip(asks[:5], results[:5], strict=True):
        alone = client.post("/v1/decisions", json=ask).json()
        assert alone["decision_id"] == result["decision"]["decision_id"]


def test_a_batch_with_an_idempotency_key_can_be_repeated(
    client: TestClient, customer: str, live_redis: redis.Redis
) -> None:
    sent = {"json": {"requests": [ASK, ASK]}, "headers": {"Idempotency-Key": "batch-1"}}
    first = client.post("/v1/decisions/batch", **sent).json()["results"]  # pyright: ignore[reportArgumentType]
    again = client.post("/v1/decisions/batch", **sent).json()["results"]  # pyright: ignore[reportArgumentType]

    ids = [one["decision"]["decision_id"] for one in first]
    assert [one["decision"]["decision_id"] for one in again] == ids
    assert len(set(ids)) == 2


def test_touchpoints_list_what_they_accept(client: TestClient) -> None:
    found = {one["touchpoint"]: one for one in client.get("/v1/touchpoints").json()["touchpoints"]}

    assert found["app-home"]["context"] == {"basket_value": "number"}
    assert found["app-home"]["channels"] == ["push"]
    assert "ten-percent/email/plain" in found["weekly-mail"]["messages"]


def test_me_lists_limits_and_versions(client: TestClient) -> None:
    body = client.get("/v1/me").json()

    assert body["limits"] == {"items": 500, "body_bytes": 1_048_576, "deadline_ms": 20_000}
    assert body["model_version"] == "7"


def test_metrics_count_decisions_by_answer(client: TestClient, customer: str) -> None:
    client.post("/v1/decisions", json={**ASK, "dedupe_key": "a"})
    client.post("/v1/decisions", json={**ASK, "dedupe_key": "a"})
    client.post("/v1/decisions", json={**ASK, "customer_id": "nobody"})

    text = client.get("/metrics").text

    assert 'reason="UNKNOWN_CUSTOMER",touchpoint="weekly-mail"} 1.0' in text
    assert 'nextbest_replays_total{touchpoint="weekly-mail"} 1.0' in text
    assert "nextbest_stream_length 2.0" in text
    assert 'nextbest_model_info{version="7"} 1.0' in text
    assert "nextbest_redis_up 1.0" in text
    assert 'nextbest_decision_seconds_count{route="decisions"} 3.0' in text
    assert "nextbest_feature_age_seconds_count 1.0" in text


@pytest.mark.parametrize("how", ["profile", "event"])
def test_without_profiling_no_feature_is_read_and_no_model_is_called(
    client: TestClient, store: Any, new_customer: Callable[..., Customer], how: str
) -> None:
    store.put(new_customer("C-1", has_opted_out_of_profiling=how == "profile"))
    if how == "event":
        item = {"message_id": "e-1", "customer_id": "C-1", "type": "profiling_opted_out"}
        event = {**item, "occurred_at": "2026-11-02T09:00:00Z"}
        assert client.post("/v1/events", json={"events": [event]}).json()["accepted"] == 1
    refresher = client.app.state.engine.refresher  # pyright: ignore[reportAttributeAccessIssue]

    def never(_: Any) -> Any:
        raise AssertionError("the model was asked")

    refresher.in_force = learned_by(refresher.in_force, never)
    body = client.post("/v1/decisions", json={**ASK, "touchpoint": "app-home"}).json()
    record = client.get(f"/v1/decisions/{body['decision_id']}").json()

    assert (body["degraded"], body["model"], body["features_as_of"]) == (False, None, None)
    assert body["reason"] in ("NOT_PROFILED", "EXPLORED")
    assert record["inputs"]["features"] is None
    assert record["inputs"]["expected_values"] is None
