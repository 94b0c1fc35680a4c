"""What customers' rows hold is of the kinds and names that the catalogue declares, or the row is refused by name."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from features.contracts import CUSTOMERS
from features.importing.folder import ImportReport, import_folder
from features.log import EventLog
from features.settings import Settings

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
        ("attributes", {"region": "nroth"}, "region one of north, south; did you mean 'north'?"),
        ("attributes", {"region": 3}, "region one of north, south"),
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
