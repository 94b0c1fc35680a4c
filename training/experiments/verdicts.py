"""Readouts in plain sentences, written once when they are computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from features.reports.readout_words import (
    SPACE,
    format_bounds,
    format_difference,
    format_interval,
    format_p,
    format_value,
)
from features.reports.readouts import ArmComparison, ArmMean, Effect, Metric, ReadoutUnit, Refusal, RefusalCode, Status

INTERVAL = f"95{SPACE}% interval"
HOLDS_ALWAYS = f"A 95{SPACE}% interval holds at every look, however often you look and whenever you stop."
BROKEN = frozenset({RefusalCode.SAMPLE_RATIO, RefusalCode.UNKNOWN_ARM})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricName:
    """The metric that is compared, its unit, and the unit of assignment."""

    metric_id: str
    unit: ReadoutUnit
    currency: str | None
    is_primary: bool
    of: str = "customer"


def comparison_sentence(
    metric: MetricName, arm: ArmMean, control: ArmMean, effect: Effect, doubt: str | None = None
) -> str:
    """What an arm did to a metric, with its interval; honest about chance.

    A `doubt` says why it is not conclusive, as the end of a sentence; None where it is.
    """
    if effect.lower <= 0 <= effect.upper:
        return f"Not conclusive yet: {_range(metric, arm, control, effect)} ({INTERVAL})."
    said = _difference(metric, arm, control, effect)
    return f"{said}." if doubt is None else f"Not conclusive yet: {said}, {doubt}."


def could_be_chance(effect: Effect) -> str:
    """A doubt where several things were compared."""
    return f"but with so many comparisons that could be chance (adjusted p {format_p(effect.adjusted_p_value)})"


class Conclusion(TypedDict):
    """What a readout says as a whole; `refusal` is set where it says nothing."""

    status: Status
    verdict: str
    refusal: Refusal | None


def conclude(metrics: Sequence[Metric], refusal: Refusal | None, control: str) -> Conclusion:
    """Draw the conclusion from the primary metric: fields of a readout.

    Args:
        metrics: Primary first; empty where `refusal` is set.
        refusal: Reason to refuse the readout as a whole.
        control: Name of the control arm.
    """
    reason = refusal or _whole_refusal(metrics[0].comparisons)
    if reason is None:
        return _verdict(metrics[0], control)
    opening = "Do not read this" if reason.code in BROKEN else "No answer yet"
    said = f"{opening}: {reason.message[:1].lower()}{reason.message[1:].rstrip('.')}."
    return Conclusion(status=Status.REFUSED, verdict=said, refusal=reason)


def _whole_refusal(comparisons: Sequence[ArmComparison]) -> Refusal | None:
    """The reason why a metric has no number at all; None where any arm has one."""
    if any(comparison.effect is not None for comparison in comparisons):
        return None
    return next(comparison.refusal for comparison in comparisons)


def _verdict(primary: Metric, control: str) -> Conclusion:
    clear = [comparison for comparison in primary.comparisons if comparison.is_conclusive]
    status = Status.CONCLUSIVE if clear else Status.INCONCLUSIVE
    return Conclusion(status=status, verdict=_verdict_sentence(primary.comparisons, clear, control), refusal=None)


def _verdict_sentence(comparisons: Sequence[ArmComparison], clear: Sequence[ArmComparison], control: str) -> str:
    if len(comparisons) == 1:
        return comparisons[0].sentence
    if not clear:
        return f"Not conclusive yet: none of {len(comparisons)} arms differs clearly from {control}."
    best = max(clear, key=lambda one: one.effect.difference if one.effect else 0.0)
    return f"{len(clear)} of {len(comparisons)} arms differ from {control}; highest: {best.sentence}"


def _difference(metric: MetricName, arm: ArmMean, control: ArmMean, effect: Effect) -> str:
    unit, currency = metric.unit, metric.currency
    size = format_difference(abs(effect.difference), unit, currency, signed=False)
    interval = f"{INTERVAL} {format_interval(effect.lower, effect.upper, unit, currency)}"
    if unit is ReadoutUnit.MONEY_MINOR:
        way = "more" if effect.difference > 0 else "less"
        return f"{arm.arm_id} earns {size} {way} per {metric.of} than {control.arm_id} ({interval})"
    way = "higher" if effect.difference > 0 else "lower"
    means = f"{format_value(arm.mean or 0.0, unit)} against {format_value(control.mean or 0.0, unit)}"
    return f"{metric.metric_id} is {size} {way} in {arm.arm_id} than in {control.arm_id} ({means}; {interval})"


def _range(metric: MetricName, arm: ArmMean, control: ArmMean, effect: Effect) -> str:
    unit, currency = metric.unit, metric.currency
    low, high = format_bounds(-effect.lower, effect.upper, unit, currency)
    if unit is ReadoutUnit.MONEY_MINOR:
        ends = f"between {low} less and {high}{SPACE}{currency} more"
        return f"{arm.arm_id} earns {ends} per {metric.of} than {control.arm_id}"
    points = f"{SPACE}points" if unit is ReadoutUnit.RATE else ""
    return (
        f"{metric.metric_id} in {arm.arm_id} is between {low} lower and {high}{points} higher than in {control.arm_id}"
    )
