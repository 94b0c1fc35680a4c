"""Processor time and memory of training, as a log has more decisions, features or messages.

    python benchmarks/training_cost.py
    python benchmarks/training_cost.py --sizes 20000x10x20 2000000x10x60 --json

A size is decisions x features x messages. Every size is a process of its own, which draws a randomised log of known
truth (`known_truth_logs.py`; features beyond its ten are noise) and learns from it as `nextbest model train` does once
the data set is made. Time is that of the processor over all threads; `log_mb` is the peak of memory with the log alone,
`peak_mb` that of learning from it. Growth is the exponent by which one size takes more than the one it extends: 1 is
linear.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import orjson
from known_truth_logs import COLUMNS, Design, KnownWorld, catalogue_of, logged

from training.data.datasets import Dataset
from training.models.learner import learn

SIZES = (
    "20000x10x20",
    "200000x10x20",
    "1000000x10x20",
    "200000x30x20",
    "200000x60x20",
    "200000x10x60",
)
_SEED = 1


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Of a log."""

    decisions: int
    features: int
    messages: int

    @classmethod
    def of(cls, text: str) -> "Size":
        """From `decisions x features x messages`."""
        size = cls(*(int(part) for part in text.split("x")))
        if size.features < COLUMNS:
            raise argparse.ArgumentTypeError(f"features must be at least {COLUMNS}, got {text}")
        return size

    def __str__(self) -> str:
        return f"{self.decisions}x{self.features}x{self.messages}"


def measured(size: Size) -> dict[str, float]:
    """Learn from a log of this size, here."""
    world = KnownWorld.drawn(Design(messages=size.messages), _SEED)
    catalogue = catalogue_of(world)
    dataset = _wider(logged(world, size.decisions, catalogue, _SEED), size.features)
    gc.collect()
    before, started, began = _peak_mb(), time.process_time(), time.perf_counter()
    learn(dataset, catalogue)
    return {
        "cpu_s": round(time.process_time() - started, 1),
        "wall_s": round(time.perf_counter() - began, 1),
        "log_mb": round(before),
        "peak_mb": round(_peak_mb()),
    }


def _wider(dataset: Dataset, features: int) -> Dataset:
    more = features - len(dataset.feature_names)
    noise = np.random.default_rng(_SEED).normal(size=(dataset.size, more))
    return replace(
        dataset,
        features=np.hstack([dataset.features, noise]),
        feature_names=(*dataset.feature_names, *(f"noise{place}" for place in range(more))),
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(size: Size) -> dict[str, float]:
    """The same in a process of its own, so that peaks of memory are its own."""
    asked = [sys.executable, __file__, "--one", str(size)]
    return json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def growth(found: dict[Size, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Exponents of time and memory between sizes of which one has more of a single thing."""
    exponents: dict[str, dict[str, float]] = {}
    for smaller in found:
        for larger in found:
            ratios = {
                name: getattr(larger, name) / getattr(smaller, name) for name in ("decisions", "features", "messages")
            }
            grown = [name for name, ratio in ratios.items() if ratio != 1]
            if len(grown) == 1 and ratios[grown[0]] > 1:
                exponents[f"{smaller} to {larger}"] = {
                    name: round(float(np.log(found[larger][name] / found[smaller][name]) / np.log(ratios[grown[0]])), 2)
                    for name in ("cpu_s", "peak_mb")
                }
    return exponents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=Size.of, nargs="+", default=[Size.of(size) for size in SIZES])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--one", type=Size.of, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(orjson.dumps(measured(given.one)).decode())
        return
    found: dict[Size, dict[str, float]] = {}
    for size in given.sizes:
        found[size] = in_a_process(size)
        told = ", ".join(f"{name} {value:,}" for name, value in found[size].items())
        print(f"{size}: {told}", file=sys.stderr if given.json else sys.stdout, flush=True)
    exponents = growth(found)
    if given.json:
        report = {"sizes": {str(size): one for size, one in found.items()}, "growth": exponents}
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
        return
    for between, one in exponents.items():
        print(f"{between}: " + ", ".join(f"{name} grows as the power {exponent}" for name, exponent in one.items()))


if __name__ == "__main__":
    main()
