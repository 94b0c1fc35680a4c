"""A whole installation in one folder: log with chain, feature history, its own Redis, and a server on them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis
from starlette.testclient import TestClient

from features.catalogue import load_catalogue
from features.chain.audit_chain import open_log
from features.importing.folder import ImportReport, import_folder
from features.online.redis_keys import ERASED_KEY
from features.privacy.scan import traces_below
from features.settings import Settings
from features.store.builder import build_features
from features.store.materialisation import materialise
from pipelines.server.embedded_redis import embedded_redis
from serving.http.app import create_app
from serving.log.drain import DrainReport, drain_alone

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
PLAIN = "\nholdout: null\nexperiments: {}\nexploration: {epsilon: 0.0, min_probability: 0.0}\n"

ANN, BOB = "C-ann-0001", "C-bob-0002"
"""Ann is erased; Bob lives in the same household and stays."""

NAME = "Annabella Quizzelwhip"
PERSONAL = (ANN, NAME, "Quizzelwhip", "ann-secret-note")
"""No trace of these may be left anywhere."""


@dataclass(slots=True)
class Installation:
    """The parts of an installation that tests use."""

    settings: Settings
    url: str
    client: redis.Redis
    data: Path
    registry: Any
    now: datetime = NOW

    def server(self) -> TestClient:
        app = create_app(self.settings, fetch_model=self.registry.fetch, now=lambda: NOW, refresh_every_s=0.05)
        return TestClient(app, raise_server_exceptions=False)

    def import_all(self) -> ImportReport:
        return import_folder(self.data, self.settings, now=NOW)

    def features(self) -> None:
        catalogue = load_catalogue(self.settings.catalogue_path)
        build_features(self.settings, catalogue, NOW)
        materialise(self.settings, catalogue, self.url)

    def drain(self) -> DrainReport:
        return drain_alone(self.client, open_log(self.settings), self.settings.spool_path, wait_seconds=5)

    def traces(self, words: Sequence[str] = PERSONAL) -> list[str]:
        """Every place below home and every key and value in Redis that holds one of these words."""
        found = [f"{one.path} {one.column or ''}" for one in traces_below(self.settings.home, words)]
        return found + [key for key, text in self.everything_in_redis() if any(word in text for word in words)]

    def everything_in_redis(self) -> Iterator[tuple[str, str]]:
        read: dict[bytes, Callable[[bytes], object]] = {
            b"string": self.client.get,
            b"hash": self.client.hgetall,
            b"set": self.client.smembers,
            b"zset": lambda key: self.client.zrange(key, 0, -1, withscores=True),
            b"stream": self.client.xrange,
            b"list": lambda key: self.client.lrange(key, 0, -1),
        }
        for key in self.client.scan_iter(count=1_000):
            yield key.decode(), f"{key.decode()} {read[self.client.type(key)](key)}"

    def tombstones(self) -> int:
        return self.client.scard(ERASED_KEY)


def _person(customer_id: str, name: str, **more: object) -> dict[str, object]:
    import orjson

    consents = [
        {"channel": channel, "purpose": purpose, "granted": True, "recorded_at": "2026-01-01T00:00:00+00:00"}
        for channel in ("email", "push")
        for purpose in ("marketing", "service")
    ]
    return {
        "customer_id": customer_id,
        "updated_at": NOW - timedelta(days=100),
        "joined_at": NOW - timedelta(days=400),
        "time_zone": "Europe/Berlin",
        "locale": "en-GB",
        "channels": '["email", "push"]',
        "consents": orjson.dumps(consents).decode(),
        "attributes": orjson.dumps({"age": 41, "region": "north", "first_name": name}).decode(),
        "household": "house-7",
        **more,
    }


def _events(customer_id: str, count: int) -> list[dict[str, object]]:
    return [
        {
            "event_id": f"e-{customer_id}-{place}",
            "customer_id": customer_id,
            "type": "purchase",
            "occurred_at": NOW - timedelta(days=3 * place + 1),
            "amount_minor": 2_500,
            "currency": "EUR",
            "properties": '{"note": "ann-secret-note"}' if customer_id == ANN else None,
        }
        for place in range(count)
    ]


def write_data(folder: Path) -> None:
    """Canonical files of a few customers; a row of Bob's says that Ann referred him."""
    folder.mkdir(parents=True)
    people = [_person(ANN, NAME), _person(BOB, "Bob"), *(_person(f"C-{n}", f"N{n}", household=None) for n in range(8))]
    pl.DataFrame(people).write_parquet(folder / "customers.parquet")
    referral = {
        "event_id": "e-referral",
        "customer_id": BOB,
        "type": "browse",
        "occurred_at": NOW - timedelta(days=9),
        "properties": f'{{"invited_by": "{ANN}", "page": "start"}}',
    }
    events = [*_events(ANN, 6), *_events(BOB, 4), referral, *(one for n in range(8) for one in _events(f"C-{n}", 2))]
    pl.DataFrame(events, infer_schema_length=None).write_parquet(folder / "events.parquet")
    decisions = [
        {"decision_id": f"D-{who}", "customer_id": who, "decided_at": NOW - timedelta(days=20),
         "offer_id": "ten-percent", "channel": "email", "creative_id": "plain", "touchpoint": "weekly-mail",
         "action_probability": 0.5}
        for who in (ANN, BOB)
    ]  # fmt: skip
    pl.DataFrame(decisions).write_parquet(folder / "decisions.parquet")
    outcomes = [
        {"outcome_id": f"O-{who}", "decision_id": f"D-{who}", "customer_id": who, "type": "clicked",
         "occurred_at": NOW - timedelta(days=20) + timedelta(hours=1)}
        for who in (ANN, BOB)
    ]  # fmt: skip
    pl.DataFrame(outcomes).write_parquet(folder / "outcomes.parquet")


@pytest.fixture(scope="session")
def built_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after import, build and materialisation, with its Redis stopped; tests work on copies."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(SHOP, folder / "home" / "catalogue")
    _amend(folder / "home" / "catalogue" / "catalogue.yaml")
    write_data(folder / "data")
    with opened(folder, registry=None) as one:
        one.import_all()
        one.features()
    return folder


@contextmanager
def opened(folder: Path, registry: Any) -> Iterator[Installation]:
    home = folder / "home"
    with embedded_redis(Settings(home=home)) as url, redis.Redis.from_url(url) as client:
        settings = Settings(home=home, mlruns=folder / "mlruns", redis_url=url, deadline_ms=20_000)
        yield Installation(settings=settings, url=url, client=client, data=folder / "data", registry=registry)


@pytest.fixture
def installation(tmp_path: Path, built_home: Path, registry: Any) -> Iterator[Installation]:
    for name in ("home", "data"):
        shutil.copytree(built_home / name, tmp_path / name, symlinks=True)
    with opened(tmp_path, registry) as one:
        yield one


def _amend(path: Path) -> None:
    """The shop without experiments and exploration, so that the best message always wins."""
    import yaml

    sections = {**yaml.safe_load(path.read_text()), **yaml.safe_load(PLAIN)}
    path.write_text(yaml.safe_dump({name: value for name, value in sections.items() if value is not None}))


@pytest.fixture
def ann() -> str:
    return ANN


@pytest.fixture
def bob() -> str:
    return BOB


@pytest.fixture
def personal() -> tuple[str, ...]:
    return PERSONAL


@pytest.fixture
def lived() -> Callable[[Installation, TestClient], str]:
    """Let Ann use the server so that data about her is in every place; returns her decision."""
    return live_a_little


def live_a_little(one: Installation, server: TestClient) -> str:
    ask = {"customer_id": ANN, "touchpoint": "weekly-mail", "dedupe_key": "monday"}
    decision_id = server.post("/v1/decisions", json=ask).json()["decision_id"]
    server.post(f"/v1/decisions/{decision_id}/permit")
    for number in range(3):
        server.post("/v1/decisions", json={"customer_id": BOB, "touchpoint": "weekly-mail", "dedupe_key": f"b{number}"})
    _report(server, decision_id, "1")
    one.drain()
    server.post("/v1/decisions", json={**ask, "dedupe_key": "tuesday"})
    _report(server, decision_id, "2")
    _leave_files(one.settings)
    return decision_id


def _report(server: TestClient, decision_id: str, number: str) -> None:
    outcome = {"message_id": f"o-{ANN}-{number}", "decision_id": decision_id, "type": "viewed",
               "occurred_at": NOW.isoformat()}  # fmt: skip
    answer = server.post("/v1/outcomes", json={"outcomes": [outcome]})
    assert answer.json()["accepted"] == 1, answer.text
    event = {"message_id": f"x-{ANN}-{number}", "customer_id": ANN, "type": "browse", "occurred_at": NOW.isoformat(),
             "properties": {"page": "ann-secret-note"}}  # fmt: skip
    answer = server.post("/v1/events", json={"events": [event]})
    assert answer.json()["accepted"] == 1, answer.text


def _leave_files(settings: Settings) -> None:
    """Rows that an import refused, an invalid stream entry, spooled rows, and a list for a call centre."""
    rejects = settings.rejects_path / "20261101T000000Z"
    rejects.mkdir(parents=True)
    (rejects / "customers.csv").write_text(
        f'customer_id,updated_at,attributes\n{ANN},yesterday,"{{""first_name"": ""{NAME}""}}"\nC-3,tomorrow,\n'
    )
    (rejects / "reasons.csv").write_text(
        'file,row,column,rule,value\ncustomers.parquet,1,attributes,JSON,"{""first_name"": ""' + NAME + '""}"\n'
        "customers.parquet,2,updated_at,a time,tomorrow\n"
    )
    letters = settings.spool_path / "dead" / "letters.jsonl"
    letters.parent.mkdir(parents=True)
    letters.write_text(f'{{"source":"s","entry_id":"1-1","reason":"r","content":"{ANN} {NAME}"}}\n')
    spooled = f'{{"table":"events","row":{{"event_id":"s-1","customer_id":"{ANN}","type":"browse",'
    spooled += f'"occurred_at":"{NOW.isoformat()}"}}}}\n'
    (settings.spool_path / "7-dead.jsonl").write_text(spooled)
    handoffs = settings.home / "handoffs"
    handoffs.mkdir()
    pl.DataFrame({"customer_id": [ANN, BOB], "address": [NAME, "B"]}).write_parquet(handoffs / "h1.0")
    (handoffs / "h2.1").write_text(f"customer_id,address\n{ANN},{NAME}\n{BOB},B\n")
