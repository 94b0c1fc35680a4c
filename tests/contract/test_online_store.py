"""One record, three readers: Feast's interface, serving's decoder and the offline row agree on a real Redis."""

import asyncio
import math
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from redis import Redis

from decisioning.errors import FeatureUnavailableError
from features.computing.feature_set import feature_schema
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.online.record import decode_record
from features.online.redis_keys import FEATURE_KEY_PATTERN, feature_key
from features.settings import Settings
from features.store.builder import build_features
from features.store.feast_repository import feature_store
from features.store.materialisation import materialise
from features.store.point_in_time import training_rows

NOW = datetime.now(UTC)  # Feast's interface reads the clock itself
CUSTOMERS_READ = [f"C-{place:05d}" for place in range(0, 200, 9)]


@pytest.fixture(scope="module")
def as_of() -> datetime:
    return NOW.replace(microsecond=0) - timedelta(hours=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory, shop, shop_catalogue, as_of) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("contract"))
    shutil.copytree(Path(__file__).parents[1] / "catalogues" / "shop", settings.catalogue_path)
    for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES):
        EventLog(settings.log_path).append(table, getattr(shop, table.name))
    build_features(settings, shop_catalogue, as_of)
    return settings


@pytest.fixture
def store(home, shop_catalogue, redis_url):
    materialise(home, shop_catalogue, redis_url)
    return feature_store(home, redis_url)


@pytest.fixture
def references(shop_catalogue) -> list[str]:
    return [f"{group.name}:{name}" for group in feature_schema(shop_catalogue).groups for name in group.features]


def record(redis_url: str, customer_id: str) -> bytes:
    with Redis.from_url(redis_url) as redis:
        payload = redis.get(feature_key(customer_id))
    assert isinstance(payload, bytes)
    return payload


def or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def test_all_readers_give_the_same_numbers(store, home, shop_catalogue, redis_url, references, as_of):
    schema = feature_schema(shop_catalogue)
    rows = [{"customer_id": customer_id} for customer_id in CUSTOMERS_READ]
    online = store.get_online_features(features=references, entity_rows=rows).to_dict()
    entities = pl.DataFrame({"customer_id": CUSTOMERS_READ}).with_columns(event_timestamp=pl.lit(as_of))
    offline = training_rows(home, shop_catalogue, entities)
    for place, customer_id in enumerate(CUSTOMERS_READ):
        vector = decode_record(record(redis_url, customer_id), schema, NOW)
        served = [or_none(value) for value in vector.values.tolist()]
        assert served == [online[name][place] for name in schema.names]
        assert served == list(offline.row(place)[2:])
    assert sum(value is not None for name in schema.names for value in online[name]) > 20 * len(CUSTOMERS_READ)


def test_asynchronous_reads_give_the_same_values(store, references):
    rows = [{"customer_id": customer_id} for customer_id in CUSTOMERS_READ]

    async def read() -> dict[str, list[object]]:
        response = await store.get_online_features_async(features=references, entity_rows=rows)
        await store.close()
        return response.to_dict()

    assert asyncio.run(read()) == store.get_online_features(features=references, entity_rows=rows).to_dict()


def test_an_unknown_customer_has_missing_values(store, references):
    unknown = store.get_online_features(features=references, entity_rows=[{"customer_id": "nobody"}]).to_dict()
    assert {value for name, (value,) in unknown.items() if name != "customer_id"} == {None}


def pushed(shop_catalogue, at: datetime, **values: float) -> pd.DataFrame:
    group = next(group for group in feature_schema(shop_catalogue).groups if group.name == "contact")
    row = {"customer_id": "C-00001", "event_timestamp": at, **dict.fromkeys(group.features, 0.0), **values}
    return pd.DataFrame([row])


def test_a_push_writes_its_own_group_only(store, shop_catalogue, redis_url):
    schema = feature_schema(shop_catalogue)
    before = decode_record(record(redis_url, "C-00001"), schema, NOW)
    store.write_to_online_store("contact", df=pushed(shop_catalogue, NOW, message_count_7d=9.0))
    after = decode_record(record(redis_url, "C-00001"), schema, NOW)
    changed = dict(zip(after.names, after.values.tolist(), strict=True))
    assert changed["message_count_7d"] == 9.0
    assert after.ages_seconds["contact"] == pytest.approx(0.0, abs=1e-3)
    contact = next(group.features for group in schema.groups if group.name == "contact")
    same = [place for place, name in enumerate(schema.names) if name not in contact]
    assert after.values[same].tobytes() == before.values[same].tobytes()
    assert after.ages_seconds["purchase"] == before.ages_seconds["purchase"]


def test_expired_values_are_missing_for_every_reader(store, shop_catalogue, redis_url):
    old = NOW - timedelta(days=15)
    store.write_to_online_store("contact", df=pushed(shop_catalogue, old, message_count_7d=9.0))
    read = store.get_online_features(
        features=["contact:message_count_7d", "profile:customer_tenure_days"], entity_rows=[{"customer_id": "C-00001"}]
    ).to_dict()
    vector = decode_record(record(redis_url, "C-00001"), feature_schema(shop_catalogue), NOW)
    served = dict(zip(vector.names, vector.values.tolist(), strict=True))
    assert read["message_count_7d"] == [None]
    assert math.isnan(served["message_count_7d"])
    assert vector.ages_seconds["contact"] == pytest.approx(15 * 86_400, abs=1)
    assert read["customer_tenure_days"] == [served["customer_tenure_days"]]


def test_a_record_of_another_schema_is_refused_by_feast_too(store, redis_url):
    with Redis.from_url(redis_url) as redis:
        redis.setrange(feature_key("C-00001"), 0, b"\1" * 8)
    with pytest.raises(FeatureUnavailableError, match="nextbest features materialise"):
        store.get_online_features(features=["profile:attribute_age"], entity_rows=[{"customer_id": "C-00001"}])


def test_teardown_removes_every_record_and_nothing_else(store, redis_url):
    with Redis.from_url(redis_url) as redis:
        assert len(list(redis.scan_iter(FEATURE_KEY_PATTERN))) == 200
        redis.set("nb:{00}:c:kept", b"profile")
    store._get_provider().online_store.teardown(store.config, store.list_feature_views(), [])
    with Redis.from_url(redis_url) as redis:
        assert not list(redis.scan_iter(FEATURE_KEY_PATTERN))
        assert redis.get("nb:{00}:c:kept") == b"profile"
