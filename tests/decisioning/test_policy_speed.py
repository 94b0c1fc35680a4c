"""A decision is cheap, also where every gate, price and lever is at work."""

import timeit
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import (
    Cap,
    Contact,
    ContactPolicy,
    Fatigue,
    PressureBudget,
    Suppression,
    SuppressionScope,
)
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.levers import Lever, LeverScope
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitMeasure, LimitScope, Period, Supply
from decisioning.catalogue.message_classes import CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import Compare, Comparison
from tests.decisioning.exploring import MakeInputs


@pytest.fixture(scope="module")
def busy_policy(plain_catalogue: Catalogue, now: datetime) -> Policy:
    """Forty messages with every gate, price and lever at work."""
    many = tuple(
        replace(creative, creative_id=f"{creative.creative_id}-{copy}")
        for creative in plain_catalogue.creatives
        for copy in range(5)
    )
    scopes = (CapScope.EVERYTHING, CapScope.DEPARTMENT, CapScope.GOAL, CapScope.CLASS, CapScope.CHANNEL, CapScope.OFFER)
    busy = Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=3)
    lever = Lever(
        lever_id="l",
        scope=LeverScope.GOAL,
        of="loyalty",
        factor=1.5,
        owner="o",
        reason="r",
        expires_at=now + timedelta(days=1),
        when=busy,
    )
    return Policy(
        replace(
            plain_catalogue,
            creatives=many,
            contact_policy=ContactPolicy(
                caps=tuple(Cap(cap_id=one, scope=one, limit=40, window_seconds=7 * 86_400.0) for one in scopes),
                pressure=PressureBudget(limit=90, window_seconds=7 * 86_400.0),
                suppressions=(Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=86_400.0),),
                fatigue=Fatigue(cost_minor=1.0, half_life_seconds=86_400.0),
            ),
            quiet_hours=QuietHours(rules=(QuietRule(from_minute=21 * 60, until_minute=8 * 60),)),
            limits=(
                Limit(limit_id="pushes", scope=LimitScope.CHANNEL, of="push", amount=1000, period=Period.HOUR),
                Limit(
                    limit_id="q4", scope=LimitScope.DEPARTMENT, of="marketing", amount=1e6, measure=LimitMeasure.COST
                ),
            ),
            shares=(DepartmentShare(share_id="m", department="marketing", max_share=0.9),),
            levers=(lever,),
            exploration=Exploration(
                kind=ExplorationKind.INVERSE_GAP, min_probability=0.002, ramp=Ramp(needed=200, start_share=0.05)
            ),
        )
    )


def test_a_decision_among_forty_messages_with_everything_on_is_cheap(
    busy_policy: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    """Typically 0.3 ms; the bound only catches an accident such as counting the book for every message."""
    touch = busy_policy.compiled_candidates("app-home")[0].touch
    contacts = tuple(
        Contact(contact_id=f"d{age}", touch=touch, at=now - timedelta(hours=5 * age), is_confirmed=True)
        for age in range(30)
    )
    supply = Supply(prices_minor={"pushes": 2.0, "m": -1.0}, evidence={"ten-percent": 20})
    inputs = inputs_of(busy_policy, live=LiveState(contacts=contacts), supply=supply)
    decision = decide(busy_policy, inputs, "D-1")
    assert len(decision.evaluated) == 41
    found = decision.evaluated[1]
    assert min(found.fatigue_minor, found.shadow_minor, found.context_weight - 1, found.evidence_count or 0) > 0
    assert min(timeit.repeat(lambda: decide(busy_policy, inputs, "D-1"), number=50, repeat=5)) / 50 < 0.05


def test_a_decision_among_forty_messages_is_cheap(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """Typically 0.2 ms; the bound only catches an accident such as compiling per request."""
    many = tuple(
        replace(creative, creative_id=f"{creative.creative_id}-{copy}")
        for creative in plain_catalogue.creatives
        for copy in range(5)
    )
    policy = Policy(replace(plain_catalogue, creatives=many))
    inputs = inputs_of(policy)
    assert len(policy.candidates("weekly-mail")) == 40
    assert min(timeit.repeat(lambda: decide(policy, inputs, "D-1"), number=50, repeat=5)) / 50 < 0.05
