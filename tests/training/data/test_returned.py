"""Returns take back what a purchase brought: at the purchase's moment, within their own window, never twice."""

from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.measure import Measure, MeasurePart, Returns, Unit
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from training.data.measures import counted_returns, decision_values, longest_days, return_words, settled_at
from training.data.returned import ReturnCounts

START = datetime(2026, 3, 1, tzinfo=UTC)
NET = Measure(
    measure_id="net",
    unit=Unit.MONEY,
    added_events=frozenset({"purchase"}),
    returns=Returns(window_days=30, events=frozenset({"return"})),
)


def rows_of(kind: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    made = []
    for place, one in enumerate(rows):
        said = {name: one[name] for name in ("order_id", "purchase_id") if name in one}
        made.append(
            {
                f"{kind}_id": str(one.get("id", f"{kind}-{place}")),
                "customer_id": str(one.get("who", "A")),
                "type": one["type"],
                "occurred_at": START + timedelta(days=float(str(one["day"]))),
                "amount_minor": one.get("amount"),
                "properties": orjson.dumps(said).decode() if said else None,
                **({"decision_id": one.get("of", "D")} if kind == "outcome" else {}),
            }
        )
    return made


def log_of(events: list[dict[str, object]], outcomes: list[dict[str, object]] | None = None) -> History:
    return History(
        customers=pl.DataFrame(schema=CUSTOMERS.schema),
        events=pl.DataFrame(rows_of("event", events), schema=EVENTS.schema),
        decisions=pl.DataFrame(schema=DECISIONS.schema),
        outcomes=pl.DataFrame(rows_of("outcome", outcomes or []), schema=OUTCOMES.schema),
    )


def value_of(log: History, measure: Measure = NET, *, first: float = 0, last: float = 7, cap: bool = False) -> float:
    window = pl.DataFrame(
        [{"decision_id": "D", "customer_id": "A", "starts_at": START + timedelta(days=first),
          "ends_at": START + timedelta(days=last)}],
        schema={"decision_id": pl.String, "customer_id": pl.String, "starts_at": pl.Datetime("us", "UTC"),
                "ends_at": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    return decision_values(log, window, measure, cap=cap)["value"].item()


BOUGHT = {"type": "purchase", "day": 2, "amount": 500, "id": "P", "order_id": "O-1"}


@pytest.mark.parametrize("link", [{"order_id": "O-1"}, {"purchase_id": "P"}, {}])
@pytest.mark.parametrize("as_event", [True, False])
def test_a_return_after_the_decisions_window_takes_the_purchase_back(link: dict[str, object], as_event: bool):
    came = {"type": "return" if as_event else "returned", "day": 20, "amount": 200, **link}
    log = log_of([BOUGHT, came]) if as_event else log_of([BOUGHT], [came])
    assert value_of(log) == 300.0
    assert value_of(log, first=15, last=22) == 0.0, "where it came back it takes nothing"


def test_a_return_without_an_amount_takes_all_back():
    assert value_of(log_of([BOUGHT], [{"type": "returned", "day": 5}])) == 0.0


def test_nothing_is_taken_back_twice():
    both = log_of(
        [BOUGHT, {"type": "return", "day": 9, "amount": 200, "order_id": "O-1"}],
        [{"type": "returned", "day": 10, "amount": 200, "order_id": "O-1"}],
    )
    assert value_of(both) == 300.0
    thrice = log_of([BOUGHT], [{"type": "returned", "day": 5 + day, "amount": 400} for day in range(3)])
    assert value_of(thrice) == 0.0, "no more than it brought"


def test_two_parts_of_an_order_come_back_one_after_the_other():
    parts = [{**BOUGHT, "amount": 300}, {**BOUGHT, "id": "Q", "amount": 100}]
    came = [{"type": "returned", "day": 9, "amount": 250, "order_id": "O-1"},
            {"type": "returned", "day": 12, "amount": 100, "order_id": "O-1"}]  # fmt: skip
    assert value_of(log_of(parts, came)) == 50.0


def test_a_return_that_is_too_late_or_of_no_purchase_takes_nothing_and_is_counted():
    log = log_of(
        [BOUGHT],
        [
            {"type": "returned", "day": 40, "amount": 100, "order_id": "O-1"},
            {"type": "returned", "day": 5, "amount": 100, "order_id": "unknown"},
            {"type": "returned", "day": 5, "amount": 100, "who": "B"},
            {"type": "returned", "day": 6, "amount": 100},
        ],
    )
    assert value_of(log) == 400.0
    assert counted_returns(log, NET) == ReturnCounts(reversing=1, too_late=1, without_purchase=2)
    assert return_words(log, NET) == (
        "1 returns take back what they brought at the moment of the purchase.",
        "1 returns came after the window of `returns` and take nothing back.",
        "2 returns are of no purchase that the log has, and take nothing back.",
    )


def test_a_return_that_names_nothing_takes_back_the_latest_purchase_that_brought_as_much():
    log = log_of(
        [BOUGHT, {"type": "purchase", "day": 4, "amount": 30}], [{"type": "returned", "day": 5, "amount": 500}]
    )
    assert value_of(log) == 30.0


def test_what_was_bought_as_an_outcome_comes_back_too():
    measure = Measure(
        measure_id="sold", unit=Unit.MONEY, outcomes=frozenset({"converted"}), returns=Returns(window_days=30)
    )
    sold = {"type": "converted", "day": 1, "amount": 900}
    assert value_of(log_of([], [sold, {"type": "returned", "day": 8, "amount": 300}]), measure) == 600.0


def test_the_cap_cuts_what_is_left_of_a_purchase():
    capped = Measure(
        measure_id="net", unit=Unit.MONEY, added_events=NET.added_events, returns=NET.returns, cap_minor=100
    )
    assert value_of(log_of([BOUGHT], [{"type": "returned", "day": 5, "amount": 200}]), capped, cap=True) == 100.0
    assert value_of(log_of([BOUGHT], [{"type": "returned", "day": 5, "amount": 450}]), capped, cap=True) == 50.0


def test_a_measure_that_takes_no_returns_says_so():
    gross = Measure(measure_id="spend", unit=Unit.MONEY, added_events=NET.added_events)
    log = log_of([BOUGHT], [{"type": "returned", "day": 5}])
    assert value_of(log, gross) == 500.0
    assert return_words(log, gross) == ("1 outcomes `returned` take nothing back: declare `returns` in measure spend.",)
    assert return_words(log_of([BOUGHT]), gross) == ()


HARM = Measure(
    measure_id="harm",
    unit=Unit.MONEY,
    outcomes=frozenset({"unsubscribed", "complained"}),
    outcome_worth_minor={"unsubscribed": 800.0, "complained": 1500.0},
    window_days=30,
)
CALLS = Measure(
    measure_id="calls", unit=Unit.MONEY, added_events=frozenset({"call_note"}), event_worth_minor={"call_note": 650.0},
    window_days=14,
)  # fmt: skip
WHOLE = Measure(
    measure_id="value",
    unit=Unit.MONEY,
    parts=tuple(MeasurePart(measure=one, times=times) for one, times in ((NET, 1.0), (HARM, -1.0), (CALLS, -1.0))),
)


def test_a_sum_looks_at_each_part_in_its_own_window():
    log = log_of(
        [BOUGHT, {"type": "purchase", "day": 8, "amount": 70}, {"type": "call_note", "day": 13},
         {"type": "call_note", "day": 15}],
        [{"type": "unsubscribed", "day": 29}, {"type": "complained", "day": 31},
         {"type": "returned", "day": 25, "amount": 100}],
    )  # fmt: skip
    assert value_of(log, NET) == 400.0
    assert value_of(log, HARM) == 800.0
    assert value_of(log, CALLS) == 650.0
    assert value_of(log, WHOLE) == 400.0 - 800.0 - 650.0


def test_leaving_twice_over_one_message_costs_once():
    twice = [{"type": "unsubscribed", "day": day, "of": "D"} for day in (3, 4)]
    assert value_of(log_of([], twice), HARM) == 800.0
    assert value_of(log_of([], [*twice, {"type": "unsubscribed", "day": 5, "of": "E"}]), HARM) == 1600.0


def test_a_decision_is_settled_when_the_last_window_of_its_parts_is_over():
    assert longest_days(WHOLE, 7.0) == 37.0
    frame = pl.DataFrame({"starts_at": [START], "ends_at": [START + timedelta(days=7)]})
    assert frame.select(settled_at([WHOLE])).item() == START + timedelta(days=37)
    assert frame.select(settled_at([HARM])).item() == START + timedelta(days=30)
    assert frame.select(settled_at([])).item() == START + timedelta(days=7)


def test_over_many_decisions_the_sum_finds_the_message_that_is_worth_more_after_all():
    """The loud message sells more, comes back more and drives people away; what it is worth is known."""
    rng, n = np.random.default_rng(3), 6000
    loud = rng.random(n) < 0.5
    buys = rng.random(n) < np.where(loud, 0.5, 0.3)
    returns = buys & (rng.random(n) < np.where(loud, 0.4, 0.1))
    leaves = rng.random(n) < np.where(loud, 0.08, 0.01)
    events = [{"who": f"C{place}", "type": "purchase", "day": 3, "amount": 1000} for place in np.flatnonzero(buys)]
    outcomes = [{"who": f"C{place}", "type": "returned", "day": 20} for place in np.flatnonzero(returns)]
    outcomes += [
        {"who": f"C{place}", "of": f"D{place}", "type": "unsubscribed", "day": 25} for place in np.flatnonzero(leaves)
    ]
    windows = pl.DataFrame(
        {
            "decision_id": [f"D{place}" for place in range(n)],
            "customer_id": [f"C{place}" for place in range(n)],
            "starts_at": [START] * n,
            "ends_at": [START + timedelta(days=7)] * n,
        },
        schema_overrides={"starts_at": pl.Datetime("us", "UTC"), "ends_at": pl.Datetime("us", "UTC")},
    )
    gross = Measure(measure_id="spend", unit=Unit.MONEY, added_events=NET.added_events)
    log = log_of(events, outcomes)

    def gap(measure: Measure) -> tuple[float, float]:
        values = decision_values(log, windows, measure, cap=True)["value"].to_numpy()
        arms = values[loud], values[~loud]
        return float(arms[0].mean() - arms[1].mean()), float(np.sqrt(sum(one.var() / len(one) for one in arms)))

    for measure, truth in ((gross, 200.0), (NET, 500 * 0.6 - 300 * 0.9), (WHOLE, 30.0 - 800 * 0.07)):
        value, error = gap(measure)
        assert abs(value - truth) < 3 * error, measure.measure_id
    assert gap(gross)[0] > 0 > gap(WHOLE)[0]


days = st.integers(0, 40)
bought = st.lists(st.tuples(days, st.integers(1, 300)), max_size=6)
came_back = st.lists(st.tuples(days, st.integers(1, 400), st.booleans()), max_size=6)


@settings(max_examples=60, deadline=None)
@given(purchases=bought, returns=came_back, window=st.integers(0, 30))
def test_returns_never_take_more_than_was_bought_nor_add_anything(
    purchases: list[tuple[int, int]], returns: list[tuple[int, int, bool]], window: int
):
    measure = Measure(
        measure_id="net",
        unit=Unit.MONEY,
        added_events=NET.added_events,
        returns=Returns(window_days=window, events=frozenset({"return"})),
    )
    events = [{"type": "purchase", "day": day, "amount": amount} for day, amount in purchases]
    events += [{"type": "return", "day": day, "amount": amount} for day, amount, is_event in returns if is_event]
    outcomes = [{"type": "returned", "day": day, "amount": amount} for day, amount, is_event in returns if not is_event]
    log = log_of(events, outcomes)
    gross, brought = sum(amount for _, amount in purchases), value_of(log, measure, last=99)
    assert gross - sum(amount for _, amount, _ in returns) <= brought <= gross
    assert brought >= 0
    counts = counted_returns(log, measure)
    assert counts is not None
    assert counts.reversing + counts.too_late + counts.without_purchase == len(returns)
