"""From import to a price that moves: a real server and its Redis, a new offer, its first outcomes, record, replay."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import polars as pl
import pytest
import redis

from features.catalogue import load_catalogue
from features.clock import set_clock
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.online.redis_keys import RESIDUALS_KEY
from features.online.residuals import read_residuals
from features.settings import Settings
from features.store.builder import build_features
from features.store.materialisation import materialise
from tests.conftest import Shop
from tests.waiting import wait_until
from training.registry.promotion import promote
from training.registry.training_run import train_model

NEXTBEST = Path(sys.executable).with_name("nextbest")
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NEW = "free-cake/email/plain"
KNOWN = "ten-percent/email/plain"
CAKE = """
  free-cake:
    goal: loyalty
    kind: gift
    value: 1.50
    attributes: {difficulty: 0}
    creatives:
      - {creative: plain, channel: email, content: {headline: Cake for you, body: See you soon}}
"""


@pytest.fixture(scope="module")
def trained(shop: Shop, blank_tracking_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A shop with a champion, in which most customers are drawn for at random."""
    path = tmp_path_factory.mktemp("learning")
    settings = Settings(home=path / "home", mlruns=path / "mlruns", rehearsal_clock=path / "clock")
    settings.mlruns.mkdir(parents=True)
    shutil.copyfile(blank_tracking_store, settings.mlruns / "mlflow.db")
    shutil.copytree(SHOP, settings.catalogue_path)
    change(settings, "random: {share: 0.5, policy: random}\n      engine: {share: 0.5}", RANDOM)
    log = EventLog(settings.log_path)
    for table, rows in (
        (CUSTOMERS, shop.customers),
        (EVENTS, shop.events),
        (DECISIONS, shop.decisions),
        (OUTCOMES, shop.outcomes),
    ):
        log.append(table, rows)
    set_clock(path / "clock", NOW)
    build_features(settings, load_catalogue(settings.catalogue_path), NOW, lambda done, total: None)
    train_model(settings, now=NOW)
    promote(settings, now=NOW, force_reason="a test")
    return settings


RANDOM = "random: {share: 0.9, policy: random}\n      engine: {share: 0.1}"


def change(settings: Settings, old: str, new: str) -> None:
    path = settings.catalogue_path / "catalogue.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def home(trained: Settings, tmp_path: Path, redis_url: str) -> Settings:
    """A copy of it, materialised into a Redis of its own."""
    shutil.copytree(trained.home, tmp_path / "home", symlinks=True)
    shutil.copytree(trained.mlruns, tmp_path / "mlruns")
    settings = Settings(
        home=tmp_path / "home", mlruns=tmp_path / "mlruns", rehearsal_clock=tmp_path / "clock", redis_url=redis_url
    )
    set_clock(tmp_path / "clock", NOW)
    materialise(settings, load_catalogue(settings.catalogue_path), redis_url, full=True)
    return settings


@pytest.fixture
def start(home: Settings) -> Iterator[Callable[[], httpx.Client]]:
    running: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "NEXTBEST_DEADLINE_MS": "2000"}
    environment |= {f"NEXTBEST_{name.upper()}": str(getattr(home, name)) for name in ("mlruns", "rehearsal_clock")}
    environment |= {"NEXTBEST_REDIS_URL": home.redis_url or ""}

    def begin() -> httpx.Client:
        command = [NEXTBEST, "serve", "--port", "0", "--json", "--home", str(home.home)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        running.append(process)
        assert process.stdout is not None
        return httpx.Client(base_url=orjson.loads(process.stdout.readline())["url"], timeout=30)

    yield begin
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def ask_all(client: httpx.Client, shop: Shop, key: str) -> list[dict[str, Any]]:
    """Decide for everybody, and show each decision as its record tells it."""
    asks = [
        {"customer_id": one, "touchpoint": "weekly-mail", "dedupe_key": key} for one in shop.customers["customer_id"]
    ]
    answers = [client.post("/v1/decisions", json=one).json() for one in asks]
    return [client.get(f"/v1/decisions/{one['decision_id']}").json() for one in answers]


def buy(client: httpx.Client, decisions: list[dict[str, Any]], at: datetime, amount: float) -> None:
    """Those who got the new offer buy something, and so much is reported, twice."""
    events = [
        {
            "message_id": f"bought-{one['decision_id']}",
            "customer_id": one["customer_id"],
            "type": "purchase",
            "occurred_at": at.isoformat(),
            "value": {"amount": amount, "currency": "EUR"},
        }
        for one in decisions
        if one["message_key"] == NEW
    ]
    for _ in range(2):
        assert client.post("/v1/events", json={"events": events}).status_code in {200, 202, 207}


def evaluated(decision: dict[str, Any], key: str) -> dict[str, Any] | None:
    return next((one for one in decision["evaluated"] if one["message_key"] == key), None)


def test_a_new_offer_is_priced_anew_within_seconds_of_its_first_outcomes(
    home: Settings, shop: Shop, start: Callable[[], httpx.Client], tmp_path: Path
) -> None:
    client = start()
    offers = home.catalogue_path / "offers.yaml"
    offers.write_text(offers.read_text(encoding="utf-8") + CAKE, encoding="utf-8")
    wait_until(lambda: client.get("/v1/catalogue").status_code != 0 and is_known(client, shop), seconds=30)
    first = ask_all(client, shop, "first")
    got = [one for one in first if one["message_key"] == NEW]
    assert len(got) >= 10
    assert not any(one.get("residual_minor") for decision in first for one in decision["evaluated"])
    set_clock(tmp_path / "clock", NOW + timedelta(hours=20))
    buy(client, first, NOW + timedelta(hours=2), 60.0)
    with redis.Redis.from_url(home.redis_url or "") as store:
        wait_until(lambda: learned_of(store) > 0, seconds=90)
    decided = []

    def is_moved() -> bool:
        decided[:] = ask_all(client, shop, f"again-{datetime.now(UTC).timestamp()}")
        return any((evaluated(one, NEW) or {}).get("residual_minor", 0.0) > 0 for one in decided)

    wait_until(is_moved, seconds=60)
    one = next(one for one in decided if (evaluated(one, NEW) or {}).get("residual_minor", 0.0) > 0)
    kept = one["inputs"]["residuals"][one["stage_id"]]
    assert max(kept["contribution"]) == evaluated(one, NEW)["residual_minor"]  # pyright: ignore[reportOptionalSubscript]
    assert "nextbest_residual_messages" in client.get("/metrics").text
    in_batch = decided_in_batch(client, home, shop, tmp_path)
    assert any((evaluated(one, NEW) or {}).get("residual_minor", 0.0) > 0 for one in in_batch)
    with redis.Redis.from_url(home.redis_url or "") as store:
        store.delete(RESIDUALS_KEY)
        wait_until(lambda: store.exists(RESIDUALS_KEY), seconds=60)
    replayed = subprocess.run(
        [NEXTBEST, "replay", "--json", "--home", str(home.home)], capture_output=True, check=True, timeout=120
    )
    report = orjson.loads(replayed.stdout)
    assert report["is_same"]
    assert report["same"] >= 2 * len(shop.customers)


def decided_in_batch(client: httpx.Client, home: Settings, shop: Shop, folder: Path) -> list[dict[str, Any]]:
    """Records of decisions that a batch made beside the server."""
    audience, out = folder / "audience.csv", folder / "answers.parquet"
    shop.customers.select("customer_id").head(40).write_csv(audience)
    command = ["decide-batch", str(audience), str(out), "--touchpoint", "weekly-mail", "--key", "batch"]
    command += ["--now", (NOW + timedelta(hours=20)).isoformat()]
    environment = {**os.environ, "NEXTBEST_REDIS_URL": home.redis_url or "", "NEXTBEST_MLRUNS": str(home.mlruns)}
    environment["NEXTBEST_REHEARSAL_CLOCK"] = str(home.rehearsal_clock)
    done = subprocess.run(
        [NEXTBEST, *command, "--home", str(home.home)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    ids = pl.read_parquet(out)["decision_id"].to_list()
    return [client.get(f"/v1/decisions/{one}").json() for one in ids]


def is_known(client: httpx.Client, shop: Shop) -> bool:
    asked = {"customer_id": shop.customers["customer_id"][0], "touchpoint": "weekly-mail", "dry_run": True}
    answer = client.post("/v1/decisions?explain=true", json=asked | {"explain": True})
    return "free-cake" in answer.text


def learned_of(store: "redis.Redis") -> int:
    snapshot = read_residuals(store)
    told = [] if snapshot is None else [messages.get(NEW) for messages in snapshot.evidence.values()]
    return sum(one.customers for one in told if one is not None and one.estimate > 0)
