"""The commands of docs/privacy.md work, in that order, on a shop with a year of history."""

import re
import shlex
import shutil
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from pipelines import cli
from pipelines.pages.reference import pages

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "privacy.md").read_text()
COMMANDS = re.findall(r"^\$ nextbest (.+)$", PAGE, re.MULTILINE)


@pytest.fixture
def shop_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: object) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEXTBEST_MLRUNS", str(tmp_path / "mlruns"))
    pages()  # registers every noun
    shutil.copytree(ROOT / "tests" / "catalogues" / "shop", tmp_path / "data" / "catalogue")
    retention = next(line for line in PAGE.splitlines() if line.startswith("retention:"))
    (tmp_path / "data" / "catalogue" / "privacy.yaml").write_text(f"{retention}\n")
    for table in ("customers", "events", "decisions", "outcomes"):
        getattr(shop, table).write_parquet(tmp_path / "data" / f"{table}.parquet")
    for command in ("import data", "features build", "features materialise"):
        run(command)
    return tmp_path


def run(command: str) -> str:
    result = CliRunner().invoke(cli.app, shlex.split(command))
    assert result.exit_code == 0, f"nextbest {command}\n{result.output}\n{result.exception!r}"
    return result.stdout


def test_every_command_of_the_page_runs(shop_home: Path) -> None:
    assert len(COMMANDS) >= 11
    said = {command: run(command) for command in COMMANDS}
    assert "log/decisions" in said["customer show C-00007"]
    assert orjson.loads((shop_home / "customer.json").read_bytes())["customer_id"] == "C-00007"
    assert (shop_home / "customer.json").stat().st_mode & 0o077 == 0
    assert "nothing" in said["customer erase C-00009 --yes --reason request"]
    plan = {one["name"]: one for one in orjson.loads(said["privacy plan --json"])["data"]}
    assert plan["customers.attributes.age"]["is_used"]
    assert plan["events.purchase"]["kept_days"] == 730
    assert "400 days" in said["privacy retain --dry-run"]


def test_erasing_asks_for_a_customer_and_takes_a_reason_from_a_list(shop_home: Path) -> None:
    refused = CliRunner().invoke(cli.app, ["customer", "erase", "C-00009"], input="n\n")
    assert refused.exit_code == 1
    assert "cannot be undone" in refused.output
    told = CliRunner().invoke(cli.app, ["customer", "erase", "C-00009", "--yes", "--reason", "Ann said so"])
    assert "request" in str(told.exception)
    assert run("customer show C-00009 --json")
