"""What learning in minutes costs, and how soon it corrects a price.

python benchmarks/residuals.py
python benchmarks/residuals.py --json

`decision`: the CPU time of deciding and of writing the record, and the record's size, without residuals, with a prior
alone, and with evidence about every message; the three take turns. `look`: how long a look at the log takes whoever
works residuals out, for so many decisions with an open window, of which all or none are new. `correction`: what is
believed of an offer that brings 30 more than predicted, with outcomes of deviation 100, a prior deviation of 20 and
five messages that are drawn evenly, after so many decisions.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
from scipy import sparse

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.argv[1:1] = [str(ROOT)]
from benchmarks.core_workload import workload  # noqa: E402 - it takes the checkout from the first argument

del sys.argv[1]
from decisioning.decision import Inputs  # noqa: E402
from decisioning.policy import Policy, decide  # noqa: E402
from decisioning.record.compact import compact_record  # noqa: E402
from decisioning.record.vocabulary import FeatureNames, Vocabulary  # noqa: E402
from decisioning.residuals import Residuals, rounded  # noqa: E402
from features.log.contracts import EVENTS  # noqa: E402
from features.log.event_log import EventLog  # noqa: E402
from features.models.logged_decisions import LoggedDecisions  # noqa: E402
from tests.conftest import make_value_bundle  # noqa: E402
from tests.pipelines.conftest import MOMENT, make_home  # noqa: E402
from tests.pipelines.server.test_residual_keeper import BASE, purchases  # noqa: E402
from training.residuals import NOTE  # noqa: E402
from training.residuals.posterior import Draws, measure  # noqa: E402
from training.residuals.updating import ResidualLearner  # noqa: E402

SIZES = (40, 200)
TURNS, DECISIONS = 25, 40
LOOKS = (2_000, 20_000)
COUNTS = (100, 300, 1_000, 3_000, 10_000)


def residuals_of(count: int, *, told: bool) -> Residuals:
    """A prior for every message, and evidence about all or none."""
    rng = np.random.default_rng(1)
    prior = np.array([0.0] + [50.0] * count)
    if not told:
        return Residuals(prior, np.zeros(count + 1), np.full(count + 1, np.inf), np.zeros(count + 1))
    error = np.concatenate([[np.inf], rng.uniform(10, 100, count)])
    estimate = np.concatenate([[0.0], rng.normal(0, 60, count)])
    return Residuals(
        prior, rounded(estimate), rounded(error), np.concatenate([[0.0], rng.integers(10, 900, count).astype(float)])
    )


def cost_of_a_decision(size: int) -> dict[str, Any]:
    """Microseconds and bytes by case."""
    policy, plain = workload("full", size)
    features = plain.features
    names = {features.schema: FeatureNames(features.names, tuple(features.ages_seconds))}
    vocabulary = Vocabulary(policy.catalogue, "here", names)
    cases: dict[str, Inputs] = {
        "without": plain,
        "prior": replace(plain, residuals={"": residuals_of(size, told=False)}),
        "evidence": replace(plain, residuals={"": residuals_of(size, told=True)}),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(TURNS):
        for name, inputs in cases.items():
            times[name].append(_timed(policy, inputs, vocabulary))
    return {
        name: {
            "decide_us": round(median(one for one, _ in found), 1),
            "record_us": round(median(one for _, one in found), 1),
            "record_bytes": len(orjson.dumps(compact_record(decide(policy, cases[name], "D"), vocabulary))),
        }
        for name, found in times.items()
    }


def _timed(policy: Policy, inputs: Inputs, vocabulary: Vocabulary) -> tuple[float, float]:
    count = max(DECISIONS * 40 // len(vocabulary.keys.all), 5)
    decided, written = [], []
    for _ in range(count):
        start = time.thread_time()
        decision = decide(policy, inputs, "D")
        between = time.thread_time()
        compact_record(decision, vocabulary)
        decided.append((between - start) * 1e6)
        written.append((time.thread_time() - between) * 1e6)
    return float(np.median(decided)), float(np.median(written))


def cost_of_a_look(count: int) -> dict[str, float]:
    """Seconds for the first look at a log, and for one that finds nothing new."""
    with tempfile.TemporaryDirectory() as folder:
        home = make_home(Path(folder) / "home")
        decisions = home.decide(range(count))
        log = EventLog(home.settings.log_path)
        import polars as pl

        log.append(EVENTS, pl.DataFrame(purchases(decisions), schema=EVENTS.schema))
        learner = ResidualLearner.on(
            make_value_bundle(home.policy.catalogue, notes={NOTE: BASE}),
            "7",
            catalogue=home.policy.catalogue,
            seed=home.settings.policy_seed,
            logged=LoggedDecisions(home.settings),
            known={},
        )
        assert learner is not None
        now = MOMENT + timedelta(days=3)
        first = _seconds(lambda: learner.learn(log, now))
        return {"first_s": round(first, 2), "again_s": round(_seconds(lambda: learner.learn(log, now)), 2)}


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def correction(count: int, draws: int = 40) -> dict[str, float]:
    """What residuals add for a message that changed, and for those that did not."""
    k, truth = 5, np.array([30.0, 0.0, 0.0, 0.0, 0.0])
    found: list[np.ndarray[Any, Any]] = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        actions = rng.integers(0, k + 1, count)
        measured = measure(
            Draws(
                customers=np.arange(count),
                actions=actions,
                chances=sparse.csr_array(np.full((count, k + 1), 1.0 / (k + 1))),
                shares=np.ones(count),
                left=np.concatenate([[0.0], truth])[actions] + rng.normal(0, 100, count),
            ),
            np.full(k, 20.0),
            10_000.0,
        )
        found.append(
            Residuals(
                np.full(k, 20.0), measured.estimate, measured.standard_error, measured.customers * 1.0
            ).contribution
        )
    whole = np.stack(found)
    return {
        "changed": round(float(whole[:, 0].mean()), 1),
        "unchanged": round(float(whole[:, 1:].mean()), 1),
        "unchanged_spread": round(float(whole[:, 1:].std()), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = {
        "decision": {str(size): cost_of_a_decision(size) for size in SIZES},
        "look": {str(count): cost_of_a_look(count) for count in LOOKS},
        "correction": {str(count): correction(count) for count in COUNTS},
    }
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for part, rows in found.items():
        print(part)
        for name, row in rows.items():
            print(f"  {name:>6}  {row}")


if __name__ == "__main__":
    main()
