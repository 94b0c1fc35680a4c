"""A server on real parts: the shop from files, a tiny real LightGBM model, profiles and features in Redis."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import lightgbm
import numpy as np
import pytest
import redis
from starlette.testclient import TestClient

from decisioning.catalogue.catalogue import Catalogue
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.effects.message_coding import MessageCoding, message_matrix
from decisioning.errors import ModelUnavailableError
from decisioning.value_model import CONTEXT_COLUMNS, Calibrator, DesignLayout
from features.catalogue import load_catalogue
from features.computing.feature_set import feature_schema
from features.models.bundle import ModelBundle, write_bundle
from features.online.profiles import encode_profile
from features.online.record import encode_records, microseconds, record_layout
from features.online.redis_keys import feature_key, profile_key
from features.settings import Settings
from pipelines.server.redis_binary import find_binary
from serving.decisions import ask
from serving.http.app import create_app

SHOP = Path(__file__).parents[1] / "catalogues" / "shop"
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def make_bundle(catalogue: Catalogue, *, schema: str | None = None, seed: int = 3) -> ModelBundle:
    """A booster that really uses customer and message columns, with values in the shop's currency."""
    features = feature_schema(catalogue)
    coding = MessageCoding(
        offer_kinds=catalogue.offer_kinds,
        channels=tuple(sorted(catalogue.channels)),
        attributes=catalogue.offer_attributes,
        offer_offsets={"ten-percent": 400.0, "double-stamps": 250.0, "free-coffee": 150.0, "opening-hours": 5.0},
    )
    layout = DesignLayout(customer=features.names, message=coding.columns, context=CONTEXT_COLUMNS)
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(400, len(layout.columns))) * 30
    matrix[:, len(features.names)] = rng.integers(0, 2, 400)
    target = 900 + 4 * matrix[:, 0] + 60 * matrix[:, len(features.names) + 1] + rng.normal(size=400)
    booster = lightgbm.train(
        {"objective": "regression", "num_leaves": 8, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5},
        lightgbm.Dataset(matrix, target),
        num_boost_round=12,
    )
    reference = message_matrix(coding, [])
    calibrator = Calibrator(
        baseline_intercept=10.0,
        baseline_slope=0.9,
        common_slope=0.3,
        specific_slope=0.3,
        reference=reference[:0],
        reference_weights=np.zeros(0),
    )
    return ModelBundle(
        booster=booster.model_to_string(),
        layout=layout,
        coding=coding,
        calibrator=calibrator,
        feature_schema=schema or features.fingerprint,
        catalogue_version=catalogue.version,
        measure_id="net_revenue",
        window_days=7.0,
    )


@dataclass(slots=True)
class Registry:
    """Replaces the model registry: names the champion's folder, or says that there is none."""

    folder: Path
    champion: SimpleNamespace | None = None
    problem: str = "no champion; run `nextbest model promote`"

    def promote(self, bundle: ModelBundle, version: str) -> None:
        write_bundle(bundle, self.folder / version)
        self.champion = SimpleNamespace(version=version, folder=self.folder / version)

    def fetch(self) -> SimpleNamespace:
        if self.champion is None:
            raise ModelUnavailableError(self.problem)
        return self.champion


def make_customer(customer_id: str, **changes: object) -> Customer:
    fields: dict[str, object] = {
        "attributes": {"age": 40, "region": "north", "first_name": "Ada"},
        "time_zone": "Europe/Berlin",
        "locale": "en-GB",
        "reachable_channels": frozenset({"email", "push"}),
        "consents": tuple(
            Consent(channel_id=channel, purpose=purpose, is_granted=True, recorded_at=datetime(2026, 1, 1, tzinfo=UTC))
            for channel in ("email", "push")
            for purpose in ("marketing", "service")
        ),
    }
    return Customer(customer_id=CustomerId(customer_id), **{**fields, **changes})  # pyright: ignore[reportArgumentType]


@dataclass(slots=True)
class Store:
    """Writes customers to Redis as materialisation does."""

    client: redis.Redis
    catalogue: Catalogue

    def put(self, customer: Customer, *, features: dict[str, float] | None = None, at: datetime = NOW) -> str:
        schema = feature_schema(self.catalogue)
        given = {"customer_tenure_days": 400.0, "purchase_count_90d": 3.0, **(features or {})}
        values = np.array([[given.get(name, np.nan) for name in schema.names]])
        [record] = encode_records(record_layout(schema), np.array([microseconds(at)]), values)
        self.client.set(feature_key(customer.customer_id), record)
        self.client.set(profile_key(customer.customer_id), encode_profile(customer))
        return customer.customer_id


@pytest.fixture(autouse=True)
def same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks without a key get the same keys in every run, so that exploration never draws silence once in a while."""
    rng = Random(1)
    monkeypatch.setattr(ask, "uuid4", lambda: UUID(int=rng.getrandbits(128), version=4))


@pytest.fixture(scope="session")
def shop_files() -> Path:
    return SHOP


@pytest.fixture(scope="session")
def shop_bundle() -> ModelBundle:
    return make_bundle(load_catalogue(SHOP))


@pytest.fixture
def live_redis(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(live_redis: redis.Redis) -> Store:
    return Store(client=live_redis, catalogue=load_catalogue(SHOP))


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    import shutil

    home = tmp_path / "home"
    shutil.copytree(SHOP, home / "catalogue")
    return Settings(home=home, mlruns=tmp_path / "mlruns", redis_url=redis_url, deadline_ms=20_000)


@pytest.fixture
def registry(tmp_path: Path, shop_bundle: ModelBundle) -> Registry:
    registry = Registry(folder=tmp_path / "registry")
    registry.promote(shop_bundle, "7")
    return registry


@dataclass(slots=True)
class Clock:
    """A clock that tests set."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(settings: Settings, registry: Registry, clock: Clock, store: Store) -> Iterator[TestClient]:
    app = create_app(settings, fetch_model=registry.fetch, now=clock, refresh_every_s=0.05)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def customer(store: Store) -> str:
    return store.put(make_customer("C-1"))


@pytest.fixture
def new_customer() -> Callable[..., Customer]:
    return make_customer


@pytest.fixture
def new_bundle() -> Callable[..., ModelBundle]:
    return make_bundle


PLAIN = """
holdout: null
experiments: {}
exploration: {epsilon: 0.0, min_probability: 0.0}
"""


def amend_catalogue(settings: Settings, text: str) -> None:
    """Replace whole sections of the shop's catalogue with those of a YAML text; null removes a section."""
    import yaml

    path = settings.catalogue_path / "catalogue.yaml"
    sections = {**yaml.safe_load(path.read_text()), **yaml.safe_load(text)}
    path.write_text(yaml.safe_dump({name: value for name, value in sections.items() if value is not None}))


def amend_offers(settings: Settings, text: str) -> None:
    """Change fields of the shop's offers, or add offers, by a YAML text of offers by name."""
    import yaml

    path = settings.catalogue_path / "offers.yaml"
    offers = yaml.safe_load(path.read_text())["offers"]
    for name, fields in yaml.safe_load(text).items():
        offers[name] = {**offers.get(name, {}), **fields}
    path.write_text(yaml.safe_dump({"offers": offers}))


@pytest.fixture
def serve(settings: Settings, registry: Registry, clock: Clock, store: Store) -> Iterator[Callable[..., TestClient]]:
    """A server on an amended shop without experiments and exploration, so that the best message always wins."""
    with ExitStack() as stack:

        def start(sections: str = "", offers: str = "", **changes: object) -> TestClient:
            amend_catalogue(settings, PLAIN + sections)
            if offers:
                amend_offers(settings, offers)
            fetch: dict[str, object] = {"fetch_model": registry.fetch, "now": clock, "refresh_every_s": 0.05}
            app = create_app(settings, **{**fetch, **changes})  # pyright: ignore[reportArgumentType]
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture
def round_trips() -> Callable[[TestClient], AbstractContextManager[list[int]]]:
    """Counts the commands a server sends to Redis during requests, per round trip."""

    @contextmanager
    def count(client: TestClient) -> Iterator[list[int]]:
        state = client.app.state.engine.state  # pyright: ignore[reportAttributeAccessIssue,reportFunctionMemberAccess]
        link = state._link
        send, trips = link.send, list[int]()

        def counted(commands: Any) -> Any:
            if commands[0][0] != "PING":  # the supervisor's heartbeat is not part of a request
                trips.append(len(commands))
            return send(commands)

        link.send = counted
        try:
            yield trips
        finally:
            del link.send

    return count


@dataclass(slots=True)
class OwnRedis:
    """A real Redis that a test may freeze and kill."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        command = [find_binary(), "--port", "0", "--unixsocket", f"{self.folder}/redis.sock", "--dir", str(self.folder)]
        self.process = subprocess.Popen([*command, "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                if self.client.ping():
                    return
            except redis.RedisError:
                time.sleep(0.02)
        raise AssertionError("redis did not start")

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)
        if number is signal.SIGKILL:
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.send(signal.SIGKILL)


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    server = OwnRedis(folder=tmp_path_factory.mktemp("r"))
    server.start()
    yield server
    server.stop()
