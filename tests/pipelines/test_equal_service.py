"""Service and recovery messages do not depend on a customer's value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import Case
from decisioning.catalogue.message import MessageClass
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Decision, Inputs, Request
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import ALWAYS, Compare, Comparison
from decisioning.scoring import FeatureVector
from features.catalogue import load_catalogue
from features.computing.feature_set import feature_schema

AIRLINE = Path(__file__).parents[2] / "examples" / "airline" / "catalogue"
NOW = datetime(2026, 11, 2, 15, tzinfo=UTC)
CATALOGUE = load_catalogue(AIRLINE)
POLICY = Policy(CATALOGUE)
SCHEMA = feature_schema(CATALOGUE)
OPEN = Policy(
    replace(
        CATALOGUE,
        offers={
            name: offer
            if offer.message_class is MessageClass.MARKETING
            else replace(
                offer,
                eligibility=ALWAYS,
                stages=frozenset(),
                message_class=MessageClass.RECOVERY,
                purpose="service",
            )
            for name, offer in CATALOGUE.offers.items()
        },
    )
)
"""The airline with every service offer permitted and equally urgent, so that some rule has to put them in order."""

MONEY = ("purchase_sum_", "purchase_mean_", "purchase_max_")
WORTH = [place for place, name in enumerate(SCHEMA.names) if name.startswith(MONEY)]
MOMENTS = [None, "bag_lost", "case_opened", "case_waiting", "flight_delayed", "flight_cancelled", "case_resolved"]
TROUBLE = next(iter(CATALOGUE.care.kinds))


def features_of(rng: np.random.Generator) -> np.ndarray:
    values = rng.gamma(1.0, 10.0, len(SCHEMA.names))
    values[rng.random(len(values)) < 0.3] = np.nan
    return values


def decided(
    values: np.ndarray,
    scores: np.ndarray,
    status: str,
    *,
    moment: str | None,
    in_trouble: bool = True,
    policy: Policy = POLICY,
) -> Decision:
    """The decision about one customer; only facts about their value change between calls."""
    case = Case(case_id="c", kind=TROUBLE, severity="normal", opened_at=NOW - timedelta(hours=5), channel_id="email")
    consents = tuple(
        Consent(channel_id=channel, purpose=purpose, is_granted=True, source="signup")
        for channel in CATALOGUE.channels
        for purpose in ("marketing", "service")
    )
    inputs = Inputs(
        request=Request(
            customer_id="C",
            touchpoint_id=touchpoint_of(moment),
            request_key="k",
            context={"moment": moment} if moment else {},
        ),
        customer=Customer(
            customer_id=CustomerId("C"),
            attributes={"status": status, "favourite_region": "coast"},
            time_zone="America/New_York",
            locale="en-US",
            reachable_channels=frozenset(CATALOGUE.channels),
            consents=consents,
        ),
        features=FeatureVector(
            names=SCHEMA.names,
            values=values,
            ages_seconds={group.name: 60.0 for group in SCHEMA.groups},
            schema=SCHEMA.fingerprint,
        ),
        expected_values=scores,
        model_version="1",
        now=NOW,
        uniform=0.3,
        live=LiveState(cases=(case,)) if in_trouble else LiveState(),
    )
    return decide(policy, inputs, "d")


def touchpoint_of(moment: str | None) -> str:
    return "journey-moment" if moment else "weekly-campaign"


def owed(decision: Decision) -> tuple[str, tuple[str, ...]]:
    """The chosen service or recovery offer, if any, and every permitted service or recovery message."""
    classes = {offer.offer_id: offer.message_class for offer in CATALOGUE.offers.values()}
    permitted = [one.message_key for one in decision.evaluated if one.message_key != "silence"]
    helping = tuple(sorted(key for key in permitted if classes[key.split("/")[0]] is not MessageClass.MARKETING))
    is_owed = decision.offer_id is not None and classes[decision.offer_id] is not MessageClass.MARKETING
    return (decision.offer_id or "") if is_owed else "", helping


STATUSES = st.sampled_from(["none", "silver", "gold"])


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    moment=st.sampled_from(MOMENTS),
    statuses=st.tuples(STATUSES, STATUSES),
    in_trouble=st.booleans(),
    policy=st.sampled_from([POLICY, OPEN]),
)
def test_no_service_or_recovery_decision_changes_with_customer_value(seed, moment, statuses, in_trouble, policy):
    """Spend and status never change it; a model's predicted values may change only channel and creative."""
    rng = np.random.default_rng(seed)
    values, count = features_of(rng), len(POLICY.candidates(touchpoint_of(moment))) + 1
    richer = values.copy()
    richer[WORTH] = rng.gamma(2.0, 50_000.0, len(WORTH))
    low, high = (rng.normal(0.0, 5_000.0, count) for _ in range(2))
    one, other, scored = (
        decided(known, scores, status, moment=moment, in_trouble=in_trouble, policy=policy)
        for known, scores, status in (
            (values, low, statuses[0]),
            (richer, low, statuses[1]),
            (richer, high, statuses[1]),
        )
    )
    assert owed(one) == owed(other) == owed(scored)
    if owed(one)[0]:
        assert one.message_key == other.message_key


def test_the_comparison_covers_real_apologies_and_would_detect_one_for_big_spenders_only():
    values, scores = features_of(np.random.default_rng(1)), np.zeros(len(POLICY.candidates("journey-moment")) + 1)
    poorer, richer = values.copy(), values.copy()
    poorer[WORTH], richer[WORTH] = 10.0, 1e6
    sent = [owed(decided(each, scores, "none", moment="bag_lost")) for each in (poorer, richer)]
    assert sent[0] == sent[1]
    assert sent[0][0] == "sorry"
    rich = Compare(fact=SCHEMA.names[WORTH[0]], comparison=Comparison.AT_LEAST, value=1_000)
    sorry = replace(CATALOGUE.offers["sorry"], suitability=rich)
    biased = Policy(replace(CATALOGUE, offers={**CATALOGUE.offers, "sorry": sorry}))
    unfair = [owed(decided(each, scores, "none", moment="bag_lost", policy=biased)) for each in (poorer, richer)]
    assert unfair[0] != unfair[1]
