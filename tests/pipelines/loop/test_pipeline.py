"""The nightly loop on real parts: a second run changes nothing, a killed one goes on, a worse model is refused."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
import redis
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from decisioning.errors import InvalidInputError, NextbestError, UnavailableError
from features.catalogue import load_catalogue
from features.clock import set_clock
from features.locks import held
from features.log.contracts import EVENTS, TABLES
from features.log.event_log import EventLog
from features.models.bundle import ModelBundle
from features.models.registry import MODEL_NAME, find_champion
from features.models.rollout import RolloutKind
from features.online.redis_keys import FEATURE_KEY_PATTERN
from features.settings import Settings
from features.store.feature_history import current_generation
from pipelines import cli
from pipelines.loop.record import StepName, read_state
from pipelines.pages.reference import pages
from serving.http.app import create_app
from tests.conftest import Shop, make_shop
from training.registry import training_run
from training.registry.promotion import list_models, promote, rollback
from training.registry.promotion_ledger import TAKEN_BACK, read_ledger
from training.registry.rollout_end import end_rollout
from training.registry.rollouts import start_rollout
from training.registry.tracking import tracking

NOW = datetime(2026, 11, 2, 3, tzinfo=UTC)
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
KILLER = Path(__file__).with_name("killed_run.py")
STEPS = [str(name) for name in StepName]

type Run = Callable[..., Result]


def write_data(folder: Path, shop: Shop) -> Path:
    shutil.copytree(SHOP, folder / "catalogue")
    for name in TABLES:
        getattr(shop, name).write_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture
def place(tmp_path: Path, redis_url: str, blank_tracking_store: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home that the command finds, empty, with a clock that stands still."""
    return settle(tmp_path, redis_url, blank_tracking_store, monkeypatch)


def settle(path: Path, redis_url: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(home=path / "home", mlruns=path / "mlruns", redis_url=redis_url, rehearsal_clock=path / "clock")
    settings.mlruns.mkdir(parents=True)
    shutil.copyfile(store, settings.mlruns / "mlflow.db")
    set_clock(path / "clock", NOW)
    for name in ("home", "mlruns", "redis_url", "rehearsal_clock"):
        monkeypatch.setenv(f"NEXTBEST_{name.upper()}", str(getattr(settings, name)))
    return settings


@pytest.fixture
def run() -> Run:
    pages()  # registers every noun

    def call(*words: str) -> Result:
        result = CliRunner().invoke(cli.app, ["pipeline", *words])
        if isinstance(result.exception, NextbestError):
            raise result.exception
        return result

    return call


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with too few decisions to tell customers apart, so that training takes no time."""
    return write_data(tmp_path_factory.mktemp("few") / "data", make_shop(30, 6))


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Path:
    """A shop whose models can be compared."""
    return write_data(tmp_path_factory.mktemp("many") / "data", shop)


def traces(settings: Settings) -> dict[str, Any]:
    """Everything that a run leaves behind, without the times at which it did so."""
    log, built = EventLog(settings.log_path), current_generation(settings)
    champion = find_champion(settings)
    assert built is not None
    with redis.Redis.from_url(settings.redis_url or "") as client:
        records = {key: client.get(key) for key in client.scan_iter(FEATURE_KEY_PATTERN)}
    return {
        "log": {name: sorted(map(str, log.read(table).rows())) for name, table in TABLES.items()},
        "features": built.scan().sort("customer_id", "event_timestamp").collect().rows(),
        "generation": built.number,
        "models": [(one.version, dict(one.tags)) for one in list_models(settings)],
        "champion": champion and (champion.version, champion.digest),
        "ledger": [(one.action, one.version, one.former, one.reason, one.numbers) for one in read_ledger(settings)],
        "redis": records,
    }


def results(document: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["result"] for step in document["steps"]}


def test_one_run_brings_new_data_into_decisions_and_a_second_changes_nothing(place: Settings, run: Run, few: Path):
    first = run("run", "--data", str(few), "--json")
    assert (first.exit_code, orjson.loads(first.stdout)["outcome"]) == (0, "changed")
    assert results(orjson.loads(first.stdout)) == dict.fromkeys(STEPS, "done")
    before = traces(place)
    assert before["champion"][0] == "1"
    assert len(before["redis"]) == 30

    second = run("run", "--data", str(few), "--json", "--exit-code")

    assert (second.exit_code, orjson.loads(second.stdout)["outcome"]) == (10, "nothing new")
    assert set(results(orjson.loads(second.stdout)).values()) == {"nothing new"}
    assert traces(place) == before
    assert run("run", "--data", str(few)).exit_code == 0


def test_the_status_tells_the_last_run_and_what_the_next_would_do(place: Settings, run: Run, few: Path):
    assert "no run so far" in run("status").stdout
    run("run", "--data", str(few))

    told = orjson.loads(run("status", "--json").stdout)
    assert [step["step"] for step in told["last"]["steps"]] == STEPS
    assert told["last"]["steps"][2]["facts"]["version"] == "1"
    assert told["next"] == {"goes_on_with": None, "news": [], "steps": []}
    assert "next run: nothing new" in run("status").stdout

    EventLog(place.log_path).append(EVENTS, new_events(few))
    told = orjson.loads(run("status", "--json").stdout)
    assert told["next"] == {"goes_on_with": None, "news": ["the log has changed (events)"], "steps": ["features"]}


def new_events(data: Path) -> pl.DataFrame:
    """A purchase of every customer on the last evening."""
    events = pl.read_parquet(data / "events.parquet").unique("customer_id").sort("customer_id")
    return events.with_columns(
        event_id="late-" + pl.col("customer_id"),
        occurred_at=pl.lit(NOW - timedelta(days=3)).cast(pl.Datetime("us", "UTC")),
    )


def test_features_are_renewed_when_they_are_old_and_no_model_is_trained_on_what_is_known(
    place: Settings, run: Run, few: Path
):
    run("run", "--data", str(few))
    set_clock(place.rehearsal_clock or Path(), NOW + timedelta(hours=24))

    told = orjson.loads(run("run", "--data", str(few), "--json").stdout)

    assert results(told) == {**dict.fromkeys(STEPS, "nothing new"), "features": "done", "materialise": "done"}
    assert [one.version for one in list_models(place)] == ["1"]


def test_a_run_killed_after_every_step_ends_as_one_that_was_not(
    place: Settings, run: Run, few: Path, tmp_path: Path, redis_url: str, blank_tracking_store: Path, monkeypatch
):
    for moment in [f"ended:{step}" for step in STEPS[:5]] + ["ledger"] + [f"ended:{step}" for step in STEPS[5:]]:
        killed = subprocess.run(
            [sys.executable, KILLER, moment, "pipeline", "run", "--data", few], capture_output=True, check=False
        )
        assert killed.returncode == -9, f"{moment}: {killed.stderr.decode()}"
        assert read_state(place).run.outcome is None
    told = orjson.loads(run("status", "--json").stdout)
    assert (told["last"]["outcome"], told["next"]["goes_on_with"]) == ("cut short", "materialise")
    assert "running" not in results(told["last"]).values()

    last = orjson.loads(run("run", "--data", str(few), "--json").stdout)

    assert (last["outcome"], last["run"], last["resumed"]) == ("changed", 1, 8)
    assert results(last) == dict.fromkeys(STEPS, "done")
    killed_often = traces(place)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    undisturbed = settle(tmp_path / "undisturbed", redis_url, blank_tracking_store, monkeypatch)
    run("run", "--data", str(few))
    assert killed_often == traces(undisturbed)


def test_a_worse_model_is_refused_and_the_champion_goes_on_deciding(
    place: Settings, run: Run, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run("run", "--data", str(many))
    EventLog(place.log_path).append(EVENTS, new_events(many))
    spoil_what_is_registered(monkeypatch)

    refused = run("run", "--json")

    told = orjson.loads(refused.stdout)
    assert (refused.exit_code, told["outcome"]) == (5, "model refused")
    assert results(told)["gate"] == "refused"
    assert results(told)["materialise"] == "done"
    assert [(one.action, one.version, one.former) for one in read_ledger(place)] == [
        ("promote", "1", None),
        ("refuse", "2", "1"),
    ]
    refusal = read_ledger(place)[-1]
    assert re.search(r"candidate 2 must .* got -[\d,.]+ \[.* on .* held-back customers", refusal.reason)
    assert refusal.numbers["held_back_value"] > 0
    with TestClient(create_app(place)) as server:
        ask = {"customer_id": "C-00001", "touchpoint": "weekly-mail"}
        assert server.post("/v1/decisions", json=ask).json()["model"]["version"] == "1"

    again = run("run", "--json")
    assert (again.exit_code, orjson.loads(again.stdout)["outcome"]) == (0, "nothing new")
    assert len(read_ledger(place)) == 2


def spoil_what_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on models are registered that think every message does harm."""
    register = training_run.track_model

    def spoilt(bundle: ModelBundle) -> ModelBundle:
        coding = bundle.coding
        harm = {"offsets": dict.fromkeys(coding.offsets, -5_000.0), "offer_offsets": {}, "prior_offset": -5_000.0}
        return replace(bundle, coding=replace(coding, **harm))

    def register_spoilt(settings: Settings, bundle: ModelBundle, made: Any) -> Any:
        return register(settings, spoilt(bundle), replace(made, twin=made.twin and spoilt(made.twin)))

    monkeypatch.setattr(training_run, "track_model", register_spoilt)


def test_a_model_that_somebody_went_back_from_is_not_promoted_again(place: Settings, run: Run, few: Path):
    run("run", "--data", str(few))
    EventLog(place.log_path).append(EVENTS, new_events(few))
    run("run", "--data", str(few))
    promote(place, "2", now=NOW, force_reason="a rehearsal")
    run("run", "--data", str(few))
    rollback(place, now=NOW, reason="complaints")

    told = orjson.loads(run("run", "--data", str(few), "--json").stdout)

    assert find_champion(place).version == "1"
    assert "somebody went back from it" in told["steps"][4]["what"]


def test_a_model_that_did_harm_as_a_canary_is_not_promoted(place: Settings, run: Run, few: Path):
    run("run", "--data", str(few))
    EventLog(place.log_path).append(EVENTS, new_events(few))
    run("run", "--data", str(few))
    start_rollout(place, RolloutKind.CANARY, "2", share=0.1, now=NOW)
    end_rollout(place, now=NOW, reason="complaints", by="guard", action=TAKEN_BACK)
    edit = place.catalogue_path / "offers.yaml"
    edit.write_text(edit.read_text().replace("See you soon", "Until then"))  # the gate is asked again
    relabel(place, "2")

    told = orjson.loads(run("run", "--data", str(few), "--json").stdout)

    assert find_champion(place).version == "1"
    assert "did harm as a canary" in told["steps"][4]["what"]


def test_a_second_version_of_the_same_decisions_does_not_follow_the_champion(place: Settings, run: Run, few: Path):
    run("run", "--data", str(few))
    with tracking(place) as client:
        first = client.get_model_version(MODEL_NAME, "1")
        client.create_model_version(MODEL_NAME, first.source, first.run_id, first.tags, model_id=first.model_id)
    set_clock(place.rehearsal_clock or Path(), NOW + timedelta(hours=24))

    told = orjson.loads(run("run", "--data", str(few), "--json").stdout)

    assert results(told)["train"] == results(told)["gate"] == "nothing new"
    assert find_champion(place).version == "1"


def relabel(settings: Settings, version: str) -> None:
    """Let a version have learned under the catalogue in force, as it would if only a text had not changed."""
    with tracking(settings) as client:
        now = load_catalogue(settings.catalogue_path).version
        client.set_model_version_tag(MODEL_NAME, version, "catalogue_version", now)


def test_two_runs_do_not_overlap(place: Settings, run: Run, few: Path):
    with (
        held(place.home / "pipeline" / "run.lock", AssertionError()),
        pytest.raises(UnavailableError, match="only one pipeline run may be under way") as error,
    ):
        run("run", "--data", str(few))
    assert cli.exit_code(error.value) == 75


def test_a_failed_step_is_recorded_and_the_next_run_begins_there(place: Settings, run: Run, few: Path, tmp_path: Path):
    data = tmp_path / "delivery"
    shutil.copytree(few, data)
    catalogue = data / "catalogue" / "catalogue.yaml"
    whole = catalogue.read_text()
    catalogue.write_text("goals: {")
    with pytest.raises(InvalidInputError):
        run("run", "--data", str(data))
    told = orjson.loads(run("status", "--json").stdout)
    assert (told["last"]["outcome"], results(told["last"])) == ("failed", {"import": "failed"})
    assert told["last"]["problem"]
    assert told["next"]["goes_on_with"] == "import"

    catalogue.write_text(whole)

    assert orjson.loads(run("run", "--data", str(data), "--json").stdout)["outcome"] == "changed"


def test_with_too_little_data_to_train_customers_are_materialised_all_the_same(
    place: Settings, run: Run, few: Path, tmp_path: Path
):
    data = tmp_path / "delivery"
    shutil.copytree(few, data)
    decisions = pl.read_parquet(data / "decisions.parquet")
    decisions.head(6).write_parquet(data / "decisions.parquet")
    (data / "outcomes.parquet").unlink()

    short = run("run", "--data", str(data), "--json")

    told = orjson.loads(short.stdout)
    assert (short.exit_code, told["outcome"]) == (3, "too little data")
    assert results(told)["materialise"] == "done"
    assert "training needs decisions about at least" in told["steps"][2]["what"]
