"""Off-policy estimators against published figures, to the last digits that were published or printed.

`open_bandit_sample.csv` is the log of the uniform policy (campaign "all", 10,000 impressions) of the small sample of
the Open Bandit Dataset, counted by item and position, with the probability that Bernoulli Thompson sampling gives each
item there. The dataset is by Saito, Aihara, Matsutani and Narita (2021), "Open Bandit Dataset and Pipeline", NeurIPS
Datasets and Benchmarks, licensed CC BY 4.0; the sample comes with the package obp 0.5.7 (Apache 2.0). Probabilities are
those of `BernoulliTS(n_actions=80, len_list=3, is_zozotown_prior=True, campaign="all", random_state=12345)
.compute_batch_action_dist(n_sim=100000)`, as in its README, which publishes a relative value of 1.198126 by weighting.
The other figures are what obp 0.5.7 gives for the same log with `InverseProbabilityWeighting`,
`SelfNormalizedInverseProbabilityWeighting`, `InverseProbabilityWeighting(lambda_=2)`, `DirectMethod`, `DoublyRobust`
and `SwitchDoublyRobust(lambda_=2)` and `(lambda_=5)`, with (clicks + 1) / (impressions + 250) of an item as prediction.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from decisioning.arrays import FloatArray, IndexArray
from training.off_policy.estimators import (
    clipped_ips,
    direct_method,
    doubly_robust,
    importance_weights,
    ips,
    snips,
    switch_doubly_robust,
)

UNIFORM = 1 / 80
PUBLISHED_RELATIVE_VALUE = 1.198126


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """10,000 impressions; each counts as a customer of its own."""

    weights: FloatArray
    clicks: FloatArray
    predicted: FloatArray
    expected: FloatArray
    customers: IndexArray


@pytest.fixture(scope="module")
def sample() -> Sample:
    table = pl.read_csv(Path(__file__).parent / "open_bandit_sample.csv")
    item = pl.col("clicked").sum().over("item"), pl.col("shown").sum().over("item")
    table = table.with_columns(predicted=(item[0] + 1) / (item[1] + 250))
    table = table.with_columns(expected=(pl.col("probability") * pl.col("predicted")).sum().over("position"))
    rows = table.select(pl.all().repeat_by("shown").list.explode())
    # Within a row of the table the first impressions are the clicked ones: their order plays no part.
    place = rows.select(pl.int_range(pl.len()).over("item", "position")).to_series()
    probability = rows["probability"].to_numpy()
    return Sample(
        weights=importance_weights(probability, np.full(rows.height, UNIFORM)),
        clicks=(place < rows["clicked"]).cast(pl.Float64).to_numpy(),
        predicted=rows["predicted"].to_numpy(),
        expected=rows["expected"].to_numpy(),
        customers=np.arange(rows.height),
    )


def test_the_relative_value_that_open_bandit_pipeline_publishes_is_reproduced(sample: Sample):
    value = ips(sample.weights, sample.clicks, sample.customers).value
    assert sample.clicks.sum() == 38
    assert round(value / sample.clicks.mean(), 6) == PUBLISHED_RELATIVE_VALUE


def test_every_estimator_gives_what_open_bandit_pipeline_gives(sample: Sample):
    weighted = (sample.weights, sample.clicks, sample.customers)
    modelled = (sample.weights, sample.clicks, sample.predicted, sample.expected, sample.customers)
    found = {
        "ips": ips(*weighted),
        "snips": snips(*weighted),
        "clipped at 2": clipped_ips(*weighted, cap=2.0),
        "direct": direct_method(sample.expected, sample.customers),
        "doubly robust": doubly_robust(*modelled),
        "switch at 2": switch_doubly_robust(*modelled, cap=2.0),
        "switch at 5": switch_doubly_robust(*modelled, cap=5.0),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {
            "ips": 0.00455288,
            "snips": 0.0047758330812309535,
            "clipped at 2": 0.0023413600000000002,
            "direct": 0.004155062857635273,
            "doubly robust": 0.004776641600120715,
            "switch at 2": 0.004198375400615828,
            "switch at 5": 0.004484744146209264,
        },
        rel=1e-12,
    )
