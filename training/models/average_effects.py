"""Average effects of messages, shrunk together: towards messages like them, and those towards all.

All averages are differences from one silence, so their errors go up and down together: that says nothing of how the
messages differ. So the whole covariance of the estimates is used. A message's effect is the mean of all, plus what its
channel, its kind and its offer have in common, plus its own. How much each level varies is known from a few messages
only, so no single value of it is taken: the best linear unbiased predictions are averaged over all of them, each
weighted by its restricted likelihood. The prior is that of uniform shrinkage: of a group of usual size, any share of
its deviation may be noise. Names play no part, and where nothing tells messages apart the higher estimate stays ahead.

Reference:
    Robinson (1991), "That BLUP is a good thing", Statistical Science 6(1); Patterson and Thompson (1971), "Recovery of
    inter-block information", Biometrika 58(3), for the restricted likelihood; Daniels (1999), "A prior for the variance
    in hierarchical models", Canadian Journal of Statistics 27(3).
"""

from collections.abc import Sequence

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.message import Message

_VARIANCES = 256
"""Sets of variances that are averaged over. Sixteen times as many changed no prediction by more than 0.2 % of its
standard error (logs of `benchmarks/known_truth.py`)."""

_LEAST_SHRINKAGE = 1e-4
_ROUNDING = 1e-9  # of the mean squared error, so that estimates without any error can be inverted


def levels_of(messages: Sequence[Message]) -> tuple[IntArray, ...]:
    """The groups that messages share something in, coarsest first, each message by itself last: shapes (k,).

    A level that groups messages as another does, or that holds them all together, is left out.
    """
    named = (
        [message.channel.channel_id for message in messages],
        [message.offer.kind for message in messages],
        [message.offer.offer_id for message in messages],
        [message.key for message in messages],
    )
    levels: list[IntArray] = []
    for names in named:
        level = _groups(names)
        is_telling = names is named[-1] or 0 < level.max(initial=0) < len(level) - 1
        if is_telling and not any(np.array_equal(level, other) for other in levels):
            levels.append(level)
    return tuple(levels)


def _groups(names: Sequence[str]) -> IntArray:
    """A number per name in the order in which names come: shape (k,)."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(name, len(places)) for name in names], dtype=np.int64)


def likeness(level: IntArray) -> FloatArray:
    """1 where two messages are in the same group, else 0: shape (k,) in, (k, k) out."""
    return (level[:, np.newaxis] == level).astype(np.float64)


def shrink_averages(averages: FloatArray, covariance: FloatArray, levels: Sequence[IntArray]) -> FloatArray:
    """What is to be believed of average effects, shape (k,).

    Args:
        averages: shape (k,), as estimated.
        covariance: shape (k, k), of the estimates.
        levels: shapes (k,), from `levels_of`.
    """
    noise = float(np.diag(covariance).mean())
    if len(averages) == 1 or noise <= 0:
        return averages.copy()
    alike = np.stack([likeness(level) for level in levels])
    shared = np.tensordot(_variances(covariance, levels), alike, axes=1)
    whole = covariance + shared + _ROUNDING * noise * np.eye(len(averages))
    inverses = np.linalg.inv(whole)
    information = inverses.sum(axis=(1, 2))
    means = (inverses @ averages).sum(axis=1) / information
    deviations = averages - means[:, np.newaxis]
    pulls = np.einsum("sab,sb->sa", inverses, deviations)
    likelihoods = -0.5 * (np.linalg.slogdet(whole)[1] + np.log(information) + (deviations * pulls).sum(axis=1))
    weights = np.exp(likelihoods - likelihoods.max())
    predictions = means[:, np.newaxis] + np.einsum("sab,sb->sa", shared, pulls)
    return np.average(predictions, axis=0, weights=weights)


def _variances(covariance: FloatArray, levels: Sequence[IntArray]) -> FloatArray:
    """Draws from the prior of each level's variance, evenly spread: shape (draws, levels)."""
    from scipy.stats.qmc import Sobol

    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, np.newaxis] + covariance.mean()
    noise = np.array([_noise_of_groups(centred, level) for level in levels])
    draws = Sobol(len(levels), rng=0).random(_VARIANCES)
    shrinkage = _LEAST_SHRINKAGE + (1.0 - _LEAST_SHRINKAGE) * draws
    return noise * (1.0 - shrinkage) / shrinkage


def _noise_of_groups(covariance: FloatArray, level: IntArray) -> float:
    """Mean squared error of a group's mean."""
    rows = [np.flatnonzero(level == group) for group in range(int(level.max()) + 1)]
    return float(np.mean([max(covariance[np.ix_(members, members)].mean(), 0.0) for members in rows]))
