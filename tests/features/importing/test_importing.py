import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import orjson
import polars as pl
import pytest

from decisioning.errors import InvalidInputError, InvalidPolicyError, UnavailableError
from features.catalogue import load_catalogue
from features.history import History
from features.importing.folder import STEPS, ImportReport, TableImport, import_folder
from features.importing.staged import staging_folder
from features.log.contracts import DECISIONS, EVENTS, TABLES
from features.log.event_log import EventLog
from features.settings import Settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SHOP_CATALOGUE = Path(__file__).parents[2] / "catalogues" / "shop"
EVENT_HEADER = "event_id,customer_id,type,occurred_at,amount_minor,currency\n"


bring = partial(import_folder, now=NOW, most_unmatched=1.0)  # most tests here import one table only


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "canonical"
    path.mkdir()
    return path


def write_tables(shop, folder: Path, suffix: str) -> None:
    for name in TABLES:
        frame = getattr(shop, name)
        if suffix == ".parquet":
            frame.write_parquet(folder / f"{name}.parquet")
        else:
            times = pl.selectors.datetime().dt.to_string("%Y-%m-%dT%H:%M:%S%.6f%:z")
            frame.with_columns(times).write_csv(folder / f"{name}.csv")


def write_events(folder: Path, *lines: str) -> Path:
    path = folder / "events.csv"
    path.write_text(EVENT_HEADER + "".join(f"{line}\n" for line in lines))
    return path


def log_of(home: Settings) -> EventLog:
    return EventLog(home.log_path)


def only(report: ImportReport) -> TableImport:
    (table,) = report.tables
    return table


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_row_of_every_table_is_imported(home: Settings, folder: Path, shop, suffix: str) -> None:
    write_tables(shop, folder, suffix)
    report = bring(folder, home)
    assert report.rejected == 0
    assert report.rejects_path is None
    for table in TABLES.values():
        rows = getattr(shop, table.name)
        read = log_of(home).read(table)
        plain = [column.name for column in table.columns if not column.is_json]
        assert read.select(plain).sort(table.key).equals(rows.select(plain).sort(table.key))
        assert next(t for t in report.tables if t.table == table.name).inserted == rows.height


def test_json_is_stored_in_one_spelling_with_equal_values(home: Settings, folder: Path, shop) -> None:
    write_tables(shop, folder, ".parquet")
    bring(folder, home)
    read = log_of(home).read(TABLES["customers"]).sort("customer_id")
    written = shop.customers.sort("customer_id")
    for name in ("channels", "consents", "attributes"):
        assert [orjson.loads(text) for text in read[name]] == [orjson.loads(text) for text in written[name]]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_importing_again_changes_nothing(home: Settings, folder: Path, shop, suffix: str) -> None:
    write_tables(shop, folder, suffix)
    bring(folder, home)
    again = bring(folder, home)
    assert [(t.inserted, t.duplicates - t.read, t.rejected) for t in again.tables] == [(0, 0, 0)] * 4


def test_csv_and_parquet_of_the_same_rows_are_duplicates_of_each_other(home, tmp_path: Path, shop) -> None:
    for suffix in (".csv", ".parquet"):
        (tmp_path / suffix).mkdir()
        write_tables(shop, tmp_path / suffix, suffix)
    bring(tmp_path / ".csv", home)
    report = bring(tmp_path / ".parquet", home)
    assert report.rejected == 0
    assert all(table.duplicates == table.read for table in report.tables)


def test_good_rows_are_imported_and_bad_rows_are_kept_with_file_row_column_rule_and_value(home, folder: Path) -> None:
    write_events(
        folder,
        "E-1,C-1,purchase,2026-01-01T10:00:00Z,100,EUR",
        "E-2,,purchase,2026-01-01T10:00:00Z,100,EUR",
        "E-3,C-3,purchase,yesterday,1.50,euros",
        "E-4,C-4,purchase,2026-01-01T10:00:00Z,200,EUR",
    )
    report = bring(folder, home)
    assert only(report) == TableImport(table="events", file="events.csv", read=4, inserted=2, duplicates=0, rejected=2)
    assert sorted(log_of(home).read(EVENTS)["event_id"]) == ["E-1", "E-4"]
    assert report.rejects_path is not None
    reasons = pl.read_csv(report.rejects_path / "reasons.csv", infer_schema=False)
    assert set(reasons.select("file", "row", "column", "value").iter_rows()) == {
        ("events.csv", "2", "customer_id", None),
        ("events.csv", "3", "occurred_at", "yesterday"),
        ("events.csv", "3", "amount_minor", "1.50"),
        ("events.csv", "3", "currency", "euros"),
    }
    assert reasons["rule"].null_count() == 0
    assert [(b.column, b.first_row, b.rows) for b in report.broken_rules if b.first_row == 2] == [("customer_id", 2, 1)]


def test_a_corrected_reject_file_can_be_imported(home: Settings, folder: Path) -> None:
    write_events(
        folder, "E-1,C-1,purchase,2026-01-01T10:00:00Z,100,EUR", "E-2,C-2,purchase,2026-01-01T10:00:00Z,1.5,EUR"
    )
    rejects = bring(folder, home).rejects_path
    assert rejects is not None
    mended = (rejects / "events.csv").read_text().replace("1.5", "150")
    (rejects / "events.csv").write_text(mended)
    report = bring(rejects, home)
    assert (only(report).inserted, report.warnings) == (1, ())
    assert sorted(log_of(home).read(EVENTS)["amount_minor"]) == [100, 150]


def test_rejects_of_two_imports_are_both_kept(home: Settings, folder: Path) -> None:
    write_events(folder, "E-1,,purchase,2026-01-01T10:00:00Z,100,EUR")
    paths = {bring(folder, home).rejects_path for _ in range(3)}
    assert len(paths) == 3
    assert all(path is not None and (path / "events.csv").is_file() for path in paths)


def test_the_same_row_twice_is_a_duplicate_and_a_contradicting_one_is_rejected(home, folder: Path) -> None:
    write_events(
        folder,
        "E-1,C-1,purchase,2026-01-01T10:00:00Z,100,EUR",
        "E-1,C-1,purchase,2026-01-01T11:00:00+01:00,100,EUR",
        "E-1,C-1,purchase,2026-01-01T10:00:00Z,999,EUR",
    )
    report = bring(folder, home)
    assert (only(report).inserted, only(report).duplicates, only(report).rejected) == (1, 1, 1)
    (broken,) = report.broken_rules
    assert (broken.first_row, broken.column) == (3, "event_id")
    assert log_of(home).read(EVENTS)["amount_minor"].to_list() == [100]


def test_a_row_that_contradicts_the_log_is_rejected_not_swallowed(home: Settings, folder: Path) -> None:
    write_events(folder, "E-1,C-1,purchase,2026-01-01T10:00:00Z,100,EUR")
    bring(folder, home)
    write_events(folder, "E-1,C-1,purchase,2026-01-01T10:00:00Z,999,EUR")
    report = bring(folder, home)
    assert (only(report).inserted, only(report).duplicates, only(report).rejected) == (0, 0, 1)
    assert "in the log" in report.broken_rules[0].rule


def test_json_spelt_differently_in_the_log_is_not_a_contradiction(home: Settings, folder: Path, shop) -> None:
    rows = shop.decisions.head(3).with_columns(record=pl.lit('{"b": 1, "a": [1, 2]}'))
    log_of(home).append(DECISIONS, rows)
    rows.write_parquet(folder / "decisions.parquet")
    report = bring(folder, home)
    assert (only(report).duplicates, only(report).rejected) == (3, 0)


def test_a_row_with_too_few_or_too_many_values_is_rejected_alone(home: Settings, folder: Path) -> None:
    write_events(
        folder,
        "E-1,C-1,purchase,2026-01-01T10:00:00Z,100,EUR",
        "E-2,C-1,purchase",
        "E-3,C-1,purchase,2026-01-01T10:00:00Z,100,EUR,what,is,this",
        'E-4,"C"-1,purchase,2026-01-01T10:00:00Z,100,EUR',
        "",
        "E-5,C-1,purchase,2026-01-01T10:00:00Z,100,EUR",
    )
    report = bring(folder, home)
    assert (only(report).read, only(report).inserted, only(report).rejected) == (5, 2, 3)
    assert report.rejects_path is not None
    reasons = pl.read_csv(report.rejects_path / "reasons.csv", infer_schema=False)
    assert reasons["row"].to_list() == ["2", "3", "4"]
    assert reasons["value"].to_list()[0] == "E-2,C-1,purchase"


def test_quoted_values_may_hold_commas_quotes_and_line_breaks(home: Settings, folder: Path) -> None:
    lines = [
        "event_id,customer_id,type,occurred_at,properties",
        'E-1,"C, 1",browse,2026-01-01 10:00:00+00:00,"{""a"": ""x, y""}"',
        '"E\n2",C-1,browse,2026-01-01T10:00:00Z,',
    ]
    (folder / "events.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    report = bring(folder, home)
    row = log_of(home).read(EVENTS).row(0, named=True)
    assert (row["customer_id"], row["properties"]) == ("C, 1", '{"a":"x, y"}')
    assert (only(report).read, only(report).rejected) == (2, 1)  # a line break in an id is unprintable


def test_parquet_written_by_pandas_is_accepted(home: Settings, folder: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "event_id": ["1", "2"],
            "customer_id": [17, 18],
            "type": pd.Categorical(["browse", "purchase"]),
            "occurred_at": pd.to_datetime(["2026-01-01T10:00:00+02:00", "2026-01-01T11:00:00+02:00"]),
            "amount_minor": [None, 250.0],
            "currency": [None, "EUR"],
            "properties": [None, None],
        }
    )
    frame.to_parquet(folder / "events.parquet")
    assert only(bring(folder, home)).inserted == 2
    rows = log_of(home).read(EVENTS).sort("event_id")
    assert rows["customer_id"].to_list() == ["17", "18"]
    assert rows["amount_minor"].to_list() == [None, 250]
    assert rows["occurred_at"].to_list()[0] == datetime(2026, 1, 1, 8, tzinfo=UTC)


def test_unknown_files_and_columns_are_named(home: Settings, folder: Path) -> None:
    path = write_events(folder, "E-1,C-1,browse,2026-01-01T10:00:00Z,,")
    path.write_text(path.read_text().replace("currency", "favourite_colour"))
    (folder / "notes.txt").write_text("hello")
    warnings = bring(folder, home).warnings
    assert any("notes.txt" in warning for warning in warnings)
    assert any("favourite_colour" in warning for warning in warnings)


def truncated(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def scrambled(path: Path) -> None:
    """Keep the footer intact and damage the pages before it."""
    data = bytearray(path.read_bytes())
    data[200 : len(data) // 2] = b"\xab" * (len(data) // 2 - 200)
    path.write_bytes(bytes(data))


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda events: events.write_bytes(change(events.read_bytes()))


BREAKS: dict[str, Callable[[Path], object]] = {
    "empty csv": rewritten(lambda whole: b""),
    "empty parquet": lambda events: events.rename(events.with_suffix(".parquet")).write_bytes(b""),
    "csv named parquet": lambda events: events.rename(events.with_suffix(".parquet")),
    "two encodings": rewritten(lambda whole: whole + "E-8,José,browse,,,\n".encode() + b"E-9,Jos\xe9,browse,,,\n"),
    "no encoding of ours": rewritten(lambda whole: whole + b"E-9,Jos\x81,browse,2026-01-01T10:00:00Z,,\n"),
    "binary": rewritten(lambda whole: bytes(range(256)) * 50),
    "unclosed quote": rewritten(lambda whole: whole + b'E-9,"C-1,browse,2026-01-01T10:00:00Z,,\nE-10,C-1,,,,\n'),
    "endless cell": rewritten(lambda whole: whole + b"E-9," + b"x" * 200_000 + b",browse,2026-01-01T10:00:00Z,,\n"),
    "colons": rewritten(lambda whole: whole.replace(b",", b":")),
    "column twice": rewritten(lambda whole: whole.replace(b"currency", b"type")),
    "missing column": rewritten(lambda whole: whole.replace(b"occurred_at", b"happened")),
    "both": lambda events: pl.DataFrame({"event_id": ["a"]}).write_parquet(events.with_suffix(".parquet")),
}


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("empty csv", "empty file"),
        ("empty parquet", "whole Parquet file"),
        ("csv named parquet", "whole Parquet file"),
        ("two encodings", "line 4 must be UTF-8 or Windows-1252, as the whole file, got byte 0xe9"),
        ("no encoding of ours", "line 3 must be UTF-8 or Windows-1252, as the whole file, got byte 0x81"),
        ("binary", "must be text"),
        ("unclosed quote", "row 2 must close every quote"),
        ("endless cell", "row 2 must close every quote within 131072 characters"),
        ("colons", "must have the columns"),
        ("column twice", "each column once"),
        ("missing column", "must have the columns occurred_at"),
        ("both", "events.parquet and events.csv"),
    ],
)
def test_a_broken_file_is_named_and_nothing_is_imported(home, folder: Path, shop, how: str, complaint: str) -> None:
    shop.customers.write_parquet(folder / "customers.parquet")
    BREAKS[how](write_events(folder, "E-1,C-1,browse,2026-01-01T10:00:00Z,,"))
    with pytest.raises(InvalidInputError, match=complaint) as caught:
        bring(folder, home)
    assert "events" in str(caught.value)
    assert log_of(home).read(TABLES["customers"]).is_empty()
    assert not home.rejects_path.exists()


@pytest.mark.parametrize("damage", [lambda p: truncated(p, 0.5), lambda p: truncated(p, 0.99), scrambled])
def test_a_damaged_parquet_file_is_named_and_nothing_is_imported(home, folder: Path, shop, damage) -> None:
    shop.customers.write_parquet(folder / "customers.parquet")
    shop.outcomes.write_parquet(folder / "outcomes.parquet", compression="uncompressed", use_pyarrow=True)
    damage(folder / "outcomes.parquet")
    with pytest.raises(InvalidInputError, match=r"outcomes\.parquet must be a whole Parquet file"):
        bring(folder, home)
    assert log_of(home).read(TABLES["customers"]).is_empty()


@pytest.mark.parametrize(
    ("column", "values", "complaint"),
    [
        ("occurred_at", pl.Series([datetime(2026, 1, 1)]), "occurred_at must be times with a time zone"),  # noqa: DTZ001
        ("occurred_at", pl.Series([1_700_000_000]), "occurred_at must be times with a time zone"),
        ("occurred_at", pl.Series([NOW.date()]), "occurred_at must be times with a time zone"),
        ("event_id", pl.Series([b"\x00"]), "event_id must be text"),
        ("properties", pl.Series([{"a": 1}]), "properties must be text with JSON"),
        ("amount_minor", pl.Series([True]), "amount_minor must be a whole number"),
    ],
)
def test_a_column_whose_type_can_never_fit_is_named(home, folder: Path, shop, column, values, complaint: str) -> None:
    shop.events.head(1).with_columns(values.alias(column)).write_parquet(folder / "events.parquet")
    with pytest.raises(InvalidInputError, match=complaint):
        bring(folder, home)


def test_a_header_without_rows_is_an_empty_table(home: Settings, folder: Path) -> None:
    write_events(folder)
    assert only(bring(folder, home)).read == 0


def test_parquet_without_rows_is_an_empty_table(home: Settings, folder: Path, shop) -> None:
    shop.events.clear().write_parquet(folder / "events.parquet")
    assert only(bring(folder, home)).read == 0


@pytest.mark.parametrize("where", ["missing", "empty", "a file"])
def test_a_folder_without_tables_is_refused(home: Settings, folder: Path, where: str) -> None:
    path = {"missing": folder / "nowhere", "empty": folder, "a file": folder / "events.csv"}[where]
    if where == "a file":
        write_events(folder)
    with pytest.raises(InvalidInputError, match="must"):
        bring(path, home)


def test_the_catalogue_in_the_folder_takes_effect_and_declares_the_event_types(home, folder: Path, shop) -> None:
    write_tables(shop, folder, ".parquet")
    (folder / "catalogue").mkdir()
    for path in SHOP_CATALOGUE.iterdir():
        (folder / "catalogue" / path.name).write_bytes(path.read_bytes())
    report = bring(folder, home)
    assert report.catalogue_version
    assert {p.name for p in home.catalogue_path.iterdir()} == {
        "assignment.json",
        *(p.name for p in SHOP_CATALOGUE.iterdir()),
    }
    later = folder.parent / "later"
    later.mkdir()
    write_events(
        later,
        "X-1,C-1,stamp_paid,2026-01-01T10:00:00Z,1,EUR",
        "X-2,C-1,teleported,2026-01-01T10:00:00Z,1,EUR",
        "X-3,C-1,purchase,2026-01-01T10:00:00Z,1,USD",
    )
    report = bring(later, home)
    assert (only(report).inserted, only(report).rejected) == (1, 2)
    assert {broken.column for broken in report.broken_rules} == {"type", "currency"}


def test_an_invalid_catalogue_stops_the_import_before_anything_is_imported(home: Settings, folder: Path, shop) -> None:
    write_tables(shop, folder, ".parquet")
    (folder / "catalogue").mkdir()
    (folder / "catalogue" / "catalogue.yaml").write_text("currency: euros\noffers: 3\n")
    with pytest.raises(InvalidPolicyError):
        bring(folder, home)
    assert log_of(home).read(EVENTS).is_empty()
    assert not home.catalogue_path.exists()


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_an_impossible_home_is_a_clear_error(tmp_path: Path, folder: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    write_events(folder, "E-1,C-1,browse,2026-01-01T10:00:00Z,,")
    home = tmp_path / "file" if where == "a file" else tmp_path / "file" / "home"
    with pytest.raises(InvalidInputError, match="home must be a folder that can be written"):
        bring(folder, Settings(home=home))


def test_progress_grows_to_its_total(home: Settings, folder: Path, shop) -> None:
    write_tables(shop, folder, ".csv")
    told: list[int] = []
    bring(folder, home, lambda done, total: told.append(done))
    assert told == sorted(told)
    assert told[-1] == STEPS


def test_only_one_import_runs_at_a_time(home: Settings, folder: Path) -> None:
    write_events(folder, "E-1,C-1,browse,2026-01-01T10:00:00Z,,")
    with staging_folder(home.home), pytest.raises(UnavailableError, match="another one is running"):
        bring(folder, home)
    assert only(bring(folder, home)).inserted == 1


KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from features.importing.folder import import_folder
from features.settings import Settings
import_folder(Path(sys.argv[1]), Settings(home=Path(sys.argv[2])), lambda done, total: print(done, flush=True),
    most_unmatched=1.0, now=datetime(2026, 11, 20, tzinfo=UTC))
"""


def test_an_import_killed_anywhere_is_finished_by_repeating_it(home: Settings, folder: Path, shop) -> None:
    write_tables(shop, folder, ".csv")
    write_events(folder, *(f"E-{n},C-1,browse,2026-01-01T10:00:00Z,,{'EUR' if n % 10 else 'x'}" for n in range(20_000)))
    for kill_at in (100, 810, 960):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder), str(home.home)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= kill_at:
                process.kill()
                break
        process.stdout.close()
        assert process.wait() == -9
    report = bring(folder, home)
    assert all(t.read == t.inserted + t.duplicates + t.rejected for t in report.tables)
    assert sum(t.duplicates for t in report.tables) > 0
    assert report.rejected == 2_000
    events = log_of(home).read(EVENTS)
    assert (events.height, events["event_id"].n_unique()) == (18_000, 18_000)
    for name in ("customers", "decisions", "outcomes"):
        assert log_of(home).read(TABLES[name]).height == getattr(shop, name).height
    assert not (home.home / "staging").exists()


def test_a_file_of_many_chunks_is_checked_across_them(home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.importing.table_files.CHUNK_ROWS", 10)
    lines = [f"E-{n % 30},C-1,browse,2026-01-01T{10 if n < 80 else 11}:00:00Z,," for n in range(95)]
    write_events(folder, *lines)
    report = bring(folder, home)
    assert (only(report).read, only(report).inserted) == (95, 30)
    assert (only(report).duplicates, only(report).rejected) == (50, 15)
    assert report.broken_rules[0].first_row == 81


def test_a_history_from_a_folder_equals_the_one_from_the_log(home: Settings, folder: Path, shop) -> None:
    write_tables(shop, folder, ".parquet")
    bring(folder, home)
    from_log, from_folder = History.from_log(log_of(home)), History.from_folder(folder)
    for table in TABLES.values():
        one, other = getattr(from_log, table.name), getattr(from_folder, table.name)
        assert one.sort(table.key).equals(other.sort(table.key))
        assert "record" not in one.columns


def test_a_history_from_a_folder_with_a_bad_row_is_refused(folder: Path) -> None:
    write_events(folder, "E-1,C-1,browse,2026-01-01T10:00:00Z,,", "E-2,C-1,browse,never,,")
    with pytest.raises(InvalidInputError, match=r"events.csv row 2: occurred_at must be"):
        History.from_folder(folder)


def test_by_default_a_history_may_lie_in_the_future(folder: Path) -> None:
    write_events(folder, "E-1,C-1,browse,2090-01-01T10:00:00Z,,")
    assert History.from_folder(folder).events.height == 1
    with pytest.raises(InvalidInputError, match="after the import"):
        History.from_folder(folder, now=NOW + timedelta(days=1))


def test_a_catalogue_can_be_imported_alone(home: Settings, folder: Path):
    shutil.copytree(SHOP_CATALOGUE, folder / "catalogue")
    steps = []
    report = bring(folder, home, lambda done, of: steps.append((done, of)))
    assert report.tables == ()
    assert report.catalogue_version == load_catalogue(home.catalogue_path).version
    assert steps == [(STEPS, STEPS)]
