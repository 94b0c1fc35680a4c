"""What customers do and what operations report in a week, as canonical events: all that anybody can see."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IntArray
from pipelines.simulation.events.flight_events import add_flights
from pipelines.simulation.events.outcomes import COMPLAINT_CASE, is_complaining
from pipelines.simulation.events.service_events import add_service
from pipelines.simulation.events.table_rows import Sheet
from pipelines.simulation.events.texts import words_for
from pipelines.simulation.events.timing import acted_hours, seen_hours
from pipelines.simulation.world.chance import Cause
from pipelines.simulation.world.journey import JourneyStep
from pipelines.simulation.world.population import REGIONS
from pipelines.simulation.world.state import keys_of
from pipelines.simulation.world.week import HOURS, WeekResult

BROWSE_RATE = 0.7
"""P(a dreamer browses in a week); whoever begins to dream surely does."""

ADVERTISED_RATE = 0.1
"""P(a dreamer or planner sees an advertisement that nobody aimed at them); it changes nothing."""

_OWN_NAMES = (
    "trip_upcoming", "check_in_opened", "flight_delayed", "flight_cancelled", "bag_lost", "bag_found", "case_resolved",
)  # fmt: skip
MOMENTS: Mapping[str, str] = {name: name for name in _OWN_NAMES} | {"flight_landed": "landed"}
"""Moments of service by event type; a purchase of a ticket is the moment `booked`."""

_SECOND = 1 / 3_600


def events_of(result: WeekResult) -> pl.DataFrame:
    """Canonical events of a week, sorted by time."""
    sheet = Sheet("events", result.when, result.effects.population.ids)
    _add_looking(sheet, result)
    _add_buying(sheet, result)
    _add_leaving(sheet, result)
    add_flights(sheet, result)
    add_service(sheet, result)
    return sheet.frame()


def moments_of(events: pl.DataFrame) -> pl.DataFrame:
    """Moments of service in canonical events: `customer_id`, `at`, `moment`, `event_id`, sorted by time."""
    is_ticket = (pl.col("type") == "purchase") & pl.col("properties").str.contains('"product":"ticket"', literal=True)
    named = pl.col("type").replace_strict(MOMENTS, default=None, return_dtype=pl.String)
    moment = pl.when(is_ticket).then(pl.lit("booked")).otherwise(named)
    return (
        events.with_columns(moment.alias("moment"))
        .filter(pl.col("moment").is_not_null())
        .select("customer_id", pl.col("occurred_at").alias("at"), "moment", "event_id")
    )


def _add_looking(sheet: Sheet, result: WeekResult) -> None:
    people, before, after = result.effects.population, result.before.step, result.after.step
    regions = np.array(REGIONS)[people.region]
    begins = (before != JourneyStep.DREAM) | (result.chance(Cause.BROWSED) < BROWSE_RATE)
    acted = acted_hours(result)
    browsed = np.where(before == JourneyStep.DREAM, result.chance(Cause.BROWSED_AT) * HOURS, acted)
    searched = np.where(before == JourneyStep.PLAN, result.chance(Cause.SEARCHED_AT) * HOURS, acted)
    seen_ads = np.isin(before, (JourneyStep.DREAM, JourneyStep.PLAN)) & (
        result.chance(Cause.ADVERTISED) < ADVERTISED_RATE
    )
    for kind, who, hours in (
        ("browse", (after == JourneyStep.DREAM) & begins, browsed),
        ("search", (after == JourneyStep.PLAN), searched),
        ("ad_seen", seen_ads, result.chance(Cause.ADVERTISED_AT) * HOURS),
    ):
        rows = np.flatnonzero(who)
        where, properties = _where(kind, result, rows), {"region": regions[rows].tolist()}
        sheet.add(kind, rows, hours[rows], keys=kind, channel=where, properties=properties)


def _where(kind: str, result: WeekResult, rows: IntArray) -> Sequence[str]:
    """Who has the app looks there."""
    if kind == "ad_seen":
        return ["display"] * rows.size
    people = result.effects.population
    if "in_app" not in people.channels:
        return ["web"] * rows.size
    has_app = people.is_reachable[rows, people.channels.index("in_app")]
    return np.where(has_app, "in_app", "web").tolist()


def _add_buying(sheet: Sheet, result: WeekResult) -> None:
    acted = acted_hours(result)
    effects = result.effects
    products = np.array([str(one.offer.attributes.get("product", "none")) for one in effects.messages] or ["none"])
    own = np.where(result.is_sold & (effects.sale_outcome[result.actions] == 0), result.sale_minor, 0)
    unasked = result.chance(Cause.UNPROMPTED_AT) * HOURS
    regions = np.array(REGIONS)[effects.population.region[result.trip_minor > 0]].tolist()
    ticket = {"product": "ticket", "region": regions}
    _add_amounts(sheet, result, ("purchase", "ticket"), result.trip_minor, acted, ticket)
    _add_amounts(
        sheet, result, ("purchase", "own"), own, acted, {"product": products[result.actions[own > 0]].tolist()}
    )
    _add_amounts(sheet, result, ("purchase", "extra"), result.extra_minor, unasked, {"product": "bag"})
    _add_amounts(sheet, result, ("discount", "deal"), result.discount_minor, acted + _SECOND, None)


def _add_amounts(
    sheet: Sheet,
    result: WeekResult,
    kind: tuple[str, str],
    amounts: IntArray,
    hours: FloatArray,
    properties: Mapping[str, str | Sequence[str]] | None,
) -> None:
    rows = np.flatnonzero(amounts)
    sheet.add(
        kind[0],
        rows,
        hours[rows],
        keys="-".join(kind),
        amount_minor=amounts[rows],
        channel=_where(kind[0], result, rows),
        properties=properties,
    )


def _add_leaving(sheet: Sheet, result: WeekResult) -> None:
    """Every consent to marketing is withdrawn; some complain, and are answered within two days."""
    people, seen = result.effects.population, seen_hours(result)
    for place, channel in enumerate(people.channels):
        rows = np.flatnonzero(result.is_leaving & people.agrees[:, place])
        said, keys = {"channel": channel, "purpose": "marketing"}, f"withdrawn-{channel}"
        sheet.add("consent_withdrawn", rows, seen[rows] + 0.04, keys=keys, channel=channel, properties=said)
    _add_complaints(sheet, result, np.flatnonzero(is_complaining(result)), seen)


def _add_complaints(sheet: Sheet, result: WeekResult, rows: IntArray, seen: FloatArray) -> None:
    case = {"case_id": keys_of(COMPLAINT_CASE, result.when.week, rows).to_list()}
    said = case | {"kind": "complaint", "text": words_for("complaint_messages", result, rows)}
    sheet.add("complaint", rows, seen[rows] + 0.05, keys="complaint-messages", properties=said, channel="email")
    ends = seen[rows] + 12 + 36 * result.chance(Cause.TOLD_AT)[rows]
    sheet.add("case_resolved", rows, ends, keys="resolved-messages", properties=case, channel="email")
