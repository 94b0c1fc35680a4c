"""The gain of choosing by the champion's values on the rewards data, with and without limits on messages.

It uses customers that the model never saw, doubly robust off-policy evaluation with the known action probabilities, and
95 % intervals by bootstrap over customers; all comparisons use the same resamples. Under limits, an assignment per wave
maximises predicted value; it is compared with assigning at random within the same limits.

    nextbest example convert rewards SOURCE train --part train
    nextbest example convert rewards SOURCE held-back --part held-back
    nextbest import train && nextbest features build && nextbest model train && nextbest model promote
    python benchmarks/decision_quality.py held-back [--home .nextbest] [--uncapped] [--json]
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import polars as pl
from scipy.optimize import linear_sum_assignment

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.effects.message_coding import MessageCoding
from decisioning.value_model import Calibrator, ValueModel, design_matrix
from features.catalogue import load_catalogue
from features.computing.compute import compute_features
from features.history import History
from features.models.bundle import load_value_model, read_bundle
from features.models.registry import fetch_champion
from features.settings import Settings
from training.data.datasets import Dataset, contexts_of, learnable, make_dataset
from training.data.measures import decision_values

RESAMPLES = 1_000
LARGEST_SHARE = 0.2
MESSAGED_SHARE = 0.3
CHUNK = 1_000
GROUP = 700


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """n decisions about customers that the model never saw.

    Attributes:
        values: shape (n, k + 1), expected value of silence and each message, as served.
        alone: shape (n, k + 1), predictions of its booster alone.
        judged: shape (n, k + 1), like `values`, over the window in which each decision is evaluated.
        scored: shape (n, k + 1), doubly robust score of each action, in major units.
        waves: shape (n,), a number per decision time.
        customers: shape (n,), a number per customer.
        logged_shares: shape (k + 1,), share of each action in the log.
    """

    values: FloatArray
    alone: FloatArray
    judged: FloatArray
    scored: FloatArray
    waves: IntArray
    customers: IntArray
    logged_shares: FloatArray
    keys: tuple[str, ...]


def load_trial(folder: Path, settings: Settings, *, is_capped: bool) -> tuple[Trial, int]:
    """The trial, and the column of the best single message found in training."""
    catalogue = load_catalogue(settings.catalogue_path)
    champion = fetch_champion(settings)
    model = load_value_model(champion.folder, version=champion.version)
    history = History.from_folder(folder)
    window = learnable(history, catalogue, as_of=datetime.now(UTC))
    anchors = window.decisions.select("customer_id", pl.col("decided_at").alias("at"))
    dataset = make_dataset(window, compute_features(history, anchors, catalogue), history, catalogue)
    values = predicted(model, dataset)
    rows = np.arange(dataset.size)
    rewards = dataset.values if is_capped else uncapped(history, window.decisions, catalogue)
    judged = predicted(model, dataset, contexts_of(window.decisions))
    scored = judged.copy()
    scored[rows, dataset.actions] += (rewards - scored[rows, dataset.actions]) / dataset.probabilities
    _, waves = np.unique(dataset.decisions["decided_at"].to_numpy(), return_inverse=True)
    alone = replace(model, calibrator=believing_everything(model))
    trial = Trial(
        alone=predicted(replace(alone, coding=without_anchors(model)), dataset),
        values=values,
        judged=judged,
        scored=scored / 100,
        waves=waves,
        customers=dataset.customers,
        logged_shares=np.bincount(dataset.actions, minlength=len(dataset.keys)) / dataset.size,
        keys=dataset.keys,
    )
    return trial, dataset.keys.index(read_bundle(champion.folder).notes["best_constant"])


def predicted(model: ValueModel, dataset: Dataset, contexts: FloatArray | None = None) -> FloatArray:
    """Values over the model's own window, as served, or over the windows in which decisions are evaluated."""
    messages = model.messages(dataset.messages)
    served = np.column_stack([np.full(dataset.size, model.window_days), dataset.contexts[:, 1:]])
    contexts = served if contexts is None else contexts
    parts: list[FloatArray] = []
    for start in range(0, dataset.size, CHUNK):
        rows = range(start, min(start + CHUNK, dataset.size))
        parts.append(
            model.expected_values_of(
                np.stack([design_matrix(dataset.features[row], messages, contexts[row]) for row in rows])
            )
        )
    return np.vstack(parts)


def believing_everything(model: ValueModel) -> Calibrator:
    """A calibrator that passes the booster's differences through, as a plain S-learner would."""
    scale = model.calibrator.baseline_slope
    nothing = model.calibrator.reference[:0]
    return replace(
        model.calibrator,
        baseline_intercept=0.0,
        common_slope=scale,
        specific_slope=scale,
        reference=nothing,
        reference_weights=nothing[:, 0],
    )


def without_anchors(model: ValueModel) -> MessageCoding:
    return replace(model.coding, offsets=dict.fromkeys(model.coding.offsets, 0.0))


def uncapped(history: History, decisions: pl.DataFrame, catalogue: Catalogue) -> FloatArray:
    asked = decisions.select("decision_id", "customer_id", "starts_at", "ends_at")
    return decision_values(history, asked, catalogue.measures["net_revenue"], cap=False)["value"].to_numpy()


def assigned(trial: Trial, values: FloatArray, shares: FloatArray, seed: int = 2) -> IntArray:
    """Actions with the highest predicted value and at most a share of each; per wave, a few hundred customers each."""
    rng = np.random.default_rng(seed)
    actions = np.zeros(len(trial.values), dtype=np.int64)
    for wave in np.unique(trial.waves):
        shuffled = rng.permutation(np.flatnonzero(trial.waves == wave))
        for rows in np.array_split(shuffled, max(1, round(len(shuffled) / GROUP))):
            columns = np.repeat(np.arange(len(shares)), _places(shares, len(rows), float(rng.random())))
            chosen, places = linear_sum_assignment(values[rows][:, columns], maximize=True)
            actions[rows[chosen]] = columns[places]
    return actions


def _places(shares: FloatArray, size: int, start: float) -> IntArray:
    """How many of a group may get each action: its shares, rounded so that no action is favoured over many groups."""
    edges = np.floor(np.concatenate([[0.0], np.cumsum(shares)]) * size + start).astype(int)
    edges[0], edges[-1] = 0, max(edges[-1], size)
    return np.diff(edges)


def messaged(trial: Trial, values: FloatArray, share: float) -> IntArray:
    """Per wave, the best message for the share of customers with the highest predicted uplift."""
    actions = np.zeros(len(values), dtype=np.int64)
    best = values[:, 1:].argmax(axis=1) + 1
    uplift = np.take_along_axis(values, best[:, np.newaxis], axis=1)[:, 0] - values[:, 0]
    for wave in np.unique(trial.waves):
        rows = np.flatnonzero(trial.waves == wave)
        top = rows[np.argsort(-uplift[rows], kind="stable")[: int(share * len(rows))]]
        actions[top] = best[top]
    return actions


def interval(terms: FloatArray, customers: IntArray, seed: int = 1) -> dict[str, float]:
    """Mean with its 95 % bootstrap interval by customer."""
    sums, counts = np.bincount(customers, weights=terms), np.bincount(customers)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    means = (draws @ sums) / (draws @ counts)
    lower, upper = np.quantile(means, [0.025, 0.975])
    return {"value": float(terms.mean()), "lower": float(lower), "upper": float(upper)}


def report(trial: Trial, constant: int) -> dict[str, Mapping[str, float]]:
    rows = np.arange(len(trial.values))
    fixed = trial.scored[:, constant]
    free = trial.scored[rows, trial.values.argmax(axis=1)]
    alone = trial.scored[rows, trial.alone.argmax(axis=1)]
    judged = trial.judged / 100  # over the windows in which decisions are evaluated
    gain = judged[rows, trial.values.argmax(axis=1)] - judged[:, 0]
    result: dict[str, Mapping[str, float]] = {
        "free choice": interval(free, trial.customers),
        "best single message": interval(fixed, trial.customers),
        "free choice minus best single message": interval(free - fixed, trial.customers),
        "booster alone minus best single message": interval(alone - fixed, trial.customers),
        "silence": interval(trial.scored[:, 0], trial.customers),
        "predicted over realised gain": {"value": float(gain.mean() / (free - trial.scored[:, 0]).mean())},
    }
    return result | limited(trial, constant)


def limited(trial: Trial, constant: int) -> dict[str, Mapping[str, float]]:
    """Under limits, compared with the best use of each limit without any knowledge of customers."""
    rows, shares = np.arange(len(trial.values)), trial.logged_shares
    largest = np.full_like(shares, LARGEST_SHARE)
    best_on_average = np.zeros_like(shares)
    best_on_average[np.argsort(-trial.values.mean(axis=0))[: round(1 / LARGEST_SHARE)]] = LARGEST_SHARE
    some = np.zeros_like(shares)
    some[0], some[constant] = 1 - MESSAGED_SHARE, MESSAGED_SHARE
    result: dict[str, Mapping[str, float]] = {}
    for name, chosen, unknowing in (
        ("logged mix", lambda values: assigned(trial, values, shares), shares),
        ("each at most 20 %", lambda values: assigned(trial, values, largest), best_on_average),
        ("30 % messaged", lambda values: messaged(trial, values, MESSAGED_SHARE), some),
    ):
        ours = trial.scored[rows, chosen(trial.values)]
        alone = trial.scored[rows, chosen(trial.alone)]
        result[name] = interval(ours, trial.customers)
        result[f"{name}: minus random within the limit"] = interval(ours - trial.scored @ unknowing, trial.customers)
        result[f"{name}: minus booster alone"] = interval(ours - alone, trial.customers)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, default=Path(".nextbest"))
    parser.add_argument("--mlruns", type=Path, default=Path("mlruns"))
    parser.add_argument("--uncapped", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    settings = Settings(home=given.home, mlruns=given.mlruns)
    trial, constant = load_trial(given.folder, settings, is_capped=not given.uncapped)
    result = report(trial, constant)
    if given.json:
        sys.stdout.write(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    print(f"{len(trial.values):,} decisions, best single message {trial.keys[constant]}")
    for name, one in result.items():
        ends = f"[{one['lower']:+.2f}, {one['upper']:+.2f}]" if "lower" in one else ""
        print(f"{name:<50} {one['value']:8.3f} {ends}")


if __name__ == "__main__":
    main()
