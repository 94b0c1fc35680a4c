"""Effects that are linear in customers' features, for every message by itself and yet from one fit of all.

What is left of the outcome once the customer and the average effects are accounted for is regressed on who got what::

    r_i = sum_a (1{A_i = a} - pi_a) beta_a' z_i + noise,       weights pi_A / p(A | x)

With the action centred, it does not matter whether the outcome model behind r is right (Nie and Wager, the R-learner).
A message's coefficients are the sum of what is shared with all messages, with those of its channel, kind and offer, and
its own: a random effect at each level, so that a message of which little is known borrows from others like it, and two
that are declared alike still have coefficients of their own. How much each level matters is estimated from the log by
maximum marginal likelihood (empirical Bayes), and where customers do not differ the coefficients vanish.

Features are turned to their principal components, and a message's customers are taken for a random sample of all: then
the likelihood falls apart into one problem of k messages per component, and the estimate of variances costs nearly
nothing however many features there are. The coefficients themselves are solved exactly, by conjugate gradients.

Reference:
    Nie and Wager (2021), "Quasi-oracle estimation of heterogeneous treatment effects", Biometrika 108(2), eq. 4;
    Gelman and Hill (2007), "Data analysis using regression and multilevel models", chapter 13; Robinson (1991), "That
    BLUP is a good thing", eq. 1.3 and 5.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.effects.linear_basis import LinearBasis, standardised
from training.models.average_effects import likeness
from training.models.effects import EffectEvidence

_SMALLEST, _LARGEST = 1e-8, 9.0  # variances of coefficients, in those of the outcome
_FIRST_GUESS = 4e-4
_MOST_STEPS = 50
_CLOSE = 1e-8
_ALIKE = 1e-6  # share of the largest component's variance below which a component is a copy of others


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFit:
    """Effects of k messages that are linear in p components of d features, with a mean of zero.

    Attributes:
        means: shape (d,), of the features.
        spreads: shape (d,), their standard deviations.
        centres: shape (d,), means of the standardised features as they were seen.
        axes: shape (d, p), components, in columns.
        variances: shape (p,), of the components.
        slopes: shape (k, p).
    """

    means: FloatArray
    spreads: FloatArray
    centres: FloatArray
    axes: FloatArray
    variances: FloatArray
    slopes: FloatArray

    def effects(self, features: FloatArray) -> FloatArray:
        """Of each message on n customers: shape (n, d) in, shape (n, k) out."""
        components = (standardised(features, self.means, self.spreads) - self.centres) @ self.axes
        return components @ self.slopes.T

    def factors(self, count: int) -> tuple[LinearBasis, FloatArray]:
        """So many numbers of a customer, and the loadings of messages on them, that give nearly these effects.

        Nearly means: closest over the customers of the log (Eckart and Young), and exactly where messages or components
        are no more than `count`; numbers that are not needed are zero.

        Returns:
            The basis, and loadings of shape (k, count).
        """
        roots = np.sqrt(self.variances)
        left, sizes, right = np.linalg.svd(self.slopes * roots, full_matrices=False)
        used = min(count, len(sizes))
        directions, loadings = np.zeros((count, len(self.means))), np.zeros((len(self.slopes), count))
        directions[:used] = (right[:used] / roots) @ self.axes.T
        loadings[:, :used] = left[:, :used] * sizes[:used]
        basis = LinearBasis(
            means=self.means, spreads=self.spreads, directions=directions, centres=directions @ self.centres
        )
        return basis, loadings


def fit_linear(evidence: EffectEvidence, features: FloatArray, left: FloatArray) -> LinearFit:
    """Fit linear effects.

    Args:
        evidence: n decisions about k messages.
        features: shape (n, d), NaN where missing.
        left: shape (n,), outcomes without what the customer brings anyway and without average effects.
    """
    means, spreads = moments(features)
    weights = evidence.choice.weights(evidence.actions)
    deviations = standardised(features, means, spreads)
    centres = np.average(deviations, axis=0, weights=weights)
    variances, axes = _components(deviations - centres, weights)
    sums = _Sums.of((deviations - centres) @ axes, evidence, left)
    everything = np.zeros(len(evidence.choice.shares) - 1, dtype=np.int64)
    slopes = _slopes(sums, variances, [likeness(level) for level in (everything, *evidence.levels)])
    return LinearFit(means=means, spreads=spreads, centres=centres, axes=axes, variances=variances, slopes=slopes)


def cross_fitted(evidence: EffectEvidence, features: FloatArray, left: FloatArray, folds: IntArray) -> FloatArray:
    """Linear effects on customers that the fit did not see: shape (n, k).

    Args:
        evidence: n decisions about k messages.
        features: shape (n, d).
        left: shape (n,), as for `fit_linear`.
        folds: shape (n,), of customers.
    """
    found = np.empty((len(left), len(evidence.choice.shares) - 1))
    for fold in np.unique(folds):
        held = folds == fold
        found[held] = fit_linear(evidence.take(~held), features[~held], left[~held]).effects(features[held])
    return found


def moments(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means and standard deviations of what is known and finite; 0 and 1 where nothing or nothing else is."""
    known = np.where(np.isfinite(features), features, np.nan)
    counts = np.isfinite(known).sum(axis=0)
    means = np.nansum(known, axis=0) / np.maximum(counts, 1)
    spreads = np.sqrt(np.nansum((known - means) ** 2, axis=0) / np.maximum(counts, 1))
    return means, np.where(spreads > 0, spreads, 1.0)


def _components(deviations: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Variances of the principal components and the components, shapes (p,) and (d, p); no copies of others."""
    variances, axes = np.linalg.eigh((deviations * weights[:, np.newaxis]).T @ deviations / weights.sum())
    kept = variances > _ALIKE * max(variances.max(initial=0.0), _ALIKE)
    return variances[kept], axes[:, kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """All that the regression needs of the log.

    Attributes:
        shares: shape (k + 1,), of the actions.
        squares: shape (k + 1, p, p), weighted, by action.
        products: shape (k, p), of the centred actions with what is left.
        counts: shape (k + 1,), weighted.
        noise: Variance of what is left, larger where weights differ or customers come several times.
    """

    shares: FloatArray
    squares: FloatArray
    products: FloatArray
    counts: FloatArray
    noise: float

    @classmethod
    def of(cls, components: FloatArray, evidence: EffectEvidence, left: FloatArray) -> "_Sums":
        shares, weights = evidence.choice.shares, evidence.choice.weights(evidence.actions)
        size, p = len(shares), components.shape[1]
        squares, products, counts = np.zeros((size, p, p)), np.zeros((size, p)), np.zeros(size)
        for action in range(size):
            rows = evidence.actions == action
            weighted = components[rows] * weights[rows, np.newaxis]
            squares[action] = weighted.T @ components[rows]
            products[action] = weighted.T @ left[rows]
            counts[action] = weights[rows].sum()
        pulls = weights * left
        own = float((pulls**2).sum())
        together = float((np.bincount(evidence.customers, weights=pulls) ** 2).sum())
        return cls(
            shares=shares,
            squares=squares,
            products=products[1:] - shares[1:, np.newaxis] * products.sum(axis=0),
            counts=counts,
            noise=max(own, together) / len(left),
        )

    def gram(self, slopes: FloatArray) -> FloatArray:
        """The normal equations' matrix times slopes, shape (k, p) in and out."""
        pi = self.shares[1:, np.newaxis]
        centred = np.vstack([np.zeros_like(slopes[:1]), slopes]) - (pi * slopes).sum(axis=0)
        pulled = np.einsum("apq,aq->ap", self.squares, centred)
        return pulled[1:] - pi * pulled.sum(axis=0)

    def information(self) -> FloatArray:
        """The same for one component of variance 1, as it is where each action's customers are a sample of all."""
        pi = self.shares
        crossed = np.outer(self.counts, pi)
        whole = np.diag(self.counts) - crossed - crossed.T + np.outer(pi, pi) * self.counts.sum()
        return whole[1:, 1:]


def _slopes(sums: _Sums, variances: FloatArray, alike: Sequence[FloatArray]) -> FloatArray:
    """Best linear unbiased predictions of the slopes, shape (k, p), with the most likely variances."""
    if sums.noise <= 0 or not len(variances):
        return np.zeros_like(sums.products)
    root = _root(sums.information())
    turned = [root @ one @ root for one in alike]
    pulls = np.linalg.lstsq(root, sums.products, rcond=1e-9)[0]
    sizes = _variances_of_levels(turned, pulls, variances, sums.noise)
    return _solved(sums, variances, np.tensordot(sizes, np.stack(alike), axes=1))


def _variances_of_levels(
    turned: Sequence[FloatArray], pulls: FloatArray, variances: FloatArray, noise: float
) -> FloatArray:
    """The variances of coefficients at each level under which the log is most likely: shape (levels,)."""
    from scipy.optimize import minimize

    stack = np.stack(turned)

    def unlikeliness(logs: FloatArray) -> tuple[float, FloatArray]:
        """Minus the log-likelihood, and its slope in the logarithm of each variance."""
        sizes = np.exp(logs)
        values, vectors = np.linalg.eigh(np.tensordot(sizes, stack, axes=1))
        values = np.maximum(values, 0.0)
        inside = 1.0 + values[:, np.newaxis] * variances / noise
        scores = vectors.T @ pulls / noise
        total = 0.5 * np.log(inside).sum() - 0.5 * ((scores**2) * values[:, np.newaxis] / inside).sum()
        shrunk = scores / inside
        each = np.einsum("lab,ai,bi->li", stack, vectors, vectors, optimize=True)
        slope = 0.5 * each @ (variances / noise / inside).sum(axis=1)
        back = vectors @ shrunk
        slope -= 0.5 * np.einsum("lab,ap,bp->l", stack, back, back, optimize=True)
        return float(total), slope * sizes

    bounds = [(np.log(_SMALLEST * noise), np.log(_LARGEST * noise))] * len(turned)
    start = np.full(len(turned), np.log(_FIRST_GUESS * noise))
    return np.exp(minimize(unlikeliness, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


def _solved(sums: _Sums, variances: FloatArray, covariance: FloatArray) -> FloatArray:
    """Solve (covariance^-1 + gram / noise) slopes = products / noise by conjugate gradients.

    The unknowns are taken through the root of the covariance, which need not have an inverse then; the problem that
    falls apart by component is close, and leads the way.
    """
    half = _root(covariance)
    inner = half @ sums.information() @ half / sums.noise
    values, vectors = np.linalg.eigh(inner)

    def close(pull: FloatArray) -> FloatArray:
        return vectors @ ((vectors.T @ pull) / (1.0 + np.maximum(values, 0.0)[:, np.newaxis] * variances))

    def whole(unknown: FloatArray) -> FloatArray:
        return unknown + half @ sums.gram(half @ unknown) / sums.noise

    target = half @ sums.products / sums.noise
    unknown = close(target)
    residual = target - whole(unknown)
    ahead = close(residual)
    direction, size = ahead, float((residual * ahead).sum())
    for _ in range(_MOST_STEPS):
        if np.abs(residual).max() <= _CLOSE * np.abs(target).max():
            break
        step = whole(direction)
        length = size / float((direction * step).sum())
        unknown, residual = unknown + length * direction, residual - length * step
        ahead = close(residual)
        size, before = float((residual * ahead).sum()), size
        direction = ahead + size / before * direction
    return half @ unknown


def _root(matrix: FloatArray) -> FloatArray:
    """The symmetric root of a matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
