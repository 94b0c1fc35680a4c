"""When things happen inside a week, in hours after its beginning; arrays of shape (n,)."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from pipelines.simulation.world.chance import Cause
from pipelines.simulation.world.flights import FLYING_DAYS, WeekOfFlights
from pipelines.simulation.world.week import WeekResult

DELIVERY_HOURS = {"direct_mail": 72.0, "event": 160.0, "call": 1.0}
"""When a message arrives; the others arrive at once."""

_AT_ONCE = 0.05
_READ_WITHIN = {"direct_mail": 40.0, "event": 5.0, "call": 0.1}
_READ_ONLINE = 30.0
_LAST_ACT = 167.0
_ZONE = "America/New_York"


def delivered_hours(result: WeekResult) -> FloatArray:
    """When each customer's message arrives."""
    return _of_channel(result, DELIVERY_HOURS, _AT_ONCE)


def seen_hours(result: WeekResult) -> FloatArray:
    """When it is seen; most online messages within hours."""
    uniform = result.chance(Cause.SEEN_AT)
    return delivered_hours(result) + 0.02 + uniform**2 * _of_channel(result, _READ_WITHIN, _READ_ONLINE)


def acted_hours(result: WeekResult) -> FloatArray:
    """When a customer makes up their mind: any time of the week, but after what they saw."""
    begin = np.where(result.is_seen, seen_hours(result) + 0.02, 0.5)
    return begin + result.chance(Cause.ACTED_AT) ** 2 * (_LAST_ACT - begin)


def departs_hours(flights: WeekOfFlights, begins_at: datetime, flight: IntArray) -> FloatArray:
    """When flights are scheduled to leave."""
    midnights, zone = np.zeros(max(FLYING_DAYS) + 1), ZoneInfo(_ZONE)
    for day in FLYING_DAYS:
        local = datetime.combine(begins_at.date() + timedelta(days=day), datetime.min.time(), tzinfo=zone)
        midnights[day] = (local - begins_at).total_seconds() / 3_600
    return midnights[flights.day[flight]] + flights.departs_minute[flight] / 60


def _of_channel(result: WeekResult, hours: dict[str, float], otherwise: float) -> FloatArray:
    effects = result.effects
    by_channel = np.array([hours.get(name, otherwise) for name in effects.population.channels])
    return by_channel[effects.channel[result.actions]] if effects.messages else np.full(result.actions.size, otherwise)
