"""Average effects of messages, shrunk together: towards messages like them, and those towards all.

All averages are differences from one silence, so their errors go up and down together: that says nothing of how the
messages differ. So the whole covariance of the estimates is used. A message's effect is the mean of all, plus what its
channel, its kind and its offer have in common, plus its own; how much each level varies is estimated by restricted
maximum likelihood, and what is believed of each message is its best linear unbiased prediction. Names play no part,
and where nothing tells messages apart the higher estimate still stays ahead, by a little.

Reference:
    Robinson (1991), "That BLUP is a good thing", Statistical Science 6(1); Patterson and Thompson (1971), "Recovery of
    inter-block information", Biometrika 58(3), for restricted maximum likelihood; Morris (1983) for empirical Bayes.
"""

from collections.abc import Sequence

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.message import Message

_SMALLEST, _LARGEST = 1e-6, 1e6  # variances of a level, in the mean squared error
_FIRST_GUESS = 0.3


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
    sizes = _variances(averages, covariance, alike, noise)
    shared = np.tensordot(sizes, alike, axes=1)
    inverse = np.linalg.pinv(covariance + shared, hermitian=True)
    ones = np.ones_like(averages)
    mean = float(ones @ inverse @ averages) / float(ones @ inverse @ ones)
    return mean + shared @ inverse @ (averages - mean)


def _variances(averages: FloatArray, covariance: FloatArray, alike: FloatArray, noise: float) -> FloatArray:
    """The variance of each level that makes the estimates most likely, whatever their mean: shape (levels,)."""
    from scipy.optimize import minimize

    ones = np.ones_like(averages)

    def unlikeliness(logs: FloatArray) -> tuple[float, FloatArray]:
        """Minus the restricted log-likelihood, and its slope in the logarithm of each variance."""
        sizes = np.exp(logs)
        whole = covariance + np.tensordot(sizes, alike, axes=1)
        inverse = np.linalg.pinv(whole, hermitian=True)
        information = float(ones @ inverse @ ones)
        projected = inverse - np.outer(inverse @ ones, ones @ inverse) / information
        back = projected @ averages
        total = 0.5 * (np.linalg.slogdet(whole)[1] + np.log(information) + averages @ back)
        slope = 0.5 * (np.einsum("lab,ab->l", alike, projected) - np.einsum("lab,a,b->l", alike, back, back))
        return float(total), slope * sizes

    bounds = [(np.log(_SMALLEST * noise), np.log(_LARGEST * noise))] * len(alike)
    start = np.full(len(alike), np.log(_FIRST_GUESS * noise))
    return np.exp(minimize(unlikeliness, start, jac=True, method="L-BFGS-B", bounds=bounds).x)
