"""Permits, requested at the time of sending: everything that may have changed is checked again."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
import redis
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from decisioning.customer import Customer
from features.log.contracts import OUTCOMES
from features.log.event_log import EventLog
from features.online.redis_keys import book_key
from features.settings import Settings
from serving.decisions.permits import PermitAnswer
from serving.log.drain import drain_alone
from tests.waiting import wait_until

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
PERMITS = """
touchpoints:
  weekly-mail: {channels: [email, push], permit: required, reserve_hours: 24}
  app-home: {channels: [push], context: {basket_value: number}}
"""
ONE_A_DAY = PERMITS + "contact_policy: {caps: {day: {scope: everything, limit: 1, window_days: 1}}}\n"


def decide(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def permit(client: TestClient, decision_id: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/decisions/{decision_id}/permit", **({"json": body} if body else {}))
    assert answer.status_code == 200, answer.text
    TypeAdapter(PermitAnswer).validate_python(answer.json())
    return answer.json()


def report(client: TestClient, kind: str, **item: Any) -> None:
    fields = {"message_id": f"m-{sorted(item.items())}", "occurred_at": "2026-11-02T09:30:00Z", **item}
    answer = client.post(f"/v1/{kind}", json={kind: [fields]}).json()
    assert answer["accepted"] == 1, answer


def test_a_permit_is_allowed_while_nothing_changed_and_says_how_long_it_holds(
    serve: Callable[..., TestClient], customer: str, clock: Any
) -> None:
    client = serve(ONE_A_DAY)
    decision_id = decide(client)["decision_id"]
    clock.now += timedelta(hours=2)

    answer = permit(client, decision_id)

    assert (answer["permit"], answer["reasons"], answer["replayed"]) == ("allowed", [], False)
    assert answer["permitted_at"] == clock.now.isoformat()
    assert datetime.fromisoformat(answer["valid_until"]) == clock.now + timedelta(minutes=5)


def test_a_repeated_permit_is_the_same_and_changes_nothing(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis, clock: Any
) -> None:
    client = serve(ONE_A_DAY)
    decision_id = decide(client)["decision_id"]
    first = permit(client, decision_id)
    book = live_redis.hgetall(book_key(customer))
    clock.now += timedelta(minutes=1)

    again = permit(client, decision_id)

    assert again == {**first, "replayed": True}
    assert live_redis.hgetall(book_key(customer)) == book


def test_an_expired_permit_is_checked_again(serve: Callable[..., TestClient], customer: str, clock: Any) -> None:
    client = serve(ONE_A_DAY)
    decision_id = decide(client)["decision_id"]
    assert permit(client, decision_id)["permit"] == "allowed"
    report(client, "events", customer_id="C-1", type="protected", properties={"protection": "vulnerable"})
    clock.now += timedelta(minutes=6)

    assert permit(client, decision_id)["reasons"] == ["PROTECTED"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"type": "consent_withdrawn", "properties": {"channel": "email", "purpose": "marketing"}}, "NO_CONSENT"),
        ({"type": "protected", "properties": {"protection": "deceased"}}, "PROTECTED"),
        ({"type": "case_opened", "properties": {"kind": "complaint", "case_id": "c-1"}}, "CASE_OPEN"),
    ],
)
def test_events_since_the_decision_deny_the_permit(
    serve: Callable[..., TestClient], customer: str, event: dict[str, Any], reason: str
) -> None:
    client = serve(PERMITS)
    ask = {"channels": ["email"], "exclude_offers": ["opening-hours"]}
    decision_id = decide(client, **ask)["decision_id"]
    report(client, "events", customer_id="C-1", **event)

    answer = permit(client, decision_id)

    assert (answer["permit"], answer["reasons"]) == ("denied", [reason])
    assert len(answer["because"]) == len(answer["details"]) == 1
    assert answer["valid_until"] is None


def test_a_denied_permit_releases_its_contact_and_is_logged_as_not_sent(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis, settings: Settings
) -> None:
    client = serve(ONE_A_DAY)
    held = decide(client, channels=["email"], exclude_offers=["opening-hours"])["decision_id"]
    assert decide(client, channels=["push"])["action"] == "hold"
    report(client, "events", customer_id="C-1", type="consent_withdrawn",
           properties={"channel": "email", "purpose": "marketing"})  # fmt: skip

    assert permit(client, held)["permit"] == "denied"

    assert decide(client, channels=["push"])["action"] == "send"
    log = EventLog(settings.log_path)
    drain_alone(live_redis, log, settings.spool_path)
    [row] = log.read(OUTCOMES).to_dicts()
    assert (row["type"], row["decision_id"]) == ("not_sent", held)
    assert orjson.loads(row["properties"]) == {"cause": "permit_denied"}


def test_a_permit_ignores_its_own_contact_and_counts_others(
    serve: Callable[..., TestClient], customer: str, clock: Any
) -> None:
    client = serve(ONE_A_DAY)
    late = decide(client)["decision_id"]
    clock.now += timedelta(hours=24, minutes=1)  # the reservation has expired, and the next decision takes its place
    in_time = decide(client)["decision_id"]

    assert permit(client, in_time)["permit"] == "allowed"
    denied = permit(client, late)
    assert denied["reasons"] == ["CAP_REACHED"]
    assert "day" in denied["details"][0]
    assert denied["retry_at"] is not None


def test_an_exhausted_capacity_denies_by_name_without_counting_the_permits_own_use(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer], clock: Any
) -> None:
    client = serve(PERMITS + "limits: {mails: {scope: channel, of: email, amount: 1, per: total}}\n")
    for name in ("C-1", "C-2"):
        store.put(new_customer(name))
    ask = {"channels": ["email"], "exclude_offers": ["opening-hours"]}
    first = decide(client, **ask)["decision_id"]
    assert decide(client, **ask, customer_id="C-2")["action"] == "hold"
    clock.now += timedelta(hours=25)
    second = decide(client, **ask, customer_id="C-2")["decision_id"]

    assert permit(client, second)["permit"] == "allowed"
    assert permit(client, first)["reasons"] == ["CAPACITY_FULL"]


def test_quiet_hours_deny_a_permit_until_they_end(serve: Callable[..., TestClient], customer: str, clock: Any) -> None:
    client = serve(PERMITS + "quiet_hours: {rules: [{from: '21:00', until: '08:00'}]}\n")
    decision_id = decide(client, exclude_offers=["opening-hours"])["decision_id"]
    clock.now = datetime.fromisoformat("2026-11-02T21:30:00+00:00")

    denied = permit(client, decision_id)
    clock.now = datetime.fromisoformat(denied["retry_at"])

    assert denied["reasons"] == ["QUIET_HOURS"]
    assert denied["retry_at"] == "2026-11-03T07:00:00+00:00"
    assert permit(client, decision_id)["permit"] == "allowed"


def test_an_offer_that_left_the_catalogue_is_denied(
    serve: Callable[..., TestClient], customer: str, settings: Settings
) -> None:
    client = serve(ONE_A_DAY)
    decision = decide(client)
    offer = decision["selected"]["offer_id"]
    path = settings.catalogue_path / "offers.yaml"
    path.write_text(path.read_text().replace(f"  {offer}:\n", f"  {offer}-2:\n"))
    wait_until(lambda: client.get("/v1/me").json()["policy_version"] != decision["policy_version"])

    assert permit(client, decision["decision_id"])["reasons"] == ["EXPIRED"]
    assert decide(client)["action"] == "send"  # its place is free again


def test_every_position_of_a_slate_has_a_permit_of_its_own(serve: Callable[..., TestClient], customer: str) -> None:
    client = serve(PERMITS)
    placements = [{"placement": "mail", "channels": ["email"]}, {"placement": "app", "channels": ["push"]}]
    answer = decide(client, placements=placements, exclude_offers=["opening-hours"])
    report(client, "events", customer_id="C-1", type="consent_withdrawn",
           properties={"channel": "email", "purpose": "marketing"})  # fmt: skip

    permits = [permit(client, one["decision_id"]) for one in answer["slate"]]

    assert [one["permit"] for one in permits] == ["denied", "allowed"]
    assert client.post(f"/v1/decisions/{answer['decision_id']}-3/permit").status_code == 404


def test_silence_needs_no_permit_and_gets_none(serve: Callable[..., TestClient], live_redis: redis.Redis) -> None:
    client = serve(PERMITS)
    decision_id = decide(client, customer_id="nobody")["decision_id"]

    assert permit(client, decision_id)["reasons"] == ["NOTHING_TO_SEND"]


def test_a_permit_for_an_unknown_decision_is_not_found(serve: Callable[..., TestClient]) -> None:
    client = serve(PERMITS)

    for name in ("dec_00" + "0" * 32, "D-1", "dec_00" + "0" * 32 + "-2"):
        answer = client.post(f"/v1/decisions/{name}/permit")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_decision")


def test_a_decision_that_only_the_log_still_has_is_too_old(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis, settings: Settings
) -> None:
    client = serve(PERMITS)
    decision_id = decide(client)["decision_id"]
    drain_alone(live_redis, EventLog(settings.log_path), settings.spool_path)
    live_redis.flushall()

    assert permit(client, decision_id)["reasons"] == ["TOO_OLD"]


def test_a_permit_that_cannot_be_checked_is_denied(serve: Callable[..., TestClient], customer: str) -> None:
    client = serve(PERMITS)
    decision_id = decide(client)["decision_id"]
    state = client.app.state.engine.state  # pyright: ignore[reportAttributeAccessIssue]

    async def never(*_: Any) -> None:
        await asyncio.sleep(60)

    whole, state.permit_context = state.permit_context, never
    denied = permit(client, decision_id, deadline_ms=30)
    state.permit_context = whole

    assert (denied["permit"], denied["reasons"]) == ("denied", ["STATE_UNAVAILABLE"])
    assert permit(client, decision_id)["permit"] == "allowed"  # the denial settled nothing


def test_a_permit_that_loses_a_race_is_checked_again_with_the_winners_state(
    serve: Callable[..., TestClient], customer: str, clock: Any
) -> None:
    """Between reading and settling, another decision takes the last place under the cap."""
    client = serve(ONE_A_DAY)
    late = decide(client)["decision_id"]
    clock.now += timedelta(hours=25)
    state = client.app.state.engine.state  # pyright: ignore[reportAttributeAccessIssue]
    whole = state.permit_context
    decisions = client.app.state.engine.decisions  # pyright: ignore[reportAttributeAccessIssue]
    raced: list[Any] = []

    async def read_then_lose(*what: Any) -> Any:
        context = await whole(*what)
        if not raced:
            from serving.decisions.ask import ask_of
            from serving.forms import DecisionBody, validate

            in_force = client.app.state.engine.refresher.current()  # pyright: ignore[reportAttributeAccessIssue]
            ask = ask_of(validate(DecisionBody, ASK), in_force)
            raced.extend(await decisions.answer_many([ask], now=clock, deadline_s=2.0))
        return context

    state.permit_context = read_then_lose
    denied = permit(client, late)
    state.permit_context = whole

    assert raced[0]["action"] == "send"
    assert denied["reasons"] == ["CAP_REACHED"]
    assert "nextbest_conflicts_total 1.0" in client.get("/metrics").text


def test_permits_are_counted_by_answer_and_reason(serve: Callable[..., TestClient], customer: str) -> None:
    client = serve(PERMITS)
    permit(client, decide(client)["decision_id"])
    permit(client, decide(client, customer_id="nobody")["decision_id"])

    text = client.get("/metrics").text
    assert 'nextbest_permits_total{permit="allowed",reason=""} 1.0' in text
    assert 'nextbest_permits_total{permit="denied",reason="NOTHING_TO_SEND"} 1.0' in text


def test_a_permit_takes_two_round_trips(serve: Callable[..., TestClient], customer: str, round_trips: Any) -> None:
    client = serve(ONE_A_DAY)
    decision_id = decide(client)["decision_id"]

    with round_trips(client) as trips:
        permit(client, decision_id)

    assert len(trips) == 2
