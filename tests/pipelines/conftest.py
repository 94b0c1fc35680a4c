"""Homes with a log of real decisions: made by the engine, written as the server writes them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import orjson
import pytest

from decisioning.catalogue.contact_policy import Contact
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Decision, Inputs, Placement, Request, request_uniform
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_to_record
from decisioning.scoring import FeatureVector
from features.catalogue import load_catalogue
from features.chain.audit_chain import ChainedLog, open_log
from features.chain.decision_seal import sealed
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema
from features.log.contracts import DECISIONS
from features.log.rows import frame_of, parse_row
from features.models.policy_archive import PolicyArchive
from features.settings import Settings
from serving.log.log_rows import decision_rows
from tests.touches import make_touch

SHOP = Path(__file__).parent.parent / "catalogues" / "shop"
MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)

type ChangeInputs = Callable[[Inputs], Inputs]
type ChangeDecision = Callable[[Decision], Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedHome:
    """A home whose log holds the engine's decisions under the shop's catalogue."""

    settings: Settings
    policy: Policy

    @property
    def log(self) -> ChainedLog:
        return open_log(self.settings)

    @property
    def archive(self) -> PolicyArchive:
        return PolicyArchive(self.settings.catalogues_path)

    def decide(
        self,
        numbers: range,
        *,
        change_inputs: ChangeInputs = lambda inputs: inputs,
        change_decision: ChangeDecision = lambda decision: decision,
    ) -> list[Decision]:
        """Decide for customers of all kinds and log it; `change` may alter what is logged."""
        decisions = [
            change_decision(decide(self.policy, change_inputs(make_inputs(self.policy, number)), f"dec_00{number:05d}"))
            for number in numbers
        ]
        rows = [
            sealed(parse_row("decisions", orjson.dumps(row))[1])
            for decision in decisions
            for row in decision_rows(decision, orjson.dumps(decision_to_record(decision)), self.policy.catalogue)
        ]
        self.log.append(DECISIONS, frame_of(DECISIONS, rows))
        return decisions


@cache
def schema_of(policy: Policy) -> FeatureSchema:
    return feature_schema(policy.catalogue)


def make_inputs(policy: Policy, number: int) -> Inputs:
    """Inputs of a customer, all drawn from their number."""
    rng = np.random.default_rng(number)
    touchpoint = "weekly-mail" if number % 3 else "app-home"
    request = Request(
        customer_id=f"C-{number}",
        touchpoint_id=touchpoint,
        request_key=f"ask-{number}",
        context={"basket_value": 3.5} if touchpoint == "app-home" else {},
        placements=tuple(Placement(placement_id=str(place)) for place in range(1, 2 + number % 2)),
    )
    schema = schema_of(policy)
    values = rng.gamma(2.0, 10.0, len(schema.names))
    values[rng.random(len(values)) < 0.3] = np.nan
    touch = make_touch()
    contacts = (Contact(contact_id="D-0", touch=touch, at=MOMENT - timedelta(days=3), is_confirmed=True),)
    return Inputs(
        request=request,
        customer=Customer(
            customer_id=CustomerId(f"C-{number}"),
            attributes={"age": int(rng.integers(16, 80)), "region": "north", "first_name": "Ada"},
            time_zone="Europe/Berlin",
            locale="en-GB",
            reachable_channels=frozenset({"email", "push"}),
            consents=tuple(
                Consent(channel_id=channel, purpose=purpose, is_granted=bool(rng.random() < 0.9), source="signup")
                for channel in ("email", "push")
                for purpose in ("marketing", "service")
            ),
        ),
        features=FeatureVector(
            names=schema.names,
            values=values,
            ages_seconds={group.name: 60.0 for group in schema.groups},
            schema=schema.fingerprint,
        ),
        expected_values=1_000.0 + rng.normal(0, 100, len(policy.candidates(touchpoint)) + 1),
        model_version="7",
        now=MOMENT + timedelta(seconds=number),
        uniform=request_uniform(policy.seed, request),
        live=LiveState(version=number, contacts=contacts if number % 4 == 0 else ()),
    )


def make_home(path: Path) -> DecidedHome:
    """A home with the shop's catalogue, archived as the server archives it when it takes effect."""
    settings = Settings(home=path)
    shutil.copytree(SHOP, settings.catalogue_path)
    policy = Policy(load_catalogue(settings.catalogue_path), settings.policy_seed)
    PolicyArchive(settings.catalogues_path).keep(settings.catalogue_path, policy)
    return DecidedHome(settings=settings, policy=policy)


@pytest.fixture
def decided_home(tmp_path: Path) -> DecidedHome:
    return make_home(tmp_path / "home")


@pytest.fixture(scope="session")
def audited_home(tmp_path_factory: pytest.TempPathFactory) -> DecidedHome:
    """A thousand honest decisions; tests only read it."""
    home = make_home(tmp_path_factory.mktemp("audited") / "home")
    home.decide(range(1_000))
    return home


@pytest.fixture
def with_uniform() -> Callable[[float], ChangeInputs]:
    """Inputs with a chosen draw."""
    return lambda uniform: lambda inputs: replace(inputs, uniform=uniform)
