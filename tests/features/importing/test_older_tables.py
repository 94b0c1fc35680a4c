"""Log tables of an older release are read and extended as if they had always had the newer columns."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from features.history import History
from features.importing.folder import import_folder
from features.log.contracts import CUSTOMERS, DECISIONS, TABLES, Table
from features.log.event_log import EventLog
from features.settings import Settings

AT = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
NEWER = {
    "customers": {"household": "H-1", "country": "DE", "phone_prefix": "+49 30", "protections": '["minor"]'},
    "decisions": {
        "is_held_out": True,
        "ghost": '{"action_probability":0.5,"message_key":"a/b/c"}',
        "placement": "hero",
        "commitment": "c1",
        "record_key": "k1",
    },
}
KEYS = {"customers": {"customer_id": "C-{}", "updated_at": AT}, "decisions": {"decision_id": "D-{}", "decided_at": AT}}


def row(table: Table, number: int) -> dict[str, object]:
    values = {
        name: value.format(number) if isinstance(value, str) else value for name, value in KEYS[table.name].items()
    }
    return {"customer_id": f"C-{number}", **values}


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A home whose tables were written before the newer columns existed."""
    settings = Settings(home=tmp_path / "home")
    for table in (CUSTOMERS, DECISIONS):
        older = pl.DataFrame([row(table, 1)], schema=table.schema, orient="row").drop(list(NEWER[table.name]))
        path = settings.log_path / table.name
        path.mkdir(parents=True)
        write_deltalake(path, older)
    return settings


@pytest.mark.parametrize("name", NEWER)
def test_newer_columns_are_missing_in_older_rows_and_kept_in_newer_ones(
    home: Settings, tmp_path: Path, name: str
) -> None:
    table = TABLES[name]
    brought = pl.DataFrame([row(table, 1), row(table, 2) | NEWER[name]], schema=table.schema, orient="row")
    folder = tmp_path / "brought"
    folder.mkdir()
    brought.write_parquet(folder / f"{name}.parquet")

    report = import_folder(folder, home, now=NOW, most_unmatched=1.0)

    assert [(one.inserted, one.duplicates, one.rejected) for one in report.tables] == [(1, 1, 0)]
    older, newer = EventLog(home.log_path).read(table).sort("customer_id").select(list(NEWER[name])).to_dicts()
    assert set(older.values()) == {None}
    assert newer == NEWER[name]


def test_a_history_has_the_newer_columns_of_older_tables(home: Settings) -> None:
    history = History.from_log(EventLog(home.log_path))

    assert history.customers.schema == pl.Schema(CUSTOMERS.schema)
    assert set(history.decisions.columns) == set(DECISIONS.schema) - {"record"}


def test_flags_are_read_from_words_in_csv(tmp_path: Path) -> None:
    folder = tmp_path / "csv"
    folder.mkdir()
    lines = ["decision_id,customer_id,decided_at,is_held_out", "D-1,C-1,2026-01-01T00:00:00Z,TRUE"]
    (folder / "decisions.csv").write_text("\n".join([*lines, "D-2,C-1,2026-01-01T00:00:00Z,"]))

    frame = History.from_folder(folder, now=NOW).decisions

    assert frame.sort("decision_id")["is_held_out"].to_list() == [True, None]
