"""What the gates and everything around them cost per decision, on 40 and on 200 candidates.

python benchmarks/gates_cost.py

One customer with 30 contacts, 10 caps, weighted pressure, quiet hours, suppressions, an open and a closed case, limits,
levers and rules on every offer. Three policies in one run: a bare one (no caps, quiet hours, cases, limits, levers),
the full one, and the full one with four placements. Times are medians over draws of the same situation.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from decisioning.catalogue.care import CarePolicy, Case, CaseKind
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.contact_policy import (
    Cap,
    CapUnit,
    Contact,
    ContactPolicy,
    Fatigue,
    PressureBudget,
    Response,
    Suppression,
    SuppressionScope,
    Touch,
)
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.journey import Goal, Touchpoint
from decisioning.catalogue.levers import Lever, LeverScope
from decisioning.catalogue.limits import Limit, LimitMeasure, LimitScope, Period
from decisioning.catalogue.message import Creative, MessageClass, Offer
from decisioning.catalogue.message_classes import CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Inputs, Placement, Request
from decisioning.live import LiveState, RecentEvent
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import Compare, Comparison
from decisioning.scoring import FeatureVector

ROUNDS = 400
NOW = datetime(2026, 11, 20, 11, tzinfo=UTC)
DAY = 86_400.0
CHANNELS = ("email", "push", "sms", "web")
GOALS = {"sell": "marketing", "keep": "marketing", "help": "service", "solve": "service"}
FEATURES = tuple(f"feature_{number}" for number in range(60))


def offers_of(count: int) -> dict[str, Offer]:
    """`count` offers, one in five of them service."""
    rule = Compare(fact="feature_1", comparison=Comparison.AT_LEAST, value=0.1)
    goals = list(GOALS)
    return {
        f"offer-{number:03d}": Offer(
            offer_id=f"offer-{number:03d}",
            goal_id=goals[number % len(goals)],
            kind="information",
            message_class=MessageClass.MARKETING,
            purpose="marketing",
            value_minor=100.0,
            eligibility=rule,
            applicability=Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18),
            suitability=Compare(fact="feature_2", comparison=Comparison.LESS_THAN, value=1e9),
            never_with=frozenset({f"offer-{(number + 1) % count:03d}"}),
        )
        for number in range(count)
    }


def bare_catalogue(candidates: int) -> Catalogue:
    """A touchpoint of so many candidates over four channels, with nothing but consent, reach, validity and rules."""
    offers = offers_of(candidates // len(CHANNELS))
    return Catalogue(
        version="benchmark",
        currency="EUR",
        goals={name: Goal(goal_id=name, department=department) for name, department in GOALS.items()},
        stages=(),
        touchpoints={"here": Touchpoint(touchpoint_id="here", channels=frozenset(CHANNELS))},
        channels={name: Channel(channel_id=name, cost_minor=1.0) for name in CHANNELS},
        offers=offers,
        creatives=tuple(
            Creative(creative_id="plain", offer_id=offer, channel_id=channel, content={"body": "Hello"})
            for offer in offers
            for channel in CHANNELS
        ),
        offer_kinds=("information",),
        event_types=("browse",),
        exploration=Exploration(epsilon=0.05, min_probability=0.001),
    )


def full_catalogue(candidates: int) -> Catalogue:
    """The same with ten caps, pressure, suppressions, quiet hours, cases, limits and levers."""
    scopes = [CapScope.EVERYTHING, CapScope.DEPARTMENT, CapScope.GOAL, CapScope.CHANNEL, CapScope.OFFER]
    caps = tuple(
        Cap(cap_id=f"cap-{number}", scope=scope, limit=40, window_seconds=days * DAY, unit=unit)
        for number, (scope, days, unit) in enumerate(
            [
                *((scope, 7, CapUnit.CUSTOMER) for scope in scopes),
                *((scope, 30, CapUnit.CUSTOMER) for scope in scopes[:3]),
                *((scope, 30, CapUnit.HOUSEHOLD) for scope in scopes[:2]),
            ]
        )
    )
    lost = CaseKind(
        kind="lost_item",
        opened_by=frozenset({"bag_lost"}),
        resolved_by=frozenset({"bag_found"}),
        cooldown_seconds={"normal": 2 * DAY},
        default_severity="normal",
    )
    return replace(
        bare_catalogue(candidates),
        contact_policy=ContactPolicy(
            caps=caps,
            pressure=PressureBudget(limit=100.0, window_seconds=7 * DAY, channel_weights={"sms": 3.0}),
            suppressions=(
                Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=30 * DAY),
                Suppression(after="bounced", scope=SuppressionScope.CHANNEL, cooldown_seconds=DAY),
            ),
            look_ahead_seconds=2 * DAY,
            fatigue=Fatigue(cost_minor=2.0, half_life_seconds=7 * DAY),
        ),
        quiet_hours=QuietHours(
            rules=(
                QuietRule(from_minute=21 * 60, until_minute=8 * 60),
                QuietRule(channels=frozenset({"sms"}), weekdays=frozenset({6})),
            )
        ),
        care=CarePolicy(kinds={"lost_item": lost}),
        limits=(
            Limit(limit_id="sms", scope=LimitScope.CHANNEL, of="sms", amount=1e6, period=Period.HOUR),
            Limit(
                limit_id="budget",
                scope=LimitScope.DEPARTMENT,
                of="marketing",
                amount=1e9,
                measure=LimitMeasure.COST,
                period=Period.MONTH,
            ),
        ),
        levers=(
            Lever(
                lever_id="sell-now",
                scope=LeverScope.GOAL,
                of="sell",
                factor=1.2,
                owner="sales",
                reason="benchmark",
                expires_at=NOW + timedelta(days=30),
                when=Compare(fact="live.browse_count_1h", comparison=Comparison.AT_LEAST, value=1),
            ),
        ),
    )


def touch(number: int) -> Touch:
    """What past contacts were about."""
    goal = list(GOALS)[number % len(GOALS)]
    return Touch(
        message_class=MessageClass.MARKETING,
        department=GOALS[goal],
        goal_id=goal,
        channel_id=CHANNELS[number % len(CHANNELS)],
        offer_id=f"past-{number:03d}",
        creative_id="plain",
    )


def live_state() -> LiveState:
    """Thirty contacts of the customer, thirty of the household, two cases, five answers, a browsing session."""
    contacts = tuple(
        Contact(contact_id=f"D-{number}", touch=touch(number), at=NOW - timedelta(days=number), is_confirmed=True)
        for number in range(1, 31)
    )
    long_ago = NOW - timedelta(days=20)
    return LiveState(
        version=7,
        contacts=contacts,
        household_contacts=contacts,
        responses=tuple(Response(outcome="declined", touch=touch(number), at=long_ago) for number in range(5)),
        cases=(
            Case(case_id="1", kind="lost_item", severity="normal", opened_at=long_ago, resolved_at=long_ago),
            Case(case_id="2", kind="lost_item", severity="normal", opened_at=long_ago, resolved_at=long_ago),
        ),
        events=tuple(RecentEvent(event_type="browse", at=NOW - timedelta(minutes=minute)) for minute in range(20)),
    )


def inputs_of(policy: Policy, *, live: LiveState, placements: int = 1) -> Inputs:
    """One reachable, consenting adult whose scores differ by candidate."""
    count = len(policy.candidates("here"))
    return Inputs(
        request=Request(
            customer_id="C-1",
            touchpoint_id="here",
            request_key="k",
            placements=tuple(Placement(placement_id=str(number + 1)) for number in range(placements)),
        ),
        customer=Customer(
            customer_id=CustomerId("C-1"),
            attributes={"age": 40},
            time_zone="Europe/Berlin",
            locale="de-DE",
            reachable_channels=frozenset(CHANNELS),
            consents=tuple(Consent(channel_id=one, purpose="marketing", is_granted=True) for one in CHANNELS),
            household_id="H-1",
            country="DE",
        ),
        features=FeatureVector(
            names=FEATURES, values=np.linspace(0.0, 6.0, len(FEATURES)), ages_seconds={"purchase": 60.0}, schema="s"
        ),
        expected_values=np.linspace(1000.0, 1500.0, count + 1),
        model_version="1",
        now=NOW,
        uniform=0.37,
        live=live,
    )


def median_us(call: Callable[[], object]) -> float:
    """Median time of a call, in microseconds."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e6)
    return float(np.median(taken))


def measure(candidates: int) -> Sequence[tuple[str, float, int]]:
    """Name, median time and permitted messages of each policy."""
    bare, full = Policy(bare_catalogue(candidates)), Policy(full_catalogue(candidates))
    cases = [
        ("bare", bare, inputs_of(bare, live=LiveState())),
        ("everything on", full, inputs_of(full, live=live_state())),
        ("four placements", full, inputs_of(full, live=live_state(), placements=4)),
    ]
    return [
        (
            name,
            median_us(lambda policy=policy, inputs=inputs: decide(policy, inputs, "D")),
            len(decide(policy, inputs, "D").evaluated) - 1,
        )
        for name, policy, inputs in cases
    ]


def main() -> None:
    for candidates in (40, 200):
        rows = measure(candidates)
        base = rows[0][1]
        for name, median, permitted in rows:
            print(
                f"{candidates:>3} candidates  {name:<16} {median:8.0f} us   {median / base:5.2f} x bare"
                f"   {permitted} permitted"
            )


if __name__ == "__main__":
    main()
