"""What was known beforehand takes noise away, and nothing else."""

import numpy as np
import polars as pl
import pytest

from features.reports.readouts import Effect, Health, ReadoutUnit
from training.experiments.comparisons import compare_arms
from training.experiments.covariates import with_covariate
from training.experiments.verdicts import MetricName

NAME = MetricName(metric_id="worth", unit=ReadoutUnit.NUMBER, currency=None, is_primary=True)


def trial(seed: int, n: int = 1_000, *, lift: float = 0.0) -> tuple[pl.DataFrame, np.ndarray]:
    """Two columns known beforehand explain 80 % of the variance; one in ten values of the first is missing."""
    rng = np.random.default_rng(seed)
    known = rng.normal(0, 1, (n, 2))
    arm = rng.random(n) < 0.5
    value = known @ [1.6, 1.2] + rng.normal(0, 1, n) + lift * arm
    known[rng.random(n) < 0.1, 0] = np.nan
    return pl.DataFrame({"arm": np.where(arm, "on", "off"), "value": value}), known


def effect_of(rows: pl.DataFrame) -> Effect:
    found = compare_arms(rows, NAME, "off", ("off", "on")).comparisons[0].effect
    assert found is not None
    return found


def test_differences_are_as_steady_as_theory_says():
    """Known truth: variance falls to 1 - R², where R² is that of the covariate; here 0.8 less what is missing."""
    rows, known = trial(1, 20_000)
    adjusted, check = with_covariate(rows, known)
    assert check is not None
    assert check.status is Health.OK
    effect = effect_of(adjusted)
    explained = np.corrcoef(adjusted["value"], adjusted["covariate"])[0, 1] ** 2
    assert effect.variance_reduction == pytest.approx(explained, abs=0.01)
    assert 0.68 < explained < 0.8


def test_an_adjusted_difference_holds_the_planted_lift_and_its_error_is_what_it_says():
    """Known truth: a lift of 0.2 in 150 trials; the spread of estimates is the mean standard error within 15 %."""
    effects = [effect_of(with_covariate(*trial(seed, lift=0.2))[0]) for seed in range(150)]
    differences = np.array([one.difference for one in effects])
    errors = np.array([one.standard_error for one in effects])
    assert differences.mean() == pytest.approx(0.2, abs=4 * errors.mean() / np.sqrt(150))
    assert differences.std() == pytest.approx(errors.mean(), rel=0.15)
    assert np.mean([one.lower <= 0.2 <= one.upper for one in effects]) >= 0.95


def test_what_differs_between_arms_is_not_adjusted_for():
    rows, known = trial(2, lift=1.0)
    known[:, 1] += (rows["arm"] == "on").to_numpy() * 1.0
    adjusted, check = with_covariate(rows, known)
    assert "covariate" not in adjusted.columns
    assert check is not None
    assert check.status is Health.WARN


@pytest.mark.parametrize("known", [np.empty((1_000, 0)), np.full((1_000, 2), np.nan), np.full((1_000, 1), 3.0)])
def test_columns_that_say_nothing_leave_differences_as_they_are(known: np.ndarray):
    rows, _ = trial(3)
    adjusted, check = with_covariate(rows, known)
    assert check is None
    assert effect_of(adjusted).variance_reduction is None
