"""The cost of a decision over HTTP, compared with alternatives.

python benchmarks/serve.py
python benchmarks/serve.py --json

`nextbest` is `nextbest serve` with everything on: every gate, caps, exploration, an atomic commit and the log with its
drain. `two` is the same with two workers. `plain` is FastAPI with Feast's `get_online_features` and `Booster.predict`,
and checks nothing. `chain` is `feast serve` and `mlflow models serve`, asked one after the other. `bare` is Nextbest
without gates and log. One machine, 1 and 32 callers, 40, 200 and 2,000 messages; each server has its own Redis. All of
them run side by side and are asked in turns, so that a busy machine slows all of them; ratios are between medians over
all turns of one run.
"""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
from serving_load import (
    Connection,
    Target,
    ask_nextbest,
    command_server,
    free_port,
    load,
    nextbest_server,
    processor_s,
    redis_of,
    redis_server,
    resident_mb,
    run,
    uvicorn_server,
)
from serving_world import World, message_columns, prepare, prepare_rivals

from features.log.contracts import DECISIONS
from features.log.rows import fields_in
from features.online.redis_keys import SHARD_COUNT, stream_key

SIZES = (40, 200, 2_000)
CALLERS = (1, 32)
CUSTOMERS = 4_000
RIVAL_CUSTOMERS = 2_000
RECORDS = 100
PROTOCOL = "serving.http.whole_answers:WholeAnswers"
"""What `nextbest serve` runs on."""


class Servers:
    """The servers for one number of messages, each in its own processes."""

    def __init__(self, folder: Path, messages: int, stack: ExitStack) -> None:
        self._folder, self._messages, self._stack = folder, messages, stack
        self.targets: dict[str, Target] = {}
        self.redis_ports: dict[str, int] = {}

    def start(self, *, is_whole: bool) -> None:
        """Start the servers to compare; with `is_whole` also the one with two workers and the chain."""
        for name, workers in (("nextbest", 1), ("two", 2)) if is_whole else (("nextbest", 1),):
            world = self._world(name)
            port, processes = self._stack.enter_context(nextbest_server(world.environment(), workers=workers))
            self.targets[name] = Target(ports=(port,), ask=ask_nextbest, processes=processes)
            self.redis_ports[name] = world.redis_port
        world = self._world("bare")
        bare = uvicorn_server("serving_rivals:bare_app", world.environment(), protocol=PROTOCOL)
        port, process = self._stack.enter_context(bare)
        self.targets["bare"] = Target(ports=(port,), ask=ask_nextbest, processes=(process,))
        world = self._world("rivals")
        prepare_rivals(world, customers=RIVAL_CUSTOMERS)
        environment = world.environment() | {"BENCH_MESSAGES": str(self._messages)}
        port, process = self._stack.enter_context(uvicorn_server("serving_rivals:plain_app", environment))
        self.targets["plain"] = Target(ports=(port,), ask=_ask_plain, processes=(process,))
        if is_whole:
            self.targets["chain"] = self._chain(world, environment)

    def worker_mb(self) -> dict[str, list[int]]:
        """Resident memory of every worker."""
        return {name: [round(resident_mb(one)) for one in it.processes] for name, it in self.targets.items()}

    def _world(self, name: str) -> World:
        home = self._folder / name / "home"
        port = self._stack.enter_context(redis_server(self._folder / name / "redis"))
        world = World(home=home, redis_port=port)
        prepare(world, messages=self._messages, customers=CUSTOMERS)
        return world

    def _chain(self, world: World, environment: dict[str, str]) -> Target:
        features, model = free_port(), free_port()
        feast = ["feast", "-c", str(world.home / "feast"), "serve", "--port", str(features), "--no-access-log"]
        feast += ["--max-requests", "1000000000"]
        self._stack.enter_context(command_server(feast, features, environment))
        mlflow = ["mlflow", "models", "serve", "-m", str(world.home / "mlflow-model"), "--env-manager", "local"]
        self._stack.enter_context(command_server([*mlflow, "--port", str(model)], model, environment))
        return Target(ports=(features, model), ask=_ask_chain(world, self._messages))


async def _ask_plain(connections: Sequence[Connection], customer: int) -> None:
    await ask_nextbest(connections, customer % RIVAL_CUSTOMERS)


def _ask_chain(world: World, messages: int) -> Any:
    told = json.loads((world.home / "rivals.json").read_text())
    names = told["names"]
    wanted = [f"all:{name}" for name in names]
    about_messages = message_columns(messages, told["columns"], len(names))

    async def ask(connections: Sequence[Connection], customer: int) -> None:
        entity = {"customer_id": [f"C-{customer % RIVAL_CUSTOMERS}"]}
        body = orjson.dumps({"features": wanted, "entities": entity})
        answer = orjson.loads(await connections[0].post("/get-online-features", body))
        given = zip(answer["metadata"]["feature_names"], answer["results"], strict=True)
        row = {name: one["values"][0] for name, one in given}
        features = np.array([row[name] for name in names])
        matrix = np.hstack([np.broadcast_to(features, (len(about_messages), len(features))), about_messages])
        body = orjson.dumps({"inputs": np.ascontiguousarray(matrix)}, option=orjson.OPT_SERIALIZE_NUMPY)
        values = orjson.loads(await connections[1].post("/invocations", body))["predictions"]
        assert len(values) == messages + 1

    return ask


def measured(found: Servers, *, turns: int, seconds: float) -> dict[str, dict[str, float]]:
    """Medians by server and number of callers; `cpu_us` is processor time of the answering processes per request."""
    customers = {name: (n % CUSTOMERS for n in count()) for name in found.targets}
    plans = [(name, callers) for name in found.targets for callers in CALLERS if (name, callers) != ("two", 1)]
    turn: dict[tuple[str, int], list[list[float]]] = {plan: [] for plan in plans}
    for name, target in found.targets.items():
        run(load(target, customers[name], callers=4, seconds=1.0))
    for _ in range(turns):
        for name, callers in plans:
            target = found.targets[name]
            used = -sum(map(processor_s, target.processes))
            times, took = run(load(target, customers[name], callers=callers, seconds=seconds))
            used += sum(map(processor_s, target.processes))
            p50, p95, p99 = np.percentile(np.array(times) * 1e6, [50, 95, 99])
            turn[name, callers].append([len(times) / took, p50, p95, p99, used / len(times) * 1e6])
    keys = ("per_second", "p50_us", "p95_us", "p99_us", "cpu_us")
    return {
        f"{name} {callers}": {key: round(median(column), 1) for key, column in zip(keys, zip(*rows), strict=True)}  # noqa: B905
        for (name, callers), rows in turn.items()
    }


def record_bytes(target: Target, redis_port: int) -> tuple[int, int]:
    """The median size of a record, and of its whole row in the log's stream.

    It is read right after each answer, before the drain removes it.
    """
    found: list[tuple[int, int]] = []
    with redis_of(redis_port) as client:
        for customer in range(CUSTOMERS):
            run(load(target, iter((customer,)), callers=1))
            pipeline = client.pipeline(transaction=False)
            for shard in range(SHARD_COUNT):
                pipeline.xrevrange(stream_key(shard), count=1)
            entries = [fields for entries in pipeline.execute() for _, fields in entries]
            rows = [fields[b"row"] for fields in entries if fields[b"table"] == b"decisions"]
            found += [(len(fields_in(DECISIONS, row)["record"]), len(row)) for row in rows]
            if len(found) >= RECORDS:
                break
    records, rows = zip(*found, strict=True)
    return int(median(records)), int(median(rows))


def compared(sizes: Sequence[int], *, turns: int, seconds: float) -> dict[str, Any]:
    """All measurements, by number of messages."""
    raw: dict[str, dict[str, Any]] = {}
    record, memory = (0, 0), {}
    for place, messages in enumerate(sizes):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nextbest-bench-")))
            found = Servers(folder, messages, stack)
            found.start(is_whole=place == 0)
            raw[str(messages)] = measured(found, turns=turns, seconds=seconds)
            if place == 0:
                record = record_bytes(found.targets["nextbest"], found.redis_ports["nextbest"])
                memory = found.worker_mb()
    first = raw[str(sizes[0])]
    return {
        "ratios": {
            "throughput_32_over_plain": _over(first, "per_second", "nextbest 32", "plain 32"),
            "speed_1_over_plain": _over(first, "p50_us", "plain 1", "nextbest 1"),
            "throughput_over_feast_mlflow": _over(first, "per_second", "nextbest 32", "chain 32"),
            "two_workers_over_one": _over(first, "per_second", "two 32", "nextbest 32"),
        },
        "record_bytes": record[0],
        "row_bytes": record[1],
        "worker_mb": memory,
        "raw": raw,
        "machine": {
            "cpu_count": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine(),
            "python": platform.python_version(),
        },
    }  # fmt: skip


def _over(found: dict[str, dict[str, float]], key: str, one: str, other: str) -> float:
    return round(found[one][key] / found[other][key], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, nargs="+", default=SIZES, help="numbers of messages; ratios: the first")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = compared(options.messages, turns=options.turns, seconds=options.seconds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    names = "".join(f"{name:>9}" for name in ("p50 us", "p95 us", "p99 us", "cpu us"))
    print(f"{'messages':>8}  {'server, callers':<16}{'a second':>10}{names}")
    for messages, rows in found["raw"].items():
        for name, one in rows.items():
            numbers = "".join(f"{one[key]:9.0f}" for key in ("p50_us", "p95_us", "p99_us", "cpu_us"))
            print(f"{messages:>8}  {name:<16}{one['per_second']:10.0f}{numbers}")
    for name, ratio in found["ratios"].items():
        print(f"{name}: {ratio}")
    print(f"a record takes {found['record_bytes']} bytes, its row {found['row_bytes']}")
    print(f"workers take {found['worker_mb']} MB")


if __name__ == "__main__":
    main()
