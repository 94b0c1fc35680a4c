"""Where the marks of a forest plot go: stored differences and intervals on a common axis, as shares of its width."""

from dataclasses import dataclass
from math import ceil, floor, log10

from features.reports.readout_words import display_scale, format_difference, format_interval, format_number
from features.reports.readouts import ArmComparison, Metric, ReadoutUnit

TARGET_TICKS = 5
PADDING = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark of the axis; `position` is in per cent of the plot's width."""

    position: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """An arm against the control; positions in per cent of the plot's width, None where the arm has no number."""

    arm_id: str
    sentence: str
    difference: str = "no number"
    interval: str = ""
    is_conclusive: bool = False
    lower: float | None = None
    point: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """A forest plot, ready to draw; `zero` is where there is no difference."""

    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]
    zero: float
    axis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A linear axis in displayed units."""

    low: float
    high: float

    def position(self, value: float) -> float:
        """Place of a value, in per cent of the width."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)


def forest_of(metric: Metric, unit: str = "customer") -> Forest | None:
    """Lay out a metric's comparisons; None where none of them has a number."""
    effects = [comparison.effect for comparison in metric.comparisons if comparison.effect is not None]
    if not effects:
        return None
    scale = display_scale(metric.unit, metric.currency)
    axis = _axis(scale * min(effect.lower for effect in effects), scale * max(effect.upper for effect in effects))
    return Forest(
        rows=tuple(_row(comparison, metric, axis, scale) for comparison in metric.comparisons),
        ticks=_ticks(axis),
        zero=axis.position(0.0),
        axis=_axis_name(metric, unit),
    )


def _axis(lowest: float, highest: float) -> Axis:
    """From the lowest end to the highest, zero always in sight, with room at both sides."""
    low, high = min(lowest, 0.0), max(highest, 0.0)
    room = PADDING * (high - low)
    return Axis(low=low - room, high=high + room)


def _row(comparison: ArmComparison, metric: Metric, axis: Axis, scale: float) -> ForestRow:
    effect = comparison.effect
    if effect is None:
        return ForestRow(arm_id=comparison.arm_id, sentence=comparison.sentence)
    return ForestRow(
        arm_id=comparison.arm_id,
        difference=format_difference(effect.difference, metric.unit, metric.currency),
        interval=format_interval(effect.lower, effect.upper, metric.unit, metric.currency),
        sentence=comparison.sentence,
        is_conclusive=comparison.is_conclusive,
        lower=axis.position(scale * effect.lower),
        point=axis.position(scale * effect.difference),
        upper=axis.position(scale * effect.upper),
    )


def _ticks(axis: Axis) -> tuple[Tick, ...]:
    """Round numbers about a fifth of the axis apart."""
    step = _round_step((axis.high - axis.low) / TARGET_TICKS)
    places = max(0, -floor(log10(step) + 1e-9))
    counts = range(ceil(axis.low / step), floor(axis.high / step) + 1)
    return tuple(
        Tick(position=axis.position(count * step), label=format_number(count * step, places)) for count in counts
    )


def _round_step(raw: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten that is not smaller."""
    power = 10.0 ** floor(log10(raw))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw * (1 - 1e-9))


def _axis_name(metric: Metric, unit: str) -> str:
    if metric.unit is ReadoutUnit.MONEY_MINOR:
        return f"in {metric.currency} per {unit}"
    return "in percentage points" if metric.unit is ReadoutUnit.RATE else f"per {unit}"
