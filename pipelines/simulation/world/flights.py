"""Which real flights a week of the world has, and so how likely it is that a trip ends badly, exactly."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IntArray
from examples.airline.flights import AIRPORTS, read_flights
from pipelines.simulation.world.structure import Structure

FLYING_DAYS = (2, 3, 4, 5)
"""Days of the week of the world on which trips begin and end: Wednesday to Saturday, so that all of it is over in time.

Check-in opens the day before, still within the week; delays, a rebooked flight home and its trouble end on Sunday.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekOfFlights:
    """Real flights on the days of the year that a week of the world covers; arrays of shape (f,).

    Attributes:
        first: First flight of each airport, shape (airports + 1,): those of airport a are first[a] to first[a + 1].
        day: Day of the world's week on which it leaves.
        departs_minute: Scheduled, local minute of the day in New York.
        air_minutes: In the air.
        departure_delay_minutes: At the start; negative where early.
        arrival_delay_minutes: At the end.
        is_cancelled: Never left.
        names: Carrier, number and destination, such as `UA 1545 to IAH`.
    """

    first: IntArray
    day: IntArray
    departs_minute: IntArray
    air_minutes: IntArray
    departure_delay_minutes: IntArray
    arrival_delay_minutes: IntArray
    is_cancelled: BoolArray
    names: tuple[str, ...]

    def pick(self, airport: IntArray, uniform: FloatArray) -> IntArray:
        """A flight for each customer, all flights of their airport alike; shape (n,)."""
        begin, count = self.first[airport], self.first[airport + 1] - self.first[airport]
        return begin + np.minimum((uniform * count).astype(np.int64), count - 1)

    def bag_lost_probability(self, structure: Structure) -> FloatArray:
        """P(a bag stays behind) on each flight, shape (f,)."""
        delay = np.maximum(self.arrival_delay_minutes, 0)
        return np.minimum(structure.bag_lost + structure.bag_lost_per_minute * delay, structure.bag_lost_most)

    def is_very_late(self, structure: Structure) -> BoolArray:
        """Arrived so late that it is a case, shape (f,)."""
        return self.arrival_delay_minutes > structure.very_late_minutes

    def trouble_rates(self, structure: Structure) -> tuple[FloatArray, FloatArray]:
        """P(a case) and P(no case, but late) of a trip home to each airport, two arrays of shape (airports,)."""
        is_surely = self.is_cancelled | self.is_very_late(structure)
        case = np.where(is_surely, 1.0, self.bag_lost_probability(structure))
        late = np.where(self.arrival_delay_minutes > structure.late_minutes, 1 - case, 0.0)
        begin, count = self.first[:-1], np.diff(self.first)
        return np.add.reduceat(case, begin) / count, np.add.reduceat(late, begin) / count


@lru_cache(maxsize=128)
def flights_of_week(begins_on: date) -> WeekOfFlights:
    """The flights of the week that begins on a day.

    Raises:
        InvalidInputError: The flights are not installed.
    """
    days = [begins_on + timedelta(days=offset) for offset in FLYING_DAYS]
    dates = pl.DataFrame({"month": [d.month for d in days], "day": [_day(d) for d in days], "offset": FLYING_DAYS})
    found = read_flights().join(dates, on=["month", "day"], how="inner", maintain_order="left")
    counts = np.bincount(found["airport"].to_numpy(), minlength=len(AIRPORTS))
    label = pl.format("{} {} to {}", "carrier", "flight", "destination")
    return WeekOfFlights(
        first=np.concatenate([[0], np.cumsum(counts)]),
        day=found["offset"].to_numpy(),
        departs_minute=found["departs_minute"].to_numpy(),
        air_minutes=found["air_minutes"].to_numpy(),
        departure_delay_minutes=found["departure_delay_minutes"].to_numpy(),
        arrival_delay_minutes=found["arrival_delay_minutes"].to_numpy(),
        is_cancelled=found["is_cancelled"].to_numpy(),
        names=tuple(found.select(label).to_series().to_list()),
    )


def flights_at(moment: datetime) -> WeekOfFlights:
    """The flights of the week that begins at a moment."""
    return flights_of_week(moment.date())


def _day(day: date) -> int:
    """Day of the month in 2013, which had no 29 February."""
    return min(day.day, 28) if day.month == 2 else day.day  # noqa: PLR2004 - February
