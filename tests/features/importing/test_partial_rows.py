"""A file with fewer columns loses no data, and the import reports what is cleared explicitly."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.customer import Customer
from features.catalogue import load_catalogue
from features.computing.compute import compute_features
from features.history import History
from features.importing.folder import ImportReport, import_folder
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.customer_rows import needed_rows
from features.log.event_log import EventLog
from features.online.profiles import customers_from_frame
from features.settings import Settings

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
CONSENT = {"channel": "email", "purpose": "marketing", "granted": True}
WHOLE = {
    "customer_id": "C-1", "joined_at": "2025-01-01T00:00:00Z", "time_zone": "Europe/Berlin", "locale": "de-DE",
    "channels": '["email"]', "consents": orjson.dumps([CONSENT]).decode(), "household": "H-1", "country": "DE",
    "attributes": '{"age":40,"region":"north"}', "protections": '["vulnerable"]',
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    home = Settings(home=tmp_path / "home")
    shutil.copytree(SHOP, home.catalogue_path)
    return home


def imported(home: Settings, row: dict[str, Any], day: int, suffix: str = ".csv") -> ImportReport:
    folder = home.home.parent / f"in-{day}"
    folder.mkdir()
    frame = pl.DataFrame([{**row, "updated_at": (NOW - timedelta(days=30 - day)).isoformat()}])
    path = folder / f"customers{suffix}"
    frame.write_csv(path) if suffix == ".csv" else frame.write_parquet(path)
    report = import_folder(folder, home, now=NOW)
    assert report.rejected == 0, report.broken_rules
    return report


def profile(home: Settings) -> Customer:
    [customer] = customers_from_frame(EventLog(home.log_path).read(CUSTOMERS))
    return customer


def features(home: Settings) -> dict[str, Any]:
    anchors = pl.DataFrame({"customer_id": ["C-1"], "at": [NOW]})
    return compute_features(history(home), anchors, load_catalogue(SHOP)).row(0, named=True)


def history(home: Settings) -> History:
    log = EventLog(home.log_path)
    tables = {table.name: log.read(table) for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES)}
    return History(**tables)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_nightly_file_with_three_columns_changes_nothing_else(home: Settings, suffix: str) -> None:
    imported(home, WHOLE, 1)
    before, known = profile(home), features(home)
    report = imported(home, {"customer_id": "C-1", "attributes": '{"age": 41}'}, 2, suffix)
    after = profile(home)

    assert report.cleared == ()
    assert after.attributes == {"age": 41, "region": "north"}
    for name in ("time_zone", "locale", "reachable_channels", "consents", "household_id", "country", "protections"):
        assert getattr(after, name) == getattr(before, name), name
    assert features(home) | {"attribute_age": 40.0} == known


@pytest.mark.parametrize("cell", [None, "", "NA"])
def test_an_empty_cell_changes_nothing(home: Settings, cell: str | None) -> None:
    imported(home, WHOLE, 1)
    imported(home, {"customer_id": "C-1", "time_zone": cell, "channels": cell}, 2)

    assert (profile(home).time_zone, profile(home).reachable_channels) == ("Europe/Berlin", {"email"})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("word", [r"\N", "NULL", "null"])
def test_an_explicit_null_clears_a_value_and_the_import_counts_the_customers(
    home: Settings, suffix: str, word: str
) -> None:
    imported(home, WHOLE, 1)
    row = {"customer_id": "C-1", "time_zone": word, "consents": word, "attributes": '{"region": null}'}
    report = imported(home, row, 2, suffix)
    found = profile(home)

    assert sorted(map(str, report.cleared)) == [
        "attributes.region of 1 customers", "consents of 1 customers", "time_zone of 1 customers"
    ]  # fmt: skip
    assert (found.time_zone, found.consents, found.attributes) == (None, (), {"age": 40})
    assert (features(home)["attribute_region"], features(home)["attribute_age"]) == (None, 40.0)


@pytest.mark.parametrize("named", ['["household"]', ' [ "household" ] ', '["household", "consents"]', "[]", "", r"\N"])
def test_an_explicit_null_clears_its_column_whatever_the_cleared_list_names(home: Settings, named: str) -> None:
    imported(home, WHOLE, 1)
    imported(home, {"customer_id": "C-1", "consents": r"\N", "cleared": named}, 2)
    customer = profile(home)
    assert customer.consents == ()
    assert (customer.household_id is None) == ("household" in named)


def test_any_column_is_cleared_by_name(home: Settings) -> None:
    imported(home, WHOLE, 1)
    imported(home, {"customer_id": "C-1", "cleared": '["joined_at", "attributes", "household"]'}, 2, ".parquet")

    assert (profile(home).household_id, profile(home).attributes, profile(home).country) == (None, {}, "DE")
    assert (features(home)["customer_tenure_days"], features(home)["attribute_age"]) == (None, None)


def test_protections_stay_until_an_empty_list_lifts_them(home: Settings) -> None:
    imported(home, WHOLE, 1)
    imported(home, {"customer_id": "C-1", "protections": r"\N"}, 2)
    assert profile(home).protections == {"vulnerable"}
    imported(home, {"customer_id": "C-1", "protections": "[]"}, 3)
    assert profile(home).protections == frozenset()


def test_carried_consents_are_no_newer_than_the_row_that_gave_them(home: Settings) -> None:
    """A nightly row with a new points balance must not restore a consent withdrawn in between."""
    from features.log.said import said_by

    imported(home, WHOLE, 1)
    withdrawn = {
        "event_id": "e1", "customer_id": "C-1", "type": "consent_withdrawn", "occurred_at": NOW - timedelta(days=20),
        "properties": '{"channel":"email","purpose":"marketing"}',
    }  # fmt: skip
    events = pl.DataFrame([withdrawn], schema=pl.Schema(EVENTS.schema))
    imported(home, {"customer_id": "C-1", "attributes": '{"age": 41}'}, 29)
    said = said_by(events, pl.DataFrame(schema=OUTCOMES.schema), pl.DataFrame(schema=DECISIONS.schema))
    [customer] = customers_from_frame(EventLog(home.log_path).read(CUSTOMERS), said)

    assert [one.is_granted for one in customer.consents if one.purpose == "marketing"] == [False]


COLUMNS = ["time_zone", "locale", "household", "country"]
VALUES: dict[str, list[Any]] = {
    "time_zone": ["Europe/Berlin", "Europe/Paris"], "locale": ["de-DE", "fr-FR"], "household": ["H-1", "H-2"],
    "country": ["DE", "FR"],
}  # fmt: skip
said_rows = st.lists(
    st.fixed_dictionaries({}, optional={name: st.sampled_from([*VALUES[name], None]) for name in COLUMNS}),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(rows=said_rows)
def test_any_subset_of_columns_in_any_order_leaves_the_newest_value_of_each(rows: list[dict[str, Any]]) -> None:
    """None stands for an explicit null. Rows that retention may delete change nothing either."""
    expected: dict[str, Any] = dict.fromkeys(COLUMNS)
    table = []
    for day, row in enumerate(rows):
        expected |= row
        gone = [name for name, value in row.items() if value is None]
        at = NOW + timedelta(days=day)
        table.append({"customer_id": "C-1", "updated_at": at, **row, "cleared": orjson.dumps(gone).decode()})
    frame = pl.DataFrame(table, schema=pl.Schema(CUSTOMERS.schema)).sample(fraction=1, shuffle=True, seed=1)
    kept = frame.join(needed_rows(frame), on=["customer_id", "updated_at"], how="semi")
    for some in (frame, kept):
        [one] = customers_from_frame(some)
        assert (one.time_zone, one.locale, one.household_id, one.country) == tuple(expected[name] for name in COLUMNS)


def test_attributes_at_every_moment_are_those_given_by_then() -> None:
    said: list[str | None] = ['{"age":1}', None, '{"region":"north"}', '{"age":null}', '{"age":3,"region":"south"}']
    table = [
        {"customer_id": "C-1", "updated_at": NOW + timedelta(days=day), "attributes": text}
        for day, text in enumerate(said)
    ]
    customers = pl.DataFrame(table, schema=pl.Schema(CUSTOMERS.schema))
    empty = {name: pl.DataFrame(schema=pl.Schema(each.schema)) for name, each in
             (("events", EVENTS), ("decisions", DECISIONS), ("outcomes", OUTCOMES))}  # fmt: skip
    catalogue = load_catalogue(SHOP)
    anchors = customers.select("customer_id", at=pl.col("updated_at") + timedelta(hours=1))
    found = compute_features(History(customers=customers, **empty), anchors, catalogue)

    assert found["attribute_age"].to_list() == [1.0, 1.0, 1.0, None, 3.0]
    words = {"north": 0.0, "south": 1.0}
    assert found["attribute_region"].to_list() == [None, None, words["north"], words["north"], words["south"]]
