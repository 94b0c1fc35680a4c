"""The smallest standard error that a comparison of policies can have, given what the log tried.

If a log hardly tried what a policy chooses, doubly robust estimation relies on predictions alone: its terms then
hardly vary, and the interval from their spread is narrow around a guess. So below `MIN_EFFECTIVE_SIZE` effective tries,
on the decisions in which two policies differ, the error is at least that of a difference of two means of as many
outcomes as were tried, one at least.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt

from scipy.stats import t as student

from decisioning.arrays import BoolArray, FloatArray, IntArray
from training.off_policy.estimators import CONFIDENCE, MIN_EFFECTIVE_SIZE, Estimate, effective_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """What policies choose at n decisions, and what the log chose.

    Attributes:
        choices: By policy, shape (n,); a name that is not in it is the log itself, which tried all it did.
        actions: shape (n,), what was chosen.
        probabilities: shape (n,), how probable that was.
        spread: Standard deviation of outcomes around their predictions.
    """

    choices: Mapping[str, IntArray]
    actions: IntArray
    probabilities: FloatArray
    spread: float
    customer_count: int

    def widened(self, gap: Estimate, one: str, other: str) -> Estimate:
        """The gap between two policies, with an error that is not smaller than what was tried allows."""
        error = self._least_error(one, other)
        if error <= gap.standard_error:
            return gap
        reach = error * float(student.ppf((1 + CONFIDENCE) / 2, max(self.customer_count - 1, 1)))
        return replace(gap, standard_error=error, lower=gap.value - reach, upper=gap.value + reach)

    def _least_error(self, one: str, other: str) -> float:
        is_apart = self.choices.get(one, self.actions) != self.choices.get(other, self.actions)
        known = [self.choices[name] == self.actions for name in (one, other) if name in self.choices]
        if len(known) > 1:  # where both choose, only tries on decisions in which they differ tell them apart
            known = [tried & is_apart for tried in known]
        sizes = [self._effective(tried) for tried in known]
        if not is_apart.any() or min(sizes) >= MIN_EFFECTIVE_SIZE:
            return 0.0
        return float(is_apart.mean()) * self.spread * sqrt(sum(1 / max(size, 1.0) for size in sizes))

    def _effective(self, tried: BoolArray) -> float:
        return effective_size(1 / self.probabilities[tried])
