"""An anonymous visitor turns out to be a customer: from then on both are one, in live state and in features."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import redis
from starlette.testclient import TestClient

from decisioning.customer import Customer
from features.catalogue import load_catalogue
from features.computing.definition import Source
from features.computing.sources import sources_of
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.log.said import said_by, said_in_log
from features.online.redis_keys import ERASED_KEY
from features.settings import Settings
from pipelines.server.restore import restore

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
VISITOR, WHO = "V-1", "C-1"
CAPS = "contact_policy: {caps: {week: {scope: everything, limit: 2, window_days: 7}}}\n"


@pytest.fixture
def shop(serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]) -> TestClient:
    client = serve(CAPS)
    for name in (VISITOR, WHO):
        store.put(new_customer(name))
    return client


def ask(client: TestClient, who: str, key: str) -> dict[str, Any]:
    body = {"customer_id": who, "touchpoint": "weekly-mail", "dedupe_key": key, "explain": True}
    return client.post("/v1/decisions", json=body).json()


def tell(client: TestClient, event_type: str, who: str, **properties: Any) -> dict[str, Any]:
    item = {
        "message_id": f"{event_type}-{who}", "customer_id": who, "type": event_type, "occurred_at": NOW.isoformat(),
        "properties": properties,
    }  # fmt: skip
    return client.post("/v1/events", json={"events": [item]}).json()


def refusals(answer: dict[str, Any]) -> dict[str, list[str]]:
    return {one["message"]: one["reasons"] for one in answer["explanation"]["excluded"]}


def test_the_visitors_contacts_count_in_the_customers_caps(shop: TestClient) -> None:
    for key in ("a", "b"):
        assert ask(shop, VISITOR, key)["action"] == "send"
    assert tell(shop, "identified", WHO, anonymous_id=VISITOR)["accepted"] == 1

    assert "CAP_REACHED" in refusals(ask(shop, WHO, "c"))["ten-percent/email/plain"]


def test_a_refusal_under_either_id_counts_and_an_older_consent_does_not_lift_it(shop: TestClient, clock: Any) -> None:
    tell(shop, "consent_withdrawn", VISITOR, channel="email", purpose="marketing")
    clock.now = NOW + timedelta(hours=1)
    tell(shop, "consent_given", WHO, channel="email", purpose="marketing")
    clock.now = NOW + timedelta(hours=2)

    tell(shop, "identified", WHO, anonymous_id=VISITOR)

    assert "NO_CONSENT" in refusals(ask(shop, WHO, "a"))["ten-percent/email/plain"]


def test_an_open_case_and_a_protection_of_the_visitor_apply_to_the_customer(shop: TestClient) -> None:
    tell(shop, "case_opened", VISITOR, kind="outage", case_id="k-1")
    tell(shop, "protected", VISITOR, protection="vulnerable")
    tell(shop, "identified", WHO, anonymous_id=VISITOR)

    reasons = refusals(ask(shop, WHO, "a"))["ten-percent/email/plain"]

    assert {"CASE_OPEN", "PROTECTED"} <= set(reasons)


def test_a_consent_by_the_visitor_is_not_a_consent_by_the_customer(
    shop: TestClient, store: Any, new_customer: Callable[..., Customer]
) -> None:
    store.put(new_customer(WHO, consents=()))
    tell(shop, "consent_given", VISITOR, channel="email", purpose="marketing")
    tell(shop, "identified", WHO, anonymous_id=VISITOR)

    assert "NO_CONSENT" in refusals(ask(shop, WHO, "a"))["ten-percent/email/plain"]


@pytest.mark.parametrize("visitor", [None, "", WHO, 7])
def test_an_identified_event_without_another_id_is_refused(shop: TestClient, visitor: object) -> None:
    rejected = tell(shop, "identified", WHO, anonymous_id=visitor)["rejected"]

    assert rejected[0]["errors"][0]["pointer"] == "/properties/anonymous_id"


def test_the_id_of_an_erased_visitor_is_left_nowhere(shop: TestClient, live_redis: redis.Redis) -> None:
    ask(shop, VISITOR, "a")
    assert shop.delete(f"/v1/customers/{VISITOR}").status_code == 200

    assert tell(shop, "identified", WHO, anonymous_id=VISITOR)["rejected"][0]["code"] == "unknown_customer"
    assert live_redis.scard(ERASED_KEY) == 1
    assert not [key for key in live_redis.keys("*") if VISITOR.encode() in key]


def told_in_log(log: EventLog) -> None:
    """The same events as imported rows."""
    consents = (
        '[{"channel": "email", "purpose": "marketing", "granted": true, "recorded_at": "2026-10-15T00:00:00+00:00"}]'
    )
    rows = [
        {"customer_id": who, "updated_at": NOW - timedelta(days=40), "joined_at": NOW - timedelta(days=90),
         "channels": '["email"]', "consents": consents, "attributes": '{"age": 40}'}
        for who in (VISITOR, WHO)
    ]  # fmt: skip
    events = [
        ("bought", VISITOR, "purchase", 20, None),
        ("left", VISITOR, "consent_withdrawn", 30, '{"channel": "email", "purpose": "marketing"}'),
        ("who", WHO, "identified", 10, f'{{"anonymous_id": "{VISITOR}"}}'),
    ]
    decision = {"decision_id": "old", "customer_id": VISITOR, "decided_at": NOW - timedelta(days=2), "touchpoint": "x",
                "offer_id": "ten-percent", "channel": "email", "creative_id": "plain"}  # fmt: skip
    log.append(CUSTOMERS, pl.DataFrame(rows))
    log.append(
        EVENTS,
        pl.DataFrame(
            [
                {"event_id": name, "customer_id": who, "type": kind, "occurred_at": NOW - timedelta(days=days),
                 "properties": properties}
                for name, who, kind, days, properties in events
            ],
            schema_overrides={"properties": pl.String()},
        ),
    )  # fmt: skip
    log.append(DECISIONS, pl.DataFrame([decision]))


def test_imported_rows_join_the_history_from_the_moment_the_identity_was_known(settings: Settings) -> None:
    log = EventLog(settings.log_path)
    told_in_log(log)
    history = History(**{table.name: log.read(table) for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES)})

    sources = sources_of(history, load_catalogue(settings.catalogue_path))

    mine = sources.frames[Source.EVENTS].filter(pl.col("customer_id") == WHO, pl.col("type") == "purchase")
    [(known, happened)] = mine.select("known_us", "occurred_us").rows()
    day = 86_400_000_000
    assert known - happened == 10 * day, "bought 20 days ago, known to be this customer's for 10"
    [contact] = sources.frames[Source.CONTACTS].filter(pl.col("customer_id") == WHO).rows(named=True)
    assert contact["is_message"]


def test_a_refusal_by_the_visitor_reaches_the_customers_profile_from_the_log(settings: Settings) -> None:
    log = EventLog(settings.log_path)
    told_in_log(log)

    [refusal] = said_in_log(log)[WHO].answers

    assert (refusal.is_granted, refusal.recorded_at) == (False, NOW - timedelta(days=10))
    assert WHO not in said_by(log.read(EVENTS).filter(pl.col("type") != "identified"))


def test_imported_identities_reach_live_state_by_restoring(
    settings: Settings, serve: Callable[..., TestClient], clock: Any
) -> None:
    told_in_log(EventLog(settings.log_path))
    client = serve(CAPS.replace("limit: 2", "limit: 1"))

    restore(settings, str(settings.redis_url), now=NOW)

    reasons = refusals(ask(client, WHO, "a"))["ten-percent/email/plain"]
    assert {"CAP_REACHED", "NO_CONSENT"} <= set(reasons)
