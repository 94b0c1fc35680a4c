"""The difference of two means: at every look by a confidence sequence, or once by Welch's t-test."""

import math
from dataclasses import dataclass

import polars as pl
from scipy.stats import norm
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Mean

from decisioning.catalogue.experiment import Inference
from features.reports.readouts import ArmMean, Effect, Method, RelativeLift
from training.experiments.sequences import LEVEL, Counted, half_width, p_value, rate_interval, rate_p_value

FEW_EVENTS = 20
"""Fewer units than this on either side of a rate have an exact interval."""

MIN_MEANS_IN_ERRORS = 3.0

_VALUE, _COVARIATE = "value", "covariate"
_NORMAL = float(norm.ppf(0.5 + LEVEL / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSample:
    """The known values of an arm, in sums.

    Attributes:
        covariate: Mean and variance of what was expected of each unit beforehand, and its covariance with the values;
            None where nothing was.
    """

    arm_id: str
    count: int
    missing: int
    mean: float
    variance: float
    covariate: tuple[float, float, float] | None = None

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.variance)

    @property
    def standard_error(self) -> float:
        """Of the mean."""
        return self.spread / math.sqrt(self.count)

    def said(self) -> ArmMean:
        """As a readout stores it."""
        return ArmMean(
            arm_id=self.arm_id,
            customer_count=self.count,
            missing_count=self.missing,
            mean=self.mean if self.count else None,
            standard_deviation=self.spread if self.count > 1 else None,
        )


def sample_of(rows: pl.DataFrame, arm: str) -> ArmSample:
    """Sum an arm up.

    Args:
        rows: One row per unit with `arm`, `value` (Float64, null where unknown) and perhaps `covariate` (never null).
        arm: Its name.
    """
    of_arm = rows.filter(pl.col("arm") == arm)
    known = of_arm.filter(pl.col(_VALUE).is_not_null())
    found = known.select(mean=pl.col(_VALUE).mean(), variance=pl.col(_VALUE).var()).row(0)
    covariate = None
    if _COVARIATE in rows.columns and known.height > 1:
        expected = pl.col(_COVARIATE)
        covariate = known.select(mean=expected.mean(), var=expected.var(), cov=pl.cov(_VALUE, _COVARIATE)).row(0)
    return ArmSample(
        arm_id=arm,
        count=known.height,
        missing=of_arm.height - known.height,
        mean=found[0] or 0.0,
        variance=found[1] or 0.0,
        covariate=covariate,
    )


def difference_of(control: ArmSample, arm: ArmSample, inference: Inference, *, is_rate: bool) -> Effect:
    """Mean of an arm less mean of the control, with an interval that holds as the experiment is looked at.

    Where units have a covariate, the difference is that of means adjusted for it (CUPED), which has less variance and
    the same expectation. The relative interval is by the delta method on the log scale.

    Reference:
        Welch (1947), The generalization of Student's problem; Deng, Xu, Kohavi and Walker (2013), Improving the
        sensitivity of online controlled experiments by utilizing pre-experiment data; Deng, Knoblich and Lu (2018),
        Applying the delta method in metric analytics, section 2. `sequences` names those of confidence sequences.
    """
    counted = tuple(Counted(round(side.mean * side.count), side.count) for side in (control, arm))
    if inference is Inference.SEQUENTIAL and is_rate and any(_has_few(side) for side in counted):
        return _exactly(*counted)
    has_relative = all(side.mean > MIN_MEANS_IN_ERRORS * side.standard_error for side in (control, arm))
    # tea-tasting always computes the relative interval too, whose exponential overflows for a mean next to zero; a
    # common shift of both means leaves the difference as it is and keeps that unused part finite.
    shift = 0.0 if has_relative else control.spread + arm.spread - min(control.mean, arm.mean)
    sides = _aggregates(control, shift), _aggregates(arm, shift)
    is_adjusted = control.covariate is not None and arm.covariate is not None
    normal, welch = (
        Mean(
            _VALUE,
            _COVARIATE if is_adjusted else None,
            alternative="two-sided",
            confidence_level=LEVEL,
            equal_var=False,
            use_t=use_t,
        ).analyze_aggregates(*sides)
        for use_t in (False, True)
    )
    difference = float(normal.effect_size)
    error = float(normal.effect_size_ci_upper - normal.effect_size) / _NORMAL
    units = control.count + arm.count
    if inference is Inference.SEQUENTIAL:
        wide, p, method = half_width(error, units), p_value(difference, error, units), Method.SEQUENTIAL
    else:
        wide, p, method = float(welch.effect_size_ci_upper) - difference, float(welch.pvalue), Method.FIXED
    relative = None
    if has_relative:
        lift = float(normal.rel_effect_size)
        wider = wide / (error * _NORMAL)
        factor = ((1 + float(normal.rel_effect_size_ci_upper)) / (1 + lift)) ** wider
        relative = RelativeLift(lift=lift, lower=(1 + lift) / factor - 1, upper=(1 + lift) * factor - 1)
    raw = math.hypot(control.standard_error, arm.standard_error)
    return Effect(
        difference=difference,
        standard_error=error,
        lower=difference - wide,
        upper=difference + wide,
        p_value=p,
        adjusted_p_value=p,
        relative=relative,
        method=method,
        variance_reduction=1 - (error / raw) ** 2 if is_adjusted else None,
    )


def _exactly(control: Counted, arm: Counted) -> Effect:
    p = rate_p_value(control, arm)
    lower, upper = rate_interval(control, arm)
    return Effect(
        difference=arm.rate - control.rate,
        standard_error=math.sqrt(sum(one.rate * (1 - one.rate) / one.units for one in (control, arm))),
        lower=lower,
        upper=upper,
        p_value=p,
        adjusted_p_value=p,
        relative=None,
        method=Method.EXACT,
    )


def _has_few(counted: Counted) -> bool:
    return min(counted.hits, counted.units - counted.hits) < FEW_EVENTS


def _aggregates(side: ArmSample, shift: float) -> Aggregates:
    mean, variance, together = side.covariate or (0.0, 0.0, 0.0)
    return Aggregates(
        count_=side.count,
        mean_={_VALUE: side.mean + shift, _COVARIATE: mean},
        var_={_VALUE: side.variance, _COVARIATE: variance},
        cov_={(_COVARIATE, _VALUE): together},
    )
