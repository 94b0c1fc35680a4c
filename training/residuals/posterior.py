"""What outcomes since training say of messages: a Bayesian regression on what chance decided.

Of a decision i the log says who got it and how probable each permitted action a was, p_i(a); the model says what it
expected of the action that was chosen, f_i. Y_i is what came of it so far, and F_i the share of the window's outcomes
that has usually arrived by then (`training.residuals.arrivals`). At one journey stage ::

    Y_i - F_i f_i = F_i (c + sum_a (1{A_i = a} - p_i(a)) d_a) + noise,      variance of the noise in proportion to F_i

where a runs over messages, so that d_a is the residual of a's effect over silence. Since the centred indicators have
mean zero given everything that was known, whatever the model misjudges of customers, of the season, or of who is
permitted what, is no part of d: only what chance decided speaks. No outcome is divided by a probability, so a message
with a small one is not heard too loudly: it is heard little. A decision without chance says nothing. That what was
learned changes the next probabilities does no harm, since each decision counts by its own. Weighted by 1 / F
the normal equations are sum F z z' and sum z (Y - F f): a decision of ten minutes ago weighs by what could have
arrived.

Decisions of one customer are not independent, since one purchase lies in all their windows, as in training. So the
noise is what sums by customer show, mixed with what training saw as long as there are few. With the prior
d ~ N(0, diag t^2) the posterior is normal, too. Of each message its marginal is told as the measurement that would lead
there from the prior: an estimate r and a standard error s with 1 / s^2 = 1 / variance - 1 / t^2.

Reference:
    Robinson (1988), "Root-N-consistent semiparametric regression", Econometrica 56(4); Nie and Wager (2021),
    "Quasi-oracle estimation of heterogeneous treatment effects", eq. 4, for the centred indicators; Liang and Zeger
    (1986) for sums by customer; Lindley and Smith (1972), "Bayes estimates for the linear model", for the posterior.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray

PRIOR_CUSTOMERS = 20.0
"""Customers that the noise of training counts for."""

_NOTHING = 1e-6  # share of the prior's precision below which there is no evidence
_PASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """n decisions at one stage, with k messages.

    Attributes:
        customers: shape (n,), whole numbers.
        actions: shape (n,), what was chosen: 0 for silence, i for message i.
        chances: sparse, shape (n, k + 1), action probabilities as they were, silence first.
        shares: shape (n,), F of the module, in (0, 1].
        left: shape (n,), Y - F f of the module.
    """

    customers: IntArray
    actions: IntArray
    chances: Any
    shares: FloatArray
    left: FloatArray

    @property
    def centred(self) -> Any:
        """What was chosen of the messages, less how probable it was: sparse, shape (n, k)."""
        return (self._chosen - self.chances).tocsr()[:, 1:]

    @property
    def was_chance(self) -> BoolArray:
        """Whether anything else was possible: shape (n,)."""
        own = np.asarray(self._chosen.multiply(self.chances).sum(axis=1)).ravel()
        return own < 1.0

    @property
    def _chosen(self) -> Any:
        from scipy import sparse

        n, width = self.chances.shape
        return sparse.csr_array((np.ones(n), (np.arange(n), self.actions)), shape=(n, width))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What k messages' outcomes say: shapes (k,).

    Attributes:
        estimate: 0 where there is no evidence.
        standard_error: Infinite where there is none.
        customers: Who got the message by chance.
        mean: Of the posterior.
        deviation: Of the posterior.
    """

    estimate: FloatArray
    standard_error: FloatArray
    customers: IntArray
    mean: FloatArray
    deviation: FloatArray


def measure(draws: Draws, prior_deviation: FloatArray, noise: float) -> Measured:
    """The posterior of the residuals of k messages, as measurements.

    Args:
        draws: Of one stage.
        prior_deviation: shape (k,), positive.
        noise: Variance of an outcome around its prediction over a whole window, as training saw it; positive.
    """
    centred, weights = draws.centred, draws.shares
    scaled = centred.multiply(weights[:, np.newaxis]).tocsr()
    raw = np.asarray((centred.T @ scaled).todense())
    lean, total = np.asarray(scaled.sum(axis=0)).ravel(), float(weights.sum())
    information = raw - np.outer(lean, lean) / total if total else raw
    score = centred.T @ draws.left - (lean * draws.left.sum() / total if total else 0.0)
    mean, spread = np.zeros(len(prior_deviation)), noise
    covariance = np.diag(prior_deviation**2)
    for _ in range(_PASSES):
        spread = _spread(draws, centred, mean, float(np.trace(raw)), noise)
        covariance = np.linalg.inv(information / spread + np.diag(prior_deviation**-2.0))
        mean = covariance @ (score / spread)
    return _as_measurements(mean, np.sqrt(np.diag(covariance)), prior_deviation, _customers(draws))


def _spread(draws: Draws, centred: Any, mean: FloatArray, size: float, noise: float) -> float:
    """Variance of the noise, from sums by customer; training's counts as long as there are few customers."""
    if size <= 0:
        return noise
    effect = draws.shares * (centred @ mean)
    level = (draws.left - effect).sum() / draws.shares.sum()
    noises = draws.left - effect - level * draws.shares
    sums = _by_customer(draws.customers, centred.multiply(noises[:, np.newaxis]))
    clusters = len(np.unique(draws.customers[draws.was_chance]))
    found = float((sums.data**2).sum()) / size
    return (PRIOR_CUSTOMERS * noise + clusters * found) / (PRIOR_CUSTOMERS + clusters)


def _by_customer(customers: IntArray, rows: Any) -> Any:
    from scipy import sparse

    _, places = np.unique(customers, return_inverse=True)
    n = len(customers)
    groups = sparse.csr_array((np.ones(n), (places, np.arange(n))), shape=(int(places.max(initial=-1)) + 1, n))
    return groups @ rows.tocsr()


def _customers(draws: Draws) -> IntArray:
    """How many got each message by chance: shape (k,)."""
    by_chance = draws.was_chance & (draws.actions > 0)
    pairs = np.unique(np.column_stack([draws.actions[by_chance], draws.customers[by_chance]]), axis=0)
    return np.bincount(pairs[:, 0], minlength=draws.chances.shape[1])[1:]


def _as_measurements(
    mean: FloatArray, deviation: FloatArray, prior_deviation: FloatArray, customers: IntArray
) -> Measured:
    prior = prior_deviation**-2.0
    precision = deviation**-2.0 - prior
    told = precision > _NOTHING * prior
    precision = np.where(told, precision, 1.0)
    return Measured(
        estimate=np.where(told, mean * deviation**-2.0 / precision, 0.0),
        standard_error=np.where(told, precision**-0.5, np.inf),
        customers=customers,
        mean=mean,
        deviation=deviation,
    )
