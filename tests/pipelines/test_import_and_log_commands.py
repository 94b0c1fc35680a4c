from pathlib import Path

import orjson
import pytest
import redis
import typer
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError, UnknownNameError
from features.online.redis_keys import stream_key
from features.settings import Settings
from pipelines.commands import importing, log
from pipelines.exit_codes import EXIT_REJECTED
from serving.log.spool import Spool

GOOD = "E-1,C-1,browse,2026-01-01T10:00:00Z,,EUR\n"
BAD = "E-2,C-2,browse,someday,,EUR\n"
HEADER = "event_id,customer_id,type,occurred_at,amount_minor,currency\n"
DECISION = {"decision_id": "D-1", "customer_id": "C-1", "decided_at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.add_typer(importing.app)
    app.add_typer(log.app)
    return app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "customers.csv").write_text("customer_id,updated_at\nC-1,2026-01-01T00:00:00Z\n")
    (tmp_path / "in" / "events.csv").write_text(HEADER + GOOD + BAD)
    return tmp_path / "in"


def run(app: typer.Typer, *arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and result.exit_code != EXIT_REJECTED:
        raise result.exception
    return result.stdout


def test_import_prints_counts_and_names_refused_rows(app: typer.Typer, folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["import", str(folder), "--home", str(tmp_path / "home")])
    assert result.exit_code == EXIT_REJECTED == 65
    assert "2 read = 1 inserted + 0 duplicates + 1 rejected" in result.stdout
    assert "events.csv row 2: occurred_at must be an ISO 8601 time" in result.stderr
    assert "someday" not in result.stderr


def test_import_as_json_names_each_broken_rule_and_the_reject_folder(app, folder: Path, tmp_path: Path) -> None:
    result = orjson.loads(run(app, "import", folder, "--home", tmp_path / "home", "--json"))
    assert result["tables"][1:] == [
        {"table": "events", "file": "events.csv", "read": 2, "inserted": 1, "duplicates": 0, "rejected": 1, "erased": 0}
    ]
    assert result["broken_rules"][0]["column"] == "occurred_at"
    assert (Path(result["rejects"]) / "reasons.csv").is_file()


def test_an_import_without_tables_is_an_error(app: typer.Typer, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        run(app, "import", tmp_path / "nowhere", "--home", tmp_path / "home")


def test_drain_moves_streams_and_spool_of_this_home(app: typer.Typer, tmp_path: Path, redis_url, monkeypatch) -> None:
    monkeypatch.setenv("NEXTBEST_REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(stream_key(1), {"table": "decisions", "row": orjson.dumps(DECISION)})
    Spool(Settings(home=tmp_path).spool_path).append("decisions", {**DECISION, "decision_id": "D-2"})
    assert orjson.loads(run(app, "log", "drain", "--once", "--home", tmp_path, "--json")) == {
        "inserted": 2,
        "duplicates": 0,
        "dead": 0,
    }
    shown = orjson.loads(run(app, "log", "show", "--table", "decisions", "--home", tmp_path, "--json"))
    assert sorted(row["decision_id"] for row in shown["rows"]) == ["D-1", "D-2"]


def test_drain_uses_the_embedded_redis_if_no_other_is_given(app: typer.Typer, tmp_path: Path) -> None:
    assert orjson.loads(run(app, "log", "drain", "--home", tmp_path, "--json"))["inserted"] == 0
    assert list((tmp_path / "redis").glob("appendonly*"))


def test_show_prints_the_newest_rows(app: typer.Typer, folder: Path, tmp_path: Path) -> None:
    later = GOOD.replace("E-1", "E-9").replace("2026-01-01", "2026-02-01")
    (folder / "events.csv").write_text(HEADER + GOOD + later)
    run(app, "import", folder, "--home", tmp_path / "home")
    shown = run(app, "log", "show", "--table", "events", "--limit", 1, "--home", tmp_path / "home")
    assert "E-9" in shown
    assert "E-1" not in shown


def test_show_of_an_unknown_table_suggests_the_nearest_name(app: typer.Typer, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'events'"):
        run(app, "log", "show", "--table", "event", "--home", tmp_path)


def test_compact_prints_the_number_of_files_before_and_after(app: typer.Typer, folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    run(app, "import", folder, "--home", home)
    (folder / "events.csv").write_text(HEADER + GOOD.replace("E-1", "E-7"))
    run(app, "import", folder, "--home", home)
    done = orjson.loads(run(app, "log", "compact", "--home", home, "--json"))
    assert done["events"] == {"files_before": 2, "files_after": 1, "files_deleted": 0}


@pytest.mark.parametrize("command", [["import"], ["log", "drain"], ["log", "show"], ["log", "compact"]])
def test_every_help_text_has_an_example(app: typer.Typer, command: list[str]) -> None:
    assert f"Example: `nextbest {' '.join(command)}" in " ".join(run(app, *command, "--help").split())
