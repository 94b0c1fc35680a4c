"""A small shop that every package's tests share: its catalogue, its customers, and a randomised year of contacts."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import redis
import structlog
from hypothesis import settings
from sqlalchemy import Engine, event

from decisioning.catalogue.care import DEFAULT_CARE
from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue, Learning
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.experiment import Arm, ArmPolicy, Experiment, Exposure, Holdout
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.journey import Goal, JourneyStage, Touchpoint
from decisioning.catalogue.measure import Measure, Unit
from decisioning.catalogue.message import Creative, MessageClass, Offer
from decisioning.catalogue.message_classes import DEFAULT_CLASSES
from decisioning.effects.message_coding import MessageCoding
from decisioning.rules.predicate import ALWAYS, Compare, Comparison
from decisioning.value_model import CONTEXT_COLUMNS, Calibrator, DesignLayout
from features.computing.feature_set import feature_schema
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.models.bundle import ModelBundle
from features.models.registry import mlflow_client
from features.settings import Settings
from features.zone_rules import use_newest_rules
from pipelines.server.embedded_redis import embedded_redis


def pytest_configure() -> None:
    """Set up a test process the way every other process is, before a test module looks up a time zone."""
    use_newest_rules()
    # Importing Feast has switched prometheus_client to its multiprocess mode; workers that inherit it would
    # share counters between tests.
    for name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
        os.environ.pop(name, None)
    # As in a server's own log. structlog's default takes seconds to render every variable of a traceback.
    drawn = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], drawn])
    # How long an example takes depends only on how busy the machine is. Without NEXTBEST_TEST_EXPLORE, the same commit
    # draws the same examples wherever it is tested; `make explore` draws new ones.
    explores = bool(os.environ.get("NEXTBEST_TEST_EXPLORE"))
    settings.register_profile("unhurried", deadline=None, derandomize=not explores)
    settings.load_profile("unhurried")


@event.listens_for(Engine, "connect")
def _do_not_wait_for_the_disk(connection: object, _record: object) -> None:
    """MLflow's and Feast's SQLite files need not survive a power cut here; a run writes thousands of transactions."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")


LONGEST = ("e2e", "test_contest.py")
"""Folders and modules that take minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slowest tests first, so that no worker is left with one at the end; the others stay shuffled."""
    items.sort(key=lambda item: not set(LONGEST) & set(item.path.parts))


SHOP_ENDS_AT = datetime(2026, 11, 1, tzinfo=UTC)
SERVICE_WITHOUT_PRECEDENCE = replace(DEFAULT_CLASSES[MessageClass.SERVICE], has_precedence=False)
SHOP_OFFERS = ("double-stamps", "free-coffee", "ten-percent", "opening-hours")


def _offer(offer_id: str, kind: str, message_class: MessageClass = MessageClass.MARKETING, **fields: object) -> Offer:
    purpose = "marketing" if message_class is MessageClass.MARKETING else "service"
    return Offer(
        offer_id=offer_id,
        goal_id="loyalty" if message_class is MessageClass.MARKETING else "care",
        kind=kind,
        message_class=message_class,
        purpose=purpose,
        **fields,  # pyright: ignore[reportArgumentType]
    )


def make_shop_catalogue() -> Catalogue:
    """The same catalogue as the YAML files in tests/catalogues/shop."""
    offers = (
        _offer("double-stamps", "points", attributes={"difficulty": 10.0}, value_minor=100),
        _offer(
            "free-coffee", "gift", attributes={"difficulty": 0.0}, value_minor=150, stages=frozenset({"new", "active"})
        ),
        _offer(
            "ten-percent",
            "discount",
            attributes={"difficulty": 20.0},
            value_minor=200,
            eligibility=Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18),
        ),
        _offer("opening-hours", "information", MessageClass.SERVICE, attributes={"difficulty": 0.0}, value_minor=10),
    )
    creatives = tuple(
        Creative(
            creative_id="plain",
            offer_id=offer.offer_id,
            channel_id=channel,
            content={
                "headline": f"{offer.offer_id} for {{{{ customer.first_name | default: 'you' }}}}",
                "body": "See you soon",
            },
            place=0 if offer.message_class is MessageClass.MARKETING else place,
        )
        for offer in offers
        for place, channel in enumerate(("email", "push"))
    )
    return Catalogue(
        version="shop-in-code",
        currency="EUR",
        goals={
            "care": Goal(goal_id="care", department="service"),
            "loyalty": Goal(goal_id="loyalty", department="marketing"),
        },
        stages=(
            JourneyStage(
                stage_id="new",
                goal_id="loyalty",
                entry=Compare(fact="customer_tenure_days", comparison=Comparison.LESS_THAN, value=30),
            ),
            JourneyStage(
                stage_id="active",
                goal_id="loyalty",
                entry=Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=1),
            ),
            JourneyStage(stage_id="lapsed", goal_id="loyalty", entry=ALWAYS),
        ),
        touchpoints={
            "app-home": Touchpoint(
                touchpoint_id="app-home", channels=frozenset({"push"}), context={"basket_value": "number"}
            ),
            "weekly-mail": Touchpoint(touchpoint_id="weekly-mail", channels=frozenset({"email", "push"})),
        },
        channels={
            "email": Channel(
                channel_id="email", cost_minor=1, max_lengths={"headline": 80}, required_fields=frozenset({"headline"})
            ),
            "push": Channel(
                channel_id="push", cost_minor=0.5, max_lengths={"headline": 60}, required_fields=frozenset({"headline"})
            ),
        },
        offers={offer.offer_id: offer for offer in offers},
        creatives=creatives,
        offer_kinds=("points", "gift", "discount", "information"),
        event_types=(
            "browse",
            "purchase",
            "delivery",
            "complaint",
            "review",
            "service_ticket",
            "return",
            "social_post",
            "survey_answer",
            "call_note",
            "stamp_paid",
        ),
        customer_attributes=(
            Attribute(name="age", kind=AttributeKind.NUMBER),
            Attribute(name="region", kind=AttributeKind.CATEGORY, values=("north", "south")),
        ),
        offer_attributes=(Attribute(name="difficulty", kind=AttributeKind.NUMBER),),
        measures={
            "clicked": Measure(measure_id="clicked", unit=Unit.RATE, outcomes=frozenset({"clicked"})),
            "net_revenue": Measure(
                measure_id="net_revenue",
                unit=Unit.MONEY,
                added_events=frozenset({"purchase"}),
                subtracted_events=frozenset({"stamp_paid"}),
                cap_minor=10_000,
            ),
        },
        learning=Learning(measure_id="net_revenue", window_days=7.0),
        exploration=Exploration(epsilon=0.1, min_probability=0.005),
        experiments=(
            Experiment(
                experiment_id="engine-vs-random",
                salt="evr-1",
                arms=(Arm(arm_id="random", share=0.5, policy=ArmPolicy.RANDOM), Arm(arm_id="engine", share=0.5)),
                control_arm_id="random",
                exposure=Exposure.DELIVERED,
                primary_measure_id="net_revenue",
                secondary_measure_ids=("clicked",),
                touchpoints=frozenset({"weekly-mail"}),
            ),
        ),
        holdout=Holdout(share=0.05, salt="holdout-1"),
        classes={**DEFAULT_CLASSES, MessageClass.SERVICE: SERVICE_WITHOUT_PRECEDENCE},
        care=DEFAULT_CARE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Canonical tables of the shop, with the truth they were made from: spend rises by `effects_minor[offer]`."""

    customers: pl.DataFrame
    events: pl.DataFrame
    decisions: pl.DataFrame
    outcomes: pl.DataFrame
    effects_minor: dict[str, int]


def make_shop(customer_count: int = 200, wave_count: int = 8, seed: int = 7) -> Shop:
    """A randomised log: each week every customer gets silence (0.2) or one of four offers by e-mail (0.2 each)."""
    rng = np.random.default_rng(seed)
    effects = {"double-stamps": 300, "free-coffee": 0, "ten-percent": 600, "opening-hours": 0}
    customers, events, decisions, outcomes = [], [], [], []
    for index in range(customer_count):
        customer_id = f"C-{index:05d}"
        likes = float(rng.gamma(2.0, 500.0))
        joined_at = SHOP_ENDS_AT - timedelta(days=int(rng.integers(60, 900)))
        consents = [
            {"channel": channel, "purpose": purpose, "granted": bool(rng.random() < 0.9), "source": "signup"}
            for channel in ("email", "push")
            for purpose in ("marketing", "service")
        ]
        attributes = {
            "age": int(rng.integers(16, 80)),
            "region": str(rng.choice(["north", "south"])),
            "first_name": f"N{index}",
        }
        customers.append(
            {
                "customer_id": customer_id,
                "updated_at": joined_at,
                "joined_at": joined_at,
                "time_zone": "Europe/Berlin",
                "locale": "en-GB",
                "channels": orjson.dumps(["email", "push"] if index % 3 else ["email"]).decode(),
                "consents": orjson.dumps(consents).decode(),
                "attributes": orjson.dumps(attributes).decode(),
            }
        )
        for wave in range(wave_count):
            decided_at = SHOP_ENDS_AT - timedelta(weeks=wave_count - wave)
            draw = int(rng.integers(0, 5))
            offer_id = SHOP_OFFERS[draw] if draw < 4 else None
            decision_id = f"D-{index:05d}-{wave}"
            decisions.append(
                {
                    "decision_id": decision_id,
                    "customer_id": customer_id,
                    "decided_at": decided_at,
                    "touchpoint": "weekly-mail",
                    "offer_id": offer_id,
                    "channel": "email" if offer_id else None,
                    "creative_id": "plain" if offer_id else None,
                    "action_probability": 0.2,
                    "window_ends_at": decided_at + timedelta(weeks=1),
                }
            )
            spend = likes * float(rng.gamma(2.0, 0.5)) + (effects[offer_id] if offer_id else 0)
            bought_at = decided_at + timedelta(hours=float(rng.uniform(1, 160)))
            events.append(
                {
                    "event_id": f"E-{index:05d}-{wave}",
                    "customer_id": customer_id,
                    "type": "purchase",
                    "occurred_at": bought_at,
                    "channel": "store",
                    "amount_minor": int(spend),
                    "currency": "EUR",
                }
            )
            for kind, chance in (("delivered", 0.98), ("clicked", 0.2)):
                if offer_id and rng.random() < chance:
                    outcomes.append(
                        {
                            "outcome_id": f"O-{index:05d}-{wave}-{kind}",
                            "decision_id": decision_id,
                            "customer_id": customer_id,
                            "type": kind,
                            "occurred_at": decided_at + timedelta(minutes=5 if kind == "delivered" else 90),
                        }
                    )
    return Shop(
        customers=pl.DataFrame(customers, schema=CUSTOMERS.schema),
        events=pl.DataFrame(events, schema=EVENTS.schema),
        decisions=pl.DataFrame(decisions, schema=DECISIONS.schema),
        outcomes=pl.DataFrame(outcomes, schema=OUTCOMES.schema),
        effects_minor=effects,
    )


@pytest.fixture(scope="session")
def shop_catalogue() -> Catalogue:
    return make_shop_catalogue()


@pytest.fixture(scope="session")
def shop() -> Shop:
    return make_shop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of this test process's Redis, for fixtures that outlive a test; tests take `redis_url`."""
    with embedded_redis(Settings(home=tmp_path_factory.mktemp("redis-home"))) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A real Redis, emptied: no test sees what another wrote."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


def make_value_bundle(
    catalogue: Catalogue, *, shift: float = 0.0, notes: dict[str, object] | None = None
) -> ModelBundle:
    """A small real model of the shop that knows the effects of its offers; `shift` makes it another model."""
    import lightgbm  # takes two seconds; only processes that need a model pay for it

    features = feature_schema(catalogue)
    effects = {"ten-percent": 600.0, "double-stamps": 300.0, "free-coffee": -20.0, "opening-hours": -20.0}
    coding = MessageCoding(
        offer_kinds=catalogue.offer_kinds,
        channels=tuple(sorted(catalogue.channels)),
        attributes=catalogue.offer_attributes,
        offer_offsets={offer: effect + shift for offer, effect in effects.items()},
    )
    layout = DesignLayout(customer=features.names, message=coding.columns, context=CONTEXT_COLUMNS)
    rng = np.random.default_rng(3)
    matrix = np.full((400, len(layout.columns)), np.nan)
    spent = layout.columns.index("purchase_sum_minor_30d")
    matrix[:, spent] = rng.gamma(2.0, 500.0, 400)
    booster = lightgbm.train(
        {"objective": "regression", "num_leaves": 8, "verbose": -1, "num_threads": 1, "seed": 1},
        lightgbm.Dataset(matrix, matrix[:, spent] + rng.normal(size=400)),
        num_boost_round=20,
    )
    nothing = Calibrator(
        baseline_intercept=0.0,
        baseline_slope=1.0,
        common_slope=0.0,
        specific_slope=0.0,
        reference=np.zeros((0, len(coding.columns))),
        reference_weights=np.zeros(0),
    )
    return ModelBundle(
        booster=booster.model_to_string(),
        layout=layout,
        coding=coding,
        calibrator=nothing,
        feature_schema=features.fingerprint,
        catalogue_version=catalogue.version,
        measure_id="net_revenue",
        window_days=7.0,
        notes=notes or {},
    )


@pytest.fixture(scope="session")
def value_bundle() -> Callable[..., ModelBundle]:
    """Makes small real models of a catalogue."""
    return make_value_bundle


@pytest.fixture(scope="session")
def blank_tracking_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's SQLite file with empty tables: making one takes seconds, copying it takes none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow_client(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def model_home(tmp_path: Path, blank_tracking_store: Path) -> Settings:
    """A home with the shop's catalogue in force and an empty tracking store of its own."""
    settings = Settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns")
    settings.mlruns.mkdir()
    shutil.copyfile(blank_tracking_store, settings.mlruns / "mlflow.db")
    shutil.copytree(Path(__file__).parent / "catalogues" / "shop", settings.catalogue_path)
    return settings
