"""Customer rows must have the types and names the catalogue declares; otherwise a row is refused with the field."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from features.importing.folder import ImportReport, import_folder
from features.log.contracts import CUSTOMERS
from features.log.event_log import EventLog
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
        (
            "consents",
            [answer("email", "marketing") | {"granted": "no"}],
            [answer("email", "marketing") | {"granted": False}],
        ),
        ("consents", [answer("email", "marketing") | {"granted": 1}], [answer("email", "marketing")]),
        ("protections", ["Vulnerable", "LEGAL HOLD", "legal_hold"], ["vulnerable", "legal_hold"]),
        ("cleared", ["Joined At"], ["joined_at"]),
    ],
)
def test_unambiguous_values_take_the_catalogues_spelling(home: Settings, column: str, written, meant) -> None:
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
        ("consents", [answer("email", "marketing") | {"granted": "perhaps"}], "granted (true or false)"),
        ("attributes", {"region": "Nroth"}, "did you mean 'north'?"),
        ("protections", ["vulnerabel"], "protections must be a JSON list of deceased, legal_hold, minor, vulnerable"),
        ("protections", ["vulnerabel"], "did you mean 'vulnerable'?"),
        ("cleared", ["houshold"], "did you mean 'household'?"),
    ],
)
def test_other_values_are_refused_with_the_nearest_valid_one(home: Settings, column: str, written, words: str) -> None:
    report = imported(home, **{column: written})
    [broken] = report.broken_rules
    assert report.rejected == 1
    assert words in str(broken)


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_misspelt_protection_is_never_lost(home: Settings, is_declared: bool) -> None:
    if not is_declared:
        shutil.rmtree(home.catalogue_path)
    assert imported(home, protections=["Deceased"]).rejected == 0
    assert held(home, "protections") == ["deceased"]
    [broken] = imported(home, protections=["decaesed"]).broken_rules
    assert "did you mean 'deceased'?" in str(broken)


def test_zones_and_countries_are_normalised_or_refused_with_the_nearest_valid_one(home: Settings) -> None:
    folder = home.home.parent / "in"
    folder.mkdir()
    row = {"updated_at": "2026-01-01T00:00:00Z"}
    rows = [
        {"customer_id": "C-1", "time_zone": "europe/berlin", "country": "de", **row},
        {"customer_id": "C-2", "time_zone": "Europe/Berln", "country": "DE", **row},
    ]
    pl.DataFrame(rows).write_csv(folder / "customers.csv")
    report = import_folder(folder, home, now=NOW)
    [broken] = report.broken_rules
    assert "time_zone must be an IANA time zone, such as Europe/Berlin; did you mean 'Europe/Berlin'?" in str(broken)
    assert EventLog(home.log_path).read(CUSTOMERS)[["time_zone", "country"]].row(0) == ("Europe/Berlin", "DE")


def test_an_undeclared_attribute_is_kept_and_counted(home: Settings) -> None:
    report = imported(home, attributes={"shoe_size": 43, "age": 42, 'a "b",c': 'x,"fake":1', "gone": None})
    assert [str(one) for one in report.undeclared] == ['a "b",c in 1 rows', "gone in 1 rows", "shoe_size in 1 rows"]
    assert held(home, "attributes")["shoe_size"] == 43
    assert imported(home, attributes={"age": 42}).undeclared == ()


def test_the_command_reports_undeclared_attributes_and_defaults(
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
    assert "withdrawals of an unknown channel or purpose: 1; applied to every channel or purpose" in said
