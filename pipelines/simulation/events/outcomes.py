"""What becomes of the decisions of a week."""

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, IntArray
from pipelines.simulation.events.table_rows import Sheet
from pipelines.simulation.events.timing import acted_hours, delivered_hours, seen_hours
from pipelines.simulation.world.chance import Cause
from pipelines.simulation.world.effects import OUTCOMES
from pipelines.simulation.world.state import keys_of
from pipelines.simulation.world.week import WeekResult

COMPLAINT_CASE = "case-messages"
"""Begins the name of a case that complains about messages."""

_ANSWERED_LATER = 0.01  # hours between things that follow each other at once


def outcomes_of(result: WeekResult) -> pl.DataFrame:
    """Canonical outcomes of the decisions that have an id."""
    people = result.effects.population
    sheet = Sheet("outcomes", result.when, people.ids)
    ids = result.decision_ids
    if ids is None:
        return sheet.frame()
    known = result.is_contacted & np.array([one is not None for one in ids])
    keys = pl.Series("decision_id", ids, dtype=pl.String)
    acted = acted_hours(result)
    for kind, who, hours, amount in (
        ("delivered", _is_reached(result), delivered_hours(result), None),
        ("bounced", ~_is_reached(result), delivered_hours(result), None),
        ("viewed", result.is_seen, seen_hours(result), None),
        ("clicked", _is_clicked(result), seen_hours(result) + _ANSWERED_LATER, None),
        ("accepted", result.is_moved | result.is_sold, acted, None),
        ("converted", is_bought(result), acted + _ANSWERED_LATER, None),
        ("declined", is_declined(result), seen_hours(result) + 2 * _ANSWERED_LATER, None),
        ("unsubscribed", result.is_leaving, seen_hours(result) + 3 * _ANSWERED_LATER, None),
        ("complained", is_complaining(result), seen_hours(result) + 4 * _ANSWERED_LATER, None),
        *[(kind, _brings(result, kind), acted + 2 * _ANSWERED_LATER, result.sale_minor) for kind in OUTCOMES if kind],
    ):
        rows = np.flatnonzero(who & known)
        of = keys.gather(rows)
        sheet.add(
            kind,
            rows,
            hours[rows],
            keys=of + f"-{kind}",
            amount_minor=None if amount is None else amount[rows],
            decision_id=of,
            properties=_case(result, rows) if kind == "complained" else None,
        )
    return sheet.frame()


def _case(result: WeekResult, rows: IntArray) -> dict[str, list[str]]:
    """The case that the complaint opens as an event too, so that there is one of it."""
    return {"case_id": keys_of(COMPLAINT_CASE, result.when.week, rows).to_list()}


def is_bought(result: WeekResult) -> BoolArray:
    """Bought what the message was for: a ticket after a deal, or its own product."""
    return result.is_moved & (result.trip_minor > 0) | result.is_sold & _reports(result, None)


def is_complaining(result: WeekResult) -> BoolArray:
    """Left, and complained about the messages as well."""
    return result.is_leaving & (result.chance(Cause.COMPLAINED) < result.effects.structure.complaint_rate)


def _is_reached(result: WeekResult) -> BoolArray:
    return result.effects.population.is_reachable[
        np.arange(result.actions.size), result.effects.channel[result.actions]
    ]


def _is_clicked(result: WeekResult) -> BoolArray:
    least, more = result.effects.structure.click_rate
    fit = result.effects.fit[result.actions, np.arange(result.actions.size)]
    drawn = result.chance(Cause.CLICKED) < least + more * fit
    return result.is_seen & (drawn | result.is_moved | result.is_sold)


def is_declined(result: WeekResult) -> BoolArray:
    """Saw it, and said no."""
    idle = result.is_seen & ~result.is_moved & ~result.is_sold & ~_is_clicked(result)
    return idle & (result.chance(Cause.DECLINED) < result.effects.structure.declined_rate)


def _brings(result: WeekResult, kind: str) -> BoolArray:
    return result.is_sold & _reports(result, kind)


def _reports(result: WeekResult, kind: str | None) -> BoolArray:
    return result.effects.sale_outcome[result.actions] == OUTCOMES.index(kind)
