"""Nextbest's Feast repository: an explicit list of objects made from the catalogue, never found by scanning files.

`feast apply` would import every Python file below its folder. So objects are listed here and applied by
`FeatureStore.apply`, with a configuration made from `Settings`: no file on disk holds an address or a password.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from datetime import timedelta

from decisioning.catalogue.catalogue import Catalogue
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema
from features.online.record import record_layout
from features.settings import Settings
from features.store.feast_names import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    Float64,
    ParquetFormat,
    RepoConfig,
    ValueType,
)
from features.store.feature_history import built_history, current_files, point_at
from features.store.materialisation_engine import ALL_VIEWS_TAG
from features.store.online_store import OFFSET_TAG, SCHEMA_TAG

PROJECT = "nextbest"
UNUSED_REDIS = "redis://127.0.0.1:1/0"
"""Where nothing listens: the address of a store that only reads history."""

type FeastObject = Entity | FeatureView

CUSTOMER = Entity(
    name="customer",
    join_keys=["customer_id"],
    value_type=ValueType.STRING,
    description="Who a decision is about",
)


def feast_objects(schema: FeatureSchema, files: str) -> list[FeastObject]:
    """The entity and one feature view per group, over Parquet files (a glob)."""
    source = FileSource(
        name="feature_history",
        path=files,
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
    )
    layout = record_layout(schema)
    views = [
        FeatureView(
            name=group.name,
            entities=[CUSTOMER],
            ttl=timedelta(days=group.max_age_days),
            schema=[Field(name=name, dtype=Float64) for name in group.features],
            source=source,
            tags={
                OFFSET_TAG: str(layout.offset_bytes(group.name)),
                SCHEMA_TAG: schema.fingerprint,
                ALL_VIEWS_TAG: str(len(schema.groups)),
            },
        )
        for group in schema.groups
    ]
    return [CUSTOMER, *views]


def feature_store(settings: Settings, redis_url: str = UNUSED_REDIS) -> FeatureStore:
    """Feast over our registry, history and packed online store."""
    path = settings.features_path.resolve()
    path.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{path / 'registry.db'}", "cache_ttl_seconds": 60},
        offline_store={"type": "duckdb"},
        online_store={"type": "features.store.online_store.PackedRedisOnlineStore", "url": redis_url},
        batch_engine={"type": "features.store.materialisation_engine.PackedEngine"},
        entity_key_serialization_version=3,
        repo_path=path,
    )
    return FeatureStore(config=config)


def apply(settings: Settings, catalogue: Catalogue, redis_url: str = UNUSED_REDIS) -> FeatureStore:
    """Bring Feast's registry in line with the catalogue and the feature history in force, and return the store.

    Raises:
        FeatureUnavailableError: Nothing was built yet, or under another catalogue.
    """
    schema = feature_schema(catalogue)
    point_at(built_history(settings, schema).path)
    wanted = feast_objects(schema, current_files(settings))
    store = feature_store(settings, redis_url)
    views = {view.name: _declared(view) for view in wanted if isinstance(view, FeatureView)}
    registered = {view.name: view for view in store.list_feature_views()}
    if {name: _declared(view) for name, view in registered.items()} == views:
        return store  # applying costs hundreds of transactions, whatever has changed
    gone = [view for name, view in registered.items() if name not in views]
    with quiet():
        store.apply([*wanted], objects_to_delete=[*gone], partial=not gone)
    return store


def _declared(view: FeatureView) -> tuple[object, ...]:
    """What we say of a view. Feast's own comparison looks at what it adds as well, and finds that views never agree."""
    features = [(field.name, field.dtype) for field in view.features]
    return view.entities, view.ttl, view.tags, features, view.batch_source


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Feast's progress text off standard output, which is for results, and hide its libraries' warnings."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
