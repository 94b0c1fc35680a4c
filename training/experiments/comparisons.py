"""A metric compared between arms: means, differences, intervals, and refusal where a number would mean nothing."""

import math
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Mean

from features.reports.readout_words import format_number, format_percent
from features.reports.readouts import (
    ArmComparison,
    ArmMean,
    Effect,
    Metric,
    ReadoutUnit,
    Refusal,
    RefusalCode,
    RelativeLift,
)
from training.experiments.verdicts import MetricName, comparison_sentence

CONFIDENCE_LEVEL = 0.95
SIGNIFICANCE = 0.05
MIN_CUSTOMERS = 30
MIN_EVENTS = 5
MIN_MEANS_IN_ERRORS = 3.0
OUTLIER_SHARE = 0.1
ROUNDING = 1e-9
"""Spread below this share of the mean is rounding, not chance."""

TINY = 1e-150
"""Spread below this has no square."""

_VALUE = "value"


def compare_arms(values: pl.DataFrame, metric: MetricName, control: str, arms: Sequence[str]) -> Metric:
    """Compare every arm with the control.

    Args:
        values: One row per customer with `arm` and `value` (Float64; null where unknown: counted, not compared).
        metric: Name and unit.
        control: The control arm.
        arms: All arms in the order to show.
    """
    means = {arm: _arm_mean(values.filter(pl.col("arm") == arm)[_VALUE], arm) for arm in arms}
    treated = [arm for arm in arms if arm != control]
    refusals = {arm: _refusal(means[arm], means[control], metric) for arm in treated}
    effects = _adjust({arm: _effect(means[control], means[arm]) for arm in treated if refusals[arm] is None})
    return Metric(
        metric_id=metric.metric_id,
        unit=metric.unit,
        currency=metric.currency,
        is_primary=metric.is_primary,
        arms=tuple(means.values()),
        comparisons=tuple(
            _comparison(metric, means[arm], means[control], effects.get(arm), refusals[arm]) for arm in treated
        ),
        notes=_notes(values, means, metric),
    )


def _arm_mean(values: pl.Series, arm: str) -> ArmMean:
    known = values.drop_nulls()
    mean, deviation = known.mean(), known.std()
    return ArmMean(
        arm_id=arm,
        customer_count=known.len(),
        missing_count=values.null_count(),
        mean=None if mean is None else float(mean),  # pyright: ignore[reportArgumentType] - a Float64 column
        standard_deviation=None if deviation is None else float(deviation),  # pyright: ignore[reportArgumentType]
    )


def _refusal(arm: ArmMean, control: ArmMean, metric: MetricName) -> Refusal | None:
    for side in (control, arm):
        refusal = _too_small(side, metric) or _too_few_events(side, metric) or _constant(side, metric)
        if refusal is not None:
            return refusal
    return None


def _too_small(arm: ArmMean, metric: MetricName) -> Refusal | None:
    if arm.customer_count >= MIN_CUSTOMERS:
        return None
    message = f"arm {arm.arm_id!r} has {arm.customer_count} {metric.of}s to compare, and it takes {MIN_CUSTOMERS}"
    return Refusal(code=RefusalCode.ARM_TOO_SMALL, message=message)


def _constant(arm: ArmMean, metric: MetricName) -> Refusal | None:
    if _spread(arm) > max(ROUNDING * abs(_mean(arm)), TINY):
        return None
    message = f"all {metric.of}s of arm {arm.arm_id!r} have the same {metric.metric_id}, so chance cannot be judged"
    return Refusal(code=RefusalCode.NO_VARIANCE, message=message)


def _too_few_events(arm: ArmMean, metric: MetricName) -> Refusal | None:
    """A rate near 0 or 1 has no normal interval until a few customers fall on both sides."""
    if metric.unit is not ReadoutUnit.RATE or arm.mean is None:
        return None
    hits = round(arm.mean * arm.customer_count)
    if MIN_EVENTS <= hits <= arm.customer_count - MIN_EVENTS:
        return None
    message = (
        f"{metric.metric_id} holds for {format_number(hits)} of {format_number(arm.customer_count)} {metric.of}s "
        f"of arm {arm.arm_id!r}, and it takes {MIN_EVENTS} on either side to judge chance"
    )
    return Refusal(code=RefusalCode.TOO_FEW_EVENTS, message=message)


def _effect(control: ArmMean, arm: ArmMean) -> Effect:
    """Difference of two means by Welch's t-test; the relative interval by the delta method on the log scale.

    Reference:
        Welch (1947), The generalization of Student's problem; Deng, Knoblich and Lu (2018), Applying the delta method
        in metric analytics, section 2.
    """
    has_relative = all(_is_clearly_positive(side) for side in (control, arm))
    # tea-tasting always computes the relative interval too, whose exponential overflows for a mean next to zero; a
    # common shift of both means leaves the difference as it is and keeps that unused part finite.
    shift = 0.0 if has_relative else _spread(control) + _spread(arm) - min(_mean(control), _mean(arm))
    metric = Mean(_VALUE, alternative="two-sided", confidence_level=CONFIDENCE_LEVEL, equal_var=False, use_t=True)
    result = metric.analyze_aggregates(_aggregates(control, shift), _aggregates(arm, shift))
    relative = RelativeLift(
        lift=float(result.rel_effect_size),
        lower=float(result.rel_effect_size_ci_lower),
        upper=float(result.rel_effect_size_ci_upper),
    )
    return Effect(
        difference=float(result.effect_size),
        standard_error=math.hypot(_standard_error(control), _standard_error(arm)),
        lower=float(result.effect_size_ci_lower),
        upper=float(result.effect_size_ci_upper),
        p_value=float(result.pvalue),
        adjusted_p_value=float(result.pvalue),
        relative=relative if has_relative else None,
    )


def _aggregates(arm: ArmMean, shift: float) -> Aggregates:
    return Aggregates(count_=arm.customer_count, mean_={_VALUE: _mean(arm) + shift}, var_={_VALUE: _spread(arm) ** 2})


def _mean(arm: ArmMean) -> float:
    return 0.0 if arm.mean is None else arm.mean


def _spread(arm: ArmMean) -> float:
    return 0.0 if arm.standard_deviation is None else arm.standard_deviation


def _standard_error(arm: ArmMean) -> float:
    return _spread(arm) / math.sqrt(arm.customer_count)


def _is_clearly_positive(arm: ArmMean) -> bool:
    return _mean(arm) > MIN_MEANS_IN_ERRORS * _standard_error(arm)


def _adjust(effects: dict[str, Effect]) -> dict[str, Effect]:
    """Holm's step-down correction of the p-values over the arms that were compared.

    Reference:
        Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    if len(effects) < 2:  # noqa: PLR2004 - one needs no correction, and statsmodels' Holm collects all garbage
        return effects
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests([effect.p_value for effect in effects.values()], method="holm")[1]
    return {
        arm: replace(effect, adjusted_p_value=float(p_value))
        for (arm, effect), p_value in zip(effects.items(), adjusted, strict=True)
    }


def _comparison(
    metric: MetricName, arm: ArmMean, control: ArmMean, effect: Effect | None, refusal: Refusal | None
) -> ArmComparison:
    is_conclusive = effect is not None and effect.adjusted_p_value < SIGNIFICANCE
    if effect is None:
        sentence = f"No number for {arm.arm_id}: {refusal.message}." if refusal else ""
    else:
        sentence = comparison_sentence(metric, arm, control, effect, is_conclusive=is_conclusive)
    return ArmComparison(
        arm_id=arm.arm_id, effect=effect, refusal=refusal, is_conclusive=is_conclusive, sentence=sentence
    )


def _notes(values: pl.DataFrame, means: dict[str, ArmMean], metric: MetricName) -> tuple[str, ...]:
    missing = sum(mean.missing_count for mean in means.values())
    said = f"{format_number(missing)} {metric.of}s without a value of {metric.metric_id} are left out."
    notes = [said] if missing else []
    outliers = (_outlier_note(values.filter(pl.col("arm") == arm)[_VALUE], means[arm], metric) for arm in means)
    return (*notes, *(note for note in outliers if note))


def _outlier_note(values: pl.Series, mean: ArmMean, metric: MetricName) -> str | None:
    """Say so when one customer alone makes up a large part of an arm's variance."""
    if metric.unit is ReadoutUnit.RATE or mean.customer_count < MIN_CUSTOMERS or not mean.standard_deviation:
        return None
    squares = ((values.drop_nulls() - _mean(mean)) ** 2).max()
    share = float(squares) / (mean.standard_deviation**2 * (mean.customer_count - 1))  # pyright: ignore[reportArgumentType]
    if share < OUTLIER_SHARE:
        return None
    return (
        f"One {metric.of} of {mean.arm_id} makes up {format_percent(share).lstrip('+')} of the variance of "
        f"{metric.metric_id} there: the result rests on few {metric.of}s; a cap or a rate would be steadier."
    )
