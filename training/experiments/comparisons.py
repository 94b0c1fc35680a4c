"""A metric compared between arms: means, differences, intervals, and refusal where a number would mean nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import log

import polars as pl

from decisioning.catalogue.experiment import Inference
from features.reports.readout_words import format_interval, format_number, format_percent, format_value
from features.reports.readouts import ArmComparison, CappedEffect, Effect, Metric, ReadoutUnit, Refusal, RefusalCode
from training.experiments.estimates import ArmSample, difference_of, sample_of
from training.experiments.robustness import LARGE_SHARE, capped_effects, largest_share
from training.experiments.verdicts import MetricName, comparison_sentence, could_be_chance

SIGNIFICANCE = 0.05
MIN_CUSTOMERS = 30
MIN_EVENTS = 5
ROUNDING = 1e-9
"""Spread below this share of the mean is rounding, not chance."""

TINY = 1e-150
"""Spread below this has no square."""

_VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """When people look.

    Attributes:
        inference: Whether a readout holds at every look, or at one.
        next_at: The one look that was planned, while it lies ahead; nothing is concluded before. None otherwise.
    """

    inference: Inference = Inference.SEQUENTIAL
    next_at: datetime | None = None


def compare_arms(
    values: pl.DataFrame,
    metric: MetricName,
    control: str,
    arms: Sequence[str],
    looks: Looks = Looks(),
) -> Metric:
    """Compare every arm with the control.

    Args:
        values: One row per customer with `arm` and `value` (Float64; null where unknown: counted, not compared), and
            `covariate` (Float64) if something was expected of each of them beforehand.
        metric: Name and unit.
        control: The control arm.
        arms: All arms in the order to show.
        looks: When people look.
    """
    samples = {arm: sample_of(values, arm) for arm in arms}
    treated = [arm for arm in arms if arm != control]
    refusals = {arm: _refusal(samples[arm], samples[control], metric, looks.inference) for arm in treated}
    known = [arm for arm in treated if refusals[arm] is None]
    is_rate = metric.unit is ReadoutUnit.RATE
    capped = {} if is_rate else capped_effects(values, control, known, looks.inference)
    effects = {
        arm: replace(
            difference_of(samples[control], samples[arm], looks.inference, is_rate=is_rate), capped=capped.get(arm)
        )
        for arm in known
    }
    weights = {} if is_rate else {arm: _weight(values, samples[arm]) for arm in arms}
    comparing = _Comparing(metric=metric, samples=samples, control=control, looks=looks, weights=weights)
    adjusted = _adjust(effects)
    return Metric(
        metric_id=metric.metric_id,
        unit=metric.unit,
        currency=metric.currency,
        is_primary=metric.is_primary,
        arms=tuple(sample.said() for sample in samples.values()),
        comparisons=tuple(comparing.of(arm, adjusted.get(arm), refusals[arm]) for arm in treated),
        notes=_notes(comparing, adjusted),
    )


def together(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """The metrics of a readout, the primary first, so that all conclusions together err in at most 5 % of readouts.

    A further metric is conclusive only in an arm in which the primary one is, after a correction over all further
    metrics and arms.

    Reference:
        Dmitrienko and Tamhane (2007), Gatekeeping procedures with clinical trial applications; Holm (1979).
    """
    if len(metrics) < 2:  # noqa: PLR2004 - nothing to correct
        return tuple(metrics)
    primary, *further = metrics
    open_arms = {one.arm_id for one in primary.comparisons if one.is_conclusive}
    effects = {
        (place, one.arm_id): one.effect
        for place, metric in enumerate(further)
        for one in metric.comparisons
        if one.effect is not None
    }
    adjusted = _adjust(effects)
    return primary, *(
        replace(
            metric,
            comparisons=tuple(
                _gated(one, adjusted.get((place, one.arm_id)), primary, is_open=one.arm_id in open_arms)
                for one in metric.comparisons
            ),
        )
        for place, metric in enumerate(further)
    )


def _gated(one: ArmComparison, effect: Effect | None, primary: Metric, *, is_open: bool) -> ArmComparison:
    if effect is None or not one.is_conclusive:
        return replace(one, effect=effect)
    if effect.adjusted_p_value >= SIGNIFICANCE:
        return replace(one, effect=effect, is_conclusive=False, sentence=_doubting(one, could_be_chance(effect)))
    if not is_open:
        doubt = f"which explores as long as {primary.metric_id} is not conclusive"
        return replace(one, effect=effect, is_conclusive=False, sentence=_doubting(one, doubt))
    return replace(one, effect=effect)


def _doubting(one: ArmComparison, doubt: str) -> str:
    return f"Not conclusive yet: {one.sentence.rstrip('.')}, {doubt}."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparing:
    """What the comparisons of a metric share.

    Attributes:
        weights: By arm, the share that one unit has in the variance, where it is large; empty for rates.
    """

    metric: MetricName
    samples: Mapping[str, ArmSample]
    control: str
    looks: Looks
    weights: Mapping[str, float]

    def of(self, arm: str, effect: Effect | None, refusal: Refusal | None) -> ArmComparison:
        """Compare one arm."""
        if effect is None:
            sentence = f"No number for {arm}: {refusal.message}." if refusal else ""
            return ArmComparison(arm_id=arm, effect=None, refusal=refusal, is_conclusive=False, sentence=sentence)
        doubt = self._doubt(arm, effect)
        sides = (self.samples[arm].said(), self.samples[self.control].said())
        return ArmComparison(
            arm_id=arm,
            effect=effect,
            refusal=None,
            is_conclusive=doubt is None and effect.adjusted_p_value < SIGNIFICANCE,
            sentence=comparison_sentence(self.metric, *sides, effect, doubt),
        )

    def _doubt(self, arm: str, effect: Effect) -> str | None:
        """Why a difference that is beyond chance is not conclusive; None where it is."""
        if effect.adjusted_p_value >= SIGNIFICANCE:
            return could_be_chance(effect)
        if self.looks.next_at is not None:
            return f"and the one look that was planned is due on {self.looks.next_at:%d %b %Y}"
        return self._rests_on_few(arm, effect)

    def _rests_on_few(self, arm: str, effect: Effect) -> str | None:
        """A difference that a few units decide is not conclusive unless it is also beyond chance without their size."""
        errors = {one: self.samples[one].standard_error ** 2 for one in (arm, self.control)}
        parts = {one: self.weights.get(one, 0.0) * errors[one] / sum(errors.values()) for one in errors}
        heaviest = max(parts, key=lambda one: parts[one])
        if parts[heaviest] < LARGE_SHARE:
            return None
        share = format_percent(parts[heaviest]).lstrip("+")
        said = f"but one {self.metric.of} of {heaviest} makes up {share} of the variance of the difference"
        capped = effect.capped
        if capped is None:
            return said
        if effect.difference * capped.difference > 0 and not capped.lower <= 0 <= capped.upper:
            return None
        ends = format_interval(capped.lower, capped.upper, self.metric.unit, self.metric.currency)
        return f"{said}, and with the largest amounts capped the interval is {ends}"


def _weight(values: pl.DataFrame, sample: ArmSample) -> float:
    """The share that one unit has in an arm's variance, 0 where it is no larger than chance brings."""
    if sample.count < MIN_CUSTOMERS or not sample.spread:
        return 0.0
    share = largest_share(values.filter(pl.col("arm") == sample.arm_id)[_VALUE])
    # the largest of n normal values has a share of about 2 ln n / n
    return share if share >= max(LARGE_SHARE, 4 * log(sample.count) / sample.count) else 0.0


def _refusal(arm: ArmSample, control: ArmSample, metric: MetricName, inference: Inference) -> Refusal | None:
    sides = (control, arm)
    if metric.unit is ReadoutUnit.RATE and inference is Inference.SEQUENTIAL:
        small = next(filter(None, (_too_small(side, metric) for side in sides)), None)
        is_empty = arm.mean == control.mean and arm.mean in {0.0, 1.0}
        return small or (_constant(control, metric) if is_empty else None)
    for side in sides:
        refusal = _too_small(side, metric) or _too_few_events(side, metric) or _constant(side, metric)
        if refusal is not None:
            return refusal
    return None


def _too_small(arm: ArmSample, metric: MetricName) -> Refusal | None:
    if arm.count >= MIN_CUSTOMERS:
        return None
    message = f"arm {arm.arm_id!r} has {arm.count} {metric.of}s to compare, and it takes {MIN_CUSTOMERS}"
    return Refusal(code=RefusalCode.ARM_TOO_SMALL, message=message)


def _constant(arm: ArmSample, metric: MetricName) -> Refusal | None:
    if arm.spread > max(ROUNDING * abs(arm.mean), TINY):
        return None
    message = f"all {metric.of}s of arm {arm.arm_id!r} have the same {metric.metric_id}, so chance cannot be judged"
    return Refusal(code=RefusalCode.NO_VARIANCE, message=message)


def _too_few_events(arm: ArmSample, metric: MetricName) -> Refusal | None:
    """A rate near 0 or 1 has no normal interval until a few customers fall on both sides."""
    if metric.unit is not ReadoutUnit.RATE:
        return None
    hits = round(arm.mean * arm.count)
    if MIN_EVENTS <= hits <= arm.count - MIN_EVENTS:
        return None
    message = (
        f"{metric.metric_id} holds for {format_number(hits)} of {format_number(arm.count)} {metric.of}s "
        f"of arm {arm.arm_id!r}, and it takes {MIN_EVENTS} on either side to judge chance"
    )
    return Refusal(code=RefusalCode.TOO_FEW_EVENTS, message=message)


def _adjust[Key](effects: Mapping[Key, Effect]) -> dict[Key, Effect]:
    """Holm's step-down correction of the p-values over everything that was compared.

    p-values that hold at every look still do after it.

    Reference:
        Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    if len(effects) < 2:  # noqa: PLR2004 - one needs no correction, and statsmodels' Holm collects all garbage
        return dict(effects)
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests([effect.p_value for effect in effects.values()], method="holm")[1]
    return {
        arm: replace(effect, adjusted_p_value=float(p_value))
        for (arm, effect), p_value in zip(effects.items(), adjusted, strict=True)
    }


def _notes(comparing: _Comparing, effects: Mapping[str, Effect]) -> tuple[str, ...]:
    metric, notes = comparing.metric, list[str]()
    missing = sum(sample.missing for sample in comparing.samples.values())
    if missing:
        notes.append(f"{format_number(missing)} {metric.of}s without a value of {metric.metric_id} are left out.")
    reductions = [one.variance_reduction for one in effects.values() if one.variance_reduction is not None]
    if reductions:
        least = format_percent(min(reductions)).lstrip("+")
        notes.append(
            f"Differences of {metric.metric_id} are adjusted for what was expected of each {metric.of} beforehand "
            f"(CUPED), which takes away {least} of their variance; means are as observed."
        )
    for arm, share in comparing.weights.items():
        if share:
            notes.append(
                f"One {metric.of} of {arm} makes up {format_percent(share).lstrip('+')} of the variance of "
                f"{metric.metric_id} there: the result rests on few {metric.of}s; a cap or a rate would be steadier."
            )
    if any(comparing.weights.values()):
        notes += [_capped_note(metric, arm, one.capped) for arm, one in effects.items() if one.capped]
    return tuple(notes)


def _capped_note(metric: MetricName, arm: str, capped: CappedEffect) -> str:
    ends = format_interval(capped.lower, capped.upper, metric.unit, metric.currency)
    limits = [
        f"{word} {format_value(limit, metric.unit, metric.currency)}"
        for word, limit in (("above", capped.above), ("below", capped.below))
        if limit is not None
    ]
    return (
        f"With amounts {' and '.join(limits)} capped, the 95 % interval of {arm} is {ends} (the largest 1 % of them)."
    )
