"""Comparisons of arms: exact numbers, correct intervals, refusals."""

import gc
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from decisioning.catalogue.experiment import Inference
from features.reports.readouts import Method, Metric, ReadoutUnit, RefusalCode
from training.experiments.comparisons import Looks, compare_arms, together
from training.experiments.verdicts import MetricName


def compare(
    arms: dict[str, np.ndarray],
    unit: ReadoutUnit = ReadoutUnit.NUMBER,
    control: str = "control",
    inference: Inference = Inference.FIXED,
) -> Metric:
    frames = [
        pl.DataFrame({"arm": [arm] * len(values), "value": values}, schema={"arm": pl.String, "value": pl.Float64})
        for arm, values in arms.items()
    ]
    looks = Looks(inference=inference)
    name = MetricName(metric_id="worth", unit=unit, currency=None, is_primary=True)
    rows = pl.concat(frames).with_columns(pl.col("value").fill_nan(None))
    return compare_arms(rows, name, control, tuple(arms), looks)


def effect_of(metric: Metric, arm: str = "treated"):
    found = next(comparison for comparison in metric.comparisons if comparison.arm_id == arm)
    assert found.effect is not None, found.sentence
    return found.effect


def test_a_difference_equals_welchs_test_computed_directly():
    rng = np.random.default_rng(1)
    control, treated = rng.gamma(2, 3, 400), rng.gamma(2, 3.6, 250)
    effect = effect_of(compare({"control": control, "treated": treated}))
    direct = stats.ttest_ind(treated, control, equal_var=False)
    interval = direct.confidence_interval(0.95)
    assert effect.difference == pytest.approx(treated.mean() - control.mean(), rel=1e-12)
    assert effect.standard_error == pytest.approx(
        np.sqrt(treated.var(ddof=1) / 250 + control.var(ddof=1) / 400), rel=1e-12
    )
    assert effect.p_value == pytest.approx(direct.pvalue, rel=1e-9)
    assert (effect.lower, effect.upper) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_a_relative_lift_is_the_ratio_of_means_with_an_interval_around_it():
    rng = np.random.default_rng(2)
    control, treated = rng.gamma(2, 3, 4000), rng.gamma(2, 3.6, 4000)
    relative = effect_of(compare({"control": control, "treated": treated})).relative
    assert relative is not None
    assert relative.lift == pytest.approx(treated.mean() / control.mean() - 1, rel=1e-9)
    assert relative.lower < 0.2 < relative.upper


@pytest.mark.parametrize("centre", [0.0, -3.0, 1e-9])
def test_a_mean_that_is_not_clearly_positive_has_a_difference_but_no_relative_lift(centre: float):
    noise = np.random.default_rng(3).normal(0, 1, (2, 500))
    arms = {"control": noise[0] - noise[0].mean() + centre, "treated": noise[1] - noise[1].mean() + centre + 0.5}
    effect = effect_of(compare(arms))
    assert effect.relative is None
    assert effect.difference == pytest.approx(0.5, abs=1e-9)
    assert effect.lower < 0.5 < effect.upper


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=30, max_size=60),
    st.lists(st.floats(-1e6, 1e6), min_size=30, max_size=60),
)
def test_every_number_is_finite_or_the_comparison_is_refused(control: list[float], treated: list[float]):
    comparison = compare({"control": np.array(control), "treated": np.array(treated)}).comparisons[0]
    assert (comparison.effect is None) == (comparison.refusal is not None)
    if comparison.effect is not None:
        effect = comparison.effect
        numbers = (effect.difference, effect.standard_error, effect.lower, effect.upper, effect.p_value)
        assert np.isfinite(numbers).all()
        assert effect.lower <= effect.difference <= effect.upper
        assert 0 <= effect.p_value <= effect.adjusted_p_value <= 1


def test_identical_arms_are_called_different_about_one_time_in_twenty():
    """Known truth: without effect, 5 % of readouts are conclusive (800 trials: ±2.1 % is 2.7 standard errors)."""
    rng = np.random.default_rng(4)
    found = [
        compare({"control": rng.gamma(1.5, 4, 120), "treated": rng.gamma(1.5, 4, 120)}).comparisons[0].is_conclusive
        for _ in range(800)
    ]
    assert 0.029 < np.mean(found) < 0.071


def test_the_interval_covers_a_planted_lift_nineteen_times_in_twenty():
    """Known truth: 0.6 more per customer; intervals cover it in 95 % of 500 trials (±2.8 % is 2.9 standard errors)."""
    rng = np.random.default_rng(5)
    effects = [
        effect_of(compare({"control": rng.gamma(2, 3, 300), "treated": rng.gamma(2, 3, 200) + 0.6})) for _ in range(500)
    ]
    assert 0.922 < np.mean([effect.lower <= 0.6 <= effect.upper for effect in effects]) < 0.978
    assert np.mean([effect.difference for effect in effects]) == pytest.approx(0.6, abs=0.05)


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Exempts live objects from garbage collection, which statsmodels' Holm runs in each call."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("few_objects")
def test_several_arms_without_effect_are_rarely_called_different():
    """Known truth: with four arms against one control, Holm keeps false alarms near 5 % (300 trials, under 8.8 %)."""
    rng = np.random.default_rng(6)
    calls = []
    for _ in range(300):
        arms = {name: rng.normal(5, 2, 60) for name in ("control", "a", "b", "c", "d")}
        calls.append(any(comparison.is_conclusive for comparison in compare(arms).comparisons))
    assert 0.01 < np.mean(calls) < 0.088


def test_holm_adjusts_by_rank():
    """Golden: Holm (1979) for p-values 0.01, 0.03, 0.04 gives 0.03, 0.06, 0.06."""
    from dataclasses import replace

    from training.experiments.comparisons import _adjust

    like = effect_of(compare({"control": np.arange(50.0), "treated": np.arange(50.0)}))
    effects = {name: replace(like, p_value=p) for name, p in (("x", 0.04), ("y", 0.01), ("z", 0.03))}
    adjusted = {name: round(effect.adjusted_p_value, 9) for name, effect in _adjust(effects).items()}
    assert adjusted == {"y": 0.03, "z": 0.06, "x": 0.06}


@pytest.mark.parametrize(
    ("treated", "unit", "code"),
    [
        (np.arange(29.0), ReadoutUnit.NUMBER, RefusalCode.ARM_TOO_SMALL),
        (np.array([]), ReadoutUnit.NUMBER, RefusalCode.ARM_TOO_SMALL),
        (np.full(80, 7.0), ReadoutUnit.NUMBER, RefusalCode.NO_VARIANCE),
        (np.full(80, 0.1) + np.arange(80) * 1e-17, ReadoutUnit.NUMBER, RefusalCode.NO_VARIANCE),
        (np.arange(80) * 1e-200, ReadoutUnit.NUMBER, RefusalCode.NO_VARIANCE),
        (np.array([1.0] * 4 + [0.0] * 200), ReadoutUnit.RATE, RefusalCode.TOO_FEW_EVENTS),
        (np.array([0.0] * 4 + [1.0] * 200), ReadoutUnit.RATE, RefusalCode.TOO_FEW_EVENTS),
        (np.full(200, np.nan), ReadoutUnit.NUMBER, RefusalCode.ARM_TOO_SMALL),
    ],
)
def test_a_meaningless_comparison_is_refused(treated: np.ndarray, unit: ReadoutUnit, code: RefusalCode):
    control = np.array([0.0, 1.0] * 100)
    for arms in ({"control": control, "treated": treated}, {"control": treated, "treated": control}):
        comparison = compare(arms, unit).comparisons[0]
        assert comparison.effect is None
        assert comparison.refusal is not None
        assert comparison.refusal.code is code
        assert not comparison.is_conclusive


def test_missing_values_are_left_out_and_counted():
    values = np.concatenate([np.arange(100.0), np.full(3, np.nan)])
    metric = compare({"control": values, "treated": np.arange(100.0) + 1})
    assert metric.arms[0].missing_count == 3
    assert metric.arms[0].mean == pytest.approx(49.5)
    assert "3 customers without a value" in metric.notes[0]


def test_one_customer_that_dominates_the_variance_is_noted():
    quiet = np.random.default_rng(8).gamma(1, 50, 1000)
    assert compare({"control": quiet, "treated": quiet}).notes == ()
    loud = np.append(quiet, 50_000.0)
    note = compare({"control": loud, "treated": quiet}).notes[0]
    assert note.startswith("One customer of control makes up 99.")


def test_sentences_say_more_less_or_not_conclusive():
    rng = np.random.default_rng(9)
    base = rng.normal(100, 10, 500)
    worse = compare({"control": base, "treated": base - 20}).comparisons[0].sentence
    unclear = compare({"control": base, "treated": base + 0.1}).comparisons[0].sentence
    assert worse.startswith("worth is 20.0 lower in treated than in control (")
    assert unclear.startswith("Not conclusive yet: worth in treated is between ")


def sequential(arms: dict[str, np.ndarray], unit: ReadoutUnit = ReadoutUnit.NUMBER) -> Metric:
    return compare(arms, unit, inference=Inference.SEQUENTIAL)


def test_an_interval_for_every_look_is_wider_than_one_for_a_single_look_around_the_same_difference():
    rng = np.random.default_rng(10)
    arms = {"control": rng.gamma(2, 3, 2_000), "treated": rng.gamma(2, 3.6, 2_000)}
    once, always = effect_of(compare(arms)), effect_of(sequential(arms))
    assert (always.difference, always.standard_error) == pytest.approx((once.difference, once.standard_error))
    assert always.lower < once.lower < once.upper < always.upper
    assert (once.method, always.method) == (Method.FIXED, Method.SEQUENTIAL)
    assert once.relative is not None
    assert always.relative is not None
    assert always.relative.lower < once.relative.lower < once.relative.upper < always.relative.upper


def test_a_rate_that_few_customers_decide_has_an_exact_interval():
    control, treated = np.repeat([0.0, 1.0], [398, 2]), np.repeat([0.0, 1.0], [369, 31])
    comparison = sequential({"control": control, "treated": treated}, ReadoutUnit.RATE).comparisons[0]
    assert comparison.effect is not None
    assert comparison.effect.method is Method.EXACT
    assert comparison.is_conclusive
    assert (comparison.effect.lower, comparison.effect.upper) == pytest.approx((0.0183, 0.1448), abs=1e-4)


def test_a_difference_that_rests_on_one_customer_is_not_conclusive_and_one_that_does_not_is():
    rng = np.random.default_rng(11)
    base = rng.gamma(1, 20, (2, 5_000))
    alone, together_ = base.copy(), base.copy()
    alone[1, 0] = 22_000.0
    doubtful = compare({"control": alone[0], "treated": alone[1] + 1}).comparisons[0]
    assert not doubtful.is_conclusive
    together_[1] += 5.0
    together_[1, 0] = 22_000.0
    clear = compare({"control": together_[0], "treated": together_[1]}).comparisons[0]
    assert clear.is_conclusive
    assert clear.effect is not None
    assert clear.effect.capped is not None
    assert clear.effect.capped.lower > 3


def test_further_metrics_are_conclusive_only_where_the_first_one_is():
    rng = np.random.default_rng(12)
    lifted = {"control": rng.normal(5, 1, 3_000), "treated": rng.normal(6, 1, 3_000)}
    flat = {"control": rng.normal(5, 1, 3_000), "treated": rng.normal(5, 1, 3_000)}
    closed = together([sequential(flat), sequential(lifted)])
    assert not closed[1].comparisons[0].is_conclusive
    assert "explores as long as worth is not conclusive" in closed[1].comparisons[0].sentence
    opened = together([sequential(lifted), sequential(lifted), sequential(flat)])
    assert [metric.comparisons[0].is_conclusive for metric in opened] == [True, True, False]


def test_before_the_one_planned_look_nothing_is_concluded():
    rng = np.random.default_rng(13)
    rows = pl.DataFrame({"arm": ["a", "b"] * 500, "value": rng.normal(5, 1, 1_000)})
    rows = rows.with_columns(value=pl.col("value") + (pl.col("arm") == "b"))
    name = MetricName(metric_id="worth", unit=ReadoutUnit.NUMBER, currency=None, is_primary=True)
    planned = Looks(inference=Inference.FIXED, next_at=datetime(2026, 12, 24, tzinfo=UTC))
    early = compare_arms(rows, name, "a", ("a", "b"), planned).comparisons[0]
    assert not early.is_conclusive
    assert "the one look that was planned is due on 24 Dec 2026" in early.sentence
    assert compare_arms(rows, name, "a", ("a", "b"), Looks(inference=Inference.FIXED)).comparisons[0].is_conclusive


def test_a_difference_of_nothing_but_the_largest_amounts_is_not_conclusive():
    """Everybody pays 10 and one pays 1,000: with amounts capped nothing differs."""
    control, treated = np.full(500, 10.0), np.full(500, 10.0)
    control[0], treated[0] = 11.0, 1_000.0
    for inference in Inference:
        comparison = compare({"control": control, "treated": treated}, inference=inference).comparisons[0]
        assert comparison.effect is not None
        assert comparison.effect.capped is None
        assert not comparison.is_conclusive
