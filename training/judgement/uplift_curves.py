"""Uplift curves of several policies on the same decisions, with one formula and bands over customers.

A plan says of each of n decisions which message it would send there, how much it expects of it (u_i), and how much the
message really did (g_i, an estimate that is right on average and very noisy one by one). In order of u, highest first,
equal ones as one group::

    C(q)  = (1/n) sum of g_i over the first share q                      gain per decision
    AUUC  = integral of C(q) for q from 0 to 1
    Qini  = AUUC - C(1) / 2                                              0 where the order is chance
    share = Qini / |C(1)|                                                the normalised form

Where decisions were randomised or their probabilities logged, g comes in three ways, with r the outcome, a what was
done, p its probability, m the plan's message, 0 silence and f any forecast that did not see the customer::

    doubly robust:        f(m) - f(0) + [a = m] (r - f(m)) / p - [a = 0] (r - f(0)) / p
    inverse probability:  [a = m] r / p - [a = 0] r / p
    self-normalised:      C(q) = q (mean of r where a = m - mean of r where a = 0), each weighted by 1 / p

The first is the one that is shown; the others are checks, and a large gap between them says that probabilities are
wrong. With equal probabilities the third times n is the uplift curve of scikit-uplift, and AUUC / |C(1)| of it is the
normalised AUUC of causalml. Its Qini score multiplies gains by treated customers in place of all, and so differs a
little (0.2625 against 0.2620 on 20,000 customers of a simulated test, causalml 0.18). Bands resample customers with all
their decisions; every plan is resampled in the same way, so that differences of plans are paired.

Reference:
    Radcliffe (2007), Using control groups to target on predicted lift, for the Qini curve; Yadlowsky, Fleming, Shah,
    Brunskill, Wager (2021), Evaluating treatment prioritization rules via rank-weighted average treatment effects,
    section 2.2, for doubly robust scores in its place; Chernozhukov, Demirer, Duflo, Fernandez-Val (2018), Generic
    machine learning inference on heterogeneous treatment effects, for the slope of effects on predictions; Field and
    Welsh (2007), Bootstrapping clustered data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from training.intervals import Interval
from training.judgement.gain_curve import POINTS, cumulated, ends_of

RESAMPLES = 400
_ENDS = (2.5, 97.5)  # per cent
_SEED = 41

SHARES = np.linspace(0, 1, POINTS)
"""Shares at which curves are kept, 0 and 1 among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedPlan:
    """What the log did where a plan sends its message: n decisions.

    Attributes:
        outcomes: shape (n,).
        sent: shape (n,), 1 / probability where the log sent the plan's message, else 0.
        silent: shape (n,), 1 / probability where the log was silent, else 0.
    """

    outcomes: FloatArray
    sent: FloatArray
    silent: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPlan:
    """What a policy would send at n decisions, and what that does; see the top of this module.

    Attributes:
        uplifts: shape (n,), u.
        gains: shape (n,), g, doubly robust.
        net_uplifts: shape (n,), what u is worth less the cost of the contact, as `NetWorth` says.
        net_gains: shape (n,), the same of g.
        tried: For the estimators that need no forecast; None where the log says only what a message did.
    """

    uplifts: FloatArray
    gains: FloatArray
    net_uplifts: FloatArray
    net_gains: FloatArray
    tried: TriedPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFigures:
    """Numbers of one plan by name, each as estimated and in every resample.

    Attributes:
        point: shape () or (POINTS,) by name.
        resampled: shape (RESAMPLES,) or (RESAMPLES, POINTS) by name.
    """

    point: Mapping[str, FloatArray]
    resampled: Mapping[str, FloatArray]

    def band(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Ends of the 95 % interval."""
        low, high = np.percentile(self.resampled[name], _ENDS, axis=0)
        return low, high

    def interval(self, name: str) -> Interval | None:
        """A number with its 95 % interval; None where it cannot be computed."""
        value, ends = float(self.point[name]), self.band(name)
        low, high = float(ends[0]), float(ends[1])
        return Interval(value=value, lower=low, upper=high) if isfinite(value + low + high) else None

    def gap(self, name: str, other: "PlanFigures", other_name: str | None = None) -> Interval | None:
        """How much a number is above one of another plan on the same decisions, paired; None where there is none."""
        theirs = other_name or name
        return PlanFigures(
            point={name: self.point[name] - other.point[theirs]},
            resampled={name: self.resampled[name] - other.resampled[theirs]},
        ).interval(name)


def figures_of(plans: Mapping[str, ContactPlan], customers: IntArray) -> dict[str, PlanFigures]:
    """Every number of every plan, resampled together.

    Args:
        plans: By name, all of the same n decisions.
        customers: shape (n,).
    """
    _, who = np.unique(customers, return_inverse=True)
    count, rng = int(who.max()) + 1, np.random.default_rng(_SEED)
    ranked = {name: _Ranked.of(plan) for name, plan in plans.items()}
    points = {name: one.numbers(np.ones(len(who))) for name, one in ranked.items()}
    kept: dict[str, dict[str, list[FloatArray]]] = {
        name: {number: [] for number in numbers} for name, numbers in points.items()
    }
    for _ in range(RESAMPLES):
        weights = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)[who]
        for name, one in ranked.items():
            for number, value in one.numbers(weights).items():
                kept[name][number].append(value)
    return {
        name: PlanFigures(
            point=points[name], resampled={number: np.array(values) for number, values in kept[name].items()}
        )
        for name in plans
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranked:
    """A plan, ranked once by uplift and once by what is left of it after costs."""

    plan: ContactPlan
    order: IntArray
    ends: IntArray
    net_order: IntArray
    net_ends: IntArray

    @classmethod
    def of(cls, plan: ContactPlan) -> "_Ranked":
        order, net_order = (np.argsort(-one, kind="stable") for one in (plan.uplifts, plan.net_uplifts))
        return cls(
            plan=plan,
            order=order,
            ends=ends_of(plan.uplifts[order]),
            net_order=net_order,
            net_ends=ends_of(plan.net_uplifts[net_order]),
        )

    def numbers(self, weights: FloatArray) -> dict[str, FloatArray]:
        """Every number, where each decision counts so often: shape (n,)."""
        plan, ranked = self.plan, weights[self.order]
        share, total = cumulated(ranked, plan.gains[self.order], self.ends)
        net_share, net_total = cumulated(weights[self.net_order], plan.net_gains[self.net_order], self.net_ends)
        found = {
            "curve": np.interp(SHARES, share, total),
            "net_curve": np.interp(SHARES, net_share, net_total),
            "net_all": np.asarray(net_total[-1]),
            "net_stop": np.asarray(np.average(np.where(plan.net_uplifts > 0, plan.net_gains, 0.0), weights=weights)),
            "slope": np.asarray(_slope(plan.uplifts, plan.gains, weights)),
            **_areas("", share, total),
        }
        if plan.tried is not None:
            found |= self._checks(plan.tried, ranked)
        return found

    def _checks(self, tried: TriedPlan, ranked: FloatArray) -> dict[str, FloatArray]:
        """The same areas by the estimators without a forecast."""
        outcomes, sent, silent = (one[self.order] for one in (tried.outcomes, tried.sent, tried.silent))
        weighted = cumulated(ranked, (sent - silent) * outcomes, self.ends)
        matched = _self_normalised(ranked, sent, silent, outcomes, self.ends)
        return _areas("inverse_probability_", *weighted) | _areas("self_normalised_", *matched)


def _areas(prefix: str, share: FloatArray, total: FloatArray) -> dict[str, FloatArray]:
    area = float(np.trapezoid(total, share))
    end = float(total[-1])
    qini = area - end / 2
    return {
        f"{prefix}auuc": np.asarray(area),
        f"{prefix}qini": np.asarray(qini),
        f"{prefix}all": np.asarray(end),
        f"{prefix}qini_share": np.asarray(qini / abs(end) if end else np.nan),
    }


def _self_normalised(
    weights: FloatArray, sent: FloatArray, silent: FloatArray, outcomes: FloatArray, ends: IntArray
) -> tuple[FloatArray, FloatArray]:
    share = np.append(0.0, np.cumsum(weights)[ends])
    share /= share[-1]
    means = [_running_mean(weights * one, outcomes, ends) for one in (sent, silent)]
    return share, share * (means[0] - means[1])


def _running_mean(weights: FloatArray, outcomes: FloatArray, ends: IntArray) -> FloatArray:
    """Weighted mean of outcomes up to each end; 0 where nothing was seen yet."""
    seen = np.append(0.0, np.cumsum(weights)[ends])
    total = np.append(0.0, np.cumsum(weights * outcomes)[ends])
    return np.divide(total, seen, out=np.zeros_like(total), where=seen > 0)


def _slope(uplifts: FloatArray, gains: FloatArray, weights: FloatArray) -> float:
    """Least squares slope of gains on predictions; NaN where all predictions are alike."""
    centred = uplifts - np.average(uplifts, weights=weights)
    spread = float((weights * centred**2).sum())
    return float((weights * centred * gains).sum()) / spread if spread > 0 else np.nan
