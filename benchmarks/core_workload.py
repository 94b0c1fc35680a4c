"""The workload of `decide.py`, for the core of any commit; run as a process, it prints times.

python benchmarks/core_workload.py ROOT

ROOT is a checkout. Each line of input is `CASE SIZE COUNT`, and the answer is the median time of COUNT decisions, in
microseconds. Commits keep their classes in different modules, so they are found by name in the whole core.
"""

import importlib
import pkgutil
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np


class Names:
    """Everything defined in the core of a checkout, by name."""

    def __init__(self, root: str) -> None:
        """Import the core of a checkout."""
        sys.path.insert(0, root)
        package = importlib.import_module("decisioning")
        self._found: dict[str, Any] = {}
        for module in pkgutil.walk_packages(package.__path__, "decisioning."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if getattr(value, "__module__", None) == module.name:
                    self._found[name] = value

    def __getattr__(self, name: str) -> Any:
        """The class or function of that name."""
        return self._found[name]


core = Names(sys.argv[1])
NOW = datetime(2026, 11, 20, 11, tzinfo=UTC)
DAY = 86_400.0
CHANNELS = ("email", "push", "sms", "web")
GOALS = {"sell": "marketing", "keep": "marketing", "help": "service", "solve": "service"}
FEATURES = tuple(f"feature_{number}" for number in range(60))


def offers_of(count: int) -> Any:
    """`count` offers, one in five a service offer."""
    rule = core.Compare(fact="feature_1", comparison=core.Comparison.AT_LEAST, value=0.1)
    goals = list(GOALS)
    return {
        f"offer-{number:03d}": core.Offer(
            offer_id=f"offer-{number:03d}",
            goal_id=goals[number % len(goals)],
            kind="information",
            message_class=core.MessageClass.MARKETING,
            purpose="marketing",
            value_minor=100.0,
            eligibility=rule,
            applicability=core.Compare(fact="customer.age", comparison=core.Comparison.AT_LEAST, value=18),
            suitability=core.Compare(fact="feature_2", comparison=core.Comparison.LESS_THAN, value=1e9),
            never_with=frozenset({f"offer-{(number + 1) % count:03d}"}),
        )
        for number in range(count)
    }


def bare_catalogue(candidates: int) -> Any:
    """A touchpoint with this many candidates on four channels, with only consent, reach, validity and rules."""
    offers = offers_of(candidates // len(CHANNELS))
    return core.Catalogue(
        version="benchmark",
        currency="EUR",
        goals={name: core.Goal(goal_id=name, department=department) for name, department in GOALS.items()},
        stages=(),
        touchpoints={"here": core.Touchpoint(touchpoint_id="here", channels=frozenset(CHANNELS))},
        channels={name: core.Channel(channel_id=name, cost_minor=1.0) for name in CHANNELS},
        offers=offers,
        creatives=tuple(
            core.Creative(creative_id="plain", offer_id=offer, channel_id=channel, content={"body": "Hello"})
            for offer in offers
            for channel in CHANNELS
        ),
        offer_kinds=("information",),
        event_types=("browse",),
        exploration=core.Exploration(epsilon=0.05, min_probability=0.001),
    )


def full_catalogue(candidates: int) -> Any:
    """The same with ten caps, pressure, suppressions, quiet hours, cases, limits and levers."""
    scopes = [
        core.CapScope.EVERYTHING,
        core.CapScope.DEPARTMENT,
        core.CapScope.GOAL,
        core.CapScope.CHANNEL,
        core.CapScope.OFFER,
    ]
    caps = tuple(
        core.Cap(cap_id=f"cap-{number}", scope=scope, limit=40, window_seconds=days * DAY, unit=unit)
        for number, (scope, days, unit) in enumerate(
            [
                *((scope, 7, core.CapUnit.CUSTOMER) for scope in scopes),
                *((scope, 30, core.CapUnit.CUSTOMER) for scope in scopes[:3]),
                *((scope, 30, core.CapUnit.HOUSEHOLD) for scope in scopes[:2]),
            ]
        )
    )
    lost = core.CaseKind(
        kind="lost_item",
        opened_by=frozenset({"bag_lost"}),
        resolved_by=frozenset({"bag_found"}),
        cooldown_seconds={"normal": 2 * DAY},
        default_severity="normal",
    )
    return replace(
        bare_catalogue(candidates),
        contact_policy=core.ContactPolicy(
            caps=caps,
            pressure=core.PressureBudget(limit=100.0, window_seconds=7 * DAY, channel_weights={"sms": 3.0}),
            suppressions=(
                core.Suppression(after="declined", scope=core.SuppressionScope.OFFER, cooldown_seconds=30 * DAY),
                core.Suppression(after="bounced", scope=core.SuppressionScope.CHANNEL, cooldown_seconds=DAY),
            ),
            look_ahead_seconds=2 * DAY,
            fatigue=core.Fatigue(cost_minor=2.0, half_life_seconds=7 * DAY),
        ),
        quiet_hours=core.QuietHours(
            rules=(
                core.QuietRule(from_minute=21 * 60, until_minute=8 * 60),
                core.QuietRule(channels=frozenset({"sms"}), weekdays=frozenset({6})),
            )
        ),
        care=core.CarePolicy(kinds={"lost_item": lost}),
        limits=(
            core.Limit(limit_id="sms", scope=core.LimitScope.CHANNEL, of="sms", amount=1e6, period=core.Period.HOUR),
            core.Limit(
                limit_id="budget",
                scope=core.LimitScope.DEPARTMENT,
                of="marketing",
                amount=1e9,
                measure=core.LimitMeasure.COST,
                period=core.Period.MONTH,
            ),
        ),
        levers=(
            core.Lever(
                lever_id="sell-now",
                scope=core.LeverScope.GOAL,
                of="sell",
                factor=1.2,
                owner="sales",
                reason="benchmark",
                expires_at=NOW + timedelta(days=30),
                when=core.Compare(fact="live.browse_count_1h", comparison=core.Comparison.AT_LEAST, value=1),
            ),
        ),
    )


def touch(number: int) -> Any:
    """The touch of a past contact."""
    goal = list(GOALS)[number % len(GOALS)]
    return core.Touch(
        message_class=core.MessageClass.MARKETING,
        department=GOALS[goal],
        goal_id=goal,
        channel_id=CHANNELS[number % len(CHANNELS)],
        offer_id=f"past-{number:03d}",
        creative_id="plain",
    )


def live_state() -> Any:
    """Thirty contacts of the customer, thirty of the household, two cases, five responses, a browsing session."""
    contacts = tuple(
        core.Contact(contact_id=f"D-{number}", touch=touch(number), at=NOW - timedelta(days=number), is_confirmed=True)
        for number in range(1, 31)
    )
    long_ago = NOW - timedelta(days=20)
    return core.LiveState(
        version=7,
        contacts=contacts,
        household_contacts=contacts,
        responses=tuple(core.Response(outcome="declined", touch=touch(number), at=long_ago) for number in range(5)),
        cases=(
            core.Case(case_id="1", kind="lost_item", severity="normal", opened_at=long_ago, resolved_at=long_ago),
            core.Case(case_id="2", kind="lost_item", severity="normal", opened_at=long_ago, resolved_at=long_ago),
        ),
        events=tuple(core.RecentEvent(event_type="browse", at=NOW - timedelta(minutes=minute)) for minute in range(20)),
    )


def inputs_of(policy: Any, *, live: Any, placements: int = 1) -> Any:
    """One reachable, consenting adult whose scores differ by candidate."""
    count = len(policy.candidates("here"))
    return core.Inputs(
        request=core.Request(
            customer_id="C-1",
            touchpoint_id="here",
            request_key="k",
            placements=tuple(core.Placement(placement_id=str(number + 1)) for number in range(placements)),
        ),
        customer=core.Customer(
            customer_id=core.CustomerId("C-1"),
            attributes={"age": 40},
            time_zone="Europe/Berlin",
            locale="de-DE",
            reachable_channels=frozenset(CHANNELS),
            consents=tuple(core.Consent(channel_id=one, purpose="marketing", is_granted=True) for one in CHANNELS),
            household_id="H-1",
            country="DE",
        ),
        features=core.FeatureVector(
            names=FEATURES, values=np.linspace(0.0, 6.0, len(FEATURES)), ages_seconds={"purchase": 60.0}, schema="s"
        ),
        expected_values=np.linspace(1000.0, 1500.0, count + 1),
        model_version="1",
        now=NOW,
        uniform=0.37,
        live=live,
    )


def workload(case: str, size: int) -> tuple[Any, Any]:
    """Policy and inputs of a case."""
    policy = core.Policy(bare_catalogue(size) if case == "bare" else full_catalogue(size))
    live = core.LiveState() if case == "bare" else live_state()
    return policy, inputs_of(policy, live=live, placements=4 if case == "slate" else 1)


def median_us(policy: Any, inputs: Any, count: int) -> float:
    """Median CPU time of a decision, in microseconds; wall time would include waiting on a busy machine."""
    taken: list[float] = []
    for _ in range(count):
        start = time.thread_time()
        core.decide(policy, inputs, "D")
        taken.append((time.thread_time() - start) * 1e6)
    return float(np.median(taken))


def main() -> None:
    known: dict[tuple[str, int], tuple[Any, Any]] = {}
    for line in sys.stdin:
        case, size, count = line.split()
        key = (case, int(size))
        if key not in known:
            known[key] = workload(*key)
        print(median_us(*known[key], int(count)), flush=True)


if __name__ == "__main__":
    main()
