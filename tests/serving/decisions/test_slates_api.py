"""Several placements in one ask: filled in order, no offer twice, each position with its own id and row."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from decisioning.record.document import decision_to_record, replay
from features.log.contracts import DECISIONS, OUTCOMES
from features.log.event_log import EventLog
from features.log.rows import fields_in
from features.online.redis_keys import SHARD_COUNT, book_key, stream_key
from features.settings import Settings
from serving.decisions.answer import Answer
from serving.log.drain import drain_alone

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}


def rows(live_redis: redis.Redis) -> list[dict[str, Any]]:
    found = [entry for shard in range(SHARD_COUNT) for _, entry in live_redis.xrange(stream_key(shard))]
    return [fields_in(DECISIONS, entry[b"row"]) for entry in found if entry[b"table"] == b"decisions"]


@pytest.fixture
def plain(serve: Callable[..., TestClient], customer: str) -> TestClient:
    return serve()


def ask(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    TypeAdapter(Answer).validate_python(answer.json())
    return answer.json()


def test_placements_are_filled_in_order_and_no_offer_comes_twice(plain: TestClient) -> None:
    answer = ask(plain, placements=[{"placement": "hero"}, {"placement": "side", "channels": ["push"]}])

    first, second = answer["slate"]
    assert [first["placement"], second["placement"]] == ["hero", "side"]
    assert first["selected"] == answer["selected"]
    assert first["decision_id"] == answer["decision_id"]
    assert second["decision_id"] == f"{answer['decision_id']}-2"
    assert second["selected"]["channel"] == "push"
    assert second["selected"]["offer_id"] != first["selected"]["offer_id"]
    assert second["selected"]["content"]["headline"].endswith("for Ada")
    assert [one["action_probability"] for one in answer["slate"]] == [
        one["selected"]["action_probability"] for one in answer["slate"]
    ]


def test_a_limit_sets_the_number_of_placements_and_some_may_stay_empty(plain: TestClient) -> None:
    answer = ask(plain, limit=6)

    assert [one["placement"] for one in answer["slate"]] == ["1", "2", "3", "4", "5", "6"]
    offers = [one["selected"]["offer_id"] for one in answer["slate"] if one["selected"]]
    assert len(offers) == len(set(offers)) <= 4
    assert answer["slate"][5]["selected"] is None
    assert answer["slate"][5]["action_probability"] == 1.0


def test_one_placement_does_not_make_a_slate(plain: TestClient) -> None:
    assert ask(plain, limit=1)["slate"] == []
    assert ask(plain, placements=[{"placement": "hero"}])["slate"] == []


def test_every_position_has_its_own_row_and_the_record_covers_all(plain: TestClient, live_redis: redis.Redis) -> None:
    answer = ask(plain, placements=[{"placement": "hero"}, {"placement": "side"}])

    first, second = rows(live_redis)
    assert set(first) | set(second) <= set(DECISIONS.schema)
    assert [first["decision_id"], second["decision_id"]] == [one["decision_id"] for one in answer["slate"]]
    assert [first["placement"], second["placement"]] == ["hero", "side"]
    assert [first["offer_id"], second["offer_id"]] == [one["selected"]["offer_id"] for one in answer["slate"]]
    assert [first["action_probability"], second["action_probability"]] == [
        one["action_probability"] for one in answer["slate"]
    ]
    assert ("record" in first, "record" in second) == (True, False)
    record = plain.get(f"/v1/decisions/{second['decision_id']}").json()
    assert record == plain.get(f"/v1/decisions/{answer['decision_id']}").json()
    policy = plain.app.state.engine.refresher.current().policy  # pyright: ignore[reportAttributeAccessIssue]
    assert decision_to_record(replay(policy, record)) == record


def test_outcomes_find_their_position_in_redis_and_in_the_log(
    plain: TestClient, live_redis: redis.Redis, settings: Settings
) -> None:
    second = ask(plain, limit=2)["slate"][1]["decision_id"]
    log = EventLog(settings.log_path)

    def report(message_id: str) -> Any:
        item = {"message_id": message_id, "decision_id": second, "type": "clicked"}
        return plain.post("/v1/outcomes", json={"outcomes": [{**item, "occurred_at": "2026-11-02T09:30:00Z"}]}).json()

    assert report("m-1")["accepted"] == 1
    drain_alone(live_redis, log, settings.spool_path)
    live_redis.flushall()
    assert report("m-2")["accepted"] == 1
    drain_alone(live_redis, log, settings.spool_path)
    assert set(log.read(OUTCOMES)["decision_id"]) == {second}
    assert set(log.read(DECISIONS)["placement"]) == {"1", "2"}


def test_positions_share_the_caps(serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis) -> None:
    client = serve("contact_policy: {caps: {day: {scope: everything, limit: 2, window_days: 1}}}")

    slate = ask(client, limit=4, explain=True)["slate"]

    assert [bool(one["selected"]) for one in slate] == [True, True, False, False]
    contacts = [name for name in live_redis.hkeys(book_key(customer)) if name.startswith(b"dec_")]
    assert len(contacts) == 2
    assert ask(client)["selected"] is None


def test_a_repeated_slate_is_the_same_and_is_withheld_by_position(
    serve: Callable[..., TestClient], customer: str, store: Any, new_customer: Callable[..., Any]
) -> None:
    client = serve()
    slate = {"placements": [{"placement": "mail", "channels": ["email"]}, {"placement": "app", "channels": ["push"]}]}
    first = ask(client, **slate, dedupe_key="one")
    again = ask(client, **slate, dedupe_key="one")
    store.put(new_customer("C-1", reachable_channels=frozenset({"email"})))
    withheld = ask(client, **slate, dedupe_key="one")

    assert again["slate"] == first["slate"]
    assert [bool(one["selected"]) for one in withheld["slate"]] == [True, False]
    assert [one["withheld"] for one in withheld["slate"]] == [[], ["NOT_REACHABLE"]]
    assert (withheld["action"], withheld["withheld"]) == ("send", [])


def test_a_dry_run_of_a_slate_has_no_ids(plain: TestClient, live_redis: redis.Redis) -> None:
    answer = ask(plain, limit=2, dry_run=True)

    assert [one["decision_id"] for one in answer["slate"]] == [None, None]
    assert rows(live_redis) == []


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"placements": []}, "/placements", "at least 1"),
        ({"placements": [{"placement": "a"}, {"placement": "a"}]}, "/placements", "must not repeat"),
        ({"placements": [{"placement": "a", "channels": ["emial"]}]}, "/placements/0/channels/0", "mean 'email'"),
        ({"placements": [{"placement": "a", "chanels": ["email"]}]}, "/placements/0/chanels", "mean 'channels'"),
        ({"placements": [{"placement": "a"}], "limit": 2}, "/limit", "left out"),
        ({"limit": 0}, "/limit", "greater than or equal to 1"),
    ],
)  # fmt: skip
def test_invalid_placements_are_refused_with_a_pointer(
    plain: TestClient, changes: dict[str, Any], pointer: str, words: str
) -> None:
    answer = plain.post("/v1/decisions", json={**ASK, **changes})

    assert answer.status_code == 422
    assert words in {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}[pointer]
