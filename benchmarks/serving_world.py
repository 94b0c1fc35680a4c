"""The data of the servers in `serve.py` and `soak.py`: a catalogue, a model, and customers in Redis.

Every gate has something to check: consent, rules on every offer, caps, suppressions, quiet hours, a capacity, a
holdout and exploration. 69 features of a customer, 200 trees. The same numbers go to Nextbest, into Feast's own store
and into MLflow's format.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import redis

from decisioning.customer import Consent, Customer, CustomerId
from decisioning.effects.message_coding import MessageCoding, message_matrix
from decisioning.value_model import CONTEXT_COLUMNS, Calibrator, DesignLayout
from features.catalogue import load_catalogue
from features.computing.feature_set import feature_schema
from features.models.bundle import ModelBundle, write_bundle
from features.online.profiles import encode_profile
from features.online.record import encode_records, microseconds, record_layout
from features.online.redis_keys import feature_key, profile_key
from features.settings import Settings

TREES = 200
CHANNELS = ("email", "push")
_TEMPLATES = 2_000
"""Customers differ in their features by their number, up to this many."""

_HEAD = """
currency: EUR
offer_kinds: [points, gift, discount, information]
event_types: [stamp_paid]
customer_attributes: {age: {kind: number}, region: {kind: category, values: [north, south]}}
offer_attributes: {difficulty: {kind: number}}
measures: {net_revenue: {unit: money, add: [purchase], subtract: [stamp_paid]}}
learning: {measure: net_revenue, window_days: 7}
exploration: {epsilon: 0.1, min_probability: 0.002}
holdout: {share: 0.05, salt: bench-1}
goals: {loyalty: {department: marketing}}
stages:
  - {stage: new, goal: loyalty, entry: {fact: customer_tenure_days, less_than: -3}}
  - {stage: all, goal: loyalty}
touchpoints: {mail: {channels: [email, push], context: {basket: number}}}
channels:
  email: {cost: 0.01, max_lengths: {headline: 80}, required_fields: [headline]}
  push: {cost: 0.005, max_lengths: {headline: 60}, required_fields: [headline]}
limits: {mail-room: {scope: channel, of: email, amount: 100000000, per: week}}
contact_policy:
  caps:
    marketing-month: {scope: class, of: marketing, limit: 100, window_days: 30}
    marketing-week: {scope: class, of: marketing, limit: 60, window_days: 7}
    email-week: {scope: channel, of: email, limit: 50, window_days: 7}
    push-week: {scope: channel, of: push, limit: 50, window_days: 7}
  suppressions:
    - {after: declined, scope: offer, days: 28}
    - {after: complained, scope: class, days: 90}
    - {after: unsubscribed, scope: channel}
quiet_hours: {unknown_zones: [Europe/Berlin], rules: [{from: "03:00", until: "03:01", channels: [push]}]}
offers:
"""


@dataclass(frozen=True, kw_only=True)
class World:
    """The places of the parts."""

    home: Path
    redis_port: int

    def environment(self) -> dict[str, str]:
        """The environment of a server."""
        return {
            **os.environ, "NEXTBEST_HOME": str(self.home), "NEXTBEST_MLRUNS": str(self.home / "mlruns"),
            "NEXTBEST_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0", "NEXTBEST_DEADLINE_MS": "10000",
            "BENCH_HOME": str(self.home),
        }  # fmt: skip


def catalogue_text(messages: int) -> str:
    """A catalogue with this many messages: half as many offers, each on two channels."""
    offer = (
        "  offer-{n}: {{goal: loyalty, kind: points, value: 1.0, attributes: {{difficulty: {n}}}, eligibility: "
        "{{fact: customer.age, at_least: {age}}}, creatives: [{creatives}]}}"
    )
    lines = []
    for n in range(messages // 2):
        creatives = ", ".join(
            f"{{creative: plain, channel: {channel}, content: {{headline: 'Offer {n} for {{{{ customer.region }}}}'}}}}"
            for channel in CHANNELS
        )
        lines.append(offer.format(n=n, age=14 + n % 3, creatives=creatives))
    return _HEAD + "\n".join(lines) + "\n"


def prepare(world: World, *, messages: int, customers: int) -> None:
    """Catalogue and model in the home, customers in Redis."""
    settings = Settings(home=world.home)
    settings.catalogue_path.mkdir(parents=True)
    (settings.catalogue_path / "catalogue.yaml").write_text(catalogue_text(messages))
    catalogue = load_catalogue(settings.catalogue_path)
    schema = feature_schema(catalogue)
    coding = MessageCoding(offer_kinds=catalogue.offer_kinds, channels=CHANNELS, attributes=catalogue.offer_attributes)
    layout = DesignLayout(customer=schema.names, message=coding.columns, context=CONTEXT_COLUMNS)
    calibrator = Calibrator(
        baseline_intercept=500.0, baseline_slope=1.0, common_slope=0.5, specific_slope=0.5,
        reference=message_matrix(coding, [])[:0], reference_weights=np.zeros(0),
    )  # fmt: skip
    bundle = ModelBundle(
        booster=booster_of(len(layout.columns)), layout=layout, coding=coding,
        calibrator=calibrator, feature_schema=schema.fingerprint, catalogue_version=catalogue.version,
        measure_id="net_revenue", window_days=7.0,
    )  # fmt: skip
    digest = write_bundle(bundle, settings.models_path / "1-bench")
    pointer = {"version": "1", "folder": "1-bench", "digest": digest}
    (settings.models_path / "champion.json").write_text(json.dumps(pointer))
    put_customers(world, customers)


@cache
def booster_of(columns: int) -> str:
    """Trees that use every column, in LightGBM's text form."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(20_000, columns))
    target = matrix @ rng.normal(size=columns) + rng.normal(size=len(matrix))
    booster = lightgbm.train({"num_leaves": 31, "verbose": -1}, lightgbm.Dataset(matrix, target), TREES)
    return booster.model_to_string()


def feature_values(columns: int) -> np.ndarray:
    """Features of the first customers; later ones repeat them."""
    return np.random.default_rng(1).normal(size=(_TEMPLATES, columns))


def put_customers(world: World, count: int) -> None:
    """Write features and profiles of this many customers, as materialisation does."""
    catalogue = load_catalogue(Settings(home=world.home).catalogue_path)
    schema = feature_schema(catalogue)
    now = datetime.now(UTC)
    values = feature_values(len(schema.names))
    packed = encode_records(record_layout(schema), np.full(len(values), microseconds(now)), values)
    consents = tuple(
        Consent(channel_id=channel, purpose="marketing", is_granted=True, recorded_at=now - timedelta(days=90))
        for channel in CHANNELS
    )
    with redis.Redis(port=world.redis_port) as client:
        pipeline = client.pipeline(transaction=False)
        for n in range(count):
            customer = Customer(
                customer_id=CustomerId(f"C-{n}"), attributes={"age": 40, "region": "north"},
                time_zone="Europe/Berlin", locale="en-GB", reachable_channels=frozenset(CHANNELS), consents=consents,
            )  # fmt: skip
            pipeline.set(feature_key(f"C-{n}"), packed[n % len(packed)])
            pipeline.set(profile_key(f"C-{n}"), encode_profile(customer))
            if n % 1_000 == 999:
                pipeline.execute()
        pipeline.execute()


def prepare_rivals(world: World, *, customers: int) -> None:
    """The same features in Feast's own Redis store, and the same booster in MLflow's format."""
    import mlflow.lightgbm
    import pandas as pd
    import yaml
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    names = list(feature_schema(load_catalogue(Settings(home=world.home).catalogue_path)).names)
    values = np.resize(feature_values(len(names)), (customers, len(names)))
    frame = pd.DataFrame(values, columns=names).assign(
        customer_id=[f"C-{n}" for n in range(customers)], event_timestamp=pd.Timestamp.now(tz="UTC")
    )
    folder = world.home / "feast"
    folder.mkdir()
    frame.to_parquet(folder / "features.parquet")
    config = {
        "project": "bench", "provider": "local", "registry": str(folder / "registry.db"),
        "entity_key_serialization_version": 3, "offline_store": {"type": "dask"},
        "online_store": {"type": "redis", "connection_string": f"127.0.0.1:{world.redis_port}"},
    }  # fmt: skip
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config))
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="all", entities=[customer], ttl=timedelta(days=99),
        schema=[Field(name=name, dtype=Float64) for name in names],
        source=FileSource(path=str(folder / "features.parquet"), timestamp_field="event_timestamp"),
    )  # fmt: skip
    store = FeatureStore(repo_path=str(folder))
    store.apply([customer, view])
    store.write_to_online_store("all", frame)
    booster = lightgbm.Booster(model_file=str(world.home / "models" / "1-bench" / "booster.txt"))
    mlflow.lightgbm.save_model(booster, str(world.home / "mlflow-model"))
    (world.home / "rivals.json").write_text(json.dumps({"names": names, "columns": booster.num_feature()}))


def message_columns(messages: int, columns: int, names: int) -> np.ndarray:
    """The message columns of the other servers: a row per message, silence first."""
    return np.random.default_rng(2).normal(size=(messages + 1, columns - names))
