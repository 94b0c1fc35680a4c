"""Are two samples of the same kind? How far apart they are (PSI), and whether that is more than chance (tests).

Both are asked, since each alone misleads: in large samples every difference is beyond chance, and in small ones PSI is
large where nothing has changed. With shares a_b before and c_b now over the bins b::

    PSI = sum over b of (c_b - a_b) ln(c_b / a_b)

Bins are tenths of both samples together, with one more for what is missing; half an observation is added to each, so
that an empty bin counts much and not infinitely. Under 0.1 nothing has changed that matters, from 0.25 on it is another
population. The test is Pearson's chi-square on the same bins, corrected for customers: their decisions are alike, and a
customer may be in both samples.

Reference:
    Siddiqi (2006), Credit risk scorecards, on PSI and its thresholds; Holm (1979), A simple sequentially rejective
    multiple test procedure; Rao and Scott (1984), On chi-squared tests for multiway contingency tables
    with cell proportions estimated from survey data, for the correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from decisioning.arrays import BoolArray, FloatArray, IndexArray, IntArray

BINS = 10
SMALLEST_CELL = 5.0
"""Expected count of a bin, in the smaller sample, below which it joins its neighbour: the test's own rule of thumb."""

WATCHED_PSI = 0.1
ALARMING_PSI = 0.25

SIGNIFICANT = 0.05
"""Of all comparisons of a report together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Decisions of one period.

    Attributes:
        values: shape (n,), NaN where missing.
        customers: shape (n,), whole numbers that mean the same customer in both periods.
    """

    values: FloatArray
    customers: IntArray

    def take(self, rows: BoolArray) -> "Sample":
        """Some of the decisions."""
        return Sample(values=self.values[rows], customers=self.customers[rows])

    @property
    def customer_count(self) -> int:
        """Number of customers."""
        return int(np.unique(self.customers).size)

    @property
    def mean(self) -> float | None:
        """Mean of what is known."""
        known = self.values[np.isfinite(self.values)]
        return float(known.mean()) if known.size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How two samples differ; `p_value` is that of this comparison alone."""

    psi: float
    p_value: float


def separation(before: Sample, now: Sample) -> Separation:
    """Compare the shapes of two samples.

    Example:
        >>> same = Sample(values=np.arange(100.0), customers=np.arange(100))
        >>> separation(same, same)
        Separation(psi=0.0, p_value=1.0)
    """
    places = _binned(before.values, now.values)
    width = 1 + max(int(one.max()) for one in places)
    counts = np.array([np.bincount(one, minlength=width) for one in places], dtype=np.float64)
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    psi = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    merged = _without_small(counts)
    if merged.max() == 0:
        return Separation(psi=psi, p_value=1.0)
    binned = [merged[one] for one in places]
    return Separation(psi=psi, p_value=_shares_p_value(binned, (before.customers, now.customers)))


def mean_p_value(before: Sample, now: Sample) -> float:
    """Whether two means are equal; all values must be known.

    The variance is that of both periods together, times what clusters by customer do to it: with the variance of each
    period, a skewed measure is told to have changed several times too often.
    """
    columns = [one.values[:, np.newaxis] for one in (before, now)]
    gap = float(columns[1].mean() - columns[0].mean())
    clustered = float(_clustered_covariance(columns, (before.customers, now.customers))[0, 0])
    plain = sum(float(one.var()) / len(one) for one in columns)
    if plain == 0 or clustered == 0:  # all of a period is alike
        return float(gap == 0)
    pooled = float(np.concatenate(columns).var()) * sum(1 / len(one) for one in columns)
    freedom = before.customer_count + now.customer_count - 2
    return float(2 * stats.t.sf(abs(gap) / (pooled * clustered / plain) ** 0.5, freedom)) if freedom > 0 else 1.0


def _shares_p_value(bins: Sequence[IndexArray], customers: Sequence[IntArray]) -> float:
    """Whether the shares of bins 0 to k are equal before and now: Pearson's chi-square, corrected for clusters."""
    rank = max(int(one.max()) for one in bins)
    columns = [(one[:, np.newaxis] == np.arange(1, rank + 1)).astype(np.float64) for one in bins]
    gap = columns[1].mean(axis=0) - columns[0].mean(axis=0)
    pooled = np.concatenate(columns).mean(axis=0)
    simple = (np.diag(pooled) - np.outer(pooled, pooled)) * sum(1 / len(one) for one in columns)
    effects = np.linalg.solve(simple, _clustered_covariance(columns, customers))
    mean_effect = float(np.trace(effects)) / rank
    if mean_effect <= 0:  # all of a period is alike
        return float(not np.any(gap))
    unevenness = max(float(np.trace(effects @ effects)) / (rank * mean_effect**2) - 1, 0.0)
    statistic = float(gap @ np.linalg.solve(simple, gap)) / (mean_effect * (1 + unevenness))
    return float(stats.chi2.sf(statistic, rank / (1 + unevenness)))


def _clustered_covariance(columns: Sequence[FloatArray], customers: Sequence[IntArray]) -> FloatArray:
    """Covariance of the differences of k means, now less before, where customers are what is independent.

    Args:
        columns: Before and now, of shape (n, k) and (m, k).
        customers: Before and now, of shape (n,) and (m,).
    """
    rank, size = columns[0].shape[1], 1 + max(int(one.max()) for one in customers)
    sums = np.zeros((size, rank))
    for sign, column, who in zip((-1.0, 1.0), columns, customers, strict=True):
        left = sign * (column - column.mean(axis=0)) / len(who)
        for place in range(rank):
            sums[:, place] += np.bincount(who, weights=left[:, place], minlength=size)
    groups = min(int(np.unique(one).size) for one in customers)
    return sums.T @ sums * groups / max(groups - 1, 1)


def zero_by_chance(customers: int, before: int, now: int) -> float:
    """How probable it is, at most, that nothing came now if nothing has changed.

    What each of the customers got would have come now in the proportion of decisions; what one customer got may all
    have come together, so that it counts once.

    Args:
        customers: Those who got something before.
        before: Decisions before.
        now: Decisions now, none of which gave anything.

    Example:
        >>> zero_by_chance(10, 300, 100) == 0.75**10
        True
    """
    return (before / (before + now)) ** customers


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for all of them, in the order given.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, reached = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = reached
    return corrected


def _binned(before: FloatArray, now: FloatArray) -> list[IndexArray]:
    """Bin of each value, before and now; what is missing is in the last one."""
    both = np.concatenate([before, now])
    known = both[np.isfinite(both)]
    cuts = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if known.size else np.empty(0)
    return [
        np.where(np.isfinite(one), np.searchsorted(cuts, one, side="left"), len(cuts) + 1).astype(np.intp)
        for one in (before, now)
    ]


def _without_small(counts: FloatArray) -> IndexArray:
    """New place of each bin, joined from the left until each is expected to hold enough in the smaller sample."""
    share = counts.sum(axis=1).min() / counts.sum()
    expected = counts.sum(axis=0) * share
    places, held = np.zeros(counts.shape[1], dtype=np.intp), 0.0
    for place, size in enumerate(expected):
        if place and held >= SMALLEST_CELL:
            places[place:] += 1
            held = 0.0
        held += size
    if held < SMALLEST_CELL and places[-1] > 0:
        places[places == places[-1]] -= 1
    return places
