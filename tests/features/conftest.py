"""A home whose log holds the shop, for tests that build features from it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import EventLog
from features.settings import Settings

SHOP_CATALOGUE = Path(__file__).parents[1] / "catalogues" / "shop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Canonical frames, made by hand."""

    customers: pl.DataFrame
    events: pl.DataFrame
    decisions: pl.DataFrame
    outcomes: pl.DataFrame


def frame_of(table: Table, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows with only the columns that matter here."""
    return pl.DataFrame([{**dict.fromkeys(table.schema), **row} for row in rows], schema=table.schema, orient="row")


def write_log(settings: Settings, tables: object) -> None:
    log = EventLog(settings.log_path)
    for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES):
        log.append(table, getattr(tables, table.name))


def make_tables(**rows: list[dict[str, object]]) -> Tables:
    """Hand-made tables: `customers`, `events`, `decisions`, `outcomes` as lists of partial rows; ids are filled in."""
    filled: dict[str, pl.DataFrame] = {}
    for table, identifier in (
        (CUSTOMERS, None),
        (EVENTS, "event_id"),
        (DECISIONS, "decision_id"),
        (OUTCOMES, "outcome_id"),
    ):
        given = rows.get(table.name, [])
        if identifier:
            given = [{identifier: f"{identifier}-{place}", **row} for place, row in enumerate(given)]
        filled[table.name] = frame_of(table, [{"customer_id": "C", **row} for row in given])
    return Tables(**filled)


@pytest.fixture(scope="session")
def tables_of() -> Callable[..., Tables]:
    return make_tables


@pytest.fixture(scope="session")
def days_before() -> Callable[[float], datetime]:
    """The moment that many days before T = 2026-06-01."""
    return lambda days: datetime(2026, 6, 1, tzinfo=UTC) - timedelta(days=days)


@pytest.fixture(scope="session")
def small_shop(shop) -> Tables:
    """The shop's first thirty customers."""
    few = pl.col("customer_id") < "C-00030"
    return Tables(
        customers=shop.customers.filter(few),
        events=shop.events.filter(few),
        decisions=shop.decisions.filter(few),
        outcomes=shop.outcomes.filter(few),
    )


@pytest.fixture(scope="session")
def make_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[object], Settings]:
    """A fresh home whose log holds the given tables."""

    def make(tables: object) -> Settings:
        settings = Settings(home=tmp_path_factory.mktemp("home"))
        shutil.copytree(SHOP_CATALOGUE, settings.catalogue_path)
        write_log(settings, tables)
        return settings

    return make
