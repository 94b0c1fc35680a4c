"""Trips in a week, on real flights: notice, check-in, departure, delay, cancellation, landing, lost bags."""

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from pipelines.simulation.events.table_rows import LAST_HOUR, Sheet
from pipelines.simulation.events.texts import words_for
from pipelines.simulation.events.timing import departs_hours
from pipelines.simulation.world.chance import Cause
from pipelines.simulation.world.journey import JourneyStep
from pipelines.simulation.world.state import OpenTrouble, keys_of
from pipelines.simulation.world.week import WeekResult

NOTICE_HOURS = (96.0, 160.0)
"""A trip is announced late in the week before it: three to nine days ahead."""

NOTED_DELAY_MINUTES = 60
"""Delays beyond it are told to the customer."""

ANSWER_HOURS = (1.0, 40.0)
"""Time to the first answer where the airline's own people answer cases; most come early."""

_REBOOKED_HOURS = 14.0
_CHECK_IN_HOURS = 24.0
_TOLD_BEFORE_HOURS = 5.0


def add_flights(sheet: Sheet, result: WeekResult) -> None:
    """Add what happens around flights."""
    _add_notices(sheet, result)
    _add_departures(sheet, result)
    _add_landings(sheet, result)


def _add_notices(sheet: Sheet, result: WeekResult) -> None:
    rows = np.flatnonzero((result.before.step != JourneyStep.PREPARE) & (result.after.step == JourneyStep.PREPARE))
    first, last = NOTICE_HOURS
    hours = first + (last - first) * result.chance(Cause.TRIP_NOTICE_AT)[rows]
    sheet.add("trip_upcoming", rows, hours, keys="trip")


def _add_departures(sheet: Sheet, result: WeekResult) -> None:
    """The flight out is one that left: whose flight is cancelled at home is rebooked before they set out."""
    flights = result.flights
    rows = np.flatnonzero(result.before.step == JourneyStep.PREPARE)
    flight = flights.pick(result.effects.population.airport[rows], result.chance(Cause.FLIGHT_OUT)[rows])
    scheduled = departs_hours(flights, result.when.begins_at, flight)
    delay = np.maximum(flights.departure_delay_minutes[flight], 0)
    name = {"flight": [flights.names[each] for each in flight.tolist()]}
    sheet.add("check_in_opened", rows, scheduled - _CHECK_IN_HOURS, keys="check-in", properties=name)
    told = {**name, "delay_minutes": delay}
    sheet.add("flight_departed", rows, scheduled + delay / 60, keys="out", properties=told)
    _add_delays(sheet, result, rows, flight, "out")


def _add_delays(sheet: Sheet, result: WeekResult, rows: IntArray, flight: IntArray, way: str) -> None:
    flights = result.flights
    delay = flights.departure_delay_minutes[flight]
    late = delay > NOTED_DELAY_MINUTES
    scheduled = departs_hours(flights, result.when.begins_at, flight[late])
    told = {"flight": [flights.names[each] for each in flight[late].tolist()], "delay_minutes": delay[late]}
    sheet.add("flight_delayed", rows[late], scheduled - 0.5, keys=f"delayed-{way}", properties=told)


def _add_landings(sheet: Sheet, result: WeekResult) -> None:
    flights, week = result.flights, result.when.week
    rows = np.flatnonzero(result.before.step == JourneyStep.TRAVEL)
    flight, case = result.flight_home[rows], result.after.case[rows]
    scheduled = departs_hours(flights, result.when.begins_at, flight)
    name = [flights.names[each] for each in flight.tolist()]
    cancelled = case == OpenTrouble.CANCELLED
    in_air = (flights.air_minutes[flight] + np.maximum(flights.arrival_delay_minutes[flight], 0)) / 60
    # Trouble at the very end of a week would be reported in the next one, and the case would not be seen in time.
    landed = np.minimum(scheduled + np.where(cancelled, _REBOOKED_HOURS, in_air), LAST_HOUR - 3)
    sheet.add("flight_landed", rows, landed, keys="home", properties={"flight": name})
    _add_delays(sheet, result, rows[~cancelled], flight[~cancelled], "home")
    told = scheduled - _TOLD_BEFORE_HOURS
    for kind, which, hours, words, channel in (
        ("bag_lost", OpenTrouble.BAG, landed + 0.7, None, "airport_desk"),
        ("flight_cancelled", OpenTrouble.CANCELLED, told, None, "airport_desk"),
        ("complaint", OpenTrouble.DELAYED, landed + 2.0, "complaint", "email"),
    ):
        of = case == which
        who = rows[of]
        properties: dict[str, object] = {"case_id": keys_of("case", week, who).to_list()}
        if words is not None:
            properties |= {"kind": "complaint", "text": words_for(words, result, who)}
        sheet.add(kind, who, hours[of], keys=kind, properties=properties, channel=channel)
        _add_answers(sheet, result, who, hours[of])


def _add_answers(sheet: Sheet, result: WeekResult, rows: IntArray, opened: FloatArray) -> None:
    """The airline's own people answer within a day or two."""
    if not result.has_staff:
        return
    first, last = ANSWER_HOURS
    hours = opened + first + (last - first) * result.chance(Cause.ANSWERED_AT)[rows] ** 2
    properties = {"case_id": keys_of("case", result.when.week, rows).to_list()}
    sheet.add("case_answered", rows, hours, keys="answered", properties=properties)
