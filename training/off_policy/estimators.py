"""Off-policy estimators: what a policy would have earned on decisions of another one, from logged action probabilities.

Shared symbols: n decisions of g customers; a_i was chosen with probability p_i > 0 and brought r_i; the policy to be
judged gives each action a the probability pi(a | x_i), so decision i has the weight w_i = pi(a_i | x_i) / p_i.

Every estimator gives its value with the influence of each decision on it, from which come the standard error, which
treats all decisions of a customer as one observation, and the error of the difference of two estimates on one log.

Two of them trade variance for bias by a cap on weights. Left to choose it, they take the cap with the smallest standard
error among those whose bias is at most a quarter of it, so that a 95 % interval still covers some 94 %.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import t as student

from decisioning.arrays import FloatArray, IndexArray
from decisioning.errors import InsufficientDataError, InvalidInputError

CONFIDENCE = 0.95
MIN_CUSTOMERS = 30
"""Fewest customers with a decision that the policy could have made: below it an interval promises too much."""

MIN_EFFECTIVE_SIZE = 30.0
"""Smallest effective sample size."""

ROUNDING = 0.01
"""Logged probabilities may be rounded: weights that average 1 within this are believed."""

_BIAS_SHARE = 0.25  # of the standard error, that a chosen cap may add in bias
_TRIED_CAPS = np.linspace(0.05, 1.0, 20)  # quantiles of positive weights
_HEAVIEST = 0.01

LARGEST_WEIGHT_GAP = 5.0
"""Weights average 1 where the log supports the policy; so many standard errors away, something is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes:
        value: In the reward's unit, per decision.
        standard_error: Clustered by customer.
        influence: shape (n,), what each decision contributes to the error; sums to 0.
        cap: Largest weight that was used in full; None for an estimator without one.
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    influence: FloatArray = field(repr=False)
    cap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How much of a log speaks about a policy.

    Attributes:
        effective_size: Decisions that an evenly weighted log of the same precision would have.
        matched_customers: Customers with a decision that the policy could have made.
        matched_share: Share of decisions that the policy could have made.
        largest_weight: Largest importance weight.
        heaviest_share: Share of all weight that lies on the heaviest hundredth of decisions.
        mean_weight: 1 within chance where the log supports the policy and its probabilities are right.
        mean_weight_error: Standard error of that, clustered by customer.
    """

    effective_size: float
    matched_customers: int
    matched_share: float
    largest_weight: float
    heaviest_share: float
    mean_weight: float
    mean_weight_error: float


def importance_weights(target: FloatArray, logged: FloatArray) -> FloatArray:
    """Weights w_i = pi(a_i | x_i) / p_i.

    Args:
        target: shape (n,), probability of each logged action under the policy to be judged, in [0, 1].
        logged: shape (n,), its probability under the policy that made the log, in (0, 1].

    Returns:
        Shape (n,).

    Raises:
        InsufficientDataError: There is no decision, or a logged probability is missing.
        InvalidInputError: A probability is out of range.
    """
    if target.shape != logged.shape or target.ndim != 1:
        raise InvalidInputError(f"target must have the shape of logged, got {target.shape} and {logged.shape}")
    if target.size == 0:
        raise InsufficientDataError("log must have decisions, got none")
    missing = int(np.isnan(logged).sum())
    if missing:
        raise InsufficientDataError(
            f"decisions must have the action probability of what was chosen, got {missing:,} of {logged.size:,}"
            " without: a log without action probabilities cannot value another choice; fill in `action_probability`,"
            " no more than one in twenty may be missing"
        )
    if not ((logged > 0) & (logged <= 1)).all():
        raise InvalidInputError(f"logged probabilities must be in (0, 1], got {logged.min():g} to {logged.max():g}")
    if not ((target >= 0) & (target <= 1 + 1e-9)).all():
        raise InvalidInputError(f"target probabilities must be in [0, 1], got {target.min():g} to {target.max():g}")
    return target / logged


def ips(weights: FloatArray, rewards: FloatArray, customers: IndexArray) -> Estimate:
    """Inverse probability weighting: (1/n) sum w_i r_i. Unbiased where the log supports the policy.

    Args:
        weights: shape (n,), from `importance_weights`.
        rewards: shape (n,).
        customers: shape (n,), a number per customer.

    Reference:
        Horvitz and Thompson (1952), A generalization of sampling without replacement; as V_IPS in Dudik, Langford and
        Li (2011), Doubly robust policy evaluation and learning, section 2.
    """
    return mean_estimate(weights * rewards, customers)


def snips(weights: FloatArray, rewards: FloatArray, customers: IndexArray) -> Estimate:
    """Self-normalised weighting: sum w_i r_i / sum w_i. Slightly biased, bounded by the rewards, seldom wild.

    Args:
        weights: shape (n,), not all 0.
        rewards: shape (n,).
        customers: shape (n,).

    Raises:
        InsufficientDataError: No logged action has a chance under the policy.

    Reference:
        Swaminathan and Joachims (2015), The self-normalized estimator for counterfactual learning, section 4; its
        error is that of a ratio, linearised: Owen (2013), Monte Carlo theory, methods and examples, section 9.2.
    """
    total = weights.sum()
    if total <= 0:
        raise InsufficientDataError("log must hold decisions that the policy could have made, got none")
    value = float((weights * rewards).sum() / total)
    return _estimate(value, weights.size / total * weights * (rewards - value), customers)


def doubly_robust(
    weights: FloatArray, rewards: FloatArray, predicted: FloatArray, expected: FloatArray, customers: IndexArray
) -> Estimate:
    """Doubly robust: (1/n) sum [ expected_i + w_i (r_i - predicted_i) ].

    Unbiased where the probabilities are right, however wrong the outcome model is; the better that is, the smaller the
    error. The model must not have seen these decisions.

    Args:
        weights: shape (n,).
        rewards: shape (n,).
        predicted: shape (n,), the model's q(x_i, a_i) for the logged action.
        expected: shape (n,), its sum over actions pi(a | x_i) q(x_i, a).
        customers: shape (n,).

    Reference:
        Dudik, Langford and Li (2011), Doubly robust policy evaluation and learning, equation 1; with a policy that
        draws, Dudik, Erhan, Langford and Li (2014), Doubly robust policy evaluation and optimization, section 3.
    """
    return mean_estimate(expected + weights * (rewards - predicted), customers)


def clipped_ips(
    weights: FloatArray, rewards: FloatArray, customers: IndexArray, *, cap: float | None = None
) -> Estimate:
    """Weighting with no weight above a cap: (1/n) sum min(w_i, cap) r_i. Biased towards 0, with a smaller variance.

    Args:
        weights: shape (n,).
        rewards: shape (n,).
        customers: shape (n,).
        cap: Positive; None lets the module's rule choose.

    Reference:
        Ionides (2008), Truncated importance sampling, Journal of Computational and Graphical Statistics 17(2).
    """

    def terms(at: float) -> FloatArray:
        return np.minimum(weights, at) * rewards

    def lost(at: float) -> float:
        return float(np.maximum(weights - at, 0.0).mean())

    return _capped(terms, lost, weights, rewards, customers, cap)


def direct_method(expected: FloatArray, customers: IndexArray) -> Estimate:
    """The direct method: (1/n) sum expected_i, what an outcome model says of the policy.

    Its interval is that of customers alone: it knows nothing of what the model gets wrong, which no weighting mends.

    Args:
        expected: shape (n,), the model's sum over actions pi(a | x_i) q(x_i, a).
        customers: shape (n,).

    Reference:
        Dudik, Langford and Li (2011), Doubly robust policy evaluation and learning, section 2.
    """
    return mean_estimate(expected, customers)


def switch_doubly_robust(
    weights: FloatArray,
    rewards: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
    customers: IndexArray,
    *,
    cap: float | None = None,
) -> Estimate:
    """SWITCH-DR: (1/n) sum [ expected_i + 1(w_i <= cap) w_i (r_i - predicted_i) ].

    Where a weight is above the cap, the outcome model is believed instead of one decision that would stand for many.

    Args:
        weights: shape (n,).
        rewards: shape (n,).
        predicted: shape (n,), as for `doubly_robust`.
        expected: shape (n,).
        customers: shape (n,).
        cap: Positive; None lets the module's rule choose.

    Reference:
        Wang, Agarwal and Dudik (2017), Optimal and adaptive off-policy evaluation in contextual bandits, equation 8 and
        section 4.2 for bias bounds of the model's error times the policy's probability above the cap.
    """
    left = rewards - predicted

    def terms(at: float) -> FloatArray:
        return expected + np.where(weights <= at, weights, 0.0) * left

    def lost(at: float) -> float:
        return float(np.where(weights > at, weights, 0.0).mean())

    return _capped(terms, lost, weights, left, customers, cap)


def _capped(
    terms: Callable[[float], FloatArray],
    lost: Callable[[float], float],
    weights: FloatArray,
    errors: FloatArray,
    customers: IndexArray,
    cap: float | None,
) -> Estimate:
    """An estimate with a cap, given or chosen.

    Args:
        terms: By cap, shape (n,).
        lost: By cap, the share of the policy's probability that is cut away.
        weights: shape (n,).
        errors: shape (n,), what weights are applied to; the mean of what is cut away is at most their size.
        customers: shape (n,).
        cap: Given, or None to choose.
    """
    if cap is not None:
        if not cap > 0:
            raise InvalidInputError(f"cap of weights must be positive, got {cap:g}")
        return replace(mean_estimate(terms(cap), customers), cap=cap)
    size = float(np.sqrt((errors**2).mean()))
    positive = weights[weights > 0]
    largest = float(weights.max())
    best = replace(mean_estimate(terms(largest), customers), cap=largest)
    for at in np.unique(np.quantile(positive, _TRIED_CAPS)).tolist() if positive.size else ():
        found = mean_estimate(terms(at), customers)
        if size * lost(at) <= _BIAS_SHARE * found.standard_error < _BIAS_SHARE * best.standard_error:
            best = replace(found, cap=at)
    return best


def mean_estimate(terms: FloatArray, customers: IndexArray) -> Estimate:
    """The mean of n terms, with the error of a mean of clusters.

    Args:
        terms: shape (n,).
        customers: shape (n,).

    Raises:
        InsufficientDataError: Fewer than two customers.
    """
    value = float(terms.mean())
    return _estimate(value, terms - value, customers)


def difference(one: Estimate, other: Estimate, customers: IndexArray) -> Estimate:
    """The first minus the second, on the same decisions: what both share cancels out of the error.

    Args:
        one: Any estimate.
        other: An estimate over the same n decisions.
        customers: shape (n,).
    """
    return _estimate(one.value - other.value, one.influence - other.influence, customers)


def clustered_error(influence: FloatArray, customers: IndexArray) -> float:
    """Standard error of a mean whose terms are correlated within customers.

    sqrt( g / (g - 1) x sum over customers of (sum of their influence)^2 ) / n

    Args:
        influence: shape (n,), summing to 0.
        customers: shape (n,).

    Raises:
        InsufficientDataError: Fewer than two customers.

    Reference:
        Liang and Zeger (1986), Longitudinal data analysis using generalized linear models, theorem 1, for a mean.
    """
    sums, g = _by_customer(influence, customers)
    if g < 2:  # noqa: PLR2004 - a spread needs two
        raise InsufficientDataError(f"an interval must rest on two customers or more, got {g}")
    return float(np.sqrt(g / (g - 1) * (sums**2).sum()) / influence.size)


def support_of(weights: FloatArray, customers: IndexArray) -> Support:
    """How much of a log speaks about a policy.

    Args:
        weights: shape (n,), from `importance_weights`.
        customers: shape (n,).

    """
    mean = float(weights.mean())
    return Support(
        effective_size=effective_size(weights),
        matched_customers=int(np.unique(customers[weights > 0]).size),
        matched_share=float((weights > 0).mean()),
        largest_weight=float(weights.max()),
        heaviest_share=_heaviest_share(weights),
        mean_weight=mean,
        mean_weight_error=clustered_error(weights - mean, customers),
    )


def _heaviest_share(weights: FloatArray) -> float:
    total = float(weights.sum())
    count = max(1, round(weights.size * _HEAVIEST))
    return float(np.sort(weights)[-count:].sum()) / total if total > 0 else 0.0


def effective_size(weights: FloatArray) -> float:
    """How many evenly weighted observations are as precise: (sum w)^2 / sum w^2; 0 without any.

    Reference:
        Kish (1965), Survey sampling, section 11.7.
    """
    squares = float((weights**2).sum())
    return float(weights.sum() ** 2 / squares) if squares else 0.0


def check_support(support: Support, policy: str) -> None:
    """Refuse a log that says too little about a policy.

    Args:
        support: From `support_of`.
        policy: What the policy is called, for the message.

    Raises:
        InsufficientDataError: Too few decisions that the policy could have made; or weights that do not average 1, so
            that the logged probabilities are wrong or part of what the policy does was never tried.
    """
    if support.matched_customers < MIN_CUSTOMERS or support.effective_size < MIN_EFFECTIVE_SIZE:
        raise InsufficientDataError(
            f"log must hold what the policy {policy!r} would do for {MIN_CUSTOMERS} customers and an effective"
            f" {MIN_EFFECTIVE_SIZE:g} decisions, got {support.matched_customers:,} and {support.effective_size:,.1f};"
            " log more of it, with some chance for each message"
        )
    gap = abs(support.mean_weight - 1)
    if gap > max(LARGEST_WEIGHT_GAP * support.mean_weight_error, ROUNDING):
        raise InsufficientDataError(
            f"importance weights of the policy {policy!r} must average 1, got {support.mean_weight:.3f}"
            f" (standard error {support.mean_weight_error:.3f}): the logged action probabilities are wrong, or the log"
            " never tried part of what the policy does"
        )


def _estimate(value: float, influence: FloatArray, customers: IndexArray) -> Estimate:
    error = clustered_error(influence, customers)
    freedom = np.unique(customers).size - 1
    reach = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Estimate(value=value, standard_error=error, lower=value - reach, upper=value + reach, influence=influence)


def _by_customer(terms: FloatArray, customers: IndexArray) -> tuple[FloatArray, int]:
    if customers.shape != terms.shape:
        raise InvalidInputError(f"customers must have the shape of the terms, got {customers.shape} and {terms.shape}")
    counts = np.bincount(customers)
    return np.bincount(customers, weights=terms), int((counts > 0).sum())
