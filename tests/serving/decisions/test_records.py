"""Records: compact in the stream and in the log, gone from Redis once drained, and always returned whole."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
import redis
from starlette.testclient import TestClient

from decisioning.record.compact import COMPACT_VERSION
from decisioning.record.document import RECORD_VERSION, decision_from_record
from features.chain.audit_chain import open_log
from features.log.contracts import DECISIONS
from features.log.rows import fields_in
from features.models.logged_decisions import LoggedDecisions
from features.models.policy_archive import Absence
from features.online.redis_keys import decision_key, shard_of, stream_key
from features.settings import Settings
from pipelines.audit.replay import replayed_differences
from serving.log.drain import drain_alone

type Serve = Callable[..., TestClient]

SLATE = {
    "customer_id": "C-1",
    "touchpoint": "weekly-mail",
    "placements": [{"placement": "top"}, {"placement": "side"}],
    "exclude_offers": ["ten-percent"],
}


def decide(client: TestClient, **ask: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json={"customer_id": "C-1", "touchpoint": "weekly-mail", **ask})
    assert answer.status_code == 200, answer.text
    return answer.json()


def sent(client: TestClient, **ask: Any) -> str:
    """A decision that sends; exploration chooses silence now and then."""
    answers = (decide(client, dedupe_key=f"ask-{place}", **ask) for place in range(20))
    return next(answer["decision_id"] for answer in answers if answer["action"] == "send")


def stored_record(live_redis: redis.Redis, decision_id: str) -> dict[str, Any]:
    rows = [fields_in(DECISIONS, fields[b"row"]) for _, fields in live_redis.xrange(stream_key(shard_of("C-1")))]
    [row] = [one for one in rows if one["decision_id"] == decision_id]
    return orjson.loads(row["record"])


@pytest.mark.parametrize("ask", [{}, SLATE, {"touchpoint": "app-home", "context": {"basket_value": 12.5}}])
def test_a_record_reads_the_same_before_and_after_the_drain(
    client: TestClient, customer: str, settings: Settings, live_redis: redis.Redis, ask: dict[str, Any]
) -> None:
    decision_id = decide(client, **ask)["decision_id"]
    assert stored_record(live_redis, decision_id)["record_version"] == COMPACT_VERSION
    paths = ("", "/explanation?for=agent", "/explanation?for=auditor", "/why-not?offer=free-coffee")
    before = [client.get(f"/v1/decisions/{decision_id}{path}").json() for path in paths[:3]]

    drain_alone(live_redis, open_log(settings), settings.spool_path)

    assert live_redis.xlen(stream_key(shard_of("C-1"))) == 0
    assert [client.get(f"/v1/decisions/{decision_id}{path}").json() for path in paths[:3]] == before
    assert client.get(f"/v1/decisions/{decision_id}{paths[3]}").status_code == 200
    assert before[0]["record_version"] == RECORD_VERSION
    assert decision_from_record(before[0]).decision_id == decision_id


def test_a_repeat_is_explained_from_the_log_once_its_record_is_drained(
    client: TestClient, customer: str, settings: Settings, live_redis: redis.Redis
) -> None:
    first = decide(client, dedupe_key="k", explain=True)
    drain_alone(live_redis, open_log(settings), settings.spool_path)
    again = decide(client, dedupe_key="k", explain=True, deadline_ms=5_000)
    assert again["replayed"]
    assert again["explanation"] in (first["explanation"], None)  # null if the log is slower than the deadline


def test_redis_keeps_only_what_permits_and_outcomes_need(
    client: TestClient, customer: str, settings: Settings, live_redis: redis.Redis
) -> None:
    decision_id = sent(client, **SLATE)
    drain_alone(live_redis, open_log(settings), settings.spool_path)
    key = decision_key(decision_id, shard_of("C-1"))
    kept = live_redis.hgetall(key)
    needed = {b"customer_id", b"channel", b"decided_at", b"entry", b"touchpoint", b"message", b"ask", b"touch"}
    assert set(kept) == needed
    assert live_redis.object("encoding", key) in (b"listpack", b"ziplist")  # as compact as Redis can
    assert live_redis.memory_usage(key) < 450
    assert 0 < live_redis.ttl(key) <= settings.decision_ttl_days * 86_400
    assert client.post(f"/v1/decisions/{decision_id}/permit").json()["permit"] == "allowed"


def test_a_permit_finds_in_the_log_what_redis_never_had(
    client: TestClient, customer: str, settings: Settings, live_redis: redis.Redis
) -> None:
    """This is the case for decisions of an earlier release and for restored slate positions."""
    decision_id = decide(client, **SLATE)["decision_id"]
    for position in (decision_id, f"{decision_id}-2"):
        live_redis.hdel(decision_key(position, shard_of("C-1")), "touchpoint", "message", "ask", "touch")
    drain_alone(live_redis, open_log(settings), settings.spool_path)
    for position in (decision_id, f"{decision_id}-2"):
        answer = client.post(f"/v1/decisions/{position}/permit", json={"deadline_ms": 5_000}).json()
        assert "TOO_OLD" not in answer["reasons"]
        assert answer["permit"] == "allowed" or answer["reasons"] == ["NOTHING_TO_SEND"]


def test_without_an_archived_catalogue_records_are_stored_whole(
    serve: Serve, customer: str, settings: Settings, live_redis: redis.Redis
) -> None:
    settings.catalogues_path.write_text("no folder")
    client = serve()
    decision_id = decide(client)["decision_id"]
    assert stored_record(live_redis, decision_id)["record_version"] == RECORD_VERSION
    assert client.get(f"/v1/decisions/{decision_id}").json()["decision_id"] == decision_id


def test_replay_finds_a_changed_column_of_a_compact_record(
    client: TestClient, customer: str, settings: Settings, live_redis: redis.Redis
) -> None:
    decision_id = decide(client)["decision_id"]
    log = open_log(settings)
    drain_alone(live_redis, log, settings.spool_path)
    row = log.read(DECISIONS).row(0, named=True)
    logged = LoggedDecisions(settings)
    assert replayed_differences(row, logged) == []
    found = replayed_differences({**row, "action_probability": 0.123, "stage": "lapsed"}, logged)
    assert not isinstance(found, Absence)
    assert [(one.field, one.logged) for one in found] == [("action_probability", 0.123), ("stage_id", "lapsed")]
    assert row["decision_id"] == decision_id
