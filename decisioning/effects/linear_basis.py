"""Numbers of a customer that effects of messages are linear in; each message has a loading for each of them.

A feature counts in standard deviations from its mean, at most `MOST_DEVIATIONS`; a missing one counts as the mean. The
numbers are weighted sums of these, fewer than there are features::

    u_j(x) = sum_i directions[j, i] z_i(x) - centres[j]
    linear effect(x, message) = sum_j loading_j(message) u_j(x)

Every u_j has a mean of zero over the customers of the log, so that it leaves the average effects of messages alone.
"""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import FloatArray

MOST_DEVIATIONS = 4.0
"""Standard deviations from the mean beyond which a feature changes nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearBasis:
    """How r numbers are made from d features.

    Attributes:
        means: shape (d,), of the features.
        spreads: shape (d,), their standard deviations; positive.
        directions: shape (r, d).
        centres: shape (r,).
    """

    means: FloatArray
    spreads: FloatArray
    directions: FloatArray
    centres: FloatArray

    def of(self, features: FloatArray) -> FloatArray:
        """Numbers of n customers, each as if alone, to the last bit: shape (n, d) in, shape (n, r) out."""
        deviations = standardised(features, self.means, self.spreads)
        return (deviations[:, np.newaxis] * self.directions).sum(axis=-1) - self.centres


def standardised(features: FloatArray, means: FloatArray, spreads: FloatArray) -> FloatArray:
    """Features in standard deviations from their means, cut, 0 where missing: shape (n, d) in and out."""
    deviations = np.clip((features - means) / spreads, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    return np.where(np.isnan(deviations), 0.0, deviations)


def linear_effects(numbers: FloatArray, loadings: FloatArray) -> FloatArray:
    """Linear effects of k messages on n customers, each as if alone, to the last bit.

    Args:
        numbers: shape (n, r), from `LinearBasis.of`.
        loadings: shape (k, r), or (n, k, r) where the messages differ by customer.

    Returns:
        Shape (n, k).
    """
    return (numbers[:, np.newaxis] * loadings).sum(axis=-1)
