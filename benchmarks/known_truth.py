"""How much of what an oracle gains the engine finds on randomised logs whose truth is known.

    python benchmarks/known_truth.py
    python benchmarks/known_truth.py --decisions 20000 200000 --draws 3 --json
    make peers && python benchmarks/known_truth.py --peers .venv-peers/bin/python

Every design is drawn several times; the engine and simple learners learn from the same log and choose for 20,000 other
customers. A share is the gain over silence as a part of the oracle's. `best constant` is the message that is best on
average by the log; `s-learner` is one booster over customer and message, `t-learner` a ridge regression per message.
With `--peers`, other libraries learn from the same logs, too (`known_truth_peers.py`).
The learner was developed on other draws of some designs (`DEVELOPED_ON`); `shares` are over the others at full
strength.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import lightgbm
import numpy as np
import orjson
from known_truth_logs import Design, KnownWorld, Truth, catalogue_of, logged
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from decisioning.arrays import IntArray
from decisioning.catalogue.catalogue import Catalogue
from features.models.bundle import value_model
from training.data.datasets import Dataset
from training.judgement.comparison import values_of
from training.models.boosting import REPEATABLE
from training.models.learner import learn

CUSTOMERS = 20_000
PEERS = Path(__file__).with_name("known_truth_peers.py")
FIRST_DRAW = 200
"""Draws from 0 on served development, and some from 100 on were looked at while the learner was changed."""
DEVELOPED_ON = frozenset(
    {"customer and message", "main effects only", "by kind", "by customer", "nothing declared", "rare purchases"}
)
DESIGNS = {
    "customer and message": Design(),
    "main effects only": Design(spread=0.06, by_customer=0.0, by_kind=0.0, by_message=0.0),
    "by kind": Design(by_message=0.0, by_kind=0.06),
    "by customer": Design(by_kind=0.0, by_message=0.0, by_customer=0.08),
    "nothing declared": Design(declared="nothing"),
    "attributes declared": Design(declared="attributes"),
    "logged by rules": Design(is_logged_by_rules=True),
    "rare purchases": Design(is_rare=True),
    "100 messages": Design(messages=100),
    "halved": Design(strength=0.5),
    "doubled": Design(strength=2.0),
}

type Choose = Callable[[Truth], IntArray]
type Learner = Callable[[Dataset, Catalogue], Choose]


def engine(dataset: Dataset, catalogue: Catalogue) -> Choose:
    """What `nextbest model train` learns."""
    model = value_model(learn(dataset, catalogue).bundle, version="known-truth")

    def choose(truth: Truth) -> IntArray:
        n = len(truth.features)
        asked = replace(
            dataset.take(np.zeros(dataset.size, dtype=np.bool_)),
            features=truth.features,
            contexts=np.tile([7.0, 12.0, 3.0], (n, 1)),
            actions=np.zeros(n, dtype=np.int64),
            values=np.zeros(n),
        )
        return values_of(model, asked).argmax(axis=1).astype(np.int64)

    return choose


def best_constant(dataset: Dataset, _: Catalogue) -> Choose:
    """The message whose weighted mean is highest, for everybody; silence where that is."""
    means = [
        np.average(dataset.values[rows], weights=1 / dataset.probabilities[rows])
        for action in range(len(dataset.keys))
        for rows in [dataset.actions == action]
    ]
    return lambda truth: np.full(len(truth.features), int(np.argmax(means)))


def s_learner(dataset: Dataset, _: Catalogue) -> Choose:
    """One booster over customer and message, weighted against how the log chose."""
    columns = np.column_stack([dataset.features, dataset.actions])
    parameters = {"objective": "regression", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 50}
    data = lightgbm.Dataset(
        columns,
        dataset.values,
        weight=1 / dataset.probabilities,
        categorical_feature=[columns.shape[1] - 1],
        params=parameters | REPEATABLE,
    )
    booster = lightgbm.train(parameters | REPEATABLE, data, num_boost_round=150)

    def choose(truth: Truth) -> IntArray:
        n = len(truth.features)
        values = [
            np.asarray(booster.predict(np.column_stack([truth.features, np.full(n, action)])))
            for action in range(len(dataset.keys))
        ]
        return np.argmax(values, axis=0)

    return choose


def t_learner(dataset: Dataset, _: Catalogue) -> Choose:
    """A ridge regression for silence and for each message, its penalty by cross-validation."""
    scaler = StandardScaler().fit(dataset.features)
    fitted: list[RidgeCV | None] = []
    for action in range(len(dataset.keys)):
        rows = dataset.actions == action
        model = RidgeCV(alphas=np.logspace(0, 5, 11))
        fitted.append(model.fit(scaler.transform(dataset.features[rows]), dataset.values[rows]) if rows.any() else None)

    def choose(truth: Truth) -> IntArray:
        inputs = scaler.transform(truth.features)
        nothing = np.full(len(inputs), -np.inf)
        return np.argmax([nothing if one is None else one.predict(inputs) for one in fitted], axis=0)

    return choose


LEARNERS: dict[str, Learner] = {
    "engine": engine,
    "best constant": best_constant,
    "s-learner": s_learner,
    "t-learner": t_learner,
}


def peers_choices(interpreter: Path, dataset: Dataset, truth: Truth) -> dict[str, IntArray]:
    """What other libraries choose from the same log, by learner."""
    _, kinds = np.unique([message.offer.kind for message in dataset.messages], return_inverse=True)
    with tempfile.TemporaryDirectory() as folder:
        log, choices = Path(folder, "log.npz"), Path(folder, "choices.npz")
        np.savez(
            log,
            features=dataset.features,
            actions=dataset.actions,
            probabilities=dataset.probabilities,
            values=dataset.values,
            kinds=kinds,
            new=truth.features,
        )
        subprocess.run([interpreter, PEERS, log, choices], check=True)
        with np.load(choices) as found:
            return {name: found[name] for name in found.files}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Shares of the oracle's gain by learner, one per draw, and the processor's seconds that the engine took."""

    shares: dict[str, list[float]]
    seconds: list[float]

    def mean(self, learner: str) -> float:
        """Over the draws."""
        return float(np.mean(self.shares[learner]))

    @property
    def best_peer(self) -> str:
        """Who else does best on average."""
        return max((name for name in self.shares if name != "engine"), key=self.mean)

    @property
    def gap(self) -> tuple[float, float]:
        """The engine less the best peer, and the standard error of that mean over the draws."""
        gaps = np.subtract(self.shares["engine"], self.shares[self.best_peer])
        return float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else float("inf")


def tried(design: Design, decisions: int, draws: int, peers: Path | None) -> Result:
    """Let all learn from the same logs of a design."""
    shares: dict[str, list[float]] = {}
    seconds: list[float] = []
    for draw in range(FIRST_DRAW, FIRST_DRAW + draws):
        world = KnownWorld.drawn(design, draw)
        catalogue = catalogue_of(world)
        dataset = logged(world, decisions, catalogue, draw)
        truth = world.truth(CUSTOMERS, np.random.default_rng([draw, 3]))
        choices: dict[str, IntArray] = {}
        for name, learner in LEARNERS.items():
            started = time.process_time()
            choices[name] = learner(dataset, catalogue)(truth)
            if name == "engine":
                seconds.append(time.process_time() - started)
        if peers is not None:
            choices |= peers_choices(peers, dataset, truth)
        for name, chosen in choices.items():
            shares.setdefault(name, []).append(truth.gain(chosen) / truth.best_gain)
    return Result(shares=shares, seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, nargs="+", default=[20_000])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--peers", type=Path, help="the interpreter that has the other libraries; see make peers")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    report: dict[str, dict[str, object]] = {"shares": {}, "designs": {}, "over_best_peer": {}}
    for decisions in given.decisions:
        found: dict[str, Result] = {}
        for name in given.designs:
            found[name] = one = tried(DESIGNS[name], decisions, given.draws, given.peers)
            told = {learner: round(one.mean(learner), 3) for learner in one.shares}
            words = ", ".join(f"{learner} {share:.1%}" for learner, share in told.items())
            line = f"{decisions:>9,} {name:<22} {words}, {np.mean(one.seconds):.1f} s"
            print(line, file=sys.stderr if given.json else sys.stdout, flush=True)
            report["designs"][f"{name}, {decisions}"] = {
                **told,
                "draws": one.shares,
                "best_peer": one.best_peer,
                "over_best_peer": dict(zip(("mean", "standard_error"), np.round(one.gap, 3).tolist(), strict=True)),
                "engine_cpu_s": round(float(np.mean(one.seconds)), 1),
                "developed_on": name in DEVELOPED_ON,
            }
        others = [one for name, one in found.items() if name not in DEVELOPED_ON and DESIGNS[name].strength == 1.0]
        if others:
            means = {learner: _mean(others, learner) for learner in others[0].shares}
            report["shares"][str(decisions)] = means.pop("engine")
            report["over_best_peer"][str(decisions)] = round(_mean(others, "engine") - max(means.values()), 3)
    if given.json:
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
        return
    for decisions, share in report["shares"].items():
        gap = report["over_best_peer"][decisions]
        print(f"{decisions} decisions, designs it was not developed on: {share:.1%}, {gap:+.1%} over the best peer")


def _mean(results: list[Result], learner: str) -> float:
    return round(float(np.mean([one.mean(learner) for one in results])), 3)


if __name__ == "__main__":
    main()
