"""Decisions for a whole audience, compared with an older commit and with the bare model.

python benchmarks/batch.py --against a610d91
python benchmarks/batch.py --against a610d91 --json

`nextbest decide-batch` with two workers decides for an audience among 40 messages with every gate on, logs every
decision and drains the log. Its time includes all of that, the start of its processes and the end of the drain. The
older commit does the same with its own home and Redis. `booster` is `Booster.predict` alone, on two threads, with one
row for each customer and message. The three take turns; ratios are between medians of this run. The time of a run
depends on how busy the machine is; `cpu_us` is the processor time per customer of the command, its processes and its
Redis together.
"""

import argparse
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import lightgbm
import numpy as np
import polars as pl
from serving_load import redis_of, redis_server
from serving_world import World, feature_values, message_columns, prepare

from features.catalogue import load_catalogue
from features.computing.feature_set import feature_schema

ROOT = Path(__file__).resolve().parent.parent
MESSAGES, WORKERS, TOGETHER = 40, 2, 500
COMMAND = "from pipelines.cli import main; main()"


@dataclass(kw_only=True)
class Times:
    """Seconds and processor seconds of the turns."""

    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def told(self, customers: int) -> dict[str, float]:
        """Medians."""
        return {
            "seconds": round(median(self.seconds), 2),
            "per_second": round(customers / median(self.seconds)),
            "cpu_us": round(1e6 * median(self.cpu_s) / customers),
        }


class Batches:
    """`decide-batch` of a checkout, with its own home and Redis."""

    def __init__(self, root: Path, folder: Path, customers: int, stack: ExitStack) -> None:
        self._root, self._folder, self._customers = root, folder, customers
        port = stack.enter_context(redis_server(folder / "redis"))
        self._redis = stack.enter_context(redis_of(port))
        self._world = World(home=folder / "home", redis_port=port)
        prepare(self._world, messages=MESSAGES, customers=customers)
        names = [f"C-{number}" for number in range(customers)]
        pl.DataFrame({"customer_id": names}).write_parquet(folder / "audience.parquet")
        self.times = Times()

    def run(self) -> None:
        """Decide for everybody once."""
        environment = self._world.environment() | {"PYTHONPATH": str(self._root)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        told = [str(self._folder / name) for name in ("audience.parquet", "out.parquet")]
        words = [sys.executable, "-c", COMMAND, "decide-batch", *told, "--workers", str(WORKERS), "--json"]
        before, started = self._cpu_s(), time.perf_counter()
        done = subprocess.run(words, env=environment, cwd=self._root, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2_000:]
        self.times.seconds.append(time.perf_counter() - started)
        self.times.cpu_s.append(self._cpu_s() - before)
        report = json.loads(done.stdout)
        assert (report["decided"], report["degraded"]) == (self._customers, 0), report

    def _cpu_s(self) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        redis = self._redis.info("cpu")
        return used.ru_utime + used.ru_stime + redis["used_cpu_user"] + redis["used_cpu_sys"]


class Booster:
    """`Booster.predict` on the rows of the same customers and messages."""

    def __init__(self, home: Path, customers: int) -> None:
        self._booster = lightgbm.Booster(model_file=str(home / "models" / "1-bench" / "booster.txt"))
        self._customers = customers
        columns = self._booster.num_feature()
        names = len(feature_schema(load_catalogue(home / "catalogue")).names)
        messages = message_columns(MESSAGES, columns, names)
        features = np.resize(feature_values(names), (TOGETHER, names))
        self._matrix = np.hstack([np.repeat(features, len(messages), axis=0), np.tile(messages, (TOGETHER, 1))])
        self.times = Times()

    def run(self) -> None:
        """Score everybody once."""
        cpu, started = time.process_time(), time.perf_counter()
        for start in range(0, self._customers, TOGETHER):
            rows = min(TOGETHER, self._customers - start) * (MESSAGES + 1)
            self._booster.predict(self._matrix[:rows], num_threads=WORKERS)
        self.times.seconds.append(time.perf_counter() - started)
        self.times.cpu_s.append(time.process_time() - cpu)


def checkout(revision: str, folder: Path) -> Path:
    """The files of a commit, in a folder."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", revision], stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def measured(against: str, customers: int, turns: int) -> dict[str, Any]:
    """Medians over turns, and the ratios."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        now = Batches(ROOT, folder / "now", customers, stack)
        older = Batches(checkout(against, folder / "tree"), folder / "older", customers, stack)
        booster = Booster(folder / "now" / "home", customers)
        for _ in range(turns):
            for one in (now, booster, older):
                one.run()
    raw = {name: one.times.told(customers) for name, one in (("now", now), ("booster", booster), ("older", older))}
    return {
        "ratios": {
            "over_reference": round(raw["older"]["seconds"] / raw["now"]["seconds"], 2),
            "over_booster": round(raw["booster"]["seconds"] / raw["now"]["seconds"], 2),
        },
        "cpu_ratios": {
            "over_reference": round(raw["older"]["cpu_us"] / raw["now"]["cpu_us"], 2),
            "over_booster": round(raw["booster"]["cpu_us"] / raw["now"]["cpu_us"], 2),
        },
        "raw": raw,
        "customers": customers,
        "machine": {
            "cpu_count": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine(),
            "python": platform.python_version(),
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REV", default="a610d91", help="the older commit")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = measured(options.against, options.customers, options.turns)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, one in found["raw"].items():
        print(f"{name:<8} {one['seconds']:8.1f} s {one['per_second']:8,} a second {one['cpu_us']:7,} us of CPU each")
    print(f"{found['ratios']['over_reference']} times faster than {options.against}", end="")
    print(f", {found['ratios']['over_booster']} times as fast as the bare booster")


if __name__ == "__main__":
    main()
