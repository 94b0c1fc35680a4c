"""Average effects of a log with few decisions: plain differences of means, shrunk hard, and nothing beyond them.

A regression with about as many columns as decisions explains all of them and finds its own errors small. So below
`FEW_DECISIONS` each message is compared with silence by the means of what came of both, under the log's weights; errors
come from the spread of all values and from how many customers (at most, effective decisions) stand behind each mean.
Before anything is believed, squared errors are multiplied by `FEW_DECISIONS` / n: at ten decisions an effect must be
4.5 errors from nothing. Differences between messages are believed in the share n / `FEW_DECISIONS`. What customers
differ in is left to larger logs: both slopes are zero.

Reference:
    Kish (1965), Survey sampling, section 11.7, for effective numbers; shrinking as in `training.models.effects`.
"""

from math import inf, sqrt

import numpy as np

from decisioning.arrays import FloatArray
from training.models.average_effects import shrink_averages
from training.models.effects import (
    EffectEstimate,
    EffectEvidence,
    MessageEffects,
    estimate_effects,
    reference_weights,
)
from training.off_policy.estimators import effective_size

FEW_DECISIONS = 200
"""From so many on, effects come from the regression of `training.models.effects`."""

_NOTHING_KNOWN = EffectEstimate(value=0.0, standard_error=inf)


def effects_of(evidence: EffectEvidence) -> MessageEffects:
    """Average effects and slopes of a log of any size."""
    return estimate_effects(evidence) if len(evidence.values) >= FEW_DECISIONS else effects_of_few(evidence)


def effects_of_few(evidence: EffectEvidence) -> MessageEffects:
    """Average effects of n < `FEW_DECISIONS` decisions with silence and k messages, all of which were chosen.

    Returns:
        Effects whose `standard_errors` are those of plain means, and whose `shrunk_averages` are near 0 where the log
        does not clearly say otherwise.
    """
    weights = evidence.choice.weights(evidence.actions)
    values, deviation = evidence.values, float(evidence.values.std())
    chosen = [evidence.actions == action for action in range(evidence.raw.shape[1])]
    means = np.array([np.average(values[rows], weights=weights[rows]) for rows in chosen])
    variances = deviation**2 / np.array([_standing_behind(evidence, weights, rows) for rows in chosen])
    averages, covariance = means[1:] - means[0], np.diag(variances[1:]) + variances[0]
    references = reference_weights(evidence.choice.shares[1:])
    sent, caution = ~chosen[0], FEW_DECISIONS / len(values)
    mean = EffectEstimate(
        value=float(averages @ references),
        standard_error=sqrt(deviation**2 / _standing_behind(evidence, weights, sent) + variances[0]),
    )
    return MessageEffects(
        averages=averages,
        standard_errors=np.sqrt(np.diag(covariance)),
        shrunk_averages=_shrunk(
            shrink_averages(averages, covariance * caution, evidence.levels), references, mean, caution
        ),
        responses=np.ones_like(averages),
        common=_NOTHING_KNOWN,
        specific=_NOTHING_KNOWN,
        reference_weights=references,
        mean_effect=mean,
    )


def _shrunk(close: FloatArray, references: FloatArray, mean: EffectEstimate, caution: float) -> FloatArray:
    """Averages that were shrunk together, now towards nothing, and closer together the fewer decisions there are."""
    middle = float(close @ references)
    believed = EffectEstimate(value=abs(middle), standard_error=mean.standard_error * sqrt(caution)).shrunk
    return (close - middle) / caution + np.copysign(believed, middle)


def _standing_behind(evidence: EffectEvidence, weights: FloatArray, rows: np.ndarray) -> float:
    """Effective decisions behind a mean, at most one per customer."""
    return min(effective_size(weights[rows]), float(np.unique(evidence.customers[rows]).size))
