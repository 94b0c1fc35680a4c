"""A home with a log, profiles in Redis, and a desk that hands over."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis

from decisioning.customer import Consent, Customer, CustomerId
from features.log.contracts import OUTCOMES
from features.log.event_log import EventLog
from features.online.profiles import encode_profile
from features.online.redis_keys import profile_key
from features.settings import Settings
from pipelines.batch.run import BatchPlan, decide_audience
from pipelines.handoff.desk import HandOffPlan, HandOffReport, hand_over
from pipelines.handoff.returns import ReturnReport, take_returns
from serving.log.drain import drain_alone

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
WEEK = timedelta(days=7)
CATALOGUE = """
currency: EUR
offer_kinds: [news]
goals: {help: {department: service}}
stages: [{stage: all, goal: help}]
touchpoints:
  post: {channels: [letter], context: {gate: text}}
  wave: {channels: [letter, call]}
channels:
  letter: {cost: 0.85, online: false, lead_time_days: 3, cut_off: "14:00", zone: Europe/Berlin, formats: [card],
    address: [first_name, city], required_fields: [headline]}
  call: {cost: 4, online: false, zone: Europe/Berlin, required_fields: [script]}
  email: {}
limits: {mail-house: {scope: channel, of: letter, amount: AMOUNT, per: week}}
contact_policy: {caps: {one: {scope: everything, limit: 1, window_days: 7}}}
offers:
  spring:
    goal: help
    kind: news
    class: service
    value: 2
    creatives:
      - {creative: card, channel: letter, content: {format: card, headline: "Dear {{ customer.first_name }}", body: "Gate {{ context.gate | default: 'open' }}"}}
  check-up:
    goal: help
    kind: news
    class: service
    value: 1
    creatives:
      - {creative: script, channel: call, content: {script: =Ask how it went}}
"""  # noqa: E501 - as people write it


@dataclass
class House:
    """A home with a log, profiles in Redis, and a desk that hands over."""

    settings: Settings
    client: redis.Redis
    out: Path
    now: datetime = NOW

    def write_catalogue(self, amount: int = 100) -> None:
        self.settings.catalogue_path.mkdir(parents=True, exist_ok=True)
        text = CATALOGUE.replace("AMOUNT", str(amount))
        (self.settings.catalogue_path / "catalogue.yaml").write_text(text, encoding="utf-8")

    def know(self, customer_id: str, *, grants: bool = True, **attributes: str | float) -> None:
        consents = tuple(
            Consent(channel_id=channel, purpose="service", is_granted=grants, recorded_at=NOW - WEEK)
            for channel in ("letter", "call")
        )
        customer = Customer(
            customer_id=CustomerId(customer_id),
            attributes={"first_name": "Ada", "city": "Köln", **attributes},
            reachable_channels=frozenset({"letter", "call"}),
            consents=consents,
            time_zone="Europe/Berlin",
            locale="de-DE",
        )
        self.client.set(profile_key(customer_id), encode_profile(customer))

    def decide(self, *customers: str, touchpoint: str = "post", key: str = "k") -> dict[str, dict[str, Any]]:
        audience, out = self.settings.home / "audience.parquet", self.settings.home / "decided.parquet"
        pl.DataFrame({"customer_id": customers}).write_parquet(audience)
        plan = BatchPlan(
            audience=audience, out=out, touchpoint_id=touchpoint, key=key, now=self.now, allows_no_model=True
        )
        decide_audience(plan, self.settings, redis_url=str(self.settings.redis_url), model=None)
        self.drain()
        return {row["customer_id"]: row for row in pl.read_parquet(out).to_dicts()}

    def drain(self) -> EventLog:
        log = EventLog(self.settings.log_path)
        drain_alone(self.client, log, self.settings.spool_path, wait_seconds=5.0)
        return log

    def hand_over(self, name: str, channel: str = "letter", **changes: Any) -> HandOffReport:
        plan = HandOffPlan(**{"channel_id": channel, "out": self.out / name, "as_of": self.now, **changes})
        report = hand_over(plan, self.settings, redis_url=str(self.settings.redis_url))
        self.drain()
        return report

    def take(self, text: str | bytes, name: str = "back.csv", **changes: Any) -> ReturnReport:
        path = self.out / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        report = take_returns(
            path, self.settings, redis_url=str(self.settings.redis_url), now=lambda: self.now, **changes
        )
        self.drain()
        return report

    def outcomes(self, decision_id: str) -> list[str]:
        rows = self.drain().find(OUTCOMES, "decision_id", [decision_id])
        return sorted(row["type"] for row in rows)

    @staticmethod
    def rows_of(path: str | None) -> list[dict[str, str]]:
        assert path is not None
        text = Path(path).read_bytes()
        assert text.startswith(b"\xef\xbb\xbf"), "by this mark spreadsheets know that it is UTF-8"
        return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))


@pytest.fixture
def house(redis_url: str, tmp_path: Path) -> Iterator[House]:
    out = tmp_path / "out"
    out.mkdir()
    with redis.Redis.from_url(redis_url) as client:
        house = House(
            settings=Settings(home=tmp_path / "home", redis_url=redis_url, decision_ttl_days=20), client=client, out=out
        )
        house.write_catalogue()
        yield house
