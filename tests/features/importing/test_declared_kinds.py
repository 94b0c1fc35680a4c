"""What customers' rows hold is of the kinds and names that the catalogue declares, or the row is refused by name."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from features.contracts import CUSTOMERS
from features.importing.folder import ImportReport, import_folder
from features.log import EventLog
from features.settings import Settings
from pipelines import cli

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    home = Settings(home=tmp_path / "home")
    shutil.copytree(SHOP, home.catalogue_path)
    return home


def imported(home: Settings, **values: Any) -> ImportReport:
    folder = home.home.parent / "in"
    folder.mkdir(exist_ok=True)
    row = {name: orjson.dumps(value).decode() for name, value in values.items()}
    pl.DataFrame([{"customer_id": "C-1", "updated_at": "2026-01-01T00:00:00Z", **row}]).write_csv(
        folder / "customers.csv"
    )
    return import_folder(folder, home, now=NOW)


def held(home: Settings, column: str) -> Any:
    return orjson.loads(EventLog(home.log_path).read(CUSTOMERS)[column].item())


def answer(channel: str, purpose: str) -> dict[str, Any]:
    return {"channel": channel, "purpose": purpose, "granted": True}


@pytest.mark.parametrize(
    ("column", "written", "meant"),
    [
        ("attributes", {"age": "42"}, {"age": 42}),
        ("attributes", {"age": "42,5"}, {"age": 42.5}),
        ("attributes", {"Age": 42, "Region": "North"}, {"age": 42, "region": "north"}),
        ("attributes", {"region": None, "nickname": "Al"}, {"region": None, "nickname": "Al"}),
        ("channels", ["Email", "e-mail", "PUSH"], ["email", "push"]),
        ("consents", [answer("E-Mail", "Marketing")], [answer("email", "marketing")]),
        ("consents", [answer("anything", "profiling")], [answer("anything", "profiling")]),
    ],
)
def test_what_is_plain_is_brought_to_the_catalogues_spelling(home: Settings, column: str, written, meant) -> None:
    assert imported(home, **{column: written}).rejected == 0
    assert held(home, column) == meant


@pytest.mark.parametrize(
    ("column", "written", "words"),
    [
        ("attributes", {"age": "many"}, "attributes must be an object with age as a number"),
        ("attributes", {"age": True}, "attributes must be an object with age as a number"),
        ("attributes", {"region": "nroth"}, "region as one of north, south; did you mean 'north'?"),
        ("attributes", {"region": 3}, "region as one of north, south"),
        ("attributes", {"regoin": "north"}, "did you mean 'region'?"),
        ("channels", ["emial"], "channels must be about a channel of the catalogue"),
        ("channels", ["emial"], "did you mean 'email'?"),
        ("consents", [answer("email", "newsletter")], "consents must be about a purpose of the catalogue"),
    ],
)
def test_the_rest_is_refused_with_the_nearest_right_word(home: Settings, column: str, written, words: str) -> None:
    report = imported(home, **{column: written})
    [broken] = report.broken_rules
    assert report.rejected == 1
    assert words in str(broken)


def test_an_attribute_that_nobody_declares_is_kept_and_counted(home: Settings) -> None:
    report = imported(home, attributes={"shoe_size": 43, "age": 42, 'a "b",c': 'x,"fake":1', "gone": None})
    assert [str(one) for one in report.undeclared] == ['a "b",c in 1 rows', "gone in 1 rows", "shoe_size in 1 rows"]
    assert held(home, "attributes")["shoe_size"] == 43
    assert imported(home, attributes={"age": 42}).undeclared == ()


def test_the_command_says_what_nobody_declares_and_what_was_taken_for_all(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home.home.parent / "in"
    folder.mkdir()
    at = "2026-01-01T00:00:00Z"
    people = [{"customer_id": f"C-{n}", "updated_at": at, "attributes": '{"shoe_size": 43}'} for n in range(12)]
    pl.DataFrame(people).write_csv(folder / "customers.csv")
    withdrawn = {"event_id": "e", "customer_id": "C-1", "type": "consent_withdrawn", "occurred_at": at}
    pl.DataFrame([{**withdrawn, "properties": '{"channel": "emial"}'}]).write_csv(folder / "events.csv")
    monkeypatch.setenv("NEXTBEST_HOME", str(home.home))
    cli.register_nouns()
    told = CliRunner().invoke(cli.app, ["import", str(folder)])
    assert told.exit_code == 0, told.output
    said = " ".join(told.stderr.split())
    assert "undeclared attributes: shoe_size in 12 rows; kept, used by no rule" in said
    assert "withdrawals of an unknown channel or purpose: 1; taken for every channel or purpose" in said
