"""Measures over windows, compared with a slow and simple computation."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.measure import Measure, Unit
from features.log.contracts import EVENTS, OUTCOMES
from features.log.identities import people
from training.data.measures import decision_values

START = datetime(2026, 3, 1, tzinfo=UTC)
NET = Measure(
    measure_id="net",
    unit=Unit.MONEY,
    added_events=frozenset({"purchase"}),
    subtracted_events=frozenset({"refund"}),
    cap_minor=100,
)
ENGAGED = Measure(
    measure_id="engaged", unit=Unit.RATE, added_events=frozenset({"review"}), outcomes=frozenset({"clicked"})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    events: pl.DataFrame
    outcomes: pl.DataFrame


def make_events(rows: list[tuple[str, str, int, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "event_id": f"E-{index}",
                "customer_id": customer,
                "type": kind,
                "occurred_at": START + timedelta(hours=hour),
                "amount_minor": amount,
            }
            for index, (customer, kind, hour, amount) in enumerate(rows)
        ],
        schema=EVENTS.schema,
    )


def make_outcomes(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "outcome_id": f"O-{index}",
                "decision_id": decision,
                "customer_id": "A",
                "type": kind,
                "occurred_at": START + timedelta(hours=hour),
            }
            for index, (decision, kind, hour) in enumerate(rows)
        ],
        schema=OUTCOMES.schema,
    )


def make_windows(rows: list[tuple[str, str, int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "decision_id": decision,
                "customer_id": customer,
                "starts_at": START + timedelta(hours=first),
                "ends_at": START + timedelta(hours=last),
            }
            for decision, customer, first, last in rows
        ],
        schema={
            "decision_id": pl.String,
            "customer_id": pl.String,
            "starts_at": pl.Datetime("us", "UTC"),
            "ends_at": pl.Datetime("us", "UTC"),
        },
    )


def values_of(tables: Tables, windows: pl.DataFrame, measure: Measure, *, cap: bool = False) -> dict[str, float]:
    return dict(decision_values(tables, windows, measure, cap=cap).iter_rows())


def test_money_adds_and_subtracts_in_a_window_that_includes_its_start_and_excludes_its_end():
    events = make_events(
        [("A", "purchase", 9, 1), ("A", "purchase", 10, 20), ("A", "refund", 15, 5), ("A", "purchase", 20, 300)]
    )
    tables = Tables(events=events, outcomes=make_outcomes([]))
    assert values_of(tables, make_windows([("D", "A", 10, 20)]), NET) == {"D": 15.0}


def test_the_cap_cuts_each_transaction_only_if_set():
    events = make_events([("A", "purchase", 1, 150), ("A", "purchase", 2, 250), ("A", "refund", 3, 130)])
    tables = Tables(events=events, outcomes=make_outcomes([]))
    windows = make_windows([("D", "A", 0, 9)])
    assert values_of(tables, windows, NET, cap=True) == {"D": 100.0}
    assert values_of(tables, windows, NET, cap=False) == {"D": 270.0}


def test_an_event_without_an_amount_counts_0_and_other_customers_do_not_count():
    tables = Tables(
        events=make_events([("A", "purchase", 1, None), ("B", "purchase", 1, 70)]), outcomes=make_outcomes([])
    )
    assert values_of(tables, make_windows([("D", "A", 0, 9), ("E", "C", 0, 9)]), NET) == {"D": 0.0, "E": 0.0}


def test_a_rate_is_1_if_an_outcome_or_event_fell_into_the_window():
    tables = Tables(
        events=make_events([("B", "review", 5, None), ("C", "purchase", 5, 10)]),
        outcomes=make_outcomes(
            [("D1", "clicked", 3), ("D1", "clicked", 4), ("D2", "clicked", 12), ("D3", "viewed", 3)]
        ),
    )
    windows = make_windows([("D1", "A", 0, 9), ("D2", "A", 0, 9), ("D3", "B", 0, 9), ("D4", "C", 0, 9)])
    assert values_of(tables, windows, ENGAGED) == {"D1": 1.0, "D2": 0.0, "D3": 1.0, "D4": 0.0}


def test_money_includes_the_worth_of_recommendations_whichever_decision_led_to_them():
    rows = [("referred", 3), ("reviewed", 4), ("clicked", 4), ("referred", 9)]
    advocacy = replace(
        NET, outcomes=frozenset({"referred", "reviewed"}), outcome_worth_minor={"referred": 40.0, "reviewed": 5.0}
    )
    outcomes = make_outcomes([("D1", kind, hour) for kind, hour in rows])
    told = outcomes.with_columns(amount_minor=pl.Series([700, None, None, None], dtype=pl.Int64))
    tables = Tables(events=make_events([("A", "purchase", 1, 20)]), outcomes=told)
    windows = make_windows([("D1", "A", 0, 9), ("silence after it", "A", 2, 10), ("D2", "B", 0, 9)])
    assert values_of(tables, windows, advocacy) == {"D1": 725.0, "silence after it": 745.0, "D2": 0.0}
    assert values_of(tables, windows, advocacy, cap=True) == {"D1": 125.0, "silence after it": 145.0, "D2": 0.0}
    assert values_of(tables, windows, NET) == {"D1": 20.0, "silence after it": 0.0, "D2": 0.0}


@pytest.mark.parametrize("measure", [NET, ENGAGED])
def test_no_decisions_give_no_values(measure: Measure):
    tables = Tables(events=make_events([]), outcomes=make_outcomes([]))
    assert decision_values(tables, make_windows([]), measure, cap=True).schema == {
        "decision_id": pl.String,
        "value": pl.Float64,
    }


hours = st.integers(0, 12)
event_rows = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from(["purchase", "refund", "review"]), hours, st.integers(-200, 200)),
    max_size=25,
)
window_rows = st.lists(st.tuples(st.sampled_from("ABC"), hours, hours), max_size=12)


@settings(max_examples=60, deadline=None)
@given(events=event_rows, windows=window_rows, cap=st.booleans())
def test_running_totals_equal_a_loop_over_every_event(
    events: list[tuple[str, str, int, int]], windows: list[tuple[str, int, int]], cap: bool
):
    rows = [(f"D{index}", customer, min(a, b), max(a, b)) for index, (customer, a, b) in enumerate(windows)]
    tables = Tables(events=make_events(list(events)), outcomes=make_outcomes([]))

    def worth(customer: str, first: int, last: int) -> float:
        total = 0
        for who, kind, hour, amount in events:
            if who == customer and first <= hour < last and kind in {"purchase", "refund"}:
                cut = max(-100, min(100, amount)) if cap else amount
                total += cut if kind == "purchase" else -cut
        return float(total)

    expected = {decision: worth(customer, first, last) for decision, customer, first, last in rows}
    assert values_of(tables, make_windows(rows), NET, cap=cap) == expected


def identified(visitor: str, customer: str, hour: int, name: str = "I") -> pl.DataFrame:
    row = {"event_id": f"{name}-{visitor}-{customer}", "customer_id": customer, "type": "identified",
           "occurred_at": START + timedelta(hours=hour), "properties": f'{{"anonymous_id": "{visitor}"}}'}  # fmt: skip
    return pl.DataFrame([row], schema=EVENTS.schema)


def test_a_visitors_decision_gets_the_outcomes_of_the_identified_customer():
    events = make_events([("K", "purchase", 5, 40), ("K", "purchase", 50, 9), ("V", "purchase", 1, 7)])
    tables = Tables(events=pl.concat([events, identified("V", "K", 3)]), outcomes=make_outcomes([]))
    windows = make_windows([("of-visitor", "V", 0, 24), ("of-customer", "K", 0, 24)])
    assert values_of(tables, windows, NET) == {"of-visitor": 47, "of-customer": 47}
    reviewed = Tables(
        events=pl.concat([make_events([("K", "review", 5, None)]), identified("V", "K", 3)]), outcomes=make_outcomes([])
    )
    assert values_of(reviewed, make_windows([("of-visitor", "V", 0, 24)]), ENGAGED) == {"of-visitor": 1}
    assert values_of(Tables(events=events, outcomes=make_outcomes([])), windows, NET) == {
        "of-visitor": 7,
        "of-customer": 40,
    }


@settings(max_examples=40, deadline=None)
@given(order=st.permutations([("A", "B", 1), ("B", "K", 2), ("C", "K", 3), ("A", "other", 9)]))
def test_a_visitors_identity_depends_on_what_arrived_first_and_not_on_the_order_of_rows(
    order: list[tuple[str, str, int]],
):
    told = pl.concat([identified(*one) for one in order])
    assert dict(people(told).iter_rows()) == {"A": "K", "B": "K", "C": "K"}


def test_ids_that_name_each_other_are_one_person():
    told = pl.concat([identified("A", "B", 1), identified("B", "A", 2)])
    assert dict(people(told).iter_rows()) == {"A": "A", "B": "A"}
