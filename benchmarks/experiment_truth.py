"""Experiments with known truth: false alarms over sixty looks, coverage over all looks, and power.

python benchmarks/experiment_truth.py
python benchmarks/experiment_truth.py --runs 2000 --json
python benchmarks/experiment_truth.py --data transcript.parquet

Every run plays one experiment of two arms, looks at it sixty times as units come in, and says whether any look was
conclusive. `false_alarms`: without any effect, share of runs in which a look was. `coverage`: share of runs whose
intervals held the effect at all looks together. `power`: share of runs that found an effect that one planned look
would find with 80 % by the end, and `power_fixed` what that one look found. `looking_at_fixed`: false alarms of Welch's
t-test at the same looks, which is what sequential intervals are for.

`heavy-tails` draws lognormal amounts of one unit in ten; `rewards-amounts` the amounts that customers spent in a table
with the columns `person`, `event` and `amount`, named by `--data`.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from decisioning.catalogue.experiment import Inference  # noqa: E402
from features.reports.readouts import Metric, ReadoutUnit  # noqa: E402
from training.experiments.comparisons import Looks, compare_arms, together  # noqa: E402
from training.experiments.covariates import with_covariate  # noqa: E402
from training.experiments.sample_ratios import check_sample_ratio  # noqa: E402
from training.experiments.verdicts import MetricName  # noqa: E402

LOOKS = 60
Values = np.ndarray
"""Shape (metrics, units): of units as they come in; the arm of unit n is n % 2, so that looks hold equal arms."""

Draw = Callable[[np.random.Generator], Values]
_POWER = 2.8016
"""Standard errors that one look at 5 % finds with 80 %."""


def customers(rng: np.random.Generator) -> Values:
    """Money of 100 new customers per look."""
    return rng.gamma(1, 20, (1, 100 * LOOKS))


def rates(rng: np.random.Generator) -> Values:
    """One customer in fifty converts; 100 new ones per look."""
    return (rng.random((1, 100 * LOOKS)) < 0.02).astype(float)


def households(rng: np.random.Generator) -> Values:
    """Households of one to four members with one taste: what members spend is added up, 50 households per look."""
    n = 50 * LOOKS
    size, taste = rng.integers(1, 5, n), rng.gamma(2, 20, n)
    return np.maximum(size * taste + np.sqrt(size) * rng.normal(0, 10, n), 0)[None, :]


def repeats(rng: np.random.Generator) -> Values:
    """Ten rows of a customer each, nearly alike, added up to one unit; 40 customers per look."""
    n = 40 * LOOKS
    return (10 * rng.gamma(2, 10, n) + rng.normal(0, 5, (10, n)).sum(axis=0))[None, :]


def heavy_tails(rng: np.random.Generator) -> Values:
    """One unit in ten spends, a lognormal amount (sigma 1.5); 200 units per look."""
    n = 200 * LOOKS
    return (np.where(rng.random(n) < 0.1, rng.lognormal(3, 1.5, n), 0))[None, :]


def five_metrics(rng: np.random.Generator) -> Values:
    """Five measures with a common part, the first of which decides."""
    n = 100 * LOOKS
    return rng.gamma(1, 20, n)[None, :] * 0.5 + rng.gamma(1, 20, (5, n))


def two_metrics(rng: np.random.Generator) -> Values:
    """The same with two measures."""
    return five_metrics(rng)[:2]


def amounts_of(path: Path) -> Draw:
    """What customers of a real log spent in all, resampled; 100 units per look."""
    rows = pl.read_parquet(path)
    spent = rows.filter(pl.col("event") == "transaction").group_by("person").agg(pl.col("amount").sum())
    known = spent["amount"].to_numpy()
    return lambda rng: rng.choice(known, (1, 100 * LOOKS))


DESIGNS: dict[str, Draw] = {
    "sixty-looks": customers,
    "rare-rates": rates,
    "households": households,
    "repeats": repeats,
    "heavy-tails": heavy_tails,
    "two-metrics": two_metrics,
    "five-metrics": five_metrics,
}


def metrics_of(values: Values, inference: Inference) -> tuple[Metric, ...]:
    """The readout of what has come in."""
    arms = np.array(["off", "on"])[np.arange(values.shape[1]) % 2]
    is_rate = np.isin(values, (0.0, 1.0)).all()
    found = [
        compare_arms(
            pl.DataFrame({"arm": arms, "value": row}),
            MetricName(
                metric_id=f"m{place}",
                unit=ReadoutUnit.RATE if is_rate else ReadoutUnit.NUMBER,
                currency=None,
                is_primary=place == 0,
            ),
            "off",
            ("off", "on"),
            Looks(inference=inference),
        )
        for place, row in enumerate(values)
    ]
    return together(found)


def looks_at(values: Values, inference: Inference) -> Iterator[tuple[Metric, ...]]:
    """The readouts of sixty looks."""
    step = values.shape[1] // LOOKS
    return (metrics_of(values[:, : step * look], inference) for look in range(1, LOOKS + 1))


def is_conclusive(metrics: tuple[Metric, ...]) -> bool:
    """Whether anything is said to be found."""
    return any(one.is_conclusive for metric in metrics for one in metric.comparisons)


def planted(values: Values) -> Values:
    """The same with an effect on the first metric of the arm `on`."""
    more = values.copy()
    more[0, 1::2] += _POWER * values[0].std() * 2 / np.sqrt(values.shape[1])
    return more


def holds_zero(metrics: tuple[Metric, ...]) -> bool:
    """Whether the interval of the first metric holds zero; one without a number says nothing wrong."""
    found = metrics[0].comparisons[0].effect
    return found is None or found.lower <= 0 <= found.upper


def measure(draw: Draw, runs: int, seed: int) -> dict[str, float]:
    """The shares of one design."""
    found = Counter({"false_alarms": 0, "looking_at_fixed": 0, "coverage": 0})
    for run in range(runs):
        values = draw(np.random.default_rng([seed, run]))
        seen = list(looks_at(values, Inference.SEQUENTIAL))
        found["false_alarms"] += any(map(is_conclusive, seen))
        found["looking_at_fixed"] += any(map(is_conclusive, looks_at(values, Inference.FIXED)))
        # intervals move with an effect that is added to every unit, so this is the coverage of any such effect
        found["coverage"] += all(map(holds_zero, seen))
        if not np.isin(values, (0.0, 1.0)).all():  # a rate cannot take an effect on top
            more = planted(values)
            found["power"] += any(one[0].comparisons[0].is_conclusive for one in looks_at(more, Inference.SEQUENTIAL))
            found["power_fixed"] += metrics_of(more, Inference.FIXED)[0].comparisons[0].is_conclusive
    return {name: count / runs for name, count in found.items()}


def adjusted(runs: int, seed: int) -> dict[str, float]:
    """With a covariate of R² 0.5: variance taken away (0.5 by theory), and coverage of a planted effect in one look."""
    reductions, covered = [], 0
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        known = rng.normal(0, 1, 4_000)
        value = known + rng.normal(0, 1, 4_000)
        value[1::2] += 0.1
        rows = pl.DataFrame({"arm": ["off", "on"] * 2_000, "value": value})
        rows, _ = with_covariate(rows, known[:, None])
        name = MetricName(metric_id="m", unit=ReadoutUnit.NUMBER, currency=None, is_primary=True)
        effect = compare_arms(rows, name, "off", ("off", "on"), Looks(inference=Inference.FIXED)).comparisons[0].effect
        assert effect is not None
        reductions.append(effect.variance_reduction or 0.0)
        covered += effect.lower <= 0.1 <= effect.upper
    return {"variance_reduction": float(np.mean(reductions)), "coverage_fixed": covered / runs}


def splits(runs: int, seed: int) -> dict[str, float]:
    """Alarms of a fair split over sixty looks, and of one that loses a tenth of an arm, of 6,000 units in all."""
    alarms = {"fair": 0, "loses_a_tenth": 0}
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        for name, share in (("fair", 0.5), ("loses_a_tenth", 0.9 / 1.9)):
            counts = np.cumsum(rng.binomial(100, share, LOOKS))
            alarms[name] += any(
                check_sample_ratio({"a": int(n), "b": 100 * look - int(n)}, {"a": 0.5, "b": 0.5}, "").status == "alarm"
                for look, n in enumerate(counts, 1)
            )
    return {name: count / runs for name, count in alarms.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, help="Parquet file with person, event and amount")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    designs = dict(DESIGNS)
    if chosen.data is not None:
        designs["rewards-amounts"] = amounts_of(chosen.data)
    found: dict[str, Any] = {}
    for name, draw in designs.items():
        for metric, share in measure(draw, chosen.runs, chosen.seed).items():
            found.setdefault(metric, {})[name] = share
        if not chosen.json:
            print(name, {metric: shares[name] for metric, shares in found.items() if name in shares}, flush=True)
    found["covariate"] = adjusted(chosen.runs, chosen.seed)
    found["split_alarms"] = splits(chosen.runs, chosen.seed)
    found["runs"] = chosen.runs
    print(json.dumps(found, indent=2) if chosen.json else {k: found[k] for k in ("covariate", "split_alarms")})


if __name__ == "__main__":
    main()
