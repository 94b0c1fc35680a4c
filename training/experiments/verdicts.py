"""Readouts in plain sentences, written once when they are computed."""

from collections.abc import Sequence
from dataclasses import dataclass

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
BROKEN = frozenset({RefusalCode.SAMPLE_RATIO, RefusalCode.UNKNOWN_ARM})


def comparison_sentence(
    metric_id: str,
    unit: ReadoutUnit,
    currency: str | None,
    arm: ArmMean,
    control: ArmMean,
    effect: Effect,
    *,
    of: str = "customer",
    is_conclusive: bool,
) -> str:
    """What an arm did to a metric, with its interval; honest about chance."""
    if not effect.lower <= 0 <= effect.upper:
        said = _difference(metric_id, unit, currency, arm, control, effect, of)
        return f"{said}." if is_conclusive else _could_be_chance(said, effect)
    return f"Not conclusive yet: {_range(metric_id, unit, currency, arm, control, effect, of)} ({INTERVAL})."


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a readout says as a whole; `refusal` is set where it says nothing."""

    status: Status
    verdict: str
    refusal: Refusal | None


def conclude(metrics: Sequence[Metric], refusal: Refusal | None, control: str) -> Conclusion:
    """Draw the conclusion from the primary metric.

    Args:
        metrics: Primary first; empty where `refusal` is set.
        refusal: Reason to refuse the readout as a whole.
        control: Name of the control arm.
    """
    reason = refusal or _whole_refusal(metrics[0].comparisons)
    if reason is None:
        return _verdict(metrics[0], control)
    opening = "Do not read this" if reason.code in BROKEN else "No answer yet"
    said = f"{opening}: {_lower_first(reason.message).rstrip('.')}."
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
    best = max(clear, key=_difference_of)
    return f"{len(clear)} of {len(comparisons)} arms differ from {control}; highest: {best.sentence}"


def _difference_of(comparison: ArmComparison) -> float:
    return comparison.effect.difference if comparison.effect else 0.0


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _difference(
    metric_id: str, unit: ReadoutUnit, currency: str | None, arm: ArmMean, control: ArmMean, effect: Effect, of: str
) -> str:
    size = format_difference(abs(effect.difference), unit, currency, signed=False)
    interval = f"{INTERVAL} {format_interval(effect.lower, effect.upper, unit, currency)}"
    if unit is ReadoutUnit.MONEY_MINOR:
        way = "more" if effect.difference > 0 else "less"
        return f"{arm.arm_id} earns {size} {way} per {of} than {control.arm_id} ({interval})"
    way = "higher" if effect.difference > 0 else "lower"
    means = f"{format_value(arm.mean or 0.0, unit)} against {format_value(control.mean or 0.0, unit)}"
    return f"{metric_id} is {size} {way} in {arm.arm_id} than in {control.arm_id} ({means}; {interval})"


def _could_be_chance(said: str, effect: Effect) -> str:
    return (
        f"Not conclusive yet: {said}, but with several arms compared that could be chance "
        f"(adjusted p {format_p(effect.adjusted_p_value)})."
    )


def _range(
    metric_id: str, unit: ReadoutUnit, currency: str | None, arm: ArmMean, control: ArmMean, effect: Effect, of: str
) -> str:
    low, high = format_bounds(-effect.lower, effect.upper, unit, currency)
    if unit is ReadoutUnit.MONEY_MINOR:
        ends = f"between {low} less and {high}{SPACE}{currency} more"
        return f"{arm.arm_id} earns {ends} per {of} than {control.arm_id}"
    points = f"{SPACE}points" if unit is ReadoutUnit.RATE else ""
    return f"{metric_id} in {arm.arm_id} is between {low} lower and {high}{points} higher than in {control.arm_id}"
