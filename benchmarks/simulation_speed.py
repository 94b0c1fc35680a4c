"""Time to simulate a world: `python benchmarks/simulation_speed.py [--customers 20000] [--days 180] [--weeks 12]`.

Writes a history of that size to a temporary folder, with its random policy, events, outcomes and files, then settles a
world and solves it.
"""

import argparse
import resource
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from features.catalogue import load_catalogue
from pipelines.simulation.history import CATALOGUE, first_monday, settled_world, write_history
from pipelines.simulation.policies.oracle import solve

ENDS_ON = date(2026, 11, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--weeks", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        report = write_history(
            Path(folder) / "out", customers=given.customers, days=given.days, seed=given.seed, ends_on=ENDS_ON
        )
        took = time.perf_counter() - began
    rows = ", ".join(f"{count:,} {table}" for table, count in report.rows.items())
    print(f"history of {given.customers:,} customers x {given.days} days: {took:.1f} s ({rows})")
    catalogue = load_catalogue(CATALOGUE)
    starts_at = first_monday(ENDS_ON, 7 * given.weeks)
    began = time.perf_counter()
    world = settled_world(catalogue, customers=given.customers, seed=given.seed, starts_at=starts_at)
    print(f"settled world: {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    plan = solve(world, given.weeks)
    took = time.perf_counter() - began
    gain = (plan.value - plan.silence_value).mean() / 100
    print(
        f"oracle over {given.weeks} weeks: {took:.1f} s, gains {gain:.2f} {catalogue.currency} a customer over silence"
    )
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
