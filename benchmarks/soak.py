"""Whether a server gets slower or larger with the number of requests.

python benchmarks/soak.py
python benchmarks/soak.py --requests 200000 --json

`nextbest serve` with one worker, everything on and its drain running, is asked by 32 callers, each customer once, so
that nothing but the server itself can grow. Requests are counted in windows; the first tenth of them warms up. A slope
is that of a straight line through the windows, per 100,000 requests, with its standard error; a slope within two
standard errors counts as none.
"""

import argparse
import json
import os
import platform
import tempfile
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from serving_load import Target, ask_nextbest, load, nextbest_server, redis_of, redis_server, resident_mb, run
from serving_world import World, prepare

WINDOWS = 40
CALLERS = 32
MESSAGES = 40
PER = 100_000


def slope(values: list[float], requests: int) -> dict[str, float]:
    """The slope of a line through values of equal windows, per 100,000 requests, and its standard error."""
    places = (np.arange(len(values)) + 0.5) * requests / len(values) / PER
    (found, _), covariance = np.polyfit(places, values, 1, cov=True)
    return {"per_100k": round(float(found), 3), "standard_error": round(float(np.sqrt(covariance[0, 0])), 3)}


def soaked(requests: int) -> dict[str, Any]:
    """Latency and memory over time."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nextbest-soak-")))
        redis_port = stack.enter_context(redis_server(folder / "redis"))
        world = World(home=folder / "home", redis_port=redis_port)
        prepare(world, messages=MESSAGES, customers=requests)
        port, (worker,) = stack.enter_context(nextbest_server(world.environment(), workers=1))
        target = Target(ports=(port,), ask=ask_nextbest, processes=(worker,))
        client = stack.enter_context(redis_of(redis_port))
        customers = iter(range(requests))
        run(load(target, islice(customers, requests // 10), callers=CALLERS))
        memory, redis_memory = [resident_mb(worker)], _redis_mb(client)
        windows: list[dict[str, float]] = []
        size = (requests - requests // 10) // WINDOWS
        for _ in range(WINDOWS):
            times, took = run(load(target, islice(customers, size), callers=CALLERS))
            p50, p99 = np.percentile(np.array(times) * 1e6, [50, 99])
            memory.append(resident_mb(worker))
            windows.append({"p50_us": float(p50), "p99_us": float(p99), "per_second": len(times) / took})
        return _told(windows, memory, size * WINDOWS, _redis_mb(client) - redis_memory)


def _told(windows: list[dict[str, float]], memory: list[float], requests: int, redis_grew_mb: float) -> dict[str, Any]:
    p50 = [one["p50_us"] for one in windows]
    return {
        "requests": requests,
        "latency_p50_us": {"median": round(float(np.median(p50))), **slope(p50, requests)},
        "latency_p99_us": {"median": round(float(np.median([one["p99_us"] for one in windows])))},
        "memory_mb": {"start": round(memory[0], 1), "end": round(memory[-1], 1), **slope(memory[1:], requests)},
        "redis_bytes_per_decision": round(redis_grew_mb * 1024 * 1024 / requests),
        "per_second": round(float(np.median([one["per_second"] for one in windows]))),
        "windows": [{key: round(value) for key, value in one.items()} for one in windows],
        "machine": {
            "cpu_count": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine(),
            "python": platform.python_version(),
        },
    }  # fmt: skip


def _redis_mb(client: Any) -> float:
    return client.info("memory")["used_memory"] / 1024 / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = soaked(options.requests)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    latency, memory = found["latency_p50_us"], found["memory_mb"]
    print(f"{found['requests']:,} requests, {found['per_second']:,} a second")
    print(f"p50 {latency['median']:,} us, slope {latency['per_100k']:+,} +- {latency['standard_error']:,} per 100,000")
    print(f"memory {memory['start']} MB at the start, {memory['end']} at the end, ", end="")
    print(f"slope {memory['per_100k']:+} +- {memory['standard_error']} per 100,000")
    print(f"Redis keeps {found['redis_bytes_per_decision']:,} bytes per decision")


if __name__ == "__main__":
    main()
