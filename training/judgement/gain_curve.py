"""The gain curve: what a model gains if the most promising share of decisions gets a message.

For n decisions in order of predicted uplift, with estimated gains g_i (what the message did to the value, unbiased one
by one and very noisy)::

    C(q) = (1/n) sum of g_i over the first share q,    area = 2 x integral of C(q) - q C(1)

C follows the straight line to C(1) where the order is chance; the area between says how much better it is: 0 for
chance, C(1) at most where all gains are alike in sign. Bands resample customers.

Reference:
    Yadlowsky, Fleming, Shah, Brunskill, Wager (2021), Evaluating treatment prioritization rules via rank-weighted
    average treatment effects, section 2.2 (the Qini metric); Field and Welsh (2007), Bootstrapping clustered data.
"""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import FloatArray, IntArray

POINTS = 21
"""Shares at which a curve is drawn, 0 and 1 among them."""

_RESAMPLES = 400
_ENDS = (2.5, 97.5)  # per cent
_SEED = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class GainCurve:
    """A curve with pointwise 95 % bands, in the measure's unit per decision.

    Attributes:
        shares: shape (POINTS,), from 0 to 1.
        gains: shape (POINTS,), C.
        lower: shape (POINTS,).
        upper: shape (POINTS,).
        area: Twice the area between curve and straight line.
        area_lower: Lower end of its 95 % interval.
        area_upper: Upper end.
    """

    shares: FloatArray
    gains: FloatArray
    lower: FloatArray
    upper: FloatArray
    area: float
    area_lower: float
    area_upper: float

    @property
    def beats_chance(self) -> bool:
        """Whether the order is better than chance beyond noise."""
        return self.area_lower > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a curve is drawn from; see `gain_curve`."""

    uplifts: FloatArray
    gains: FloatArray
    customers: IntArray

    def curve(self) -> GainCurve:
        """Draw it: resampling takes a moment."""
        return gain_curve(self.uplifts, self.gains, self.customers)


def gain_curve(uplifts: FloatArray, gains: FloatArray, customers: IntArray) -> GainCurve:
    """Draw a curve.

    Args:
        uplifts: shape (n,), predicted; equal ones count as one group, in no order.
        gains: shape (n,), estimated by anything that did not see the customers.
        customers: shape (n,).
    """
    order = np.argsort(-uplifts, kind="stable")
    ends = ends_of(uplifts[order])
    _, who = np.unique(customers[order], return_inverse=True)
    rng, count = np.random.default_rng(_SEED), int(who.max()) + 1
    curve, area = _drawn(np.ones(len(order)), gains[order], ends)
    curves, areas = np.empty((_RESAMPLES, POINTS)), np.empty(_RESAMPLES)
    for each in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        curves[each], areas[each] = _drawn(times[who], gains[order], ends)
    lower, upper = np.percentile(curves, _ENDS, axis=0)
    area_lower, area_upper = np.percentile(areas, _ENDS)
    return GainCurve(
        shares=np.linspace(0, 1, POINTS),
        gains=curve,
        lower=lower,
        upper=upper,
        area=area,
        area_lower=float(area_lower),
        area_upper=float(area_upper),
    )


def ends_of(ranked: FloatArray) -> IntArray:
    """Last place of each group of equals: shape (m,), m <= n.

    Args:
        ranked: shape (n,), in order.
    """
    return np.flatnonzero(np.append(np.diff(ranked) != 0, True))


def cumulated(weights: FloatArray, gains: FloatArray, ends: IntArray) -> tuple[FloatArray, FloatArray]:
    """Shares and C there, 0 first: two arrays of shape (m + 1,).

    Args:
        weights: shape (n,), how often each decision counts, in order.
        gains: shape (n,), in the same order.
        ends: From `ends_of`.
    """
    share = np.append(0.0, np.cumsum(weights)[ends])
    total = np.append(0.0, np.cumsum(weights * gains)[ends]) / share[-1]
    return share / share[-1], total


def _drawn(weights: FloatArray, gains: FloatArray, ends: IntArray) -> tuple[FloatArray, float]:
    """The curve and twice the area between it and the straight line; straight within a group of equals."""
    share, total = cumulated(weights, gains, ends)
    area = 2.0 * float(np.trapezoid(total, share)) - total[-1]
    return np.interp(np.linspace(0, 1, POINTS), share, total), float(area)
