"""Confidence sequences: intervals and p-values that hold at every look, however often and whenever people look.

Intervals of means are asymptotic confidence sequences: a running estimate is compared with the normal mixture boundary
of a Brownian motion of the same variance. Intervals of rates that few customers decide are exact.

References:
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), Time-uniform central limit theory and asymptotic confidence
    sequences, arXiv 2103.06476, equations 9 and 161.
    Wasserman, Ramdas and Balakrishnan (2020), Universal inference, and Robbins (1970), Statistical methods related to
    the law of the iterated logarithm: the exact intervals of rates.
    Lindon and Malek (2022), Anytime-valid inference for multinomial count data: the split of units over arms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, inf, lgamma, log, sqrt

from scipy.optimize import brentq

LEVEL = 0.95
NARROWEST_AT = 1_000
"""Units at which an interval is narrowest beside one for a single look; any number is valid that was chosen before."""

_PRIOR = 0.5
_TINY = 1e-300
_SPLIT_UNITS = 50
"""How firmly the split is expected as declared, in units: a mismatch worth finding shows after about so many."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Units of an arm for whom something holds, of all."""

    hits: int
    units: int

    @property
    def rate(self) -> float:
        """Share of units, in [0, 1]."""
        return self.hits / self.units


def half_width(standard_error: float, units: int, *, level: float = LEVEL, narrowest_at: int = NARROWEST_AT) -> float:
    """Half the width of an interval around an estimate, valid at all looks together.

    Args:
        standard_error: Of the estimate, in any unit, which is that of the result.
        units: Customers, households or rows behind the estimate, of all arms that are compared.
        level: Chance that the interval holds the truth at every look, in (0, 1).
        narrowest_at: Units for which the interval is tuned.

    Example:
        >>> [round(half_width(1.0, units) / 1.96, 2) for units in (200, 1_000, 5_000, 100_000)]
        [1.72, 1.55, 1.61, 1.82]
    """
    alpha = 1 - level
    grown = units * _tuning(narrowest_at, alpha)
    return standard_error * sqrt((grown + 1) / grown * log((grown + 1) / alpha**2))


def p_value(estimate: float, standard_error: float, units: int, *, narrowest_at: int = NARROWEST_AT) -> float:
    """The smallest alpha whose interval leaves out zero, tuned as for 95 %; below alpha at any look in alpha of tests.

    Args:
        estimate: Difference of two means.
        standard_error: Of that difference.
        units: As for `half_width`.
        narrowest_at: As for `half_width`.
    """
    grown = units * _tuning(narrowest_at, 1 - LEVEL)
    squared = (estimate / standard_error) ** 2
    return min(1.0, exp(0.5 * log(grown + 1) - 0.5 * squared * grown / (grown + 1)))


def _tuning(narrowest_at: int, alpha: float) -> float:
    """The square of rho in equation 161."""
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / narrowest_at


def rate_interval(control: Counted, arm: Counted, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of the difference of two rates, arm less control, exact for any counts and valid at all looks together.

    A difference is left out once both arms, under a mixture over all rates, are 1 / alpha times likelier than under
    the best pair of rates with that difference. It is wider than `half_width` where events are many.

    Example:
        >>> [round(end, 3) for end in rate_interval(Counted(2, 400), Counted(31, 400))]
        [0.018, 0.145]
    """
    limit = _mixture(control) + _mixture(arm) + log(1 - level)

    def beyond(difference: float) -> float:
        return limit - _best_with(control, arm, difference)

    found = arm.rate - control.rate
    return _end(beyond, found, -1.0), _end(beyond, found, 1.0)


def rate_p_value(control: Counted, arm: Counted) -> float:
    """The smallest alpha whose `rate_interval` leaves out zero."""
    return min(1.0, exp(_best_with(control, arm, 0.0) - _mixture(control) - _mixture(arm)))


def split_p_value(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Chance at most of a split that is this far from the declared shares at any look, if units fall as declared.

    Args:
        counts: Units per arm.
        shares: Declared share per arm, the same arms; positive, summing to 1.

    Example:
        >>> split_p_value({"a": 50_000, "b": 50_100}, {"a": 0.5, "b": 0.5}) < 1
        False
        >>> split_p_value({"a": 50_000, "b": 51_900}, {"a": 0.5, "b": 0.5}) < 0.001
        True
    """
    total = sum(counts.values())
    favour = lgamma(_SPLIT_UNITS) - lgamma(_SPLIT_UNITS + total)
    for arm, share in shares.items():
        prior = _SPLIT_UNITS * share
        favour += lgamma(prior + counts[arm]) - lgamma(prior) - counts[arm] * log(share)
    return min(1.0, exp(-favour))


def _mixture(arm: Counted) -> float:
    """Log likelihood of an arm's sequence under a mixture over all rates (Jeffreys' prior)."""
    hits, misses = arm.hits + _PRIOR, arm.units - arm.hits + _PRIOR
    return lgamma(hits) + lgamma(misses) - lgamma(hits + misses) - 2 * lgamma(_PRIOR) + lgamma(2 * _PRIOR)


def _best_with(control: Counted, arm: Counted, difference: float) -> float:
    """Log likelihood of both arms under the likeliest rates with a difference."""
    lowest, highest = max(0.0, -difference), min(1.0, 1.0 - difference)

    def slope(rate: float) -> float:
        return _slope(control, rate) + _slope(arm, rate + difference)

    if slope(lowest) <= 0:
        best = lowest
    elif slope(highest) >= 0:
        best = highest
    else:
        best = _root(slope, lowest, highest)
    return _likelihood(control, best) + _likelihood(arm, min(max(best + difference, 0.0), 1.0))


def _likelihood(arm: Counted, rate: float) -> float:
    return _times_log(arm.hits, rate) + _times_log(arm.units - arm.hits, 1 - rate)


def _times_log(count: int, rate: float) -> float:
    return 0.0 if not count else -inf if rate <= 0 else count * log(rate)


def _slope(arm: Counted, rate: float) -> float:
    hits, misses = arm.hits, arm.units - arm.hits
    return hits / max(rate, _TINY) - misses / max(1 - rate, _TINY)


def _end(beyond: Callable[[float], float], found: float, limit: float) -> float:
    """Where the interval ends between the estimate and an end of all possible differences."""
    inside = limit * (1 - 1e-9)
    if beyond(found) >= 0 or beyond(inside) <= 0:
        return limit
    return _root(beyond, found, inside)


def _root(of: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(of, low, high, xtol=1e-15))  # pyright: ignore[reportArgumentType] - full_output is False
