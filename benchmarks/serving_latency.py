"""What one decision costs over HTTP: `python benchmarks/serving_latency.py`.

Nextbest answers from 40 candidates with 69 features and 200 trees: every gate, arbitration, exploration, a full record
and an entry in the log. It is compared with what one could build in an afternoon: FastAPI with Feast's
`get_online_features` and `Booster.predict`, which scores the same 40 rows and does nothing else. One worker each, the
same Redis, the same machine; trust the ratios.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import lightgbm
import numpy as np
import redis

from features.computing.feature_schema import FeatureSchema

CUSTOMERS = 2_000
CANDIDATES = 40
TREES = 200


def catalogue_text() -> str:
    channels = "email: {cost: 0.01}\n  push: {cost: 0.005}"
    offers = "\n".join(
        f"  offer-{n}: {{goal: loyalty, kind: points, value: 1.0, attributes: {{difficulty: {n}}}, creatives: ["
        + ", ".join(
            f"{{creative: plain, channel: {channel}, content: {{headline: 'Offer {n} for {{{{ customer.region }}}}'}}}}"
            for channel in ("email", "push")
        )
        + "]}"
        for n in range(CANDIDATES // 2)
    )
    return f"""
currency: EUR
offer_kinds: [points, gift, discount, information]
event_types: [stamp_paid]
customer_attributes: {{age: {{kind: number}}, region: {{kind: category, values: [north, south]}}}}
offer_attributes: {{difficulty: {{kind: number}}}}
measures: {{net_revenue: {{unit: money, add: [purchase], subtract: [stamp_paid]}}}}
learning: {{measure: net_revenue, window_days: 7}}
exploration: {{epsilon: 0.1, min_probability: 0.005}}
goals: {{loyalty: {{department: marketing}}}}
stages: [{{stage: all, goal: loyalty}}]
touchpoints: {{mail: {{channels: [email, push]}}}}
channels:
  {channels}
offers:
{offers}
"""


def prepare(home: Path, port: int) -> None:
    """Catalogue, model, and customers in Redis, packed for Nextbest and by Feast for the other."""
    from decisioning.value_model import CONTEXT_COLUMNS, Calibrator, DesignLayout, MessageCoding, message_matrix
    from features.catalogue import load_catalogue
    from features.computing.feature_set import feature_schema
    from features.models.bundle import ModelBundle, write_bundle

    (home / "catalogue").mkdir(parents=True)
    (home / "catalogue" / "catalogue.yaml").write_text(catalogue_text())
    catalogue = load_catalogue(home / "catalogue")
    schema = feature_schema(catalogue)
    coding = MessageCoding(
        offer_kinds=catalogue.offer_kinds, channels=("email", "push"), attributes=catalogue.offer_attributes
    )
    layout = DesignLayout(customer=schema.names, message=coding.columns, context=CONTEXT_COLUMNS)
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(20_000, len(layout.columns)))
    target = matrix @ rng.normal(size=matrix.shape[1]) + rng.normal(size=len(matrix))
    booster = lightgbm.train({"num_leaves": 31, "verbose": -1}, lightgbm.Dataset(matrix, target), TREES)
    calibrator = Calibrator(
        baseline_intercept=500.0, baseline_slope=1.0, common_slope=0.5, specific_slope=0.5,
        reference=message_matrix(coding, [])[:0], reference_weights=np.zeros(0),
    )  # fmt: skip
    bundle = ModelBundle(
        booster=booster.model_to_string(), layout=layout, coding=coding, calibrator=calibrator,
        feature_schema=schema.fingerprint, catalogue_version=catalogue.version, measure_id="net_revenue",
        window_days=7.0,
    )  # fmt: skip
    digest = write_bundle(bundle, home / "models" / "1-bench")
    pointer = {"version": "1", "folder": "1-bench", "digest": digest}
    (home / "models" / "champion.json").write_text(json.dumps(pointer))
    put_customers(home, port, schema)


def put_customers(home: Path, port: int, schema: FeatureSchema) -> None:
    from decisioning.customer import Consent, Customer, CustomerId
    from features.online.profiles import encode_profile
    from features.online.record import encode_records, microseconds, record_layout
    from features.online.redis_keys import feature_key, profile_key

    rng = np.random.default_rng(1)
    now = datetime.now(UTC)
    values = rng.normal(size=(CUSTOMERS, len(schema.names)))
    packed = encode_records(record_layout(schema), np.full(CUSTOMERS, microseconds(now)), values)
    consents = tuple(
        Consent(channel_id=channel, purpose="marketing", is_granted=True, recorded_at=now)
        for channel in ("email", "push")
    )
    pipeline = redis.Redis(port=port).pipeline(transaction=False)
    for n in range(CUSTOMERS):
        customer = Customer(
            customer_id=CustomerId(f"C-{n}"), attributes={"age": 40, "region": "north"}, time_zone=None, locale=None,
            reachable_channels=frozenset({"email", "push"}), consents=consents,
        )  # fmt: skip
        pipeline.set(feature_key(f"C-{n}"), packed[n]).set(profile_key(f"C-{n}"), encode_profile(customer))
    pipeline.execute()
    prepare_feast(home, port, list(schema.names), values)


def prepare_feast(home: Path, port: int, names: list[str], values: np.ndarray) -> None:
    """The same numbers in Feast's own Redis store."""
    from datetime import timedelta

    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64

    stamps = pd.Timestamp.now(tz="UTC")
    frame = pd.DataFrame(values, columns=names).assign(
        customer_id=[f"C-{n}" for n in range(CUSTOMERS)], event_timestamp=stamps
    )
    frame.to_parquet(home / "feast.parquet")
    config = RepoConfig(
        project="bench", provider="local", registry=str(home / "feast.db"), entity_key_serialization_version=3,
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{port}"}, offline_store={"type": "dask"},
    )  # fmt: skip
    store = FeatureStore(config=config)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="all", entities=[customer], ttl=timedelta(days=99),
        schema=[Field(name=name, dtype=Float64) for name in names],
        source=FileSource(path=str(home / "feast.parquet"), timestamp_field="event_timestamp"),
    )  # fmt: skip
    store.apply([customer, view])
    store.write_to_online_store("all", frame)
    (home / "feast.json").write_text(json.dumps({"names": names, "port": port}))


def alternative_app() -> object:
    """FastAPI, Feast's online read, and the booster: the afternoon's work."""
    from fastapi import FastAPI
    from feast import FeatureStore, RepoConfig
    from pydantic import BaseModel

    home = Path(os.environ["BENCH_HOME"])
    told = json.loads((home / "feast.json").read_text())
    config = RepoConfig(
        project="bench", provider="local", registry=str(home / "feast.db"), entity_key_serialization_version=3,
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{told['port']}"},
    )  # fmt: skip
    store = FeatureStore(config=config)
    wanted = [f"all:{name}" for name in told["names"]]
    booster = lightgbm.Booster(model_file=str(home / "models" / "1-bench" / "booster.txt"))
    messages = np.random.default_rng(2).normal(size=(CANDIDATES + 1, booster.num_feature() - len(wanted)))
    app = FastAPI()

    class Ask(BaseModel):
        customer_id: str
        touchpoint: str

    @app.post("/v1/decisions")
    async def decide(ask: Ask) -> dict[str, object]:
        row = store.get_online_features(features=wanted, entity_rows=[{"customer_id": ask.customer_id}]).to_dict()
        features = np.array([row[name][0] for name in told["names"]], dtype=float)
        matrix = np.hstack([np.broadcast_to(features, (len(messages), len(features))), messages])
        values = booster.predict(matrix, num_threads=1)
        return {"offer": int(np.argmax(values)), "value": float(np.max(values))}

    return app


async def one_connection(port: int, ends_at: float, seed: int, times: list[float]) -> None:
    """Ask on one kept connection until the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    rng = np.random.default_rng(seed)
    while time.perf_counter() < ends_at:
        body = b'{"customer_id":"C-%d","touchpoint":"mail"}' % rng.integers(CUSTOMERS)
        head = b"POST /v1/decisions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        started = time.perf_counter()
        writer.write(head % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await reader.readexactly(length)
        times.append(time.perf_counter() - started)
        assert b'"degraded":true' not in content, content
    writer.close()


async def measure(port: int, connections: int, seconds: float) -> dict[str, float]:
    times: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(*(one_connection(port, started + seconds, n, times) for n in range(connections)))
    micros = np.array(times) * 1e6
    p50, p95, p99 = np.percentile(micros, [50, 95, 99])
    return {"p50_us": p50, "p95_us": p95, "p99_us": p99, "per_second": len(times) / (time.perf_counter() - started)}


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    from pipelines.server.redis_binary import find_binary

    port = free_port()
    command = [
        find_binary(),
        "--port",
        str(port),
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
    ]
    process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    while True:
        try:
            if client.ping():
                break
        except redis.RedisError:
            time.sleep(0.02)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def web_server(app: str, home: Path, redis_port: int) -> Iterator[int]:
    port = free_port()
    environment = {
        **os.environ, "NEXTBEST_HOME": str(home), "NEXTBEST_MLRUNS": str(home / "mlruns"), "BENCH_HOME": str(home),
        "NEXTBEST_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0", "NEXTBEST_DEADLINE_MS": "10000",
    }  # fmt: skip
    command = [sys.executable, "-m", "uvicorn", "--factory", app, "--app-dir", str(Path(__file__).parent)]
    command += ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            time.sleep(0.05)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    folder = Path(tempfile.mkdtemp(prefix="nextbest-bench-"))
    apps = {"nextbest": "serving.http.app:app_from_environment", "feast + booster": "serving_latency:alternative_app"}
    found: dict[tuple[str, int], dict[str, float]] = {}
    try:
        with redis_server(folder) as redis_port:
            prepare(folder / "home", redis_port)
            for name, app in apps.items():
                with web_server(app, folder / "home", redis_port) as port:
                    asyncio.run(measure(port, 4, 1.0))
                    for connections in (1, 32):
                        found[name, connections] = asyncio.run(measure(port, connections, seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'':18}{'at once':>8}{'p50 us':>9}{'p95 us':>9}{'p99 us':>9}{'a second':>10}")
    for (name, connections), one in found.items():
        numbers = "".join(f"{one[key]:9.0f}" for key in ("p50_us", "p95_us", "p99_us"))
        print(f"{name:18}{connections:8}{numbers}{one['per_second']:10.0f}")
    for connections in (1, 32):
        ours, theirs = found["nextbest", connections], found["feast + booster", connections]
        faster, more = theirs["p50_us"] / ours["p50_us"], ours["per_second"] / theirs["per_second"]
        print(f"ratio at {connections} at once: {faster:.1f}x faster at the median, {more:.1f}x as many a second")


if __name__ == "__main__":
    main()
