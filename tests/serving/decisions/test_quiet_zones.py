"""Quiet hours of customers without a known zone: imported, then decided over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
import pytest
from starlette.testclient import TestClient

from features.log.contracts import CUSTOMERS
from features.online.profiles import customers_from_frame

QUIET = """
quiet_hours:
  unknown_zones: [Europe/London, Europe/Berlin]
  rules:
    - {from: "21:00", until: "02:30"}
"""
CONSENTS = [
    {"channel": channel, "purpose": purpose, "granted": True}
    for channel in ("email", "push")
    for purpose in ("marketing", "service")
]
KNOWN = {"channels": '["email", "push"]', "consents": orjson.dumps(CONSENTS).decode(), "attributes": '{"age": 40}'}
AWAKE = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)
ASLEEP_IN_LONDON = datetime(2026, 11, 2, 22, 0, tzinfo=UTC)
ASLEEP_IN_NEW_YORK = datetime(2026, 11, 3, 3, 0, tzinfo=UTC)


def answer(client: TestClient, customer_id: str) -> tuple[str, str]:
    body = client.post("/v1/decisions", json={"customer_id": customer_id, "touchpoint": "app-home"}).json()
    return body["action"], body["reason"]


@pytest.mark.parametrize("locale", [None, "de", "en-US", "en-GB", "pt-BR"])
def test_a_device_language_removes_no_declared_zone(
    serve: Callable[..., TestClient], store: Any, clock: Any, locale: str | None
) -> None:
    client = serve(QUIET)
    row = {"customer_id": "C-9", "updated_at": datetime(2026, 1, 1, tzinfo=UTC), "locale": locale, **KNOWN}
    [customer] = customers_from_frame(pl.DataFrame([row], schema=CUSTOMERS.schema))
    store.put(customer)

    clock.now = ASLEEP_IN_LONDON
    assert answer(client, "C-9") == ("hold", "DEFERRED")
    clock.now = ASLEEP_IN_NEW_YORK
    assert (answer(client, "C-9") == ("hold", "DEFERRED")) is (locale in {"en-US", "pt-BR"})  # and adds its own
    clock.now = AWAKE
    assert answer(client, "C-9")[0] == "send"


def test_readiness_and_metrics_name_the_zone_rules_and_warn_about_old_ones(client: TestClient, clock: Any) -> None:
    def told() -> tuple[dict[str, Any], str]:
        return client.get("/readyz").json()["checks"]["zone_rules"], client.get("/metrics").text

    check, metrics = told()
    assert check["problem"] is None
    assert f'nextbest_zone_rules_info{{version="{check["version"]}"}} 1.0' in metrics
    assert "nextbest_zone_rules_old 0.0" in metrics

    clock.now = datetime(2099, 12, 1, tzinfo=UTC)
    check, metrics = told()
    assert check["ok"]
    assert check["problem"].startswith("time zone rules must be of 2099")
    assert "nextbest_zone_rules_old 1.0" in metrics
