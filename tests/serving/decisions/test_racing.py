"""Two round trips without races; with races, caps hold and everybody is answered."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from decisioning.customer import Customer
from decisioning.record.document import decision_to_record, replay
from features.log.contracts import DECISIONS
from features.log.rows import fields_in
from features.models.logged_decisions import LoggedDecisions
from features.online.profiles import write_profiles
from features.online.redis_keys import SHARD_COUNT, book_key, stream_key
from features.settings import Settings

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
CAPPED = "contact_policy: {caps: {day: {scope: everything, limit: 2, window_days: 1}}}\n"
SHARED = """
contact_policy: {caps: {home: {scope: everything, limit: 2, window_days: 1, per: household}}}
limits: {mails: {scope: channel, of: email, amount: 1000, per: day}}
"""


def decide(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(live_redis: redis.Redis) -> list[dict[str, Any]]:
    found = [entry for shard in range(SHARD_COUNT) for _, entry in live_redis.xrange(stream_key(shard))]
    return [fields_in(DECISIONS, entry[b"row"]) for entry in found]


def contacts(live_redis: redis.Redis, customer: str) -> int:
    return sum(name.startswith(b"dec_") for name in live_redis.hkeys(book_key(customer)))


@pytest.mark.parametrize(
    "changes",
    [{}, {"limit": 3}, {"dedupe_key": "one"}, {"explain": True}, {"customer_id": "nobody"}],
    ids=["single", "slate", "sticky", "explained", "unknown"],
)
def test_a_decision_takes_two_round_trips(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer], round_trips: Any,
    changes: dict[str, Any],
) -> None:  # fmt: skip
    """Customer, household and shared limits are read in one round trip and written in one."""
    client = serve(SHARED)
    store.put(new_customer("C-1", household_id="H-1"))
    write_profiles(store.client, [new_customer("C-1", household_id="H-1"), new_customer("C-2", household_id="H-1")])

    with round_trips(client) as trips:
        decide(client, **changes)
    assert len(trips) == 2


def test_a_repeat_takes_one_round_trip(serve: Callable[..., TestClient], customer: str, round_trips: Any) -> None:
    client = serve(CAPPED)
    decide(client, dedupe_key="one")

    with round_trips(client) as trips:
        assert decide(client, dedupe_key="one")["replayed"]
    assert len(trips) == 1


def test_a_batch_of_different_customers_takes_two_round_trips(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer], round_trips: Any
) -> None:
    client = serve(CAPPED)
    asks = [{**ASK, "customer_id": store.put(new_customer(f"C-{n}"))} for n in range(10)]

    with round_trips(client) as trips:
        client.post("/v1/decisions/batch", json={"requests": asks})
    assert len(trips) == 2


def test_asks_about_one_customer_in_one_batch_are_decided_one_after_the_other(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis
) -> None:
    client = serve(CAPPED)

    answer = client.post("/v1/decisions/batch", json={"requests": [ASK] * 7}).json()

    actions = [one["decision"]["action"] for one in answer["results"]]
    assert actions == ["send", "send", "hold", "hold", "hold", "hold", "hold"]
    assert contacts(live_redis, customer) == 2
    assert "nextbest_conflicts_total 0.0" in client.get("/metrics").text


def test_a_household_in_one_batch_shares_its_cap(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]
) -> None:
    client = serve(SHARED)
    people = [new_customer(f"C-{n}", household_id="H-1") for n in range(8)]
    for one in people:
        store.put(one)
    write_profiles(store.client, people)

    asks = [{**ASK, "customer_id": one.customer_id} for one in people]
    answer = client.post("/v1/decisions/batch", json={"requests": asks}).json()

    decisions = [one["decision"] for one in answer["results"]]
    assert sum(one["action"] == "send" for one in decisions) == 2
    assert {one["reason"] for one in decisions if one["action"] == "hold"} == {"NOTHING_PERMITTED"}


def test_members_of_a_household_in_one_batch_do_not_lose_races_against_each_other(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]
) -> None:
    client = serve("contact_policy: {caps: {home: {scope: everything, limit: 7, window_days: 1, per: household}}}")
    people = [new_customer(f"C-{n}", household_id="H-1") for n in range(8)]
    for one in people:
        store.put(one)
    write_profiles(store.client, people)

    asks = [{**ASK, "customer_id": one.customer_id} for one in people]
    answer = client.post("/v1/decisions/batch", json={"requests": asks}).json()

    reasons = [one["decision"]["reason"] for one in answer["results"] if one["decision"]["action"] == "hold"]
    assert reasons == ["NOTHING_PERMITTED"]


def test_concurrent_callers_never_exceed_a_cap(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis
) -> None:
    client = serve(CAPPED)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: decide(client), range(48)))

    assert sum(one["action"] == "send" for one in answers) == 2
    assert contacts(live_redis, customer) == 2
    assert len(rows(live_redis)) == 48


class Rival:
    """A rival that decides about the same customer in between, a given number of times."""

    def __init__(self, client: TestClient, times: int) -> None:
        self.left = times
        self.engine = client.app.state.engine  # pyright: ignore[reportAttributeAccessIssue]
        self.commit = self.engine.state.commit
        self.engine.state.commit = self.after_another

    async def after_another(self, entries: Any) -> Any:
        if self.left and any(entry.reservation.contacts for entry in entries):
            self.left -= 1
            self.engine.state.commit = self.commit
            from serving.decisions.ask import ask_of
            from serving.forms import DecisionBody, validate

            ask = ask_of(validate(DecisionBody, ASK), self.engine.refresher.current())
            await replace(self.engine.decisions).answer_many([ask], now=self.engine.now, deadline_s=2.0)
            self.engine.state.commit = self.after_another
        return await self.commit(entries)


def test_a_decision_that_loses_a_race_is_made_again_with_the_winners_state(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis
) -> None:
    client = serve("contact_policy: {caps: {day: {scope: everything, limit: 1, window_days: 1}}}")
    Rival(client, times=1)

    answer = decide(client, explain=True)

    assert (answer["action"], answer["reason"]) == ("hold", "NOTHING_PERMITTED")
    assert answer["explanation"]["excluded"][0]["reasons"] == ["CAP_REACHED"]
    assert contacts(live_redis, customer) == 1
    assert len(rows(live_redis)) == 2
    assert "nextbest_conflicts_total 1.0" in client.get("/metrics").text


@pytest.mark.parametrize(("times", "action"), [(3, "send"), (4, "hold")])
def test_after_four_lost_races_the_answer_is_silence_and_not_remembered(
    serve: Callable[..., TestClient],
    customer: str,
    live_redis: redis.Redis,
    settings: Settings,
    times: int,
    action: str,
) -> None:
    client = serve()
    Rival(client, times=times)

    answer = decide(client, dedupe_key="one")

    assert answer["action"] == action
    assert (answer["reason"] == "CONTENDED") == (action == "hold")
    assert contacts(live_redis, customer) == times + (action == "send")
    if action == "hold":
        assert (answer["degraded_reasons"], answer["ttl_s"]) == (["contended"], 0)
        [row] = [one for one in rows(live_redis) if one["decision_id"] == answer["decision_id"]]
        policy = client.app.state.engine.refresher.current().policy  # pyright: ignore[reportAttributeAccessIssue]
        record = LoggedDecisions(settings).document(row)
        assert decision_to_record(replay(policy, record)) == record
        assert not decide(client, dedupe_key="one")["replayed"]


def test_a_deferred_answer_expires_at_its_retry_moment(
    serve: Callable[..., TestClient], customer: str, clock: Any
) -> None:
    client = serve("quiet_hours: {rules: [{from: '10:00', until: '12:00'}]}")  # 10:30 where the customer lives
    deferred = decide(client, dedupe_key="one")
    again = decide(client, dedupe_key="one")
    clock.now += timedelta(hours=1, minutes=30)
    live_again = client.get("/v1/decisions/next", params={**ASK, "key": "two"}).json()

    assert (deferred["action"], deferred["reason"]) == ("hold", "DEFERRED")
    assert deferred["retry_at"] == "2026-11-02T11:00:00+00:00"
    assert deferred["ttl_s"] == 90 * 60
    assert again["replayed"]
    assert (live_again["action"], live_again["retry_at"]) == ("send", None)
    assert 'nextbest_deferred_total{touchpoint="weekly-mail"} 1.0' in client.get("/metrics").text
    assert 'nextbest_silences_total{reason="DEFERRED",stage="active"} 1.0' in client.get("/metrics").text
