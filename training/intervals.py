"""Numbers with 95 % intervals by customer, or the reason why there is none.

Rows of one customer are alike, so it is customers that are independent here: totals and counts are summed per customer
first, and the ratio of the sums gets the variance of a ratio (delta method). Rates turn that variance into an effective
number of rows and take Wilson's interval with it, which stays in [0, 1] and is honest next to both ends.

Reference:
    Wilson (1927), Probable inference, the law of succession, and statistical inference; Deng, Knoblich and Lu (2018),
    Applying the delta method in metric analytics, section 3; Brookmeyer and Crowley (1982), A confidence interval for
    the median survival time.
"""

import warnings
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np
from scipy import stats

from decisioning.arrays import BoolArray, FloatArray

MIN_CUSTOMERS = 30
"""Customers that a rate or a mean takes."""

MIN_CASES = 20
"""Cases that a quantile of times takes."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number and its interval; an end that the data leave open is None.

    Attributes:
        error: Standard error, where the number has one.
    """

    value: float
    lower: float | None
    upper: float | None
    error: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends, infinite where they are open."""
        return -inf if self.lower is None else self.lower, inf if self.upper is None else self.upper


def rate(hits: FloatArray, counts: FloatArray, *, confidence: float = CONFIDENCE) -> Interval:
    """A share of rows, by customer.

    Args:
        hits: shape (m,), rows of each customer that count.
        counts: shape (m,), all rows of each customer, 1 or more.
        confidence: Of the interval.

    Example:
        >>> found = rate(np.zeros(50), np.ones(50))
        >>> found.value, round(found.upper, 3)
        (0.0, 0.071)
    """
    from statsmodels.stats.proportion import proportion_confint

    share, rows = float(hits.sum() / counts.sum()), effective_rows(hits, counts)
    ends = proportion_confint(share * rows, rows, alpha=1 - confidence, method="wilson")
    lower, upper = np.clip(np.array(ends, dtype=float), 0.0, 1.0).tolist()
    return Interval(value=share, lower=lower, upper=upper, error=sqrt(share * (1 - share) / rows))


def effective_rows(hits: FloatArray, counts: FloatArray) -> float:
    """How many independent rows would tell as much: all of them where rows of a customer are no more alike than others.

    Where nobody differs, customers are what counts.
    """
    share = float(hits.sum() / counts.sum())
    variance = ratio_variance(hits, counts)
    if variance <= 0:
        return float(len(counts))
    return min(float(counts.sum()), share * (1 - share) / variance)


def rate_difference(one: Interval, other: Interval) -> tuple[float, float]:
    """Interval of `one - other` for independent rates.

    Reference:
        Newcombe (1998), Interval estimation for the difference between independent proportions, method 10.
    """
    gap = one.value - other.value
    (low, high), (other_low, other_high) = one.ends, other.ends
    down = sqrt((one.value - low) ** 2 + (other_high - other.value) ** 2)
    up = sqrt((high - one.value) ** 2 + (other.value - other_low) ** 2)
    return gap - down, gap + up


def ratio(totals: FloatArray, counts: FloatArray, *, confidence: float = CONFIDENCE) -> Interval:
    """Sum of totals over sum of counts, by customer; with counts of 1, a mean with Student's interval.

    Args:
        totals: shape (m,).
        counts: shape (m,), with a positive sum.
        confidence: Of the interval.
    """
    value, error = float(totals.sum() / counts.sum()), sqrt(ratio_variance(totals, counts))
    reach = error * float(stats.t.ppf(0.5 + confidence / 2, len(counts) - 1))
    return Interval(value=value, lower=value - reach, upper=value + reach, error=error)


def ratio_variance(totals: FloatArray, counts: FloatArray) -> float:
    """Variance of the ratio of two sums over customers."""
    m, whole = len(counts), float(counts.sum())
    left = totals - float(totals.sum() / whole) * counts
    return float(left @ left) * m / max(m - 1, 1) / whole**2


def waiting_quantile(hours: FloatArray, is_over: BoolArray, quantile: float) -> Interval | None:
    """A quantile of waiting times where some still wait: Kaplan and Meier's estimate, the interval by its inversion.

    Args:
        hours: shape (n,), time waited so far.
        is_over: shape (n,), False for who still waits.
        quantile: In (0, 1).

    Returns:
        None where so many still wait that the quantile lies beyond what was seen; an end beyond it is None.

    Example:
        >>> found = waiting_quantile(np.arange(1.0, 101.0), np.ones(100, dtype=bool), 0.5)
        >>> found.value, found.lower, found.upper
        (50.0, 40.0, 60.0)
    """
    if not is_over.any():
        return None
    sample = stats.CensoredData(uncensored=hours[is_over], right=hours[~is_over])
    left = stats.ecdf(sample).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where nobody or everybody is left there is no band
        band = left.confidence_interval(confidence_level=CONFIDENCE, method="log-log")
    times, bound = left.quantiles, 1 - quantile
    value = _first_at_most(times, left.probabilities, bound)
    if value is None:
        return None
    lower = _first_at_most(times, band.low.probabilities, bound)
    return Interval(value=value, lower=lower, upper=_first_at_most(times, band.high.probabilities, bound))


def _first_at_most(times: FloatArray, left: FloatArray, bound: float) -> float | None:
    """First time at which at most `bound` are left; what cannot be told (the ends of a band) never counts."""
    places = np.flatnonzero(np.nan_to_num(left, nan=1.0) <= bound + 1e-12)
    found = float(times[places[0]]) if len(places) else None
    return found if found is not None and isfinite(found) else None
