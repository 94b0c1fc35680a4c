"""How soon outcomes arrive, by channel, from decisions whose window is over."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.measure import Measure, Unit
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from training.residuals.arrivals import AGES, ANY_CHANNEL, Arrivals, arrivals_of

START = datetime(2026, 11, 1, tzinfo=UTC)
REVENUE = Measure(measure_id="net_revenue", unit=Unit.MONEY, added_events=frozenset({"purchase"}))
KEYS = {"silence": 96.0, "cake/push/plain": 1.0, "cake/mail/leaflet": 120.0}
"""Hours until somebody buys, by what they got."""


def made(count: int) -> tuple[History, pl.DataFrame]:
    keys = [list(KEYS)[number % 3] for number in range(count)]
    names = [f"C-{number}" for number in range(count)]
    decisions = pl.DataFrame(
        {
            "decision_id": [f"D-{number}" for number in range(count)],
            "customer_id": names,
            "starts_at": [START] * count,
            "ends_at": [START + timedelta(days=7)] * count,
            "message_key": keys,
        },
        schema_overrides={"starts_at": pl.Datetime("us", "UTC"), "ends_at": pl.Datetime("us", "UTC")},
    )
    events = [
        dict.fromkeys(EVENTS.schema)
        | {
            "event_id": f"E-{number}",
            "customer_id": names[number],
            "type": "purchase",
            "occurred_at": START + timedelta(hours=KEYS[keys[number]]),
            "amount_minor": 1_000,
            "currency": "EUR",
        }
        for number in range(count)
    ]
    frames = {table.name: pl.DataFrame(schema=table.schema) for table in (CUSTOMERS, DECISIONS, OUTCOMES)}
    return History.of(History(**frames, events=pl.DataFrame(events, schema=EVENTS.schema))), decisions


def learned(count: int) -> Arrivals:
    return arrivals_of(*made(count), REVENUE, span_days=7.0)


def hours(number: float) -> float:
    return number / 168.0


def test_a_push_answers_within_the_day_and_a_letter_after_days() -> None:
    arrivals = learned(3_000)
    [push], [letter], [silence] = (
        arrivals.share(channel, np.array([hours(48.0)])) for channel in ("push", "mail", "silence")
    )
    assert push > 0.95
    assert letter < 0.05
    assert silence < 0.05
    assert arrivals.share("mail", np.array([hours(150.0)]))[0] > 0.5


def test_shares_rise_from_nothing_to_one() -> None:
    arrivals = learned(60)
    for channel in ("push", "mail", "silence", "a channel that is new"):
        shares = arrivals.share(channel, np.array([0.0, *AGES, 2.0]))
        assert shares[0] == 0.0
        assert shares[-1] == shares[-2] == pytest.approx(1.0)
        assert (np.diff(shares[:-1]) > 0).all()


def test_a_channel_with_few_outcomes_is_taken_to_be_like_the_others() -> None:
    few, many = learned(9), learned(3_000)
    at = np.array([hours(24.0)])
    gap = abs(few.share("push", at) - few.share("mail", at))[0]
    assert gap < abs(many.share("push", at) - many.share("mail", at))[0] / 3


def test_where_nothing_ever_came_outcomes_are_taken_to_be_spread_evenly() -> None:
    history, decisions = made(30)
    empty = History(
        customers=history.customers,
        events=history.events.clear(),
        decisions=history.decisions,
        outcomes=history.outcomes,
    )
    arrivals = arrivals_of(empty, decisions, REVENUE, span_days=7.0)
    assert arrivals.share("push", np.array([0.25]))[0] == pytest.approx(0.25)
    assert arrivals.curves[ANY_CHANNEL] == pytest.approx(AGES)
