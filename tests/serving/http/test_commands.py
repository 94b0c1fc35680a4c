"""`nextbest key` and `nextbest decide-batch` as commands."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from decisioning.errors import InvalidInputError, NextbestError, UnknownNameError
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models.bundle import write_bundle
from features.settings import Settings
from pipelines.commands import decide_batch, key, serve

type Run = Callable[..., Any]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    app = typer.Typer()
    for module in (key, serve, decide_batch):
        app.add_typer(module.app)
    monkeypatch.setenv("NEXTBEST_HOME", str(settings.home))
    monkeypatch.setenv("NEXTBEST_MLRUNS", str(settings.mlruns))
    monkeypatch.setenv("NEXTBEST_REDIS_URL", str(settings.redis_url))

    def call(*words: str) -> Result:
        result = CliRunner().invoke(app, words)
        if isinstance(result.exception, NextbestError):
            raise result.exception
        return result

    return call


def test_a_key_can_be_created_listed_and_revoked(run: Run) -> None:
    made = orjson.loads(
        run("key", "create", "--name", "braze", "--scope", "decide", "--scope", "read", "--json").stdout
    )
    listed = orjson.loads(run("key", "list", "--json").stdout)["keys"]
    shown = run("key", "list").stdout

    assert made["scopes"] == ["decide", "read"]
    assert [(one["name"], one["in_force"]) for one in listed] == [("braze", True)]
    assert "in force" in shown
    assert made["key"] not in shown + str(listed)
    assert orjson.loads(run("key", "revoke", "braze", "--json").stdout)["in_force"] is False
    assert "revoked" in run("key", "list").stdout


def test_a_key_can_expire(run: Run) -> None:
    made = orjson.loads(run("key", "create", "--name", "a", "--scope", "read", "--expires-days", "2", "--json").stdout)

    assert made["expires_at"] > made["created_at"]


def test_mistakes_with_keys_are_reported_in_sentences(run: Run) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'decide'"):
        run("key", "create", "--name", "a", "--scope", "decid")
    with pytest.raises(UnknownNameError):
        run("key", "revoke", "nobody")
    assert run("key", "create", "--name", "a").exit_code == 2


def test_decide_batch_decides_logs_and_counts(
    run: Run, settings: Settings, store: Any, new_customer: Callable[..., Any], shop_bundle: Any, tmp_path: Path
) -> None:
    folder = settings.models_path / "7-run"
    pointer = {"version": "7", "folder": folder.name, "digest": write_bundle(shop_bundle, folder)}
    (settings.models_path / "champion.json").write_bytes(orjson.dumps(pointer))
    names = [store.put(new_customer(f"C-{n}")) for n in range(30)]
    pl.DataFrame({"customer_id": names}).write_parquet(tmp_path / "audience.parquet")
    words = ("decide-batch", str(tmp_path / "audience.parquet"), str(tmp_path / "out.parquet"), "--touchpoint")

    result = run(*words, "weekly-mail", "--key", "w45", "--now", "2026-11-02T10:30:00+01:00", "--json")

    report = orjson.loads(result.stdout)
    rows = pl.read_parquet(tmp_path / "out.parquet")
    assert (report["decided"], report["degraded"], report["model_version"]) == (30, 0, "7")
    assert report["sent"] + report["held"] == 30
    assert set(rows["decided_at"]) == {"2026-11-02T09:30:00+00:00"}
    assert set(EventLog(settings.log_path).read(DECISIONS)["decision_id"]) == set(rows["decision_id"])
    with pytest.raises(InvalidInputError, match="--now must be an ISO 8601 time"):
        run(*words, "weekly-mail", "--now", "noon")
    with pytest.raises(InvalidInputError, match="--touchpoint must be named, got none; the catalogue has app-home"):
        run(*words[:-1])


def test_decide_batch_reports_scarce_limits_and_explains_infeasible_ones(
    run: Run, settings: Settings, store: Any, new_customer: Callable[..., Any], shop_bundle: Any, tmp_path: Path
) -> None:
    folder = settings.models_path / "7-run"
    pointer = {"version": "7", "folder": folder.name, "digest": write_bundle(shop_bundle, folder)}
    (settings.models_path / "champion.json").write_bytes(orjson.dumps(pointer))
    catalogue = settings.catalogue_path / "catalogue.yaml"
    limits = {"pushes": {"scope": "channel", "of": "push", "amount": 4, "per": "day"}}
    sections = yaml.safe_load(catalogue.read_text()) | {"limits": limits}
    catalogue.write_text(yaml.safe_dump(sections))
    names = [store.put(new_customer(f"C-{n}", reachable_channels=frozenset({"push"}))) for n in range(30)]
    pl.DataFrame({"customer_id": names}).write_parquet(tmp_path / "audience.parquet")
    words = ("decide-batch", str(tmp_path / "audience.parquet"), str(tmp_path / "out.parquet"), "--touchpoint")
    words = (*words, "app-home", "--now", "2026-11-02T10:30:00+01:00", "--dry-run")

    allocation = orjson.loads(run(*words, "--optimise", "--json").stdout)["allocation"]
    table = run(*words, "--optimise", "--at-most", "ten-percent=1").stdout

    assert allocation["planned"] == 4
    assert allocation["shadow_prices"]["pushes"] > 0
    assert "shadow prices" in table
    assert "volume of ten-percent" in table
    with pytest.raises(InvalidInputError, match=r"at least 10,000 of ten-percent is impossible: \d+ are permitted"):
        run(*words, "--optimise", "--at-least", "ten-percent=10000")
    for wrong in ("ten-percent", "=5", "ten-percent=-1"):
        with pytest.raises(InvalidInputError, match="--at-least must be OFFER=N"):
            run(*words, "--optimise", "--at-least", wrong)
    with pytest.raises(InvalidInputError, match="must come with --optimise"):
        run(*words, "--at-least", "ten-percent=1")


def test_help_is_instant_and_has_an_example() -> None:
    loaded = "{'fastapi', 'polars', 'lightgbm', 'uvicorn', 'pyarrow'} & set(sys.modules)"
    modules = "pipelines.commands.serve, pipelines.commands.key, pipelines.commands.decide_batch"
    code = f"import sys; import {modules}; sys.exit(bool({loaded}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for function in (serve.serve_command, decide_batch.decide_batch, key.create, key.list_keys, key.revoke):
        assert "Example: `nextbest " in (function.__doc__ or "")
