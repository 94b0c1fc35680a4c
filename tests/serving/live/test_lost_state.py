"""Redis flushed or empty: the server says so, marketing pauses, and the log restores the state."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
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

from decisioning.errors import InvalidInputError
from features.log.contracts import CUSTOMERS, DECISIONS, OUTCOMES
from features.log.event_log import EventLog
from features.online.redis_keys import ERASED_KEY, STATE_KEY
from features.settings import Settings
from features.store.builder import build_features
from features.store.materialisation import materialise
from pipelines.batch.run import BatchPlan, decide_audience
from pipelines.commands import restore as restore_command
from pipelines.server.restore import RestoreReport, restore
from serving.http.app import create_app
from serving.live.reader import Known, Lookup, SupplyQuery
from serving.log.drain import drain_alone
from tests.waiting import wait_until

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
NAMES = ("C-1", "C-2", "C-3", "C-4", "C-5")
COUNTERS = ("limit:mails:total",)
SECTIONS = """
contact_policy:
  caps: {week: {scope: everything, limit: 2, window_days: 7}}
  suppressions: [{after: declined, scope: offer, days: 30}]
limits:
  mails: {scope: class, of: marketing, amount: 1000, per: total}
touchpoints:
  weekly-mail: {channels: [email, push], sticky_hours: 10}
  app-home: {channels: [push], context: {basket_value: number}}
"""


@dataclass
class Shop:
    """A shop with customers in the log, and a server on it."""

    settings: Settings
    client: TestClient
    redis: redis.Redis
    clock: Any

    @property
    def log(self) -> EventLog:
        return EventLog(self.settings.log_path)

    def ask(self, customer: str, **changes: Any) -> dict[str, Any]:
        body = {"customer_id": customer, "touchpoint": "weekly-mail", **changes}
        answer = self.client.post("/v1/decisions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def report(self, table: str, *items: dict[str, Any]) -> None:
        rows = [{"message_id": f"m{n}-{item['type']}", "occurred_at": self.clock.now.isoformat(), **item}
                for n, item in enumerate(items)]  # fmt: skip
        answer = self.client.post(f"/v1/{table}", json={table: rows}).json()
        assert answer["accepted"] == len(rows), answer

    def drain(self) -> None:
        drain_alone(self.redis, self.log, self.settings.spool_path, wait_seconds=5.0)

    def known(self, customer: str) -> Known:
        state, query = self.client.app.state.engine.state, SupplyQuery(now=self.clock.now, counters=COUNTERS)  # pyright: ignore[reportFunctionMemberAccess]
        lookup = Lookup(customer_id=customer, touchpoint_id="weekly-mail", supply=query)
        return self.client.portal.call(state.read, lookup)  # pyright: ignore[reportOptionalMemberAccess]

    def flush(self) -> None:
        self.redis.flushall()

    def is_ready(self) -> bool:
        return self.client.get("/readyz").json()["status"] == "ready"

    def restore(self) -> RestoreReport:
        return restore(self.settings, str(self.settings.redis_url), now=self.clock.now)

    def live(self) -> dict[str, Any]:
        """What must be restored: everything except the versions of books and the expiry of reservations."""
        found: dict[str, Any] = {}
        for name in NAMES:
            known = self.known(name)
            live = known.live
            contacts = tuple(replace(one, reserved_until=None) for one in live.contacts)
            found[name] = (
                replace(live, version=0, household_version=0, contacts=contacts),
                known.supply.used,
                known.unsubscribed_at,
                known.told,
                known.household_id,
                known.profile,
                known.features,
            )
        return found


def customer_row(name: str, **changes: Any) -> dict[str, Any]:
    consents = [
        {"channel": channel, "purpose": purpose, "granted": True, "recorded_at": "2026-01-01T00:00:00+00:00"}
        for channel in ("email", "push")
        for purpose in ("marketing", "service")
    ]
    return {
        "customer_id": name,
        "updated_at": NOW - timedelta(days=30),
        "joined_at": NOW - timedelta(days=400),
        "time_zone": "Europe/Berlin",
        "locale": "en-GB",
        "channels": orjson.dumps(["email", "push"]).decode(),
        "consents": orjson.dumps(consents).decode(),
        "attributes": orjson.dumps({"age": 40, "region": "north", "first_name": "Ada"}).decode(),
        "household": "H-1" if name in {"C-4", "C-5"} else None,
        **changes,
    }


@pytest.fixture
def customers(settings: Settings) -> Settings:
    rows = [customer_row(name) for name in NAMES]
    EventLog(settings.log_path).append(CUSTOMERS, pl.DataFrame(rows, schema_overrides={"household": pl.String()}))
    return settings


@pytest.fixture
def shop(customers: Settings, serve: Callable[..., TestClient], live_redis: redis.Redis, clock: Any) -> Shop:
    client = serve(SECTIONS)
    shop = Shop(settings=customers, client=client, redis=live_redis, clock=clock)
    shop.restore()
    return shop


def live_through(shop: Shop) -> dict[str, dict[str, Any]]:
    """Some days with every kind of live state."""
    first = {name: shop.ask(name, dedupe_key="w44") for name in NAMES}
    sent = {name: answer["decision_id"] for name, answer in first.items()}
    shop.clock.now = NOW + timedelta(hours=2)
    shop.report(
        "outcomes",
        {"type": "delivered", "decision_id": sent["C-1"]},
        {"type": "declined", "decision_id": sent["C-1"]},
        {"type": "not_sent", "decision_id": sent["C-2"]},
        {"type": "unsubscribed", "decision_id": sent["C-3"]},
        {"type": "complained", "decision_id": sent["C-5"]},
    )
    shop.report(
        "events",
        {"type": "case_opened", "customer_id": "C-1", "properties": {"kind": "outage", "case_id": "k-1"}},
        {"type": "consent_withdrawn", "customer_id": "C-2", "properties": {"channel": "push", "purpose": "marketing"}},
        {"type": "protected", "customer_id": "C-4", "properties": {"protection": "vulnerable"}},
        {"type": "attribute_told", "customer_id": "C-2", "properties": {"name": "region", "value": "south"}},
        {"type": "stage_entered", "customer_id": "C-2", "properties": {"stage": "lapsed"}},
        {"type": "purchase", "customer_id": "C-2"},
        {"type": "profiling_opted_out", "customer_id": "C-5"},
    )
    shop.drain()
    return first


def test_everything_in_redis_is_restored_from_the_log(shop: Shop) -> None:
    live_through(shop)
    before = shop.live()
    shop.flush()
    wait_until(lambda: not shop.is_ready())

    report = shop.restore()

    wait_until(shop.is_ready)
    assert report.was_lost
    assert report.profiles == len(NAMES)
    after = shop.live()
    for name in NAMES:
        for was, found in zip(before[name][:-2], after[name][:-2], strict=True):
            assert found == was, name
    assert any(live.cases for live, *_ in after.values())
    assert after["C-1"][1]["limit:mails:total"] > 0


def test_a_repeat_of_an_ask_gets_its_old_decision_and_never_a_second_message(shop: Shop) -> None:
    first = live_through(shop)
    shop.flush()
    shop.restore()

    again = shop.ask("C-1", dedupe_key="w44")

    assert (again["decision_id"], again["replayed"]) == (first["C-1"]["decision_id"], True)


def test_a_report_accepted_before_the_loss_is_a_duplicate_after_it(shop: Shop) -> None:
    live_through(shop)
    shop.flush()
    shop.restore()
    item = {"message_id": "m5-purchase", "customer_id": "C-2", "type": "purchase", "occurred_at": NOW.isoformat()}

    assert shop.client.post("/v1/events", json={"events": [item]}).json()["duplicate"] == 1


def test_a_cap_that_was_full_before_is_full_after(shop: Shop) -> None:
    for key in ("a", "b"):
        assert shop.ask("C-1", dedupe_key=key)["action"] == "send"
    shop.drain()
    shop.flush()
    shop.restore()

    answer = shop.ask("C-1", dedupe_key="c", explain=True)

    assert answer["action"] == "hold"
    reasons = {one["message"]: one["reasons"] for one in answer["explanation"]["excluded"]}
    assert "CAP_REACHED" in reasons["ten-percent/email/plain"]


def test_until_the_restore_the_server_reports_the_loss_and_marketing_pauses(shop: Shop) -> None:
    assert shop.is_ready()
    shop.flush()
    wait_until(lambda: not shop.is_ready())
    materialise_profiles(shop)

    answer = shop.ask("C-1", explain=True)
    check = shop.client.get("/readyz").json()["checks"]["redis"]

    assert (answer["action"], answer["reason"], answer["ttl_s"]) == ("hold", "DEGRADED", 0)
    assert "state_lost" in answer["degraded_reasons"]
    reasons = {one["message"]: one["reasons"] for one in answer["explanation"]["excluded"]}
    assert "STATE_LOST" in reasons["ten-percent/email/plain"]
    assert "STATE_LOST" in reasons["opening-hours/email/plain"], "its contacts are counted here"
    assert (check["ok"], "nextbest restore" in check["problem"]) == (False, True)


@pytest.mark.parametrize("is_optimised", [False, True])
def test_while_state_is_lost_a_batch_sends_nothing_that_caps_count(
    shop: Shop, tmp_path: Path, is_optimised: bool
) -> None:
    audience = tmp_path / "audience.csv"
    audience.write_text("customer_id\n" + "\n".join(NAMES))

    def actions() -> set[str]:
        plan = BatchPlan(
            audience=audience,
            out=tmp_path / "out.parquet",
            touchpoint_id="weekly-mail",
            now=shop.clock.now,
            allows_no_model=True,
            optimises=is_optimised,
        )
        decide_audience(plan, shop.settings, redis_url=str(shop.settings.redis_url), model=None)
        return set(pl.read_parquet(plan.out)["action"])

    assert actions() == {"send"}
    shop.drain()
    shop.flush()
    materialise_profiles(shop)
    assert actions() == {"hold"}
    shop.restore()
    assert actions() == {"send"}, "two a week are allowed"
    assert actions() == {"hold"}


def test_while_state_is_lost_service_messages_outside_every_cap_are_sent(
    customers: Settings, serve: Callable[..., TestClient], live_redis: redis.Redis, clock: Any
) -> None:
    shop = Shop(settings=customers, client=serve(), redis=live_redis, clock=clock)
    shop.restore()
    shop.flush()
    materialise_profiles(shop)

    answer = shop.ask("C-1")

    assert answer["selected"]["offer_id"] == "opening-hours"
    assert answer["degraded_reasons"][0] == "state_lost"


def materialise_profiles(shop: Shop) -> None:
    """As `features materialise` does: it restores profiles and not what was sent."""
    from features.online.profiles import customers_from_frame, write_profiles

    write_profiles(shop.redis, customers_from_frame(shop.log.read(CUSTOMERS)))


def test_restoring_features_alone_does_not_restore_lost_state(shop: Shop) -> None:
    shop.ask("C-1")
    shop.drain()
    catalogue = shop.client.app.state.engine.refresher.current().catalogue  # pyright: ignore[reportFunctionMemberAccess]
    build_features(shop.settings, catalogue, NOW)
    shop.flush()

    materialise(shop.settings, catalogue, str(shop.settings.redis_url), full=True)

    wait_until(lambda: not shop.is_ready())
    assert "state_lost" in shop.ask("C-1")["degraded_reasons"]
    assert shop.restore().feature_records == len(NAMES)
    assert not shop.ask("C-1")["degraded"]


def test_a_permit_for_a_decision_before_the_loss_waits_for_the_restore(
    customers: Settings, serve: Callable[..., TestClient], live_redis: redis.Redis, clock: Any
) -> None:
    permits = SECTIONS.replace("sticky_hours: 10", "permit: required, reserve_hours: 1")
    shop = Shop(settings=customers, client=serve(permits), redis=live_redis, clock=clock)
    shop.restore()
    decision = shop.ask("C-1")["decision_id"]
    shop.drain()
    shop.flush()
    wait_until(lambda: not shop.is_ready())

    lost = shop.client.post(f"/v1/decisions/{decision}/permit", json={}).json()
    shop.restore()
    wait_until(shop.is_ready)
    found = shop.client.post(f"/v1/decisions/{decision}/permit", json={}).json()

    assert (lost["permit"], lost["reasons"]) == ("denied", ["STATE_UNAVAILABLE"])
    assert found["permit"] == "allowed", found
    [contact] = shop.known("C-1").live.contacts
    assert contact.counts_at(NOW + timedelta(days=3))


def test_restoring_twice_changes_nothing_and_counts_nothing_twice(shop: Shop) -> None:
    live_through(shop)
    shop.flush()
    shop.restore()
    once = shop.live()

    again = shop.restore()

    assert not again.was_lost
    assert again.contacts == 0
    assert shop.live() == once


def test_decisions_between_loss_and_restore_count_once(
    customers: Settings, serve: Callable[..., TestClient], live_redis: redis.Redis, clock: Any
) -> None:
    limits = "limits: {mails: {scope: class, of: service, amount: 1000, per: total}}\n"
    shop = Shop(settings=customers, client=serve(limits), redis=live_redis, clock=clock)
    shop.restore()
    shop.ask("C-2", exclude_offers=["ten-percent", "double-stamps", "free-coffee"])
    shop.drain()
    shop.flush()
    materialise_profiles(shop)
    shop.ask("C-1")
    shop.drain()

    shop.restore()

    assert shop.known("C-1").supply.used["limit:mails:total"] == 2.0
    assert len(shop.known("C-1").live.contacts) == 1


def test_imported_contacts_count_in_caps_after_a_restore(shop: Shop) -> None:
    rows = [
        {"decision_id": f"old-{n}", "customer_id": "C-1", "decided_at": NOW - timedelta(days=n), "touchpoint": "x",
         "offer_id": "long-gone", "channel": "email", "creative_id": "plain"}
        for n in (1, 2)
    ]  # fmt: skip
    delivered = {"outcome_id": "o-1", "decision_id": "old-1", "customer_id": "C-1", "type": "delivered",
                 "occurred_at": NOW - timedelta(days=1)}  # fmt: skip
    shop.log.append(DECISIONS, pl.DataFrame(rows))
    shop.log.append(OUTCOMES, pl.DataFrame([delivered]))
    assert shop.ask("C-1", dedupe_key="before")["action"] == "send"
    shop.drain()

    report = shop.restore()

    assert (report.was_lost, report.contacts) == (False, 2)
    assert shop.ask("C-1", dedupe_key="after")["action"] == "hold"


def test_an_erased_customer_is_not_restored(shop: Shop) -> None:
    shop.ask("C-1")
    shop.drain()
    deleted = shop.client.delete("/v1/customers/C-1")
    assert deleted.status_code == 200, deleted.text
    shop.flush()
    wait_until(lambda: not shop.is_ready())
    wait_until(lambda: shop.redis.scard(ERASED_KEY) == 1)  # known again at once, before the restore

    shop.restore()

    assert shop.redis.scard(ERASED_KEY) == 1
    assert not [key for key in shop.redis.keys("*") if b"C-1" in key]


def test_the_redis_of_another_home_is_neither_used_nor_filled(shop: Shop) -> None:
    shop.redis.set(STATE_KEY, "of-another-home")

    wait_until(lambda: not shop.is_ready())
    with pytest.raises(InvalidInputError, match="another home"):
        shop.restore()


def test_the_command_restores_and_says_what_it_restored(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    live_through(shop)
    shop.flush()
    app = typer.Typer()
    app.callback()(lambda: None)
    app.add_typer(restore_command.app)
    monkeypatch.setenv("NEXTBEST_HOME", str(shop.settings.home))
    monkeypatch.setenv("NEXTBEST_REDIS_URL", str(shop.settings.redis_url))

    result = CliRunner().invoke(app, ["restore", "--json"])

    assert result.exit_code == 0, result.output
    told = orjson.loads(result.stdout[result.stdout.index("{\n") :])  # the server's log lines go there too
    assert (told["was_lost"], told["profiles"]) == (True, len(NAMES))
    assert told["contacts"] >= len(NAMES)
    wait_until(shop.is_ready)


def test_a_redis_that_starts_empty_is_distinguished_from_a_new_one(
    customers: Settings, registry: Any, clock: Any, own_redis: Any
) -> None:
    """A Redis without its data: another machine, or a volume that was not mounted."""
    settings = customers.model_copy(update={"redis_url": own_redis.url})
    restore(settings, own_redis.url, now=NOW)
    with TestClient(create_app(settings, fetch_model=registry.fetch, now=clock, refresh_every_s=0.05)) as client:
        shop = Shop(settings=settings, client=client, redis=own_redis.client, clock=clock)
        assert shop.is_ready()
        sent = shop.ask("C-1", dedupe_key="w44")["decision_id"]
        shop.drain()
        own_redis.send(signal.SIGKILL)
        for path in own_redis.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        own_redis.start()

        wait_until(lambda: "nextbest restore" in str(client.get("/readyz").json()["checks"]["redis"]["problem"]))
        shop.restore()
        wait_until(shop.is_ready)
        assert [one.contact_id for one in shop.known("C-1").live.contacts] == [sent]

    own_redis.client.flushall()
    with TestClient(create_app(settings, fetch_model=registry.fetch, now=clock)) as started:
        assert started.get("/readyz").status_code == 503
