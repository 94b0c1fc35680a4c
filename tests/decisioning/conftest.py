"""A customer of the shop with inputs that pass every gate; tests break one at a time.

Coverage makes the core two to three times slower. Tests that decide thousands of times are marked `no_cover`: they run
unmeasured, and the other tests must reach every line without them.
"""

import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Arm, ArmPolicy, Experiment, Exposure
from decisioning.catalogue.exploration import Exploration
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Inputs, Request, request_uniform
from decisioning.policy import Policy
from decisioning.scoring import FeatureVector

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
REQUEST_FIELDS = {"touchpoint_id", "request_key", "context", "channels", "excluded_offers", "stage_id", "placements"}
CUSTOMER_FIELDS = {
    "attributes",
    "reachable_channels",
    "consents",
    "unsubscribed_channels",
    "time_zone",
    "household_id",
    "country",
    "plausible_zones",
    "locale_zones",
    "protections",
    "has_opted_out_of_profiling",
}


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Turn coverage off for tests marked `no_cover`, in xdist's workers too.

    Workers start coverage twice: pausing one leaves the other running, so the trace function itself is removed.
    """
    if item.get_closest_marker("no_cover") is None:
        return (yield)
    measuring = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(measuring)


def _consents(channels: tuple[str, ...] = ("email", "push")) -> tuple[Consent, ...]:
    return tuple(
        Consent(channel_id=channel, purpose=purpose, is_granted=True)
        for channel in channels
        for purpose in ("marketing", "service")
    )


def make_features(**values: float) -> FeatureVector:
    known = {"customer_tenure_days": 400.0, "purchase_count_90d": 3.0, "purchase_recency_days": 5.0} | values
    return FeatureVector(
        names=tuple(known), values=np.array(list(known.values())), ages_seconds={"purchase": 60.0}, schema="s1"
    )


def make_inputs(policy: Policy, customer_id: str = "C-1", **fields: Any) -> Inputs:
    """Inputs of a reachable, consenting, active adult; any field of request, customer or inputs can be replaced."""
    asked = {name: value for name, value in fields.items() if name in REQUEST_FIELDS}
    request = Request(customer_id=customer_id, **({"touchpoint_id": "weekly-mail", "request_key": "k-1"} | asked))
    known = {name: value for name, value in fields.items() if name in CUSTOMER_FIELDS}
    customer = Customer(
        **{
            "customer_id": CustomerId(customer_id),
            "attributes": {"age": 30, "region": "north", "first_name": "Ada"},
            "time_zone": "Europe/Berlin",
            "locale": "en-GB",
            "reachable_channels": frozenset({"email", "push"}),
            "consents": _consents(),
        }
        | known
    )
    count = len(policy.candidates(request.touchpoint_id))
    rest = {name: value for name, value in fields.items() if name not in REQUEST_FIELDS | CUSTOMER_FIELDS}
    inputs = Inputs(
        request=request,
        customer=customer,
        features=make_features(),
        expected_values=np.linspace(1000.0, 1400.0, count + 1),
        model_version="7",
        now=NOW,
        uniform=request_uniform(policy.seed, request),
    )
    return replace(inputs, **rest)


def make_experiment(policy: ArmPolicy, experiment_id: str = "test") -> Experiment:
    """An experiment that puts everybody into an arm of this policy."""
    return Experiment(
        experiment_id=experiment_id,
        salt=f"{experiment_id}-salt",
        arms=(
            Arm(
                arm_id="all",
                share=1.0,
                policy=policy,
                model_alias="challenger" if policy is ArmPolicy.MODEL else None,
            ),
            Arm(arm_id="none", share=0.0),
        ),
        control_arm_id="all",
        exposure=Exposure.DECIDED,
        primary_measure_id="net_revenue",
    )


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def inputs_of() -> Callable[..., Inputs]:
    return make_inputs


@pytest.fixture(scope="session")
def features_of() -> Callable[..., FeatureVector]:
    return make_features


@pytest.fixture(scope="session")
def experiment_of() -> Callable[..., Experiment]:
    return make_experiment


@pytest.fixture(scope="session")
def plain_catalogue(shop_catalogue: Catalogue) -> Catalogue:
    """The shop without experiments, holdout or exploration."""
    return replace(shop_catalogue, experiments=(), holdout=None, exploration=Exploration())


@pytest.fixture(scope="session")
def plain_policy(plain_catalogue: Catalogue) -> Policy:
    return Policy(plain_catalogue)


@pytest.fixture(scope="session")
def shop_policy(shop_catalogue: Catalogue) -> Policy:
    return Policy(shop_catalogue)
