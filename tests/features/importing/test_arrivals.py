"""Rows dated after their import: refusals are accepted, and nothing counts as known before it arrived."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from features.importing.folder import ImportReport, import_folder
from features.log.contracts import CUSTOMERS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.log.said import said_in_log
from features.online.profiles import customers_from_frame
from features.settings import Settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
EMAIL = {"channel": "email", "purpose": "marketing"}
REFUSALS = {
    "consent_withdrawn": EMAIL,
    "profiling_opted_out": {},
    "protected": {"protection": "minor"},
}
GRANTS = {"consent_given": EMAIL, "profiling_opted_in": {}, "unprotected": {"protection": "minor"}}
YES = orjson.dumps([{**EMAIL, "granted": True, "recorded_at": "2026-01-01T00:00:00Z"}]).decode()


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def bring(home: Settings, now: datetime = NOW, **tables: list[Mapping[str, object]]) -> ImportReport:
    folder = home.home.parent / f"brought-{now:%Y%m%d%H%M%S}"
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        pl.DataFrame([dict(one) for one in rows]).write_csv(folder / f"{name}.csv")
    return import_folder(folder, home, now=now, most_unmatched=1.0)


def event(kind: str, at: str, **properties: str) -> dict[str, object]:
    told = orjson.dumps(properties).decode()
    return {"event_id": f"{kind}-{at}", "customer_id": "C-1", "type": kind, "occurred_at": at, "properties": told}


def profile(home: Settings):
    log = EventLog(home.log_path)
    [customer] = customers_from_frame(log.read(CUSTOMERS), said_in_log(log))
    return customer


def is_refused(home: Settings) -> list[bool]:
    customer = profile(home)
    granted = {one.is_granted for one in customer.consents if one.channel_id == "email"}
    return [granted == {False}, customer.has_opted_out_of_profiling, "minor" in customer.protections]


@pytest.mark.parametrize("day", ["2026-11-20", "2026-12-24", "2099-01-01", "9999-01-01", "1969-07-20"])
def test_a_refusal_with_any_date_counts_from_the_import_until_a_later_consent(home: Settings, day: str) -> None:
    at = f"{day}T00:30:00Z"
    customer = {"customer_id": "C-1", "updated_at": "2026-11-01T00:00:00Z", "consents": YES}
    report = bring(home, customers=[customer], events=[event(kind, at, **said) for kind, said in REFUSALS.items()])
    assert report.rejected == 0
    assert is_refused(home) == [True, True, True]

    later = NOW + timedelta(days=1)
    said = [event(kind, (later - timedelta(hours=1)).isoformat(), **properties) for kind, properties in GRANTS.items()]
    assert bring(home, later, events=said).rejected == 0
    assert is_refused(home) == [False, False, False]


def test_a_consent_dated_in_the_future_is_refused_with_a_reason(home: Settings) -> None:
    report = bring(home, events=[event("unprotected", "2026-11-20T00:01:01Z", protection="minor")])
    assert [str(one) for one in report.broken_rules] == [
        "events.csv row 1: occurred_at must be at most 60 seconds after the import for a yes"
    ]


def test_a_future_consent_accepted_by_an_older_release_has_no_effect(home: Settings) -> None:
    customer = {"customer_id": "C-1", "updated_at": "2026-11-01T00:00:00Z", "consents": YES}
    no = [event(kind, "2026-11-19T00:00:00Z", **said) for kind, said in REFUSALS.items()]
    ahead = [event(kind, "2026-11-20T00:50:00Z", **said) for kind, said in GRANTS.items()]
    assert bring(home, customers=[customer], events=no).rejected == 0
    taken = pl.DataFrame(ahead).with_columns(
        pl.col("occurred_at").str.to_datetime(time_unit="us", time_zone="UTC"), recorded_at=pl.lit(NOW)
    )
    EventLog(home.log_path).append(EVENTS, taken)
    assert is_refused(home) == [True, True, True]


def test_other_rows_up_to_an_hour_ahead_count_from_the_import_and_later_ones_are_refused(home: Settings) -> None:
    soon, late = event("browse", "2026-11-20T00:30:00Z"), event("browse", "2026-11-20T02:00:00Z")
    report = bring(home, events=[soon, late])
    assert [str(one) for one in report.broken_rules] == [
        "events.csv row 2: occurred_at must be at most 1 hour after the import"
    ]
    assert EventLog(home.log_path).read(EVENTS)["recorded_at"].to_list() == [NOW]


def test_the_same_export_a_day_later_is_a_duplicate(home: Settings) -> None:
    rows = [event("protected", "2099-01-01T00:00:00Z", protection="minor")]
    bring(home, events=rows)
    again = bring(home, NOW + timedelta(days=1), events=rows)
    assert (again.rejected, again.tables[0].inserted, again.tables[0].duplicates) == (0, 0, 1)
    assert EventLog(home.log_path).read(EVENTS)["recorded_at"].to_list() == [NOW]


def test_an_unsubscription_counts_even_with_a_wrong_clock(home: Settings) -> None:
    customer = {"customer_id": "C-1", "updated_at": "2026-11-01T00:00:00Z", "consents": YES}
    decision = {"decision_id": "D-1", "customer_id": "C-1", "decided_at": "2026-11-02T00:00:00Z", "offer_id": "x",
                "channel": "email", "creative_id": "y"}  # fmt: skip
    left = {"outcome_id": "O-1", "decision_id": "D-1", "customer_id": "C-1", "type": "unsubscribed"}
    report = bring(
        home, customers=[customer], decisions=[decision], outcomes=[{**left, "occurred_at": "2077-01-01T00:00:00Z"}]
    )
    assert report.rejected == 0
    assert EventLog(home.log_path).read(OUTCOMES)["recorded_at"].to_list() == [NOW]
    assert is_refused(home)[0]


def test_a_customer_row_dated_tomorrow_counts_from_the_import(home: Settings) -> None:
    """Rejecting the row would lose the refusals in it; keeping its date would block newer rows for years."""
    refusal = orjson.dumps([{**EMAIL, "granted": False}]).decode()
    bring(home, customers=[{"customer_id": "C-1", "updated_at": "2031-01-01T00:00:00Z", "consents": refusal}])
    assert (profile(home).known_at, is_refused(home)[0]) == (NOW, True)
    later = {"customer_id": "C-1", "updated_at": "2026-11-21T00:00:00Z", "consents": YES.replace("2026-01", "2026-11")}
    bring(home, NOW + timedelta(days=1), customers=[later])
    assert profile(home).known_at == NOW + timedelta(days=1)
