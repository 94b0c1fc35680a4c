"""From a log to the marketer's page: the real command, the stored readout, the served console."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import typer
from starlette.testclient import TestClient
from typer.testing import CliRunner

from decisioning.catalogue.experiment import assign_arm, is_held_out
from decisioning.errors import NextbestError
from features.catalogue import load_catalogue
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.settings import Settings
from pipelines.cli import exit_code
from pipelines.commands import experiment
from serving.http.api_keys import Scope, create_key
from serving.http.app import create_app

SHOP = Path(__file__).parents[1] / "catalogues" / "shop"
NAME = "engine-vs-random"
STARTS_AT = datetime(2026, 5, 1, tzinfo=UTC)
COUNT = 1500


def write_log(home: Path) -> None:
    """A shop whose engine earns 3.00 EUR more per customer than random, and whose messages earn 3.00 more than none."""
    catalogue = load_catalogue(SHOP)
    rng = np.random.default_rng(1)
    decisions, events, outcomes = [], [], []
    for index in range(COUNT):
        customer = f"C-{index}"
        held_out = is_held_out(catalogue.holdout, customer)
        arm = None if held_out else assign_arm(catalogue.experiments[0], customer)
        row = {"customer_id": customer, "decided_at": STARTS_AT + timedelta(minutes=index)}
        arms = {} if arm is None else {NAME: arm}
        decisions.append(
            row
            | {
                "decision_id": f"D-{index}",
                "touchpoint": "weekly-mail",
                "arms": orjson.dumps(arms).decode(),
                "is_held_out": held_out,
            }
        )
        outcome = {"decision_id": f"D-{index}", "customer_id": customer, "type": "delivered"}
        if arm:
            outcomes.append(
                outcome | {"outcome_id": f"O-{index}", "occurred_at": row["decided_at"] + timedelta(hours=1)}
            )
        spend = int(rng.gamma(2, 400)) + (300 if arm == "engine" else 0) + (0 if held_out else 300)
        events.append(
            {
                "event_id": f"E-{index}",
                "customer_id": customer,
                "type": "purchase",
                "occurred_at": row["decided_at"] + timedelta(days=2),
                "amount_minor": spend,
                "currency": "EUR",
            }
        )
    log = EventLog(home / "log")
    log.append(DECISIONS, pl.DataFrame(decisions, schema=DECISIONS.schema))
    log.append(EVENTS, pl.DataFrame(events, schema=EVENTS.schema))
    log.append(OUTCOMES, pl.DataFrame(outcomes, schema=OUTCOMES.schema))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("journey") / "home"
    shutil.copytree(SHOP, home / "catalogue")
    write_log(home)
    return home


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Output and exit code of a command."""

    returncode: int
    stdout: str
    error: str


def nextbest(*arguments: str, home: Path) -> Answer:
    """Run the command in this process, with errors mapped as its entry point maps them."""
    app = typer.Typer()
    app.add_typer(experiment.app)
    result = CliRunner().invoke(app, ["experiment", *arguments, "--home", str(home)])
    if isinstance(result.exception, NextbestError):
        return Answer(returncode=exit_code(result.exception), stdout=result.stdout, error=str(result.exception))
    return Answer(returncode=result.exit_code, stdout=result.stdout, error=repr(result.exception))


def installed_nextbest(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    program = Path(sys.executable).parent / "nextbest"
    command = [str(program), "experiment", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_marketer_reads_an_experiment_and_sees_it_in_the_console(home: Path):
    listed = nextbest("list", home=home)
    assert listed.returncode == 0, listed.error
    assert "not read yet" in listed.stdout

    read = installed_nextbest("read", NAME, "--json", home=home)
    assert read.returncode == 0, read.stderr
    readout = json.loads(read.stdout)
    effect = readout["metrics"][0]["comparisons"][0]["effect"]
    assert effect["lower"] < 300 < effect["upper"]
    assert readout["status"] == "conclusive"
    assert readout["sample_ratio"]["status"] == "ok"
    assert readout["command"] == f"nextbest experiment read {NAME}"
    assert sum(arm["exposed_count"] for arm in readout["arms"]) == sum(arm["exposure_count"] for arm in readout["arms"])

    holdout = nextbest("read", "holdout", home=home)
    assert holdout.returncode == 0, holdout.error
    assert "messaged earns" in holdout.stdout

    earlier = nextbest("read", NAME, "--as-of", "2026-05-20", "--capped", "--json", home=home)
    assert (
        json.loads(earlier.stdout)["command"] == f"nextbest experiment read {NAME} --as-of 2026-05-20T00:00:00 --capped"
    )
    assert nextbest("read", NAME, home=home).returncode == 0

    shown = nextbest("show", NAME, "--json", home=home)
    assert json.loads(shown.stdout)["metrics"] == readout["metrics"]

    visitor = TestClient(create_app(Settings(home=home, mlruns=home / "mlruns")))
    page = visitor.get(f"/console/experiments/{NAME}")
    assert page.status_code == 200
    assert readout["verdict"] in page.text
    overview = visitor.get("/console").text
    assert "Messages against silence" in overview
    assert readout["verdict"] in overview


def test_the_console_of_a_server_with_keys_asks_for_one(home: Path, tmp_path: Path):
    settings = Settings(home=tmp_path, mlruns=tmp_path / "mlruns")
    shutil.copytree(home / "catalogue", settings.catalogue_path)
    key = create_key(settings.keys_path, name="marketer", scopes=frozenset({Scope.READ}), now=STARTS_AT)
    visitor = TestClient(create_app(settings), raise_server_exceptions=False)
    assert visitor.get("/console").status_code == 401
    assert visitor.get("/console", auth=("anyone", key.secret)).status_code == 200


def test_a_readout_of_a_table_is_made_shown_and_listed(tmp_path: Path):
    rng = np.random.default_rng(2)
    arms = ["none", "mail"] * 200
    spend = rng.gamma(2, 5, 400) + np.array([0, 3] * 200)
    pl.DataFrame({"segment": arms, "spend": spend}).write_csv(tmp_path / "spring.csv")
    question = [
        "--table",
        str(tmp_path / "spring.csv"),
        "--arm-column",
        "segment",
        "--control",
        "none",
        "--metric",
        "spend",
    ]
    read = nextbest("read", *question, "--json", home=tmp_path / "home")
    assert read.returncode == 0, read.error
    readout = json.loads(read.stdout)
    assert readout["readout_id"] == "spring"
    assert readout["metrics"][0]["comparisons"][0]["effect"]["difference"] == pytest.approx(
        spend[1::2].mean() - spend[::2].mean()
    )
    named = nextbest("read", "easter", *question, "--share", "none=1", "--share", "mail=9", home=tmp_path / "home")
    assert named.returncode == 3
    assert "Do not read this: the split is off" in named.stdout
    assert named.error.startswith("The split is off")
    assert {row["name"] for row in json.loads(nextbest("list", "--json", home=tmp_path / "home").stdout)} == {
        "spring",
        "easter",
    }


def test_every_command_of_the_guide_works_as_written(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    guide = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
    commands = re.findall(r"^nextbest experiment (.*)$", guide, flags=re.MULTILINE)
    assert len(commands) == 8
    rng = np.random.default_rng(3)
    columns = {"segment": ["none", "mail"] * 200, "spend": rng.gamma(2, 5, 400), "visit": rng.random(400) < 0.3}
    pl.DataFrame(columns).write_csv(tmp_path / "spring.csv")
    visits = {"userId": np.arange(400) // 2, "variation": ["control", "control", "mail", "mail"] * 100}
    pl.DataFrame(visits | {"amount": columns["spend"]}).write_csv(tmp_path / "visits.csv")
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    for command in commands:
        answer = nextbest(*shlex.split(command), home=tmp_path / "home")
        assert answer.returncode == 0, (command, answer.error)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["read", "engine-vs-rendom"], 2, "did you mean 'engine-vs-random'"),
        (["read"], 2, "name must be given, got nothing"),
        (["read", NAME, "--metric", "spend"], 2, "--metric must come with --table"),
        (
            ["read", "--table", "nothing.parquet", "--arm-column", "a", "--control", "b", "--metric", "c"],
            2,
            "table must be a file",
        ),
        (["read", "--table", "nothing.parquet"], 2, "--arm-column, --control and --metric must be given"),
        (["show", "nothing"], 2, "readout must be a known name, got 'nothing'"),
        (["read", NAME, "--as-of", "2026-05-02"], 3, "read again later"),
        (["read", NAME, "--as-of", "2020-01-01"], 3, "the log holds no decision"),
        (["read", NAME, "--as-of", "2999-01-01"], 2, "--as-of must not be later than now"),
    ],
)
def test_an_unreadable_input_is_reported_in_one_line(
    home: Path, tmp_path: Path, arguments: list[str], code: int, words: str
):
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    answer = nextbest(*arguments, home=copy)
    assert answer.returncode == code
    assert words in answer.error


def test_a_failure_prints_one_line_on_stderr_and_no_traceback(tmp_path: Path):
    answer = installed_nextbest("show", "nothing", home=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == "error: readout must be a known name, got 'nothing'\n"
    assert answer.stdout == ""
