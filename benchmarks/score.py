"""The time to score the candidates of one decision: leaf sets, LightGBM itself, and onnxruntime, side by side.

python benchmarks/score.py [--json] [--trees 200] [--leaves 31] [--rounds 60]

One thread each. The contenders take turns in one process, each with blocks of decisions about different customers. The
figures are medians over blocks of the thread's CPU time: on a busy machine wall time includes waiting, most of it for
the slowest. Leaf sets must equal `Booster.predict` bit for bit, or nothing is printed. onnxruntime, which gives
float32, takes part if `onnxmltools` and `onnxruntime` are installed. `ratios` says how many times faster than
`Booster.predict` leaf sets are, by the number of messages.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import lightgbm
import numpy as np

from decisioning.arrays import FloatArray
from decisioning.value_model import DesignLayout
from features.models.learned import LearnedFunction

CUSTOMER, MESSAGE, CONTEXT = 60, 10, 3
COUNTS = (40, 200)
CUSTOMERS = 500
BLOCK = 100
TRAINING_ROWS = 20_000

LAYOUT = DesignLayout(
    customer=tuple(f"f{place}" for place in range(CUSTOMER)), message=tuple(f"m{place}" for place in range(MESSAGE))
)

type Contender = Callable[[int], object]


def make_world(trees: int, leaves: int) -> tuple[str, FloatArray, FloatArray]:
    """A booster in text form, features of customers, and 200 messages; some features are missing."""
    rng = np.random.default_rng(1)
    messages = rng.random((max(COUNTS), MESSAGE))
    messages[:, :3] = rng.integers(0, 6, (max(COUNTS), 3))
    features = rng.gamma(2.0, 5.0, (TRAINING_ROWS, CUSTOMER))
    features[rng.random(features.shape) < 0.1] = np.nan
    contexts = np.column_stack(
        [np.full(TRAINING_ROWS, 7.0), rng.random(TRAINING_ROWS) * 24.0, rng.integers(0, 7, TRAINING_ROWS)]
    )
    rows = messages[rng.integers(0, max(COUNTS), TRAINING_ROWS)]
    taste = np.sin(np.nan_to_num(features) @ rng.normal(size=(CUSTOMER, 4)) / 10.0)
    target = (taste * (rows @ rng.normal(size=(MESSAGE, 4)))).sum(axis=1) + np.nan_to_num(features[:, 0])
    parameters = {
        "objective": "regression",
        "num_leaves": leaves,
        "learning_rate": 0.07,
        "feature_fraction": 0.6,
        "max_bin": 127,
        "num_threads": 1,
        "verbosity": -1,
        "seed": 3,
    }
    matrix = np.hstack([features, rows, contexts])
    noisy = target + rng.normal(size=TRAINING_ROWS)
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, noisy, params=parameters), num_boost_round=trees)
    return booster.model_to_string(), np.hstack([features, contexts])[:CUSTOMERS], messages


def matrices_of(shared: FloatArray, messages: FloatArray) -> FloatArray:
    matrices = np.empty((len(shared), len(messages), CUSTOMER + MESSAGE + CONTEXT))
    matrices[:, :, :CUSTOMER] = shared[:, np.newaxis, :CUSTOMER]
    matrices[:, :, CUSTOMER : CUSTOMER + MESSAGE] = messages
    matrices[:, :, CUSTOMER + MESSAGE :] = shared[:, np.newaxis, CUSTOMER:]
    return matrices


def contenders(text: str, shared: FloatArray, messages: FloatArray) -> dict[str, Contender]:
    booster = lightgbm.Booster(model_str=text)
    score, matrices = LearnedFunction(text, LAYOUT).on(messages), matrices_of(shared, messages)
    for row, matrix in enumerate(matrices):
        if not np.array_equal(score(shared[row : row + 1])[0], booster.predict(matrix, num_threads=1)):
            raise SystemExit("leaf sets must equal Booster.predict to the last bit, got a difference")
    found: dict[str, Contender] = {
        "leaf_sets": lambda row: score(shared[row : row + 1]),
        "booster": lambda row: booster.predict(matrices[row], num_threads=1),
    }
    if (session := onnx_session(booster)) is not None:
        singles = matrices.astype(np.float32)
        name = session.get_inputs()[0].name
        found["onnxruntime"] = lambda row: session.run(None, {name: singles[row]})
    return found


def onnx_session(booster: lightgbm.Booster):
    try:
        import onnxruntime
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType
    except ImportError:
        return None
    shape = FloatTensorType([None, booster.num_feature()])
    model = convert_lightgbm(booster, initial_types=[("rows", shape)], zipmap=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def medians(found: dict[str, Contender], rounds: int) -> dict[str, float]:
    """CPU microseconds per decision, the median over blocks that take turns."""
    taken: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(rounds):
        rows = [(turn * BLOCK + place) % CUSTOMERS for place in range(BLOCK)]
        for name, call in found.items():
            start = time.thread_time()
            for row in rows:
                call(row)
            taken[name].append((time.thread_time() - start) / BLOCK * 1e6)
    return {name: float(np.median(times)) for name, times in taken.items()}


def per_decision_in_batch(text: str, shared: FloatArray, messages: FloatArray) -> float:
    """CPU microseconds per decision if all customers are scored in one call."""
    score = LearnedFunction(text, LAYOUT).on(messages)
    taken: list[float] = []
    for _ in range(9):
        start = time.thread_time()
        score(shared)
        taken.append((time.thread_time() - start) / len(shared) * 1e6)
    return float(np.median(taken))


def machine() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_1_minute": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("lightgbm", "numba", "numpy")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--leaves", type=int, default=31)
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args()
    text, shared, messages = make_world(given.trees, given.leaves)
    times = {
        str(count): medians(contenders(text, shared, messages[:count]), given.rounds)
        | {"leaf_sets_in_batch": per_decision_in_batch(text, shared, messages[:count])}
        for count in COUNTS
    }
    result = {
        "ratios": {count: round(found["booster"] / found["leaf_sets"], 2) for count, found in times.items()},
        "cpu_microseconds": {
            count: {name: round(one, 1) for name, one in found.items()} for count, found in times.items()
        },
        "trees": given.trees,
        "leaves": given.leaves,
        "columns": {"customer": CUSTOMER, "message": MESSAGE, "context": CONTEXT},
        "machine": machine(),
    }
    if given.json:
        print(json.dumps(result))
        return
    for count, found in times.items():
        print(f"{count} messages x {given.trees} trees of {given.leaves} leaves, one thread")
        for name, one in found.items():
            print(f"  {name:<20} {one:8.1f} us   {found['booster'] / one:6.1f} x Booster.predict")
    print(f"load of the machine {machine()['load_1_minute']}")


if __name__ == "__main__":
    main()
