"""Time to compute features as of many moments: `python benchmarks/features_computing.py`.

Two worlds of random events: many customers with few events each, and fewer customers who shop every few days.
"""

import argparse
import resource
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from features.catalogue import load_catalogue
from features.computing.compute import compute_features
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, UTC_TIME, Table

CATALOGUE = Path(__file__).parents[1] / "tests" / "catalogues" / "shop"
ENDS_AT = datetime(2026, 6, 1, tzinfo=UTC)
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    customers: pl.DataFrame
    events: pl.DataFrame
    decisions: pl.DataFrame
    outcomes: pl.DataFrame


def as_table(table: Table, columns: dict[str, object], height: int) -> pl.DataFrame:
    given = pl.DataFrame(columns)
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in table.schema.items() if name not in columns]
    frame = given.with_columns(*missing).select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())
    assert frame.height == height
    return frame


def make_world(customers: int, events: int, decisions: int) -> World:
    rng = np.random.default_rng(3)
    ids = np.asarray([f"C-{place:06d}" for place in range(customers)])

    def moments(count: int) -> pl.Series:
        back = (rng.random(count) * 365 * DAY_US).astype(np.int64)
        return pl.Series([ENDS_AT], dtype=UTC_TIME).new_from_index(0, count) - pl.Series(back).cast(pl.Duration("us"))

    decided_at = moments(decisions)
    named = [f"D-{place}" for place in range(decisions)]
    who = rng.choice(ids, decisions)
    return World(
        customers=as_table(
            CUSTOMERS,
            {
                "customer_id": ids,
                "updated_at": [ENDS_AT - timedelta(days=400)] * customers,
                "joined_at": [ENDS_AT - timedelta(days=500)] * customers,
                "attributes": ['{"age": 40, "region": "north"}'] * customers,
            },
            customers,
        ),
        events=as_table(
            EVENTS,
            {
                "event_id": [f"E-{place}" for place in range(events)],
                "customer_id": rng.choice(ids, events),
                "type": rng.choice(["purchase", "browse", "stamp_paid"], events, p=[0.8, 0.1, 0.1]),
                "occurred_at": moments(events),
                "amount_minor": rng.integers(100, 10_000, events),
            },
            events,
        ),
        decisions=as_table(
            DECISIONS,
            {
                "decision_id": named,
                "customer_id": who,
                "decided_at": decided_at,
                "offer_id": rng.choice(["free-coffee", "ten-percent", "double-stamps"], decisions),
                "channel": ["email"] * decisions,
            },
            decisions,
        ),
        outcomes=as_table(
            OUTCOMES,
            {
                "outcome_id": [f"O-{place}" for place in range(decisions)],
                "decision_id": named,
                "customer_id": who,
                "type": ["viewed"] * decisions,
                "occurred_at": decided_at + pl.Series([timedelta(hours=5)]).new_from_index(0, decisions),
            },
            decisions,
        ),
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    catalogue = load_catalogue(CATALOGUE)
    for name, customers, events, decisions in (("wide", 12_000, 215_000, 72_000), ("deep", 2_500, 155_000, 10_000)):
        world = make_world(customers, events, decisions)
        anchors = world.decisions.select("customer_id", pl.col("decided_at").alias("at"))
        started = time.perf_counter()
        frame = compute_features(world, anchors, catalogue)
        spent = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name}: {customers:,} customers, {events:,} events, {frame.height:,} moments x {frame.width - 2} "
            f"features in {spent:.2f} s; peak memory {peak:,.0f} MB"
        )


if __name__ == "__main__":
    main()
