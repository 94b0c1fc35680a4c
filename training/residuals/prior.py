"""How far effects of messages differ from what a model predicts, before anything is known: the prior of residuals.

A model shrinks what it believes of messages, and predicts one effect for all stages where the features say no more.
What that leaves over is seen on the decisions it was calibrated on, by boosters that did not see their customers: at
every stage the effect of each message beyond its prediction is estimated as `training.models.effects` estimates
averages. Where a model learned by steps, it is the mean of what a message changed over its steps beyond what was
believed of it: rules have shaped that log, so whole windows would compare customers. The variance of the true ones is
what the estimates vary by, less their own error (a method of moments, as in DerSimonian and Laird 1986, "Meta-analysis
in clinical trials"). Stages with few messages borrow from all.

That is what a model is wrong by on the day it was trained. Things change afterwards, so no prior is less than a quarter
of how much effects are at all (their root mean square), and not less than a hundredth of an outcome's deviation: else a
model that was right once could never be corrected. A message that the model does not know is predicted from its
attributes; its prior variance is larger by how far known ones are from what the others would have led to expect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.effects.message_coding import message_matrix
from training.models.learner import Learned, StepChanges
from training.models.new_offers import prior_of

LEAST_OF_EFFECTS = 0.25
LEAST_OF_OUTCOME = 0.01
BORROWED = 10.0
"""Messages of a stage that all stages together count for."""

_BATCH = 100_000
_FEWEST = 30  # decisions at a stage before anything is estimated there
_FEWEST_MESSAGES = 2  # of which each can be expected from the others


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorOfResiduals:
    """Prior deviations and the noise of outcomes, in the measure's unit.

    Attributes:
        usual: Of messages that the model knows.
        of_new: Of others.
        by_stage: Of known messages by stage.
        noise: Variance of an outcome around its prediction; decisions of one customer count together.
    """

    usual: float
    of_new: float
    noise: float
    by_stage: Mapping[str, float] = field(default_factory=dict[str, float])

    def plain(self) -> dict[str, Any]:
        """As a bundle notes it."""
        return {"usual": self.usual, "of_new": self.of_new, "noise": self.noise, "by_stage": dict(self.by_stage)}


def prior_of_residuals(learned: Learned, stages: Sequence[str]) -> PriorOfResiduals | None:
    """The prior that a training run leaves.

    Args:
        learned: By `learn`.
        stages: shape (n,), journey stage of each decision of its dataset.

    Returns:
        None where outcomes never differ, so that there is nothing to be learned from them.
    """
    left = _left(learned)
    noise = _noise(left, learned.evidence.customers)
    if not noise > 0:
        return None
    found = _beyond_by_stage(learned, left, np.array(stages))
    least = _least(learned, noise)
    everywhere = _pooled(list(found.values()))
    by_stage = {
        stage: float(
            np.sqrt(max((everywhere * BORROWED + _pooled([one]) * len(one[0])) / (BORROWED + len(one[0])), least))
        )
        for stage, one in found.items()
        if len(one[0])
    }
    usual = max(everywhere, least)
    return PriorOfResiduals(
        usual=float(np.sqrt(usual)),
        of_new=float(np.sqrt(usual + _of_attributes(learned))),
        noise=noise,
        by_stage=by_stage,
    )


def _beyond_by_stage(learned: Learned, left: FloatArray, stages: Any) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Effects beyond their predictions and their variances, by stage; `stages` of all decisions: shape (n,)."""
    changes = learned.changes
    where = stages[learned.rows if changes is None else changes.rows]
    if changes is None:
        return {stage: _beyond(learned, left, where == stage) for stage in np.unique(where).tolist()}
    return {stage: _beyond_steps(changes, where == stage) for stage in np.unique(where).tolist()}


def _beyond_steps(changes: StepChanges, rows: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Mean of what each message changed at a stage beyond what was believed, and its variance."""
    messages, left = changes.messages[rows], changes.left[rows]
    counts = np.bincount(messages)
    told = counts >= _FEWEST
    safe = np.maximum(counts, 1)
    means = np.bincount(messages, weights=left) / safe
    variances = np.bincount(messages, weights=(left - means[messages]) ** 2) / safe**2
    told &= variances > 0
    return means[told], variances[told]


def _left(learned: Learned) -> FloatArray:
    """Outcomes without what the model expected of what was chosen: shape (n,), some rows at a time."""
    evidence = learned.evidence
    left = np.empty(len(evidence.values))
    for start in range(0, len(left), _BATCH):
        part = slice(start, start + _BATCH)
        linear, slopes = (None if one is None else one[part] for one in (evidence.linear, evidence.slopes))
        expected = learned.parts.values(evidence.raw[part], linear, slopes)
        chosen = np.take_along_axis(expected, evidence.actions[part][:, np.newaxis], axis=1)[:, 0]
        left[part] = evidence.values[part] - chosen
    return left


def _noise(left: FloatArray, customers: IntArray) -> float:
    centred = left - left.mean()
    return float((np.bincount(customers, weights=centred) ** 2).sum() / max(len(left), 1))


def _beyond(learned: Learned, left: FloatArray, rows: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Effects beyond their prediction at a stage, and their variances: shapes (messages that can be told,)."""
    evidence = learned.evidence
    nothing = np.zeros(0), np.zeros(0)
    if rows.sum() < _FEWEST:
        return nothing
    actions, part = evidence.actions[rows], left[rows]
    width = evidence.raw.shape[1]
    weights = learned.choice.shares[actions] / learned.evidence.choice.probabilities[rows]
    weights /= weights.mean()
    shares = np.bincount(actions, weights=weights, minlength=width) / weights.sum()
    told = np.flatnonzero(np.bincount(actions, minlength=width)[1:] >= _FEWEST) + 1
    if not len(told):
        return nothing
    means = np.bincount(actions, weights=weights * part, minlength=width)
    information = weights.sum() * (np.diag(shares) - np.outer(shares, shares))[np.ix_(told, told)]
    level = float(means.sum() / weights.sum())
    score = (means - level * weights.sum() * shares)[told]
    inverse = np.linalg.pinv(information, hermitian=True)
    errors = weights * (part - level)
    squares = np.bincount(actions, weights=errors**2, minlength=width)
    meat = np.diag(squares) - np.outer(squares, shares) - np.outer(shares, squares)
    meat += squares.sum() * np.outer(shares, shares)
    clustered = _noise(errors, evidence.customers[rows]) * len(errors) / max(float((errors**2).sum()), 1e-300)
    variances = np.diag(inverse @ meat[np.ix_(told, told)] @ inverse) * max(clustered, 1.0)
    kept = variances > 0
    return (inverse @ score)[kept], variances[kept]


def _pooled(found: Sequence[tuple[FloatArray, FloatArray]]) -> float:
    """Variance of true effects around their predictions, by the method of moments; 0 where noise explains all."""
    effects = np.concatenate([np.zeros(0), *(one for one, _ in found)])
    variances = np.concatenate([np.zeros(0), *(one for _, one in found)])
    if not len(effects):
        return 0.0
    weights = 1.0 / variances
    return max(float((weights * (effects**2 - variances)).sum() / weights.sum()), 0.0)


def _least(learned: Learned, noise: float) -> float:
    """The least prior variance."""
    effects = learned.effects.shrunk_averages
    spread = LEAST_OF_EFFECTS**2 * float((effects**2).mean()) if len(effects) else 0.0
    outcome = float(np.var(learned.evidence.values)) or noise
    return max(spread, LEAST_OF_OUTCOME**2 * outcome)


def _of_attributes(learned: Learned) -> float:
    """Variance of messages' average effects around what their attributes say, learned from the other messages."""
    coding, messages = learned.bundle.coding, learned.dataset.messages
    effects, shares = learned.effects.shrunk_averages, learned.choice.shares[1:]
    count = len(messages)
    if count < _FEWEST_MESSAGES:
        return float((effects**2).mean()) if count else 0.0
    described = message_matrix(coding, messages)[1:]
    column = coding.columns.index("message_offset")
    misses: list[float] = []
    for place, message in enumerate(messages):
        others = np.arange(count) != place
        expected = prior_of(coding, described[others], effects[others], shares[others])
        blind = replace(coding, offsets={}, offer_offsets={}, prior_offset=expected.start, prior_slopes=expected.slopes)
        misses.append(float(message_matrix(blind, [message])[1, column] - effects[place]))
    return float(np.mean(np.square(misses)))
