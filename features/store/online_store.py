"""Feast's online store on packed records: `type: features.store.online_store.PackedRedisOnlineStore`.

Feast reads and writes one feature view at a time, a view is one segment of the record (`features.online.record`), and
its tags say where the segment lies and under which schema, so the store needs no configuration but an address. Serving
does not come through here: it reads the same bytes with one GET.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import batched
from typing import Any, Literal

import numpy as np
from redis import Redis
from redis import asyncio as aioredis

from decisioning.arrays import FloatArray
from decisioning.errors import FeatureUnavailableError
from features.computing.feature_schema import FeatureGroup
from features.online.record import (
    HEAD_WORDS,
    WORD_BYTES,
    RecordLayout,
    TimeArray,
    decode_segment,
    encode_records,
    encode_segment,
    microseconds,
)
from features.online.redis_bulk import set_many
from features.online.redis_connection import asking_redis, connect
from features.online.redis_keys import FEATURE_KEY_PATTERN, feature_key
from features.store.feast_names import (
    Entity,
    EntityKey,
    FeastConfigBaseModel,
    FeatureView,
    OnlineStore,
    RepoConfig,
    SupportedAsyncMethods,
    Value,
)

OFFSET_TAG = "nextbest_offset_bytes"
SCHEMA_TAG = "nextbest_schema"
WRITE_BATCH = 2_000
"""Records per round trip."""

type FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
type Read = tuple[datetime | None, dict[str, Value] | None]


class PackedRedisOnlineStoreConfig(FeastConfigBaseModel):
    """Configuration of the packed store."""

    type: Literal["features.store.online_store.PackedRedisOnlineStore"] = (
        "features.store.online_store.PackedRedisOnlineStore"
    )
    url: str = "redis://127.0.0.1:6379/0"


class PackedRedisOnlineStore(OnlineStore):
    """One packed record per customer in Redis."""

    def __init__(self) -> None:
        self._client: Redis | None = None
        self._async_client: aioredis.Redis | None = None

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Reads have an async form."""
        return SupportedAsyncMethods(read=True)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[FeastRow], progress: Callable[[int], Any] | None
    ) -> None:
        """Write one view's segment for each row (Feast's `push` and `write_to_online_store`)."""
        names = [field.name for field in table.features]
        customer_ids = [_customer_id(key) for key, _, _, _ in data]
        times = np.asarray([microseconds(_aware(at)) for _, _, at, _ in data], dtype=np.int64)
        values = np.asarray([[_number(row.get(name)) for name in names] for _, row, _, _ in data], dtype=np.float64)
        self.write_segments(config, table, customer_ids, times, values.reshape(len(data), len(names)))
        if progress is not None:
            progress(len(data))

    def write_segments(
        self, config: RepoConfig, table: FeatureView, customer_ids: Sequence[str], times: TimeArray, values: FloatArray
    ) -> None:
        """Write one view in bulk: n customers, `times` (n,) in microseconds, `values` (n, features of the view)."""
        offset = offset_of(table)
        segments = encode_segment(int(table.tags[SCHEMA_TAG], 16), times, values)
        with asking_redis("features could not be written to Redis"):
            for batch in batched(zip(customer_ids, segments, strict=True), WRITE_BATCH):
                pipeline = self._redis(config).pipeline(transaction=False)
                for customer_id, segment in batch:
                    pipeline.setrange(feature_key(customer_id), offset, segment)
                pipeline.execute()

    def write_records(
        self,
        config: RepoConfig,
        layout: RecordLayout,
        customer_ids: Sequence[str],
        times: TimeArray,
        values: FloatArray,
    ) -> None:
        """Write every view at once, replacing whole records; `values` has shape (n, d) in schema order."""
        records = zip(map(feature_key, customer_ids), encode_records(layout, times, values), strict=True)
        with asking_redis("features could not be written to Redis"):
            set_many(self._redis(config), records)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Read]:
        """One view's values for each customer, in one round trip."""
        pipeline = self._redis(config).pipeline(transaction=False)
        for key, first, last in _ranges(table, entity_keys):
            pipeline.getrange(key, first, last)
        with asking_redis("features could not be read from Redis"):
            payloads = pipeline.execute()
        return [_decoded(payload, table, requested_features) for payload in payloads]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Read]:
        """The same without blocking the event loop."""
        if self._async_client is None:
            self._async_client = aioredis.Redis.from_url(_url(config))
        pipeline = self._async_client.pipeline(transaction=False)
        for key, first, last in _ranges(table, entity_keys):
            pipeline.getrange(key, first, last)
        with asking_redis("features could not be read from Redis"):
            payloads = await pipeline.execute()
        return [_decoded(payload, table, requested_features) for payload in payloads]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,  # noqa: FBT001 - Feast's signature
    ) -> None:
        """Nothing to prepare: Redis has no tables, and a segment of an old schema is refused by its fingerprint."""

    def teardown(
        self,
        config: RepoConfig,
        tables: Sequence[FeatureView],  # noqa: ARG002 - a record holds every view's segment
        entities: Sequence[Entity],  # noqa: ARG002
    ) -> None:
        """Delete every feature record."""
        client = self._redis(config)
        with asking_redis("features could not be deleted from Redis"):
            for batch in batched(client.scan_iter(match=FEATURE_KEY_PATTERN, count=1_000), 1_000):
                client.unlink(*batch)

    async def close(self) -> None:
        """Close connections."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._async_client is not None:
            await self._async_client.aclose()
            self._async_client = None

    def _redis(self, config: RepoConfig) -> Redis:
        if self._client is None:
            self._client = connect(_url(config))
        return self._client


def offset_of(table: FeatureView) -> int:
    """First byte of a view's segment in the record."""
    return int(table.tags[OFFSET_TAG])


def _url(config: RepoConfig) -> str:
    store = config.online_store
    if not isinstance(store, PackedRedisOnlineStoreConfig):
        raise FeatureUnavailableError(f"online store must be the packed one, got {type(store).__name__}")
    return store.url


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _customer_id(key: EntityKey) -> str:
    return key.entity_values[0].string_val


def _number(value: Value | None) -> float:
    """A protobuf value as a float, NaN where there is none."""
    kind = value.WhichOneof("val") if value is not None else None
    return math.nan if value is None or kind is None else float(getattr(value, kind))


def _ranges(table: FeatureView, keys: Iterable[EntityKey]) -> Iterator[tuple[str, int, int]]:
    """Key, first and last byte of a view's segment."""
    first = offset_of(table)
    last = first + (HEAD_WORDS + len(table.features)) * WORD_BYTES - 1
    for key in keys:
        yield feature_key(_customer_id(key)), first, last


def _group_of(table: FeatureView) -> FeatureGroup:
    max_age_days = table.ttl.total_seconds() / 86_400 if table.ttl else math.inf
    return FeatureGroup(
        name=table.name, features=tuple(field.name for field in table.features), max_age_days=max_age_days
    )


def _decoded(payload: bytes, table: FeatureView, requested: list[str] | None) -> Read:
    """Values as Feast wants them; missing ones are empty protobuf values, as they come from its offline stores."""
    group = _group_of(table)
    now = datetime.now(UTC)  # noqa: TID251 - Feast's interface passes none, and does not enforce a ttl itself
    found = decode_segment(payload, int(table.tags[SCHEMA_TAG], 16), group, now)
    if found is None:
        return None, None
    event_at, values = found
    named = dict(zip(group.features, values.tolist(), strict=True))
    wanted = group.features if requested is None else requested
    return event_at, {name: Value() if math.isnan(named[name]) else Value(double_val=named[name]) for name in wanted}
