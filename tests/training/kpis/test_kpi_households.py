"""KPIs against a household holdout: members of a household are one unit, not several."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.experiment import AssignedUnit, Holdout
from decisioning.catalogue.measure import Measure
from decisioning.catalogue.measure import Unit as MeasureUnit
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from training.kpis.contacts import KpiPeriod
from training.kpis.increments import Increment, against_holdout, held_out_customers

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
REVENUE = Measure(measure_id="revenue", unit=MeasureUnit.MONEY, added_events=frozenset({"purchase"}))
SPENT = pl.DataFrame(
    schema={"customer_id": pl.String, "decided_at": pl.Datetime("us", "UTC"), "cost_minor": pl.Float64}
)


@dataclass
class Log:
    decisions: pl.DataFrame
    events: pl.DataFrame
    customers: pl.DataFrame
    outcomes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=OUTCOMES.schema))


def twins(size: int, houses: int = 200) -> Log:
    """Households whose members spend exactly the same; every fifth household is held out."""
    rng = np.random.default_rng(1)
    decisions, events, customers = [], [], []
    for house in range(houses):
        spend = int(rng.gamma(4, 250))
        for member in range(size):
            name = f"C-{house}-{member}"
            decisions.append(
                {"decision_id": f"D-{name}", "customer_id": name, "decided_at": NOW - 20 * DAY}
                | {"is_held_out": house % 5 == 0}
            )
            events.append(
                {"event_id": f"E-{name}", "customer_id": name, "type": "purchase", "occurred_at": NOW - 10 * DAY}
                | {"amount_minor": spend, "currency": "EUR"}
            )
            customers.append({"customer_id": name, "updated_at": NOW - 90 * DAY, "household": f"H-{house}"})
    return Log(
        decisions=pl.DataFrame(decisions, schema=DECISIONS.schema),
        events=pl.DataFrame(events, schema=EVENTS.schema),
        customers=pl.DataFrame(customers, schema=CUSTOMERS.schema),
    )


def against(log: Log, unit: AssignedUnit) -> Increment:
    holdout = Holdout(share=0.2, salt="h", unit=unit)
    rows = held_out_customers(log, SPENT, REVENUE, KpiPeriod.of_days(NOW, 90), holdout)
    return against_holdout(rows)


def test_three_identical_household_members_give_no_more_precision_than_one():
    one, three = (against(twins(size), AssignedUnit.HOUSEHOLD).effect for size in (1, 3))
    assert one is not None
    assert three is not None
    assert (three.value, three.error) == (pytest.approx(one.value), pytest.approx(one.error))
    alone = against(twins(3), AssignedUnit.CUSTOMER).effect
    assert alone is not None
    assert alone.error == pytest.approx(one.error / 3**0.5, rel=0.01)
