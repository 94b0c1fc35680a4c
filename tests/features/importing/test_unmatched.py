"""Ids that match nothing are counted and shown, and an import with too many of them is refused."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from decisioning.errors import InvalidInputError
from features.importing.folder import import_folder
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, TABLES
from features.log.event_log import EventLog
from features.log.tombstones import tombstones_of
from features.settings import Settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
bring = partial(import_folder, now=NOW)

DECIDED = "2026-01-30T09:30:00Z"
CUSTOMERS_OF = "customer_id,updated_at\n{}"
EVENTS_OF = "event_id,customer_id,type,occurred_at\n{}"
DECISIONS_OF = "decision_id,customer_id,decided_at,touchpoint,offer_id,channel,creative_id,stage\n{}"
OUTCOMES_OF = "outcome_id,decision_id,customer_id,type,occurred_at\n{}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "canonical"
    path.mkdir()
    return path


@pytest.fixture
def home(make_home, tables_of) -> Settings:
    """A home with the shop's catalogue and customers C-0 to C-99."""
    rows = [{"customer_id": f"C-{n}", "updated_at": NOW} for n in range(100)]
    return make_home(tables_of(customers=rows))


def write(folder: Path, **tables: list[str]) -> None:
    headers = {"customers": CUSTOMERS_OF, "events": EVENTS_OF, "decisions": DECISIONS_OF, "outcomes": OUTCOMES_OF}
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text(headers[name].format("\n".join(lines)) + "\n")


def events_of(*customer_ids: str) -> list[str]:
    return [f"e{place},{one},browse,{DECIDED}" for place, one in enumerate(customer_ids)]


def decision(number: int, **changes: str) -> str:
    fields = {"decision_id": f"d{number}", "customer_id": f"C-{number}", "decided_at": DECIDED,
              "touchpoint": "weekly-mail", "offer_id": "ten-percent", "channel": "email", "creative_id": "plain",
              "stage": "new"}  # fmt: skip
    return ",".join((fields | changes).values())


def unmatched(report) -> list[tuple[str, str, int, int]]:
    return [(one.file, one.column, one.rows, one.named) for one in report.unmatched]


def test_a_matching_log_and_files_have_no_unmatched_ids(home: Settings, folder: Path) -> None:
    write(
        folder,
        customers=["V-1,2026-01-01T00:00:00Z"],
        events=events_of("C-1", "V-1"),
        decisions=[decision(1), decision(2, offer_id="", channel="", creative_id="", stage="", touchpoint="")],
        outcomes=["o1,d1,C-1,clicked,2026-01-31T09:30:00Z"],
    )
    assert bring(folder, home).unmatched == ()


def test_visitors_who_became_customers_are_known_by_both_ids(home: Settings, folder: Path) -> None:
    events = [
        {"event_id": "i", "customer_id": "C-1", "type": "identified", "properties": '{"anonymous_id": "web-1"}'},
        {"event_id": "b", "customer_id": "web-1", "type": "browse", "properties": None},
    ]
    pl.DataFrame([one | {"occurred_at": DECIDED} for one in events]).write_csv(folder / "events.csv")
    write(folder, decisions=[decision(1, customer_id="web-1")], outcomes=[f"o1,d1,C-1,clicked,{DECIDED}"])
    assert bring(folder, home).unmatched == ()
    (folder / "events.csv").unlink()  # now the log has the event
    write(folder, decisions=[decision(2, customer_id="web-1")], outcomes=[f"o2,d2,C-1,clicked,{DECIDED}"])
    assert bring(folder, home).unmatched == ()
    write(folder, decisions=[decision(3, customer_id="web-1")], outcomes=[f"o3,d3,C-2,clicked,{DECIDED}"])
    with pytest.raises(InvalidInputError, match="customer of its decision, and 1 of 1 do not"):
        bring(folder, home)


def test_a_few_unknown_customers_are_counted_and_imported(home: Settings, folder: Path) -> None:
    write(folder, events=events_of("C-1.0", *(f"C-{n}" for n in range(1, 40))))
    [one] = (report := bring(folder, home)).unmatched
    assert (unmatched(report), one.share) == ([("events.csv", "customer_id", 1, 40)], 1 / 40)
    assert "1 would without `.0` at the end" in str(one)
    assert EventLog(home.log_path).read(EVENTS).height == 40


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"events": events_of("C-1.0", "C-1")}, "events.csv: customer_id must name a known customer, and 1 of 2"),
        ({"decisions": [decision(1, customer_id="C-999")]}, "decisions.csv: customer_id must name a known customer"),
        ({"decisions": [decision(1, touchpoint="weekly-male")]}, "'weekly-male', did you mean 'weekly-mail'"),
        ({"decisions": [decision(1, offer_id="ten-per-cent")]}, "'ten-per-cent', did you mean 'ten-percent'"),
        ({"decisions": [decision(1, channel="e-mail")]}, "'e-mail', did you mean 'email'"),
        ({"decisions": [decision(1, creative_id="plane")]}, "a creative of its offer, and 1 of 1 do not .'plane', did"),
        ({"decisions": [decision(1, stage="activ")]}, "'activ', did you mean 'active'"),
        ({"outcomes": [f"o1,nope,C-1,clicked,{DECIDED}"]}, "decision_id must name a known decision, and 1 of 1"),
        (
            {"decisions": [decision(1)], "outcomes": [f"o1,d1,C-2,clicked,{DECIDED}"]},
            "outcomes.csv: customer_id must name the customer of its decision, and 1 of 1",
        ),
    ],
)
def test_above_the_tolerated_share_nothing_is_imported_and_each_column_is_named(
    home: Settings, folder: Path, tables: dict[str, list[str]], words: str
) -> None:
    write(folder, **tables)
    with pytest.raises(InvalidInputError, match=words) as caught:
        bring(folder, home)
    assert "--max-unknown 1.0" in str(caught.value) or "--max-unknown 0.51" in str(caught.value)
    assert "C-1.0" not in str(caught.value)
    for table in (EVENTS, DECISIONS, OUTCOMES):
        assert EventLog(home.log_path).read(table).is_empty()
    assert not (home.home / "staging").exists()
    assert bring(folder, home, most_unmatched=1.0).unmatched


def test_the_share_named_in_the_refusal_is_enough(home: Settings, folder: Path) -> None:
    write(folder, events=events_of("C-1.0", "C-2", "C-3"))
    with pytest.raises(InvalidInputError, match=r"--max-unknown 0\.34"):
        bring(folder, home)
    assert bring(folder, home, most_unmatched=0.34).tables[0].inserted == 3


def test_if_no_customer_is_known_yet_the_error_says_so(tmp_path: Path, folder: Path) -> None:
    write(folder, events=events_of("C-1"))
    with pytest.raises(InvalidInputError, match="none is known yet"):
        bring(folder, Settings(home=tmp_path / "fresh"))


def test_whole_numbers_written_as_floats_are_the_whole_numbers_in_every_table(tmp_path: Path, folder: Path) -> None:
    """A data frame with a gap in a numeric column writes 17850.0; a column with other ids in it is kept as it is."""
    home = Settings(home=tmp_path / "home")
    write(
        folder,
        customers=["17850,2026-01-01T00:00:00Z", "V-1.0,2026-01-01T00:00:00Z"],
        events=["1.0,17850.0,browse," + DECIDED, "2,V-1.0,browse," + DECIDED],
        decisions=[decision(1, decision_id="7.0", customer_id="17850.0")],
        outcomes=[f"9.0,7,17850,clicked,{DECIDED}"],
    )
    assert bring(folder, home).unmatched == ()
    log = EventLog(home.log_path)
    assert set(log.read(EVENTS).select("event_id", "customer_id").rows()) == {("1", "17850"), ("2", "V-1.0")}
    assert log.read(OUTCOMES).select("outcome_id", "decision_id").rows() == [("9", "7")]
    again = bring(folder, home)
    assert [one.duplicates == one.read for one in again.tables] == [True] * 4


def test_float_columns_of_parquet_are_ids_if_floats_hold_them_exactly(tmp_path: Path, folder: Path) -> None:
    home = Settings(home=tmp_path / "home")
    ids = [17850.0, 1.5, 2.0**60, None]
    moments = [NOW] * len(ids)
    pl.DataFrame({"customer_id": ids, "updated_at": moments}).write_parquet(folder / "customers.parquet")
    report = bring(folder, home)
    assert EventLog(home.log_path).read(CUSTOMERS)["customer_id"].to_list() == ["17850"]
    rules = {rule.rule: (rule.first_row, rule.rows) for rule in report.broken_rules}
    assert rules == {"text or a whole number": (2, 2), "given": (4, 1)}


def test_an_erased_customer_is_skipped_in_every_spelling(tmp_path: Path, folder: Path) -> None:
    home = Settings(home=tmp_path / "home")
    tombstones_of(home).add("17850", now=NOW, reason="request")
    write(folder, customers=["17850.0,2026-01-01T00:00:00Z", "17850,2026-01-01T00:00:00Z", "1,2026-01-01T00:00:00Z"])
    [table] = bring(folder, home).tables
    assert (table.inserted, table.erased) == (1, 2)


def test_the_list_of_columns_with_ids_is_complete() -> None:
    ids = {column.name for table in TABLES.values() for column in table.columns if column.is_id}
    assert ids == {"customer_id", "event_id", "decision_id", "outcome_id", "household", "offer_id", "creative_id"}


REEXPORT = "event_id,customer_id,type,occurred_at,recorded_at,amount_minor,currency\n"


def reexported(folder: Path, home: Settings, *lines: str):
    (folder / "events.csv").write_text(REEXPORT + "\n".join(lines) + "\n")
    [table] = bring(folder, home).tables
    return table.inserted, table.duplicates, table.rejected


def test_a_nightly_export_with_a_new_recorded_at_is_a_duplicate_and_no_contradiction(
    home: Settings, folder: Path
) -> None:
    first = "E,C-1,purchase,2026-11-01T10:00:00Z,2026-11-02T01:00:00Z,5000,EUR"
    assert reexported(folder, home, first) == (1, 0, 0)
    for again in (
        first.replace("-02T01", "-03T01"),
        first.replace("2026-11-02T01:00:00Z", ""),
        first.replace("2026-11-01T10:00:00Z", "2026-11-01T11:00:00.000+01:00"),
        first.replace("5000,EUR", "5000,"),
    ):
        assert reexported(folder, home, again) == (0, 1, 0), again
    assert reexported(folder, home, first.replace("5000", "4500")) == (0, 0, 1)
    [row] = EventLog(home.log_path).read(EVENTS).to_dicts()
    assert (row["recorded_at"], row["amount_minor"]) == (datetime(2026, 11, 2, 1, tzinfo=UTC), 5000)


def test_two_nights_in_one_file_are_one_event(home: Settings, folder: Path) -> None:
    night = "E,C-1,purchase,2026-11-01T10:00:00Z,2026-11-0{}T01:00:00Z,{},EUR"
    assert reexported(folder, home, night.format(2, 5000), night.format(3, 5000)) == (1, 1, 0)
    other = night.replace("E,", "F,")
    assert reexported(folder, home, other.format(2, 5000), other.format(3, 4000)) == (1, 0, 1)


def test_a_row_with_more_data_than_the_log_is_reported(home: Settings, folder: Path) -> None:
    assert reexported(folder, home, "E,C-1,browse,2026-11-01T10:00:00Z,,,") == (1, 0, 0)
    assert reexported(folder, home, "E,C-1,browse,2026-11-01T10:00:00Z,,5000,EUR") == (0, 0, 1)
