"""Why and why not: answered from the record and from the present state; asking changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from decisioning.customer import Customer
from features.log.event_log import EventLog
from features.settings import Settings
from serving.decisions.explanations import ExplainedAnswer, WhyNotAnswer
from serving.log.drain import drain_alone
from tests.waiting import wait_until

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}


def decide(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def why_not(client: TestClient, decision_id: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"/v1/decisions/{decision_id}/why-not", params=query)
    assert answer.status_code == 200, answer.text
    TypeAdapter(WhyNotAnswer).validate_python(answer.json())
    return answer.json()


def everything(live_redis: redis.Redis) -> dict[bytes, Any]:
    """Every key with its content as dumped by Redis; a hash by its fields, whose order is undefined."""
    return {
        key: live_redis.hgetall(key) if live_redis.type(key) == b"hash" else live_redis.dump(key)
        for key in live_redis.scan_iter()
    }


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_refused_offer_is_explained_for_then_and_now(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]
) -> None:
    client = serve()
    store.put(new_customer("C-1", attributes={"age": 12}))
    decision = decide(client)
    store.put(new_customer("C-1", attributes={"age": 19}))

    told = why_not(client, decision["decision_id"], offer="ten-percent", channel="email")

    [then] = told["then"]["messages"]
    assert (told["then"]["standing"], then["message"]) == ("excluded", "ten-percent/email/plain")
    assert [one["reason"] for one in then["obstacles"]] == ["NOT_ELIGIBLE"]
    assert told["then"]["nearest_change"]["is_verified"]
    assert told["now"]["standing"] in ("chosen", "valued_less")
    assert told["now_problem"] is None


def test_an_offer_worth_less_is_explained_by_how_much_and_why(serve: Callable[..., TestClient], customer: str) -> None:
    client = serve()
    decision = decide(client, exclude_offers=["opening-hours"])
    losers = {"double-stamps", "free-coffee", "ten-percent"} - {decision["selected"]["offer_id"]}

    for offer in losers:
        then = why_not(client, decision["decision_id"], offer=offer)["then"]
        assert (then["standing"], then["chosen"]) == ("valued_less", then["best"])
        assert then["messages"][0]["gap"]["amount"] > 0
        assert then["messages"][0]["gap"]["currency"] == "EUR"
        assert then["messages"][0]["factors"][0]["factor"] == "uplift"
        assert [step["kind"] for step in then["nearest_change"]["steps"]] == ["value"]
        assert then["nearest_change"]["is_verified"]


def test_a_cap_reached_since_is_reported_for_now_with_the_moment_it_ends(
    serve: Callable[..., TestClient], customer: str, clock: Any
) -> None:
    client = serve("contact_policy: {caps: {day: {scope: everything, limit: 1, window_days: 1}}}")
    decision = decide(client)
    clock.now += timedelta(hours=1)

    told = why_not(client, decision["decision_id"], offer=decision["selected"]["offer_id"])

    assert told["then"]["standing"] == "chosen"
    now = told["now"]["messages"][0]
    assert [one["reason"] for one in now["obstacles"]] == ["CAP_REACHED"]
    assert now["allowed_at"] == (clock.now + timedelta(hours=23)).isoformat()
    assert told["now"]["nearest_change"]["steps"][0]["kind"] == "later"


@pytest.mark.parametrize(
    "question",
    ["", "/why-not?offer=ten-percent", "/why-not?offer=free-coffee&channel=push", "/explanation?for=customer",
     "/explanation?for=agent", "/explanation?for=auditor"],
)  # fmt: skip
def test_asking_changes_neither_redis_nor_the_log(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis, settings: Settings, question: str
) -> None:
    client = serve("""
contact_policy: {caps: {day: {scope: everything, limit: 2, window_days: 1}}}
limits: {mails: {scope: channel, of: email, amount: 5, per: day}}
""")
    decision_id = decide(client, dedupe_key="one")["decision_id"]
    drain_alone(live_redis, EventLog(settings.log_path), settings.spool_path)
    before = everything(live_redis), files(settings.home)

    for _ in range(2):
        assert client.get(f"/v1/decisions/{decision_id}{question}").status_code == 200

    assert (everything(live_redis), files(settings.home)) == before


@pytest.mark.parametrize("reader", ["customer", "agent", "auditor"])
def test_a_decision_is_explained_to_three_readers(serve: Callable[..., TestClient], customer: str, reader: str) -> None:
    client = serve()
    decision = decide(client)

    answer = client.get(f"/v1/decisions/{decision['decision_id']}/explanation", params={"for": reader})

    told = TypeAdapter(ExplainedAnswer).validate_python(answer.json())
    assert (told["decision_id"], told["for"]) == (decision["decision_id"], reader)
    assert all(sentence.endswith((".", "?", "!")) for sentence in told["sentences"])
    text = " ".join(told["sentences"])
    assert (decision["policy_version"] in text) == (reader == "auditor")
    assert decision["selected"]["offer_id"].replace("-", " ") in text.replace("-", " ")


def test_a_customer_gets_the_explanation_in_their_language(serve: Callable[..., TestClient], customer: str) -> None:
    client = serve()
    decision_id = decide(client)["decision_id"]

    sentences = {
        locale: client.get(
            f"/v1/decisions/{decision_id}/explanation", params={"for": "customer", "locale": locale}
        ).json()["sentences"]
        for locale in ("de-AT", "en-GB")
    }

    assert sentences["de-AT"] != sentences["en-GB"]


@pytest.mark.parametrize("is_same_release", [True, False])
def test_the_nearest_change_of_an_old_decision_uses_the_policy_of_its_time(
    serve: Callable[..., TestClient], customer: str, settings: Settings, is_same_release: bool
) -> None:
    client = serve()
    decision = decide(client)
    path = settings.catalogue_path / "offers.yaml"
    path.write_text(path.read_text().replace("See you soon", "Until then"))
    wait_until(lambda: client.get("/v1/me").json()["policy_version"] != decision["policy_version"])

    if not is_same_release:
        note = settings.catalogues_path / "policies" / f"{decision['policy_version']}.json"
        note.write_bytes(orjson.dumps(orjson.loads(note.read_bytes()) | {"behaviour": "0"}))

    told = why_not(client, decision["decision_id"], offer="free-coffee")

    assert told["then"]["policy_version"] == decision["policy_version"] != told["now"]["policy_version"]
    assert told["then"]["nearest_change"]["is_verified"] is is_same_release
    assert (decision["policy_version"] in told["then"]["nearest_change"]["sentence"]) is not is_same_release
    assert told["now"]["nearest_change"]["is_verified"]


def test_a_record_without_its_catalogue_cannot_be_read_and_the_error_says_what_to_restore(
    serve: Callable[..., TestClient], customer: str, settings: Settings
) -> None:
    client = serve()
    decision_id = decide(client)["decision_id"]
    # atomically, since the server may be writing a catalogue there
    settings.catalogues_path.rename(settings.home / "catalogues-gone")
    for path in ("", "/explanation?for=agent", "/why-not?offer=free-coffee"):
        answer = client.get(f"/v1/decisions/{decision_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_record")
        assert "bring that folder back from a backup" in answer.json()["detail"]
    (settings.home / "catalogues-gone").rename(settings.catalogues_path)
    assert client.get(f"/v1/decisions/{decision_id}").json()["decision_id"] == decision_id


def test_without_redis_the_past_is_explained_and_the_present_is_not(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis, settings: Settings
) -> None:
    from decisioning.errors import UnavailableError

    client = serve()
    decision_id = decide(client)["decision_id"]
    state = client.app.state.engine.state  # pyright: ignore[reportAttributeAccessIssue]

    async def away(_: Any) -> None:
        raise UnavailableError("Redis must answer, got nothing")

    state.read_people = away
    told = why_not(client, decision_id, offer="free-coffee")

    assert told["now"] is None
    assert "cannot be read" in told["now_problem"]
    assert told["then"]["messages"]


@pytest.mark.parametrize(
    ("question", "status", "code"),
    [
        ("/why-not", 422, "validation_error"),
        ("/why-not?ofer=ten-percent", 422, "validation_error"),
        ("/why-not?offer=a&offer=b", 422, "validation_error"),
        ("/why-not?offer=ten-percnt", 404, "unknown_offer"),
        ("/why-not?offer=ten-percent&channel=emial", 404, "unknown_channel"),
        ("/explanation", 422, "validation_error"),
        ("/explanation?for=nobody", 422, "validation_error"),
    ],
)
def test_an_invalid_question_is_refused(
    serve: Callable[..., TestClient], customer: str, question: str, status: int, code: str
) -> None:
    client = serve()
    decision_id = decide(client)["decision_id"]

    answer = client.get(f"/v1/decisions/{decision_id}{question}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_unknown_decision_has_no_explanation(serve: Callable[..., TestClient]) -> None:
    client = serve()

    for question in ("why-not?offer=ten-percent", "explanation?for=agent"):
        assert client.get(f"/v1/decisions/D-1/{question}").json()["code"] == "unknown_decision"
