import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError, LogUnavailableError
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, TABLES
from features.log.event_log import Appended, EventLog

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def make_events(*ids: str, amount: int = 100) -> pl.DataFrame:
    rows = [
        {"event_id": event_id, "customer_id": "C-1", "type": "purchase", "occurred_at": NOON, "amount_minor": amount}
        for event_id in ids
    ]
    return pl.DataFrame(rows, schema=EVENTS.schema)


def ids_in(log: EventLog) -> list[str]:
    return sorted(log.read(EVENTS)["event_id"].to_list())


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "log")


def test_appended_rows_are_read_back_unchanged(log: EventLog, shop) -> None:
    for table in TABLES.values():
        rows = getattr(shop, table.name)
        assert log.append(table, rows) == Appended(inserted=rows.height, duplicates=0)
        read = log.read(table)
        assert read.schema == pl.Schema(table.schema)
        assert read.sort(table.key).equals(rows.sort(table.key))


def test_appending_again_inserts_nothing(log: EventLog) -> None:
    log.append(EVENTS, make_events("a", "b"))
    assert log.append(EVENTS, make_events("b", "c", "a")) == Appended(inserted=1, duplicates=2)
    assert ids_in(log) == ["a", "b", "c"]


def test_a_key_repeated_in_one_batch_becomes_one_row(log: EventLog) -> None:
    assert log.append(EVENTS, make_events("a", "a")) == Appended(inserted=1, duplicates=1)


def test_the_first_row_of_a_key_is_kept(log: EventLog) -> None:
    log.append(EVENTS, make_events("a", amount=1))
    log.append(EVENTS, make_events("a", amount=2))
    assert log.read(EVENTS)["amount_minor"].to_list() == [1]


def test_a_customer_has_one_row_per_update(log: EventLog) -> None:
    times = [NOON, NOON + timedelta(days=1), NOON]
    rows = pl.DataFrame({"customer_id": ["C-1"] * 3, "updated_at": times}, schema_overrides=dict(CUSTOMERS.schema))
    assert log.append(CUSTOMERS, rows) == Appended(inserted=2, duplicates=1)


def test_an_empty_batch_makes_no_commit(log: EventLog) -> None:
    assert log.append(EVENTS, make_events()) == Appended(inserted=0, duplicates=0)
    assert not (log.path / "events").exists()


def test_a_table_never_written_is_empty_with_its_schema(log: EventLog) -> None:
    for table in TABLES.values():
        assert log.read(table).schema == pl.Schema(table.schema)
        assert log.read(table).is_empty()


def test_columns_and_customers_restrict_what_is_read(log: EventLog, shop) -> None:
    log.append(EVENTS, shop.events)
    read = log.read(EVENTS, columns=["event_id", "customer_id"], customer_ids=["C-00003", "C-00004"])
    assert read.columns == ["event_id", "customer_id"]
    assert read.height == shop.events.filter(pl.col("customer_id").is_in(["C-00003", "C-00004"])).height > 0


def test_the_newest_rows_come_first(log: EventLog, shop) -> None:
    log.append(DECISIONS, shop.decisions)
    times = log.newest(DECISIONS, 7)["decided_at"].to_list()
    assert times == sorted(shop.decisions["decided_at"].to_list(), reverse=True)[:7]


def test_ids_may_hold_quotes_and_unicode(log: EventLog) -> None:
    odd = ("it's", 'say "x"', "ä/ö ü", "a=1; drop", "%20", "\\")
    log.append(EVENTS, make_events(*odd))
    assert log.append(EVENTS, make_events(*odd)).inserted == 0
    assert ids_in(log) == sorted(odd)


def test_optional_columns_may_be_left_out(log: EventLog) -> None:
    log.append(EVENTS, make_events("a").select("occurred_at", "type", "customer_id", "event_id"))
    assert log.read(EVENTS)["channel"].to_list() == [None]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda rows: rows.with_columns(extra=1), "canonical ones, got extra"),
        (lambda rows: rows.drop("customer_id"), "events.customer_id must be given"),
        (lambda rows: rows.with_columns(event_id=pl.lit(None, dtype=pl.String)), "events.event_id must be given"),
        (lambda rows: rows.with_columns(amount_minor=pl.lit("much")), "canonical column types"),
    ],
)
def test_rows_of_another_form_are_refused_and_nothing_is_written(log: EventLog, change, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        log.append(EVENTS, change(make_events("a")))
    assert log.read(EVENTS).is_empty()


def test_a_table_of_an_older_release_gets_new_columns(log: EventLog) -> None:
    older = make_events("a").drop("properties", "recorded_at")
    write_deltalake(log.path / "events", older)
    assert log.read(EVENTS).schema == pl.Schema(EVENTS.schema)
    log.append(EVENTS, make_events("b").with_columns(properties=pl.lit("{}")))
    assert log.read(EVENTS).sort("event_id")["properties"].to_list() == [None, "{}"]


def test_compaction_changes_files_and_no_rows(log: EventLog) -> None:
    for number in range(5):
        log.append(EVENTS, make_events(f"a{number}"))
    done = log.compact(EVENTS)
    assert (done.files_before, done.files_after, done.files_deleted) == (5, 1, 0)
    assert log.compact(EVENTS, retention=timedelta(0)).files_deleted == 5
    assert ids_in(log) == [f"a{number}" for number in range(5)]
    assert log.append(EVENTS, make_events("a3", "z")) == Appended(inserted=1, duplicates=1)


def test_compacting_a_table_never_written_does_nothing(log: EventLog) -> None:
    assert log.compact(EVENTS).files_before == 0


def test_a_broken_log_is_unavailable_not_empty(log: EventLog) -> None:
    log.append(EVENTS, make_events("a"))
    commit = max((log.path / "events" / "_delta_log").glob("*.json"))
    commit.write_text('{"add": {"path"')
    with pytest.raises(LogUnavailableError):
        log.read(EVENTS)
    with pytest.raises(LogUnavailableError):
        log.append(EVENTS, make_events("b"))
    with pytest.raises(LogUnavailableError):
        log.compact(EVENTS)
    with pytest.raises(LogUnavailableError):
        log.file_count(EVENTS)


def test_a_missing_data_file_is_unavailable_not_empty(log: EventLog) -> None:
    log.append(EVENTS, make_events("a"))
    for path in (log.path / "events").glob("*.parquet"):
        path.unlink()
    with pytest.raises(LogUnavailableError):
        log.read(EVENTS)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=5))
def test_any_batches_in_any_order_hold_each_key_once(tmp_path_factory, batches: list[list[str]]) -> None:
    log = EventLog(tmp_path_factory.mktemp("log"))
    inserted = sum(log.append(EVENTS, make_events(*batch)).inserted for batch in batches)
    expected = sorted({key for batch in batches for key in batch})
    assert ids_in(log) == expected
    assert inserted == len(expected)


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
log, first = EventLog(Path(sys.argv[1])), int(sys.argv[2])
for number in range(first, first + 12):
    ids = [f"{number + offset:03d}" for offset in range(6)]
    log.append(EVENTS, pl.DataFrame({"event_id": ids, "customer_id": ids, "type": ["browse"] * 6,
        "occurred_at": [datetime(2026, 1, 1, tzinfo=UTC)] * 6}, schema_overrides=dict(EVENTS.schema)))
"""


def test_concurrent_writers_insert_each_key_once(log: EventLog) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(log.path), str(4 * i)]) for i in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert ids_in(log) == [f"{number:03d}" for number in range(4 * 2 + 12 + 5)]


def test_a_commit_by_another_writer_in_between_is_detected(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(EVENTS, make_events("a"))
    open_once = log._open_or_create
    stale = DeltaTable(log.path / "events")
    EventLog(log.path).append(EVENTS, make_events("b"))
    versions = iter([stale])
    monkeypatch.setattr(log, "_open_or_create", lambda table: next(versions, None) or open_once(table))
    assert log.append(EVENTS, make_events("b", "c")) == Appended(inserted=1, duplicates=1)
    assert ids_in(log) == ["a", "b", "c"]


def test_appended_rows_are_synced_to_disk(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(
        "os.fsync", lambda handle: (synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())), fsync(handle))
    )
    log.append(EVENTS, make_events("a"))
    folder = log.path.resolve() / "events"
    (data,) = folder.glob("*.parquet")
    commit = folder / "_delta_log" / f"{1:020d}.json"
    assert {str(data), str(commit), str(folder), str(commit.parent)} <= set(synced)
