"""Customers with many events: no type displaces another in recent behaviour, and rules count exactly."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from decisioning.customer import Customer
from decisioning.live import live_facts
from decisioning.rules.predicate import ALWAYS, AllOf, AnyOf, Compare, Comparison, Not
from features.catalogue import load_catalogue
from serving.live.changes import Changes
from serving.live.encoding import time_text
from serving.live.reader import Lookup, SupplyQuery
from serving.live.recent_events import MOST_COUNTED, MOST_EVENTS, events_kept
from serving.live.store import LiveStore
from serving.live.writer import Taking

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
NOT_JUST_BOUGHT = """
double-stamps:
  eligibility: {fact: live.purchase_count_24h, equals: 0}
free-coffee:
  eligibility: {fact: live.browse_count_24h, more_than: 250}
"""


def report(client: TestClient, kind: str, minutes: range, customer: str = "C-1") -> None:
    events = [
        {"message_id": f"{kind}-{n}", "customer_id": customer, "type": kind,
         "occurred_at": (NOW - timedelta(minutes=n)).isoformat()}
        for n in minutes
    ]  # fmt: skip
    for start in range(0, len(events), 500):
        answer = client.post("/v1/events", json={"events": events[start : start + 500]})
        assert answer.json()["accepted"] == len(events[start : start + 500]), answer.text


def refusals(client: TestClient) -> dict[str, list[str]]:
    ask = {"customer_id": "C-1", "touchpoint": "weekly-mail", "explain": True}
    explanation = client.post("/v1/decisions", json=ask).json()["explanation"]
    return {one["message"]: one["reasons"] for one in explanation["excluded"]}


def test_a_purchase_today_is_still_known_after_much_browsing(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]
) -> None:
    client = serve("", NOT_JUST_BOUGHT)
    store.put(new_customer("C-1"))

    report(client, "purchase", range(300, 301))
    report(client, "browse", range(280))

    assert refusals(client)["double-stamps/email/plain"] == ["NOT_ELIGIBLE"]


def test_a_rule_with_a_high_count_gets_an_exact_count(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer]
) -> None:
    client = serve("", NOT_JUST_BOUGHT)
    store.put(new_customer("C-1"))
    report(client, "browse", range(250))
    assert "NOT_ELIGIBLE" in refusals(client)["free-coffee/email/plain"]

    report(client, "browse", range(250, 260))

    assert "free-coffee/email/plain" not in refusals(client)


@pytest.mark.parametrize("seed", range(5))
async def test_in_any_order_of_reports_the_newest_of_each_type_are_kept(
    redis_url: str, live_redis: redis.Redis, seed: int
) -> None:
    rng = random.Random(seed)
    kept, bought = {"browse": 251, "purchase": MOST_EVENTS}, rng.randrange(300)
    reports = [("browse", at) for at in range(300)] + [("purchase", bought)]
    rng.shuffle(reports)
    state = LiveStore(redis_url, decision_ttl=timedelta(days=7))
    await state.start()

    await state.take(
        "events",
        [
            Taking(
                seen_as=f"events:{kind}-{at}",
                customer_id="C-1",
                row=b"{}",
                now=NOW,
                changes=Changes(
                    event=(time_text(NOW - timedelta(minutes=at)), f"{kind}\0{kind}-{at}"), keeps=kept[kind]
                ),
            )
            for kind, at in reports
        ],
    )
    known = await state.read(Lookup(customer_id="C-1", touchpoint_id="t", supply=SupplyQuery(now=NOW)))
    await state.stop()

    facts = live_facts(known.live, NOW, event_types=("browse", "purchase"))
    assert facts["live.purchase_count_24h"] == 1
    assert facts["live.purchase_recency_minutes"] == bought
    assert (facts["live.browse_count_24h"], facts["live.browse_count_1h"]) == (251, 60)


def test_as_many_events_are_kept_as_the_highest_count_in_a_rule(shop_files: Path) -> None:
    def count(kind: str, value: Any, comparison: Comparison = Comparison.AT_LEAST) -> Compare:
        return Compare(fact=f"live.{kind}_count_24h", comparison=comparison, value=value)

    catalogue = load_catalogue(shop_files)
    assert events_kept(catalogue) == {}
    rule = AllOf(
        parts=(
            AnyOf(parts=(count("browse", 300), count("browse", (5, 420.5), Comparison.ONE_OF))),
            Not(part=count("purchase", 3)),
            count("search", 1_000_000),
        )
    )
    stages = (replace(catalogue.stages[0], entry=rule), *catalogue.stages[1:])

    assert events_kept(replace(catalogue, stages=stages)) == {"browse": 422, "search": MOST_COUNTED}
    assert events_kept(replace(catalogue, stages=(replace(catalogue.stages[0], entry=ALWAYS),))) == {}
