"""`nextbest model` and `nextbest mlflow` from a shell, on a real registry."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError, ModelUnavailableError, NextbestError
from features.catalogue import load_catalogue
from features.models.registry import fetch_champion, find_champion
from features.settings import Settings
from pipelines.cli import exit_code
from pipelines.commands import mlflow, model
from pipelines.options import print_result
from pipelines.server.tracking_page import check_page
from training.registry.tracking import ModelRun, TrainingData, track_model


@pytest.fixture
def run(model_home: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command in the home and returns its stdout."""
    monkeypatch.setenv("NEXTBEST_MLRUNS", str(model_home.mlruns))
    app = typer.Typer()
    app.add_typer(model.app)
    app.add_typer(mlflow.app)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--home", str(model_home.home)])
        if result.exception:
            raise result.exception
        return result.stdout

    return call


@pytest.fixture
def registered(model_home: Settings, value_bundle) -> None:
    """Two versions with the same value on held-back customers."""
    gain = "held_back_gain_over_best_single"
    metrics = {"held_back_value": 100.0, gain: 7.5, f"{gain}_lower": 5.0, f"{gain}_upper": 10.0}
    run = ModelRun(parameters={}, metrics=metrics, data=TrainingData(name="log", digest="ab"))
    for shift in (0.0, 1.0):
        track_model(model_home, value_bundle(load_catalogue(model_home.catalogue_path), shift=shift), run)


@pytest.mark.usefixtures("registered")
def test_a_list_of_100_columns_shows_whole_dates(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    moments = [row["registered_at"][:16].split("T") for row in orjson.loads(run("model", "list", "--json"))]
    shown = run("model", "list")
    assert all(day in shown and time in shown for day, time in moments)
    assert "…" not in shown


@pytest.mark.parametrize("words", [("show",), ("show", "9"), ("promote",), ("rollback",), ("compare", "1", "2")])
def test_where_there_is_no_model_yet_retrying_is_no_way_out(run, model_home: Settings, words: tuple[str, ...]):
    for is_made in (True, False):
        if not is_made:
            (model_home.mlruns / "mlflow.db").unlink()
        with pytest.raises(NextbestError) as told:
            run("model", *words)
        assert exit_code(told.value) == 2


@pytest.mark.usefixtures("registered")
def test_list_promote_and_rollback(run, model_home: Settings):
    rows = orjson.loads(run("model", "list", "--json"))
    assert [(row["version"], row["is_champion"]) for row in rows] == [("2", False), ("1", False)]
    first = orjson.loads(run("model", "promote", "1", "--json"))["reason"]
    assert first == "the first champion: +7.5 over the best single message on held-back customers"
    promoted = orjson.loads(run("model", "promote", "--force", "--reason", "newer", "--json"))
    assert (promoted["version"], promoted["former"]) == ("2", "1")
    assert fetch_champion(model_home).version == "2"
    back = orjson.loads(run("model", "rollback", "--reason", "complaints", "--json"))
    assert (back["version"], back["reason"]) == ("1", "complaints")
    assert fetch_champion(model_home).version == "1"
    people = run("model", "list")
    assert "yes" in people
    assert "100.00" in people
    assert "+7.50 ±2.50" in people
    assert "silence" not in people  # it was not compared with anything


@pytest.mark.usefixtures("registered")
def test_force_and_reason_belong_together(run):
    with pytest.raises(InvalidInputError, match="--force and --reason must be given together"):
        run("model", "promote", "--force")
    with pytest.raises(InvalidInputError, match="--force and --reason must be given together"):
        run("model", "promote", "--reason", "because")
    assert orjson.loads(run("model", "promote", "--force", "--reason", "because", "--json"))["is_forced"]


def test_without_a_registered_model_every_command_says_what_to_run(run):
    assert "no model is registered; run `nextbest model train`" in run("model", "list")
    assert orjson.loads(run("model", "list", "--json")) == []
    with pytest.raises(ModelUnavailableError, match="run `nextbest model train`"):
        run("model", "promote")
    with pytest.raises(ModelUnavailableError, match="promote a version"):
        run("model", "rollback")


def test_the_mlflow_page_needs_a_registered_model_and_a_free_port(model_home: Settings, tmp_path: Path, run):
    (model_home.mlruns / "mlflow.db").unlink()
    with pytest.raises(InvalidInputError, match="run `nextbest model train`"):
        run("mlflow", "ui")
    (model_home.mlruns / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidInputError, match="--port must be free"):
            check_page(model_home, taken.getsockname()[1])


@pytest.mark.usefixtures("registered")
def test_the_mlflow_page_shows_the_registered_models_and_serves_the_champion(model_home: Settings, run):
    """A tracking server gives the same champion as the file behind it."""
    run("model", "promote", "1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pipelines", "mlflow", "ui", "--port", str(port), "--home", str(model_home.home)]
    environment = {**os.environ, "NEXTBEST_MLRUNS": str(model_home.mlruns)}
    page = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/registered-models/search"
        models = orjson.loads(answer_of(url, page))["registered_models"]
        assert [one["name"] for one in models] == ["nextbest-message-value"]
        assert b"<title>MLflow" in answer_of(f"http://127.0.0.1:{port}/", page)
        by_server = model_home.model_copy(update={"mlflow_tracking_uri": f"http://127.0.0.1:{port}"})
        assert find_champion(by_server) == find_champion(model_home)
        assert fetch_champion(by_server) == fetch_champion(model_home)
    finally:
        os.killpg(page.pid, signal.SIGTERM)
        page.wait(timeout=20)


def answer_of(url: str, page: subprocess.Popen[bytes]) -> bytes:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read()
        except (urllib.error.URLError, ConnectionError):
            assert page.poll() is None, "the server of the page ended"
            assert time.monotonic() < deadline, "the page did not come up"
            time.sleep(0.2)


@pytest.mark.usefixtures("registered")
def test_whatever_mlflow_warns_of_is_not_told_to_people(model_home: Settings):
    command = [sys.executable, "-m", "pipelines", "model", "show", "1", "--home", str(model_home.home)]
    places = {"NEXTBEST_MLRUNS": str(model_home.mlruns)}
    shown = subprocess.run(command, env={**os.environ, **places}, capture_output=True, check=True)
    assert shown.stderr == b""


def test_numbers_by_name_stand_in_lines_of_their_own_and_nothing_is_no_row(capsys) -> None:
    print_result({"version": "2", "numbers": {"value": 541.4738261, "customers": 1539}, "facts": {}}, as_json=False)
    shown = capsys.readouterr().out
    assert "value: 541.474" in shown
    assert "customers: 1,539" in shown
    assert not set("{}'") & set(shown)
    assert "facts" not in shown
