"""The cost of reading and writing features online: packed records, Feast's interface over them, and a plain Redis hash.

Run `python benchmarks/features_online.py`. Other work on the machine changes absolute numbers, so each round times all
readers one after the other and the table shows medians of the ratios within a round.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from redis import Redis

from features.catalogue import load_catalogue
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema
from features.log.contracts import UTC_TIME
from features.online.record import decode_record
from features.online.redis_keys import feature_key
from features.settings import Settings
from features.store.feast_repository import apply, quiet
from features.store.feature_history import Generation, draft, put_in_force
from pipelines.server.embedded_redis import embedded_redis

CATALOGUE = Path(__file__).parents[1] / "tests" / "catalogues" / "shop"


def write_history(settings: Settings, schema: FeatureSchema, customers: int, as_of: datetime) -> None:
    """A feature history of random numbers, a tenth of them missing."""
    rng = np.random.default_rng(1)
    values = rng.gamma(2.0, 50.0, (customers, len(schema.names)))
    values[rng.random(values.shape) < 0.1] = np.nan
    frame = pl.DataFrame(
        {
            "customer_id": [f"C-{place:07d}" for place in range(customers)],
            "event_timestamp": pl.Series([as_of] * customers, dtype=UTC_TIME),
        }
    ).hstack(pl.DataFrame(values, schema=list(schema.names)).fill_nan(None))
    path = draft(settings)
    frame.write_parquet(path / "snapshot-benchmark.parquet")
    generation = Generation(
        path=path, number=0, fingerprint=schema.fingerprint, as_of=as_of, horizon=as_of + timedelta(microseconds=1)
    )
    put_in_force(settings, path, generation, pl.DataFrame(schema={"customer_id": pl.String, "rows": pl.UInt32}))


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def write_hashes(redis: Redis, schema: FeatureSchema, customers: int) -> None:
    for place in range(customers):
        payload = redis.get(feature_key(f"C-{place:07d}"))
        assert isinstance(payload, bytes)
        values = np.frombuffer(payload, dtype="<f8")[: len(schema.names)]
        redis.hset(f"hash:{place}", mapping=dict(zip(schema.names, map(float, values), strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=400)
    options = parser.parse_args()
    catalogue = load_catalogue(CATALOGUE)
    schema = feature_schema(catalogue)
    as_of = datetime.now(UTC).replace(microsecond=0)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        write_history(settings, schema, options.customers, as_of)
        with embedded_redis(settings) as url:
            measure(settings, catalogue, schema, url, options.customers, options.rounds, as_of)


def measure(settings, catalogue, schema, url, customers, rounds, as_of) -> None:
    store = apply(settings, catalogue, url)
    redis = Redis.from_url(url)
    for attempt in ("first", "again"):
        with quiet():
            spent = seconds(lambda: store.materialize(start_date=as_of - timedelta(days=1), end_date=as_of))
        print(f"materialise {attempt}: {customers:,} x {len(schema.names)} features, {customers / spent:,.0f} rows/s")
    print(f"memory per record: {redis.memory_usage(feature_key('C-0000000'))} bytes")
    some = min(customers, 500)
    write_hashes(redis, schema, some)
    print(f"memory per hash: {redis.memory_usage('hash:0')} bytes")
    references = [f"{group.name}:{name}" for group in schema.groups for name in group.features]
    rng = np.random.default_rng(2)
    spent_by: dict[str, list[float]] = {"packed": [], "hash": [], "feast": []}
    payload = redis.get(feature_key("C-0000000"))
    for place in rng.integers(0, some, rounds).tolist():
        customer_id = f"C-{place:07d}"
        readers: dict[str, Callable[[], object]] = {
            "packed": lambda: decode_record(redis.get(feature_key(customer_id)), schema, as_of),  # noqa: B023
            "hash": lambda: [float(value) for value in redis.hmget(f"hash:{place}", schema.names)],  # noqa: B023
            "feast": lambda: store.get_online_features(references, [{"customer_id": customer_id}]).to_dict(),  # noqa: B023
        }
        for name, reader in readers.items():
            spent_by[name].append(seconds(reader))
    decoding = seconds(lambda: [decode_record(payload, schema, as_of) for _ in range(10_000)]) / 10_000
    print(f"decoding alone: {decoding * 1e6:.1f} us")
    for name, times in spent_by.items():
        ratios = [each / packed for each, packed in zip(times, spent_by["packed"], strict=True)]
        print(f"{name:>7}: p50 {statistics.median(times) * 1e6:7.0f} us, {statistics.median(ratios):5.1f} x packed")


if __name__ == "__main__":
    main()
