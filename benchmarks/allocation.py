"""Time to compute the optimal allocation for a whole audience: 20,000 customers, 40 messages, eleven constraints.

Run: `python -m benchmarks.allocation [customers] [messages]`
"""

import sys
import time
from dataclasses import dataclass

import numpy as np

from pipelines.batch.allocation import AllocationChoices, Constraint, Plan, allocate


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One measurement."""

    choices: int
    seconds: float
    plan: Plan


def crowd(customers: int, messages: int, seed: int = 0) -> AllocationChoices:
    """Customers who may get about 60 % of the messages, each with its own value."""
    rng = np.random.default_rng(seed)
    who, what = np.nonzero(rng.random((customers, messages)) < 0.6)
    net = rng.gamma(2.0, 100.0, len(who)) - 120 + rng.normal(0, 60, messages)[what]
    return AllocationChoices(
        customer_count=customers, customers=who.astype(np.int64), messages=what.astype(np.int64), net_minor=net
    )


def rules(customers: int, messages: int) -> list[Constraint]:
    """Two capacities, a budget, six offers with limited places, a minimum volume, and a minimum share."""
    place = np.arange(messages)
    channel, department = place % 4, place % 3
    own = (department == 1).astype(np.float64)
    return [
        Constraint(name="calls", units=(channel == 2) * 1.0, most=customers // 20),
        Constraint(name="letters", units=(channel == 3) * 1.0, most=customers // 30),
        Constraint(name="budget", units=np.array([1.0, 0.5, 60.0, 80.0])[channel], most=customers * 2.0),
        *(Constraint(name=f"seats-{one}", units=(place == one) * 1.0, most=customers // 25) for one in range(6, 12)),
        Constraint(name="volume", units=(place == 5) * 1.0, least=customers // 20, told="minimum volume"),
        Constraint(name="share", units=own - 0.3, least=0.0, told="a share", is_soft=True),
    ]


def measure(customers: int = 20_000, messages: int = 40) -> Timing:
    """Compute the allocation once."""
    choices = crowd(customers, messages)
    started = time.perf_counter()
    plan = allocate(choices, rules(customers, messages))
    return Timing(choices=len(choices.net_minor), seconds=time.perf_counter() - started, plan=plan)


def main() -> None:
    """Print the time of one allocation and its value."""
    found = measure(*map(int, sys.argv[1:3]))
    plan = found.plan
    sys.stdout.write(
        f"{found.choices:,} choices: {found.seconds:.1f} s, value {plan.value_minor:,.0f},"
        f" bound {plan.bound_minor:,.0f}, gap {plan.gap_minor:,.2f}\n"
    )
    for name, price in plan.prices_minor.items():
        sys.stdout.write(f"  {name:<10} {price:>9.2f}\n")


if __name__ == "__main__":
    main()
