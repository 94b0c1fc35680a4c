"""Speed of the log: import, append, read, the stream with each flush setting, and the drain.

    python benchmarks/log_speed.py [--events 1500000] [--decisions 50000]

Prints one JSON object; the numbers depend on the disk, so run it on yours.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import redis

from features.importing.folder import import_folder
from features.log.contracts import EVENTS, UTC_TIME
from features.log.event_log import EventLog
from features.online.redis_keys import SHARD_COUNT, stream_key
from features.settings import Settings
from pipelines.server.embedded_redis import embedded_redis
from serving.log.drain import drain_alone

NOW = datetime(2026, 11, 1, tzinfo=UTC)
RECORD = orjson.dumps({"evaluated": "x" * 2_400}).decode()


def make_events(count: int) -> pl.DataFrame:
    rng = np.random.default_rng(7)
    seconds = rng.integers(1_700_000_000, 1_790_000_000, count)
    return pl.DataFrame(
        {
            "event_id": [f"E-{number:09d}" for number in range(count)],
            "customer_id": [f"C-{number}" for number in rng.integers(0, 2_500, count)],
            "type": ["purchase"] * count,
            "occurred_at": pl.Series(seconds * 1_000_000).cast(UTC_TIME),
            "amount_minor": rng.integers(0, 10_000, count),
            "currency": ["EUR"] * count,
            "properties": [f'{{"product":"{number}"}}' for number in rng.integers(0, 90_000, count)],
        },
        schema_overrides={"occurred_at": EVENTS.schema["occurred_at"]},
    )


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 2)


def measure_import(events: pl.DataFrame, scratch: Path) -> dict[str, float]:
    times = {}
    for suffix in (".parquet", ".csv"):
        folder, home = scratch / f"in{suffix}", Settings(home=scratch / f"home{suffix}")
        folder.mkdir()
        if suffix == ".csv":
            events.with_columns(pl.col("occurred_at").dt.to_string("%+")).write_csv(folder / "events.csv")
        else:
            events.write_parquet(folder / "events.parquet")
        times[f"import{suffix}_s"] = seconds_of(lambda f=folder, h=home: import_folder(f, h, now=NOW))
        times[f"import{suffix}_again_s"] = seconds_of(lambda f=folder, h=home: import_folder(f, h, now=NOW))
    return times


def measure_log(events: pl.DataFrame, scratch: Path) -> dict[str, float]:
    log = EventLog(scratch / "home.parquet" / "log")
    more = events.head(100_000).with_columns(pl.col("event_id") + "-more")
    return {
        "append_100k_s": seconds_of(lambda: log.append(EVENTS, more)),
        "append_100k_again_s": seconds_of(lambda: log.append(EVENTS, more)),
        "read_all_s": seconds_of(lambda: log.read(EVENTS)),
        "read_one_customer_s": seconds_of(lambda: log.read(EVENTS, customer_ids=["C-7"])),
        "compact_s": seconds_of(lambda: log.compact(EVENTS)),
    }


def entry(number: int) -> dict[str, bytes | str]:
    row = {
        "decision_id": f"D-{number}",
        "customer_id": f"C-{number % 999}",
        "decided_at": NOW,
        "action_probability": 0.5,
        "record": RECORD,
    }
    return {"table": "decisions", "row": orjson.dumps(row)}


def measure_stream(scratch: Path, count: int, fsync: str) -> dict[str, float]:
    settings = Settings(home=scratch / fsync, redis_fsync=fsync)  # pyright: ignore[reportArgumentType]
    with embedded_redis(settings) as url, redis.Redis.from_url(url) as client:
        times = []
        for number in range(3_000):
            start = time.perf_counter()
            client.xadd(stream_key(number % SHARD_COUNT), entry(number))
            times.append((time.perf_counter() - start) * 1e6)
        pipeline = client.pipeline(transaction=False)
        for number in range(3_000, count):
            pipeline.xadd(stream_key(number % SHARD_COUNT), entry(number))
            if number % 1_000 == 0:
                pipeline.execute()
        pipeline.execute()
        memory = client.info("memory")["used_memory"] / count
        elapsed = seconds_of(lambda: drain_alone(client, EventLog(settings.log_path), settings.spool_path))
    p50, p99 = np.percentile(times, [50, 99]).round()
    return {
        f"xadd_{fsync}_p50_us": p50,
        f"xadd_{fsync}_p99_us": p99,
        f"stream_{fsync}_bytes_per_entry": round(memory),
        f"drain_{fsync}_rows_per_s": round(count / elapsed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_500_000)
    parser.add_argument("--decisions", type=int, default=50_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch, events = Path(folder), make_events(arguments.events)
        result = {"events": arguments.events, **measure_import(events, scratch), **measure_log(events, scratch)}
        for fsync in ("always", "everysec"):
            result |= measure_stream(scratch, arguments.decisions, fsync)
    sys.stdout.write(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


if __name__ == "__main__":
    main()
