"""Customers' texts over HTTP: analysed on arrival, opening cases, and known answers never asked again."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import redis
from starlette.testclient import TestClient

from decisioning.customer import ToldAnswer
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
from features.online.redis_keys import CARE_WATCH_KEY, CASES_KEY
from features.settings import Settings
from pipelines.server.drain import counting
from serving.in_force.catalogue_source import CatalogueSource
from serving.log.drain import drain_alone
from serving.metrics import Metrics
from serving.watch.care_watch import CareWatch, tell_cases
from tests.waiting import wait_until

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail", "channels": ["email"], "explain": True}
AT = "2026-11-02T09:30:00Z"
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
LISTENING = """
care:
  cases:
    lost_item: {opened_by: [case_opened], resolved_by: [delivery], owner: baggage, answer_within_hours: 4}
    complaint: {opened_by: [complaint], resolved_by: [case_resolved]}
listening:
  opens: complaint
  topics: {baggage: {words: ["did not arrive", Koffer], opens: lost_item}}
"""
LOST = "My suitcase did not arrive and nobody at the desk could help me."
ASKING = "free-coffee: {asks: [region]}\ndouble-stamps: {asks: [age, region]}"

type Serve = Callable[..., TestClient]


def tell(client: TestClient, name: str, message_id: str = "m-1", **fields: Any) -> dict[str, Any]:
    item = {"message_id": message_id, "customer_id": "C-1", "type": name, "occurred_at": AT, **fields}
    return client.post("/v1/events", json={"events": [item]}).json()


def reasons(client: TestClient) -> dict[str, list[str]]:
    told = client.post("/v1/decisions", json=ASK).json()
    return {one["message"]: one["reasons"] for one in told["explanation"]["excluded"]}


def test_a_post_about_a_lost_bag_opens_its_case_at_once_and_is_logged_with_its_analysis(
    serve: Serve, customer: str, settings: Settings, live_redis: redis.Redis
) -> None:
    client = serve(LISTENING)
    assert "ten-percent/email/plain" not in reasons(client)
    assert tell(client, "social_post", properties={"text": LOST}, channel="email")["accepted"] == 1
    assert "CASE_OPEN" in reasons(client)["ten-percent/email/plain"]
    assert tell(client, "social_post", properties={"text": LOST}, channel="email")["duplicate"] == 1

    drain_alone(live_redis, EventLog(settings.log_path), settings.spool_path, wait_seconds=5.0)
    [row] = EventLog(settings.log_path).find(EVENTS, "event_id", ["m-1"])
    heard = orjson.loads(row["properties"])["heard"]
    assert (heard["opens"], heard["case_id"], heard["language"]) == ("lost_item", "heard:m-1", "en")


def test_a_resolution_closes_a_case_that_a_text_opened(serve: Serve, customer: str, clock: Any) -> None:
    client = serve(LISTENING)
    tell(client, "review", properties={"text": "Koffer weg"})
    found = {"case_id": "operations-7"}
    assert "CASE_OPEN" in reasons(client)["ten-percent/email/plain"]
    tell(client, "delivery", "m-2", properties=found, occurred_at="2026-11-02T09:31:00Z")
    clock.now += timedelta(minutes=2)
    assert "CASE_COOLING_DOWN" in reasons(client)["ten-percent/email/plain"]
    tell(client, "review", "m-3", properties={"text": "Koffer weg"}, occurred_at="2026-11-02T09:31:30Z")
    assert "CASE_OPEN" in reasons(client)["ten-percent/email/plain"]


def test_a_bad_mood_opens_a_case_only_if_it_was_read_reliably(serve: Serve, customer: str) -> None:
    client = serve(LISTENING)
    tell(client, "review", properties={"text": "Die Reise war entsetzlich und die Crew ein Albtraum."})
    assert "ten-percent/email/plain" not in reasons(client)
    tell(client, "review", "m-2", properties={"text": "The trip was awful and I hated every minute of it."})
    assert "CASE_OPEN" in reasons(client)["ten-percent/email/plain"]


def test_a_low_score_opens_a_case_in_any_language(serve: Serve, customer: str) -> None:
    client = serve(LISTENING)
    tell(client, "survey_answer", properties={"survey": "nps", "score": 9, "text": "Toll"})
    assert "ten-percent/email/plain" not in reasons(client)
    tell(client, "survey_answer", "m-2", properties={"survey": "nps", "score": 0, "text": "Nie wieder"})
    assert "CASE_OPEN" in reasons(client)["ten-percent/email/plain"]


def test_without_a_listening_section_texts_are_analysed_and_open_no_case(serve: Serve, customer: str) -> None:
    client = serve()
    tell(client, "review", properties={"text": "The trip was awful and I hated every minute of it."})
    assert "ten-percent/email/plain" not in reasons(client)


def known(client: TestClient, customer_id: str = "C-1", **query: str) -> dict[str, Any]:
    answer = client.get(f"/v1/customers/{customer_id}/known", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_form_is_prefilled_with_known_attributes_and_asks_for_the_rest(
    serve: Serve, store: Any, new_customer: Callable[..., Any]
) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    store.put(new_customer("C-1", attributes={"age": 40}, known_at=since))
    client = serve()
    assert known(client) == {
        "customer_id": "C-1",
        "known": [{"name": "age", "value": 40, "source": "import", "known_since": since.isoformat()}],
        "ask": ["region"],
    }
    assert known(client, fields="region")["ask"] == ["region"]
    tell(client, "attribute_told", properties={"name": "region", "value": "south", "source": "web form"})
    told = {"name": "region", "value": "south", "source": "web form", "known_since": "2026-11-02T09:30:00+00:00"}
    assert known(client, fields="region") == {"customer_id": "C-1", "known": [told], "ask": []}


def test_of_two_answers_the_newest_wins_whichever_arrives_first(
    serve: Serve, store: Any, new_customer: Callable[..., Any]
) -> None:
    store.put(new_customer("C-1", attributes={"region": "north"}, known_at=datetime(2026, 10, 1, tzinfo=UTC)))
    client = serve()

    def region() -> str:
        return known(client, fields="region")["known"][0]["value"]

    tell(client, "attribute_told", properties={"name": "region", "value": "south"}, occurred_at="2026-09-01T00:00:00Z")
    assert region() == "north"  # the profile is newer
    tell(client, "attribute_told", "m-2", properties={"name": "region", "value": "south"})
    assert region() == "south"
    tell(client, "attribute_told", "m-3", properties={"name": "region", "value": "north"},
         occurred_at="2026-10-15T00:00:00Z")  # fmt: skip
    assert region() == "south"
    newer = datetime(2026, 11, 3, tzinfo=UTC)
    told = {"region": ToldAnswer(at=newer, source="call")}
    store.put(new_customer("C-1", attributes={"region": "north"}, known_at=newer, told=told))
    assert region() == "north"


def test_an_offer_that_asks_for_known_attributes_is_not_sent(
    serve: Serve, store: Any, new_customer: Callable[..., Any]
) -> None:
    store.put(new_customer("C-1", attributes={"age": 40}))
    client = serve(offers=ASKING)
    before = reasons(client)
    assert "ALREADY_KNOWN" not in before.get("free-coffee/email/plain", [])
    assert "ALREADY_KNOWN" not in before.get("double-stamps/email/plain", [])
    tell(client, "attribute_told", properties={"name": "region", "value": "south"})
    after = reasons(client)
    assert "ALREADY_KNOWN" in after["free-coffee/email/plain"]
    assert "ALREADY_KNOWN" in after["double-stamps/email/plain"]
    assert "ten-percent/email/plain" not in after


def test_a_told_attribute_must_be_declared_and_valid(serve: Serve, customer: str) -> None:
    client = serve("customer_attributes: {age: {kind: number}, region: {kind: category, values: [north, south]}, "
                   "keen: {kind: flag}}")  # fmt: skip
    for place, (properties, pointer) in enumerate(
        [
            ({"name": "regoin", "value": "north"}, "/properties/name"),
            ({"value": "north"}, "/properties/name"),
            ({"name": "region", "value": "west"}, "/properties/value"),
            ({"name": "age", "value": "old"}, "/properties/value"),
            ({"name": "age", "value": True}, "/properties/value"),
            ({"name": "keen", "value": 2}, "/properties/value"),
            ({"name": "age"}, "/properties/value"),
            ({"name": "age", "value": 3, "source": 7}, "/properties/source"),
        ]
    ):
        told = tell(client, "attribute_told", f"m-{place}", properties=properties)
        assert told["rejected"][0]["errors"][0]["pointer"] == pointer, properties
    assert tell(client, "attribute_told", "m-ok", properties={"name": "keen", "value": False})["accepted"] == 1
    assert known(client, fields="keen")["known"][0]["value"] is False


def test_an_invalid_request_for_known_attributes_is_refused(serve: Serve, customer: str) -> None:
    client = serve()
    answer = client.get("/v1/customers/C-1/known", params={"fields": "regoin"})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert "region" in answer.text
    assert client.get("/v1/customers/nobody/known").status_code == 404


def test_open_and_overdue_cases_are_exported_as_metrics(
    serve: Serve, customer: str, clock: Any, settings: Settings, live_redis: redis.Redis
) -> None:
    client = serve(LISTENING)
    watch = client.app.state.engine.care_watch  # pyright: ignore[reportAttributeAccessIssue,reportFunctionMemberAccess]
    catalogues = CatalogueSource(folder=settings.catalogue_path)
    tell(client, "social_post", properties={"text": LOST})
    drain_alone(live_redis, EventLog(settings.log_path), settings.spool_path, wait_seconds=5.0)
    for hours, overdue in ((1, 0), (4, 1)):
        clock.now += timedelta(hours=hours)
        live_redis.delete(CARE_WATCH_KEY)
        tell_cases(live_redis, settings.log_path, catalogues, clock.now)
        asyncio.run(watch.look())
        lines = client.get("/metrics").text.splitlines()
        assert 'nextbest_cases_open{kind="lost_item"} 1.0' in lines
        assert 'nextbest_cases_open{kind="complaint"} 0.0' in lines
        assert f'nextbest_cases_overdue{{kind="lost_item"}} {overdue}.0' in lines


def test_one_process_counts_cases_for_all_processes(
    serve: Serve, customer: str, settings: Settings, live_redis: redis.Redis
) -> None:
    serve(LISTENING)
    catalogues = CatalogueSource(folder=settings.catalogue_path)
    tell_cases(live_redis, settings.log_path, catalogues, NOW)
    assert live_redis.getdel(CASES_KEY) is not None
    tell_cases(live_redis, settings.log_path, catalogues, NOW)
    assert live_redis.get(CASES_KEY) is None


def test_cases_are_counted_while_a_drain_runs_beside_a_server(
    serve: Serve, customer: str, settings: Settings, live_redis: redis.Redis, redis_url: str
) -> None:
    client = serve(LISTENING)
    tell(client, "social_post", properties={"text": LOST})
    drain_alone(live_redis, EventLog(settings.log_path), settings.spool_path, wait_seconds=5.0)
    with counting(settings, redis_url):
        wait_until(lambda: live_redis.exists(CASES_KEY))


def test_while_redis_is_down_no_case_metric_is_shown_and_nothing_fails(serve: Serve, settings: Settings) -> None:
    away = "redis://127.0.0.1:1/0"
    metrics = Metrics()
    asyncio.run(CareWatch(url=away, metrics=metrics).look())
    with redis.Redis.from_url(away) as client:
        tell_cases(client, settings.log_path, CatalogueSource(folder=settings.catalogue_path), NOW)
    assert b"nextbest_cases_open{" not in metrics.exposition()
