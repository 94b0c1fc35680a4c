"""`nextbest rollout` on a real registry: what may be started, what is told, and what the ledger keeps."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError, ModelUnavailableError, NextbestError
from features.catalogue import load_catalogue
from features.models.registry import CHAMPION_ALIAS, MODEL_NAME, fetch_champion, mlflow_client
from features.models.rollout import ROLLOUT_ALIAS, RolloutKind, read_rollout
from features.settings import Settings
from pipelines.cli import exit_code
from pipelines.commands import rollout
from training.registry.promotion import promote, rollback
from training.registry.promotion_ledger import read_ledger
from training.registry.rollouts import start_rollout
from training.registry.tracking import ModelRun, TrainingData, track_model

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def run(model_home: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name, value in {"HOME": model_home.home, "MLRUNS": model_home.mlruns, "REDIS_URL": redis_url}.items():
        monkeypatch.setenv(f"NEXTBEST_{name}", str(value))

    def call(*words: str) -> Any:
        result = CliRunner().invoke(rollout.app, [*words, "--json"])
        if isinstance(result.exception, NextbestError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return orjson.loads(result.stdout)

    return call


@pytest.fixture
def told(run: Callable[..., Any]) -> Callable[..., str]:
    def call(*words: str) -> str:
        result = CliRunner().invoke(rollout.app, list(words))
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


@pytest.fixture
def register(model_home: Settings, value_bundle: Callable[..., Any]) -> Callable[[float], str]:
    catalogue = load_catalogue(model_home.catalogue_path)

    def made(shift: float) -> str:
        data = TrainingData(name="log", digest="ab")
        bundle = value_bundle(catalogue, shift=shift)
        return track_model(model_home, bundle, ModelRun(parameters={}, metrics={}, data=data)).version

    return made


def test_a_shadow_is_started_told_about_and_stopped(model_home: Settings, run, register) -> None:
    register(0.0)
    promote(model_home, now=NOW, force_reason="a rehearsal")
    register(1.0)
    assert run("status") is None

    run("shadow")

    assert fetch_champion(model_home, ROLLOUT_ALIAS).version == "2"
    assert fetch_champion(model_home).version == "1"
    told = run("status")
    assert (told["kind"], told["version"], told["decisions"]) == ("shadow", "2", 0)
    with pytest.raises(InvalidInputError, match="one rollout may be under way at a time, got a shadow of version 2"):
        run("shadow", "2")
    run("stop", "--reason", "seen enough")
    assert read_rollout(model_home) is None
    assert [(one.action, one.version, one.former, one.reason) for one in read_ledger(model_home)][1:] == [
        ("shadow", "2", "1", "looks on"),
        ("end rollout", "2", "1", "seen enough"),
    ]
    with pytest.raises(InvalidInputError, match="must name a champion before version 1, got none"):
        rollback(model_home, now=NOW)  # a rollout made nobody champion


def test_a_canary_is_started_with_its_share_and_its_guardrails_are_told(model_home: Settings, run, register) -> None:
    register(0.0)
    promote(model_home, now=NOW, force_reason="a rehearsal")
    register(1.0)
    run("canary", "--share", "0.2")
    told = run("status")
    assert (told["kind"], told["version"], told["share"]) == ("canary", "2", 0.2)
    assert [one["name"] for one in told["guardrails"]] == [
        "failed scorings",
        "seconds to score a customer",
        "customers who unsubscribed or complained",
        "net_revenue by customer",
    ]
    assert run("guard") == {"is_taken_back": False}
    assert read_ledger(model_home)[-1].reason == "decides for 20% of customers"


def test_a_shadow_needs_a_champion_and_must_be_another_version(model_home: Settings, run, register) -> None:
    register(0.0)
    with pytest.raises(ModelUnavailableError, match="needs a champion beside it, got none") as told:
        run("shadow")
    assert exit_code(told.value) == 2
    promote(model_home, now=NOW, force_reason="a rehearsal")
    with pytest.raises(InvalidInputError, match="must be another version than the champion"):
        run("shadow")
    with pytest.raises(InvalidInputError, match="must be under way to be ended, got none"):
        run("stop")


def test_a_description_that_cannot_be_read_is_stopped_as_its_message_says(model_home: Settings, run, register) -> None:
    register(0.0)
    promote(model_home, now=NOW, force_reason="a rehearsal")
    register(1.0)
    run("canary")
    (model_home.home / "rollout.json").write_text("{")
    with pytest.raises(ModelUnavailableError, match="run `nextbest rollout stop`"):
        run("status")
    run("stop")
    assert run("status") is None
    assert (read_ledger(model_home)[-1].action, read_ledger(model_home)[-1].version) == ("end rollout", "2")


def test_of_rollouts_that_are_started_at_once_one_begins(model_home: Settings, run, register) -> None:
    register(0.0)
    promote(model_home, now=NOW, force_reason="a rehearsal")
    register(1.0)

    def start(kind: RolloutKind) -> bool:
        try:
            start_rollout(model_home, kind, "2", share=0.1, now=NOW)
        except InvalidInputError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        begun = list(pool.map(start, [RolloutKind.SHADOW, RolloutKind.CANARY] * 4))
    assert begun.count(True) == 1
    assert len(read_ledger(model_home)) == 2  # the promotion, and one rollout


def test_people_are_told_what_there_is_to_guard_and_when_to_stop(model_home: Settings, run, register, told) -> None:
    register(0.0)
    promote(model_home, now=NOW, force_reason="a rehearsal")
    register(1.0)
    assert told("guard") == "no canary is under way\n"
    run("canary", "--share", "0.07")
    assert told("guard").endswith(": no guardrail is broken\n")
    assert "for 7% of customers" in told("status")
    assert "champion by now" not in told("status")
    mlflow_client(model_home.tracking_uri).set_registered_model_alias(MODEL_NAME, CHAMPION_ALIAS, "2")  # by other hands
    assert told("status").endswith("version 2 is the champion by now; run `nextbest rollout stop`\n")


@pytest.mark.parametrize("kind", ["shadow", "canary"])
def test_a_promotion_ends_the_rollout_of_what_is_promoted_and_of_nothing_else(
    model_home: Settings, run, register, kind: str
) -> None:
    for shift in (0.0, 1.0, 2.0):
        register(shift)
    promote(model_home, "1", now=NOW, force_reason="a rehearsal")
    run(kind, "3")
    promote(model_home, "2", now=NOW, force_reason="another one")
    assert read_rollout(model_home) is not None
    promote(model_home, "3", now=NOW, force_reason="it proved good", by="ops")
    assert read_rollout(model_home) is None
    ends = [(one.action, one.version, one.reason, one.by) for one in read_ledger(model_home)[-2:]]
    assert ends == [("promote", "3", "it proved good", "ops"), ("end rollout", "3", "it became the champion", "ops")]
    run(kind, "1")
    rollback(model_home, now=NOW)
    rollback(model_home, now=NOW)
    assert read_rollout(model_home) is None, "going back to it ends it, too"


def test_a_promotion_that_was_cut_short_ends_the_rollout_when_it_is_taken_up(
    model_home: Settings, run, register
) -> None:
    for shift in (0.0, 1.0):
        register(shift)
    promote(model_home, "1", now=NOW, force_reason="a rehearsal")
    run("canary", "2")
    mlflow_client(model_home.tracking_uri).set_registered_model_alias(MODEL_NAME, CHAMPION_ALIAS, "2")
    promote(model_home, "2", now=NOW, force_reason="once more")
    assert read_rollout(model_home) is None
