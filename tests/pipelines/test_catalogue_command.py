"""`nextbest catalogue check` reports findings as text and JSON, and its exit code says whether to go on."""

import shutil
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from pipelines.cli import app, register_nouns

SHOP = Path(__file__).parents[1] / "catalogues" / "shop"


@pytest.fixture(scope="module", autouse=True)
def _commands() -> None:
    register_nouns()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


def check(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["catalogue", "check", str(folder), *options])


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "offers.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_valid_catalogue_passes_a_strict_check(folder: Path) -> None:
    result = check(folder, "--strict")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == f"{folder} has no problems"
    assert "new > active > lapsed" in result.stdout


def test_a_warning_passes_unless_strict(folder: Path) -> None:
    change(folder, "    kind: gift", "    kind: gift\n    valid_until: 2020-01-01")
    result = check(folder)
    assert result.exit_code == 0
    assert "has no errors and 1 warning" in result.stdout
    assert "warning: offer that is over" in result.stdout
    assert check(folder, "--strict").exit_code == 1


def test_an_error_fails_with_its_place(folder: Path) -> None:
    change(folder, "goal: care", "goal: caer")
    result = check(folder)
    assert result.exit_code == 1
    assert "has 1 error: it cannot be used until they are corrected" in result.stdout
    assert "offers.opening-hours.goal" in result.stdout
    assert "do     did you mean 'care'?" in result.stdout


def test_programs_read_the_findings_as_json(folder: Path) -> None:
    change(folder, "    kind: gift", "    kind: gift\n    valid_until: 2020-01-01")
    result = check(folder, "--json")
    answer = orjson.loads(result.stdout)
    assert answer["is_sound"] is True
    assert answer["offers"] == 4
    (finding,) = answer["findings"]
    assert finding["severity"] == "warning"
    assert finding["proof"] == "offer_over"
    assert (finding["file"], finding["field"]) == ("offers.yaml", "offers.free-coffee.valid_until")
    assert finding["line"] > 1
    change(folder, "goal: care", "goal: caer")
    broken = check(folder, "--json")
    assert broken.exit_code == 1
    assert orjson.loads(broken.stdout)["is_sound"] is False
