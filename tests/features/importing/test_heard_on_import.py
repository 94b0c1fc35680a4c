"""Customers' texts are analysed on import too, and a different earlier analysis of an event is not a contradiction."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest

from features.importing.folder import ImportReport, import_folder, read_clean_folder
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
from features.settings import Settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
AWFUL = "The seat was broken and the staff were rude. I am very disappointed."


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    shutil.copytree(SHOP, path / "catalogue")
    write(path, {"text": AWFUL}, {"text": "Das war nichts."})
    return path


def write(folder: Path, *properties: dict[str, object]) -> None:
    rows = [
        {"event_id": f"e{place}", "customer_id": "C", "type": "review", "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
         "properties": orjson.dumps(one).decode()}
        for place, one in enumerate(properties)
    ]  # fmt: skip
    pl.DataFrame(rows, schema=EVENTS.schema).write_parquet(folder / "events.parquet")


def counts(report: ImportReport) -> tuple[int, int, int]:
    [table] = report.tables
    return table.inserted, table.duplicates, table.rejected


def heard(home: Settings, event_id: str) -> dict[str, object]:
    [row] = EventLog(home.log_path).find(EVENTS, "event_id", [event_id])
    return orjson.loads(row["properties"])["heard"]


def test_imported_texts_are_analysed_with_the_catalogue_in_the_folder(home: Settings, folder: Path) -> None:
    (folder / "catalogue" / "listening.yaml").write_text("listening: {opens: complaint}\n")
    assert counts(import_folder(folder, home, now=NOW, most_unmatched=1.0)) == (2, 0, 0)
    found = heard(home, "e0")
    assert (found["sentiment_label"], found["opens"], found["case_id"]) == ("negative", "complaint", "heard:e0")
    assert heard(home, "e1") == {"language": "unknown"}
    clean = read_clean_folder(folder)["events"].filter(event_id="e0")["properties"].item()
    assert orjson.loads(clean)["heard"] == found


def test_the_same_text_analysed_differently_is_the_same_event_and_another_text_is_not(
    home: Settings, folder: Path
) -> None:
    assert counts(import_folder(folder, home, now=NOW, most_unmatched=1.0)) == (2, 0, 0)
    before = heard(home, "e0")
    (folder / "catalogue" / "listening.yaml").write_text("listening: {topics: {crew: {words: [staff]}}}\n")
    assert counts(import_folder(folder, home, now=NOW, most_unmatched=1.0)) == (0, 2, 0)
    assert heard(home, "e0") == before
    write(folder, {"text": AWFUL + " Really."}, {"text": "Das war nichts."})
    assert counts(import_folder(folder, home, now=NOW, most_unmatched=1.0)) == (0, 1, 1)
