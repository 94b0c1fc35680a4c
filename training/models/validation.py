"""What a model's free choice is worth to customers that its boosters did not see."""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import FloatArray
from training.data.net_worth import NetWorth
from training.models.effects import EffectEvidence, Parts
from training.off_policy.estimators import Estimate, difference, mean_estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Doubly robust values per decision, in the measure's unit.

    Every message counts as permitted: this judges the model, not the policy around it. What contacts cost is taken off.

    Attributes:
        value: Of choosing what the model values most.
        constant: Of the best single action for everybody; None where it cannot be valued.
        silence: Of sending nothing.
        logged: Of what the log did, its contacts paid.
        gain_over_silence: Value minus silence, on the same decisions.
        gain_over_constant: Value minus constant, on the same decisions; None where no constant can be valued.
        predicted_over_realised: Mean predicted value of the choice, over its estimated value.
        predicted_gain_over_realised: The same for what the choice adds to silence.
        deviation_share: Share of decisions in which the choice is not the constant.
    """

    value: Estimate
    constant: Estimate | None
    silence: Estimate
    logged: float
    gain_over_silence: Estimate
    gain_over_constant: Estimate | None
    predicted_over_realised: float
    predicted_gain_over_realised: float
    deviation_share: float


def validate(evidence: EffectEvidence, parts: Parts, constant: int) -> Validation:
    """Judge calibrated values by doubly robust estimation with the logged action probabilities."""
    worth = evidence.worth or NetWorth.gross(evidence.raw.shape[1] - 1)
    predicted = parts.values(evidence.raw, evidence.linear, evidence.slopes)
    scores, values = worth.of_values(_scores(evidence, predicted)), worth.of_values(predicted)
    greedy, rows = values.argmax(axis=1).astype(np.int64), np.arange(len(values))
    free, single, silence = (
        mean_estimate(scores[rows, choices], evidence.customers)
        for choices in (greedy, np.full_like(greedy, constant), np.zeros_like(greedy))
    )
    chosen = values.max(axis=1)
    return Validation(
        value=free,
        constant=single,
        silence=silence,
        logged=float(worth.of_logged(evidence.values, evidence.actions, predicted[:, 0]).mean()),
        gain_over_silence=difference(free, silence, evidence.customers),
        gain_over_constant=difference(free, single, evidence.customers),
        predicted_over_realised=_ratio(float(chosen.mean()), free.value),
        predicted_gain_over_realised=_ratio(float((chosen - values[:, 0]).mean()), free.value - silence.value),
        deviation_share=float((greedy != constant).mean()),
    )


def gains_over(evidence: EffectEvidence, predicted: FloatArray, constant: int) -> FloatArray:
    """What free choice by predicted values adds to a constant on each decision, net and doubly robust: shape (n,)."""
    worth = evidence.worth or NetWorth.gross(evidence.raw.shape[1] - 1)
    scores, rows = worth.of_values(_scores(evidence, predicted)), np.arange(len(predicted))
    return scores[rows, worth.of_values(predicted).argmax(axis=1)] - scores[:, constant]


def _scores(evidence: EffectEvidence, predicted: FloatArray) -> FloatArray:
    """The doubly robust score of every choice: shape (n, k + 1), as `predicted`."""
    rows, scores = np.arange(len(predicted)), predicted.copy()
    left = evidence.values - predicted[rows, evidence.actions]
    scores[rows, evidence.actions] += left / evidence.choice.probabilities
    return scores


def _ratio(predicted: float, realised: float) -> float:
    return predicted / realised if realised else np.nan
