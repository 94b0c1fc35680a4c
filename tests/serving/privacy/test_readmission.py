"""An erased customer who signs up again starts with their new consents, and nothing older counts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
import redis
import typer
from starlette.testclient import TestClient
from typer.testing import CliRunner

from decisioning.consent import latest_answers
from decisioning.errors import InvalidInputError, NextbestError, UnknownNameError
from features.log.contracts import CUSTOMERS, EVENTS
from features.log.event_log import EventLog
from features.log.said import said_in_log
from features.online.profiles import customers_from_frame
from features.online.redis_keys import ERASED_KEY
from features.privacy.audit_trail import acts
from features.settings import Settings
from pipelines.commands import customer as customer_command

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
WHO = "C-returning"
MAIL = {"channel": "email", "purpose": "marketing"}


def row(at: datetime, **changes: Any) -> dict[str, Any]:
    consents = [{**MAIL, "granted": True, "recorded_at": "2026-01-01T00:00:00+00:00"}]
    return {
        "customer_id": WHO,
        "updated_at": at,
        "joined_at": at,
        "channels": '["email", "push"]',
        "consents": orjson.dumps(consents).decode(),
        "attributes": '{"age": 40}',
        **changes,
    }


def event(at: datetime, name: str, kind: str = "purchase") -> dict[str, Any]:
    return {"event_id": name, "customer_id": WHO, "type": kind, "occurred_at": at}


@pytest.fixture
def erased(settings: Settings, serve: Callable[..., TestClient], clock: Any) -> TestClient:
    """A server whose customer was known and then erased at NOW."""
    log = EventLog(settings.log_path)
    log.append(CUSTOMERS, pl.DataFrame([row(NOW - timedelta(days=30))]))
    log.append(EVENTS, pl.DataFrame([event(NOW - timedelta(days=1), "old-1")]))
    client = serve()
    assert client.delete(f"/v1/customers/{WHO}").status_code == 200
    clock.now = NOW + timedelta(days=10)
    return client


def readmit(client: TestClient, at: datetime, who: str = WHO) -> Any:
    body = {"given_at": at.isoformat(), "consents": [MAIL]}
    return client.post(f"/v1/customers/{who}/readmission", json=body)


def send(client: TestClient, at: datetime, name: str) -> dict[str, Any]:
    item = {"message_id": name, "customer_id": WHO, "type": "purchase", "occurred_at": at.isoformat()}
    return client.post("/v1/events", json={"events": [item]}).json()


def test_new_data_is_accepted_and_old_rows_do_not_come_back(
    erased: TestClient, settings: Settings, live_redis: redis.Redis
) -> None:
    back, old = NOW + timedelta(days=9), NOW - timedelta(days=2)
    assert send(erased, back, "before")["rejected"][0]["code"] == "unknown_customer"

    answer = readmit(erased, back)

    assert answer.status_code == 200, answer.text
    assert live_redis.scard(ERASED_KEY) == 0
    log = EventLog(settings.log_path)
    assert log.append(EVENTS, pl.DataFrame([event(old, "old-1"), event(back, "new-1")])).inserted == 1
    assert log.append(CUSTOMERS, pl.DataFrame([row(old)])).inserted == 0
    assert send(erased, old, "late")["rejected"][0]["code"] == "unknown_customer"
    assert send(erased, back + timedelta(hours=1), "fresh")["accepted"] == 1
    assert {one for one in log.read(EVENTS)["event_id"] if not one.startswith("readmission")} == {"new-1"}
    assert [one["act"] for one in acts(settings)] == ["erased", "readmitted"]


def test_after_readmission_only_new_consents_count(erased: TestClient) -> None:
    readmit(erased, NOW + timedelta(days=9))

    answer = erased.post(
        "/v1/decisions", json={"customer_id": WHO, "touchpoint": "weekly-mail", "explain": True}
    ).json()

    reasons = {one["message"]: one["reasons"] for one in answer["explanation"]["excluded"]}
    assert "NO_CONSENT" not in reasons["ten-percent/email/plain"]
    assert "NOT_REACHABLE" in reasons["ten-percent/email/plain"], "the address comes from the new data"
    assert "NO_CONSENT" in reasons["ten-percent/push/plain"]


def test_a_consent_from_before_the_erasure_permits_nothing(erased: TestClient, settings: Settings) -> None:
    for at in (NOW - timedelta(days=1), NOW):
        answer = readmit(erased, at)
        assert (answer.status_code, "after the erasure" in answer.text) == (422, True)
    assert readmit(erased, NOW + timedelta(days=11)).status_code == 422, "in the future"
    assert send(erased, NOW + timedelta(days=10), "still")["rejected"]


def test_a_customer_who_was_not_erased_cannot_be_readmitted(erased: TestClient) -> None:
    assert readmit(erased, NOW + timedelta(days=9), "C-somebody").status_code == 404


def test_a_readmitted_customer_can_be_erased_again(erased: TestClient, live_redis: redis.Redis, clock: Any) -> None:
    readmit(erased, NOW + timedelta(days=9))
    clock.now = NOW + timedelta(days=12)

    assert erased.delete(f"/v1/customers/{WHO}").status_code == 200

    assert live_redis.scard(ERASED_KEY) == 1
    assert send(erased, NOW + timedelta(days=12), "gone")["rejected"][0]["code"] == "unknown_customer"
    assert readmit(erased, NOW + timedelta(days=11)).status_code == 422


def test_the_command_readmits_and_reports_an_unknown_customer(
    erased: TestClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = tmp_path / "clock"
    clock.write_text((NOW + timedelta(days=10)).isoformat())
    monkeypatch.setenv("NEXTBEST_HOME", str(settings.home))
    monkeypatch.setenv("NEXTBEST_REDIS_URL", str(settings.redis_url))
    monkeypatch.setenv("NEXTBEST_REHEARSAL_CLOCK", str(clock))
    app = typer.Typer()
    app.add_typer(customer_command.app)

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["customer", "readmit", WHO, "--given-at", "2026-11-11T09:00:00Z", *words])
        if isinstance(result.exception, NextbestError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    with pytest.raises(UnknownNameError, match="email"):
        run("--consent", "e-mail:marketing")
    with pytest.raises(InvalidInputError, match="CHANNEL:PURPOSE"):
        run("--consent", "email")
    assert "2026-11-11" in run("--consent", "email:marketing", "--json")
    assert send(erased, NOW + timedelta(days=10), "fresh")["accepted"] == 1


@pytest.mark.parametrize("dated", ["2026-01-01T00:00:00+00:00", "2026-01-01", None])
def test_an_old_consent_in_a_new_row_of_another_system_permits_nothing(
    erased: TestClient, settings: Settings, dated: str | None
) -> None:
    back = NOW + timedelta(days=9)
    readmit(erased, back)
    later = (back + timedelta(hours=1)).isoformat()
    answers = [
        {"channel": "push", "purpose": "marketing", "granted": True, "recorded_at": dated},
        {"channel": "email", "purpose": "service", "granted": False, "recorded_at": dated},
        {**MAIL, "granted": True, "recorded_at": dated},
        {
            "channel": "push",
            "purpose": "service",
            "granted": True,
            "recorded_at": later,
        },
    ]
    new = row(NOW + timedelta(days=11), consents=orjson.dumps(answers).decode())

    assert EventLog(settings.log_path).append(CUSTOMERS, pl.DataFrame([new])).inserted == 1

    kept = EventLog(settings.log_path).read(CUSTOMERS).sort("updated_at")["consents"][-1]
    found = {(one["channel"], one["purpose"]): one["granted"] for one in orjson.loads(kept)}
    assert found == {("email", "service"): False, ("push", "service"): True}
    log = EventLog(settings.log_path)
    [customer] = customers_from_frame(log.read(CUSTOMERS), said_in_log(log))
    answered = latest_answers(customer.consents, NOW + timedelta(days=12))
    yeses = {pair for pair, one in answered.items() if one.is_granted}
    assert yeses == {("email", "marketing"), ("push", "service")}, "the consents given on readmission stand"
