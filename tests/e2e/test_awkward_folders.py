"""A home may be in any folder: with spaces, umlauts, and characters that are special in URLs."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from decisioning.errors import InvalidInputError
from features.catalogue import load_catalogue
from features.chain.audit_chain import open_log
from features.importing.folder import import_folder
from features.log.contracts import DECISIONS, TABLES
from features.models.bundle import ModelBundle
from features.models.logged_decisions import LoggedDecisions
from features.models.registry import fetch_champion
from features.settings import Settings
from features.store.builder import build_features
from features.store.materialisation import materialise
from pipelines.audit.replay import ReplayPlan, replay_log
from pipelines.batch.run import BatchPlan, ModelCopy, decide_audience
from pipelines.options import settings_for
from pipelines.server.embedded_redis import embedded_redis
from serving.http.app import create_app
from serving.log.drain import drain_alone, open_redis
from serving.privacy.erasure import erase_customer
from training.registry.tracking import ModelRun, TrainingData, track_model

SHOP = Path(__file__).parents[1] / "catalogues" / "shop"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ASK = {"customer_id": "C-00001", "touchpoint": "weekly-mail"}


@pytest.mark.parametrize("name", ["Meine Dateien ü", "100% #1!", "ü;a=b&c 'é' 日"])
def test_everything_works_from_import_to_decision(
    tmp_path: Path, shop, blank_tracking_store: Path, value_bundle: Callable[..., ModelBundle], name: str
) -> None:
    folder = tmp_path / name
    people = shop.customers["customer_id"].head(12)
    data = write_tables(folder / "in data", shop, people)
    settings = Settings(home=folder / "home", mlruns=folder / "mlruns", deadline_ms=20_000)
    settings.mlruns.mkdir()
    shutil.copyfile(blank_tracking_store, settings.mlruns / "mlflow.db")
    for inserted in (12, 0):
        assert import_folder(data, settings, now=NOW).tables[0].inserted == inserted
    catalogue = load_catalogue(settings.catalogue_path)
    build_features(settings, catalogue, NOW)
    data_of_run = TrainingData(name="log", digest="ab")
    tracked = track_model(settings, value_bundle(catalogue), ModelRun(parameters={}, metrics={}, data=data_of_run))
    promote_by_alias(settings, tracked.version)

    with embedded_redis(settings) as url:
        in_use = settings.model_copy(update={"redis_url": url})
        assert materialise(in_use, catalogue, url).feature_records == 12
        with TestClient(create_app(in_use, now=lambda: NOW, refresh_every_s=0.05)) as client:
            answer = client.post("/v1/decisions", json=ASK).json()
            assert not answer["degraded"], answer["degraded_reasons"]
            assert client.get("/readyz").status_code == 200
        decided = decide_everybody(in_use, url, folder, people)
        assert decided["decision_id"].n_unique() == 12
        with open_redis(url) as online:
            drain_alone(online, open_log(in_use), in_use.spool_path, wait_seconds=5.0)
        replayed = replay_log(open_log(in_use), LoggedDecisions(in_use), ReplayPlan())
        assert (replayed.replayed, list(replayed.changed)) == (13, [])
        assert erase_customer(in_use, url, "C-00001", now=NOW, by="test").left == ()
        assert open_log(in_use).compact(DECISIONS).files_after == 1
        assert build_features(in_use, catalogue, NOW).customers == 11


def write_tables(data: Path, shop, people: pl.Series) -> Path:
    data.mkdir(parents=True)
    for table in TABLES:
        rows = getattr(shop, table).filter(pl.col("customer_id").is_in(people.implode()))
        rows.write_parquet(data / f"{table}.parquet")
    shutil.copytree(SHOP, data / "catalogue")
    return data


def promote_by_alias(settings: Settings, version: str) -> None:
    from features.models.registry import CHAMPION_ALIAS, MODEL_NAME, mlflow_client

    mlflow_client(settings.tracking_uri).set_registered_model_alias(MODEL_NAME, CHAMPION_ALIAS, version)


def decide_everybody(settings: Settings, url: str, folder: Path, people: pl.Series) -> pl.DataFrame:
    champion = fetch_champion(settings)
    audience, out = folder / "wer kommt.parquet", folder / "wer kommt, was.parquet"
    people.to_frame().write_parquet(audience)
    plan = BatchPlan(audience=audience, out=out, touchpoint_id="weekly-mail", now=NOW)
    decide_audience(plan, settings, redis_url=url, model=ModelCopy(folder=champion.folder, version=champion.version))
    return pl.read_parquet(out)


@pytest.mark.parametrize("sign", ["[", "]", "^", "|", "\\", "?", "%20"])
def test_a_home_where_the_log_cannot_be_stored_is_refused_at_once(tmp_path: Path, sign: str) -> None:
    with pytest.raises(InvalidInputError, match=r"home must be valid .*without \[ \]"):
        settings_for(tmp_path / f"a{sign}b" / "home")
