"""Bringing features and profiles into Redis, where serving reads them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
import polars as pl
from pydantic import TypeAdapter
from redis import Redis

from decisioning.catalogue.catalogue import Catalogue
from decisioning.customer import Customer
from features.computing.feature_set import feature_schema
from features.log.contracts import CUSTOMERS
from features.log.event_log import EventLog
from features.log.said import opted_out_of_profiling, said_in_log
from features.online.demand import tell_demand
from features.online.erased import forget_erased, tell_erased
from features.online.evidence import tell_evidence
from features.online.profiles import customers_from_frame, write_profiles
from features.online.redis_bulk import unset_many
from features.online.redis_connection import asking_redis, connect
from features.online.redis_keys import MATERIALISED_KEY, feature_key
from features.online.state_mark import is_state_lost, state_mark_of
from features.progress import OnProgress
from features.settings import Settings
from features.store.feast_repository import apply, quiet
from features.store.feature_history import Generation, built_history


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialiseReport:
    """What was written.

    Attributes:
        as_of: Moment of the features.
        is_full: Everything was written; else only what is newer than the last time.
        feature_records: Customers whose features were written.
        profiles: Customers whose profiles were written.
        not_profiled: Customers who opted out of profiling: they have a profile and no features.
    """

    as_of: datetime
    is_full: bool
    feature_records: int
    profiles: int
    not_profiled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What Redis itself says it holds, so that an emptied or exchanged Redis is filled again."""

    schema: str
    generation: int
    as_of: datetime


_MARK = TypeAdapter(_Mark)


def materialise(
    settings: Settings,
    catalogue: Catalogue,
    redis_url: str,
    *,
    full: bool = False,
    progress: OnProgress | None = None,
) -> MaterialiseReport:
    """Write the newest features of every customer, through Feast, and every profile.

    Customers who opted out of profiling keep no features here: what is there of them is deleted, also where the history
    was built before they opted out. Nothing stays of customers who are erased meanwhile. How often each offer was sent
    so far is told once to a Redis that does not know.

    Incremental where Redis holds features of the same schema, full otherwise or on demand. Writing again is safe.

    Raises:
        FeatureUnavailableError: Nothing was built yet, or Redis is away.
    """
    schema = feature_schema(catalogue)
    generation = built_history(settings, schema)
    log = EventLog(settings.log_path)
    customers, said = log.read(CUSTOMERS), said_in_log(log)
    not_profiled = opted_out_of_profiling(customers, said)
    total = 2 * customers["customer_id"].n_unique()
    report = progress or (lambda _done, _total: None)
    report(0, total)
    with connect(redis_url) as redis:
        tell_erased(redis, log.erased)
        is_state_lost(redis, state_mark_of(settings))  # marks a new home
        mark = _read_mark(redis)
        is_full = full or mark is None or mark.schema != schema.fingerprint or mark.as_of > generation.as_of
        oldest = generation.as_of - timedelta(days=max(group.max_age_days for group in schema.groups))
        start = oldest if is_full or mark is None else mark.as_of
        count = 0
        if is_full or mark is None or mark.generation != generation.number:
            count = _write_features(settings, catalogue, redis_url, generation, start, is_full=is_full)
        _forget_features(redis, not_profiled)
        report(total // 2, total)
        profiles = write_profiles(redis, _told(customers_from_frame(customers, said, catalogue), report, total))
        forget_erased(redis, log.erased, customers["customer_id"].unique().to_list())
        tell_evidence(redis, log)
        tell_demand(redis, log, generation.as_of)
        _write_mark(redis, _Mark(schema=schema.fingerprint, generation=generation.number, as_of=generation.as_of))
    return MaterialiseReport(
        as_of=generation.as_of,
        is_full=is_full,
        feature_records=count,
        profiles=profiles,
        not_profiled=len(not_profiled),
    )


def is_materialised(settings: Settings, catalogue: Catalogue, redis_url: str) -> bool:
    """Whether Redis holds the features in force; profiles it may hold as they were.

    Raises:
        FeatureUnavailableError: Nothing was built yet, or Redis is away.
    """
    schema = feature_schema(catalogue)
    generation = built_history(settings, schema)
    with connect(redis_url) as redis:
        mark = _read_mark(redis)
    return mark == _Mark(schema=schema.fingerprint, generation=generation.number, as_of=generation.as_of)


def _write_features(
    settings: Settings,
    catalogue: Catalogue,
    redis_url: str,
    generation: Generation,
    start: datetime,
    *,
    is_full: bool,
) -> int:
    store = apply(settings, catalogue, redis_url)
    with quiet():
        ends = {view.most_recent_end_time for view in store.list_feature_views()}
        if not is_full and ends == {start}:
            store.materialize_incremental(end_date=generation.as_of)
        else:  # Feast remembers one online store's progress; this Redis says where it stands itself
            store.materialize(start_date=start, end_date=generation.as_of)
    moment = pl.col("event_timestamp")
    period = generation.scan().filter(moment >= start, moment <= generation.as_of)
    return period.select(pl.col("customer_id").n_unique()).collect().item()


def _forget_features(redis: Redis, customer_ids: Collection[str]) -> None:
    with asking_redis("features of opted-out customers could not be deleted"):
        unset_many(redis, map(feature_key, sorted(customer_ids)))


def _told(customers: Iterator[Customer], report: OnProgress, total: int) -> Iterator[Customer]:
    """Report every so many customers."""
    for place, customer in enumerate(customers, start=1):
        yield customer
        if place % 1_000 == 0 or place == total // 2:
            report(total // 2 + place, total)


def _read_mark(redis: Redis) -> _Mark | None:
    with asking_redis("Redis must answer before features can be written, got"):
        payload = redis.get(MATERIALISED_KEY)
    if not isinstance(payload, bytes):
        return None
    return _MARK.validate_json(payload)


def _write_mark(redis: Redis, mark: _Mark) -> None:
    with asking_redis("Redis must take a note of what was written, got"):
        redis.set(MATERIALISED_KEY, orjson.dumps(mark))
