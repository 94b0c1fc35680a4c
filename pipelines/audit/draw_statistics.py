"""Whether draws follow the probabilities that were logged: moments, and a tail that fits them.

For one decision with k choices of probability p_a, drawn M times with counts n_a, Pearson's statistic

    X2 = sum_a (n_a - M p_a)^2 / (M p_a)

has mean k - 1 and variance 2 (k - 1) + (sum_a 1 / p_a - k^2 - 2 k + 2) / M exactly, whatever the p_a are. Its third
cumulant is that of counts which are Poisson, 8 (k - 1) + 22 sum_a (1 / (M p_a) - 1 / M) + sum_a 1 / (M p_a)^2, to
within a few hundredths. Sums over decisions add up all three. The tail of the sum is that of a Pearson type III
distribution (a shifted gamma) with these three, which is the chi-square distribution where M is large. The third is
needed for rare choices: where one is expected less than once, two moments put p-values of 1e-4 up to ten times too
often below that.

Reference:
    J. B. S. Haldane, "The exact value of the moments of the distribution of chi-square, used as a test of goodness of
    fit, when expectations are small", Biometrika 29 (1937), equation (2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from decisioning.arrays import FloatArray

_NO_VARIANCE = 1e-9
_LEAST_VARIANCE = 25.0


@dataclass(slots=True)
class FrequencyTest:
    """Sum of Pearson's statistics over decisions.

    Attributes:
        decisions: Decisions with more than one possible choice.
        draws: Fresh draws of these.
        statistic: Sum of X2.
        mean: Its expectation.
        variance: Its variance.
        third_cumulant: Its third cumulant.
        likeliest: How often fresh draws gave the likeliest choice.
        likeliest_mean: Its expectation.
        likeliest_variance: Its variance.
        impossible: Draws that gave what was logged with probability 0.
    """

    decisions: int = 0
    draws: int = 0
    statistic: float = 0.0
    mean: float = 0.0
    variance: float = 0.0
    third_cumulant: float = 0.0
    likeliest: float = 0.0
    likeliest_mean: float = 0.0
    likeliest_variance: float = 0.0
    impossible: int = 0

    def add(self, probabilities: Mapping[str, float], counts: Mapping[str, int]) -> None:
        """Take in a decision: logged probabilities by key, summing to 1 with silence, and how often draws gave each."""
        self.impossible += sum(count for key, count in counts.items() if not probabilities.get(key))
        possible = {key: chance for key, chance in probabilities.items() if chance > 0}
        if len(possible) < 2:  # noqa: PLR2004 - nothing is left to chance
            return
        draws = sum(counts.values())
        expected = draws * np.array(list(possible.values()))
        seen = np.array([counts.get(key, 0) for key in possible], dtype=float)
        degrees = len(possible) - 1
        self.decisions += 1
        self.draws += draws
        self.statistic += float(((seen - expected) ** 2 / expected).sum())
        self.mean += degrees
        self.variance += 2 * degrees + (draws * float((1 / expected).sum()) - (degrees + 1) ** 2 - 2 * degrees) / draws
        self.third_cumulant += 8 * degrees + float((22 * (1 / expected - 1 / draws) + 1 / expected**2).sum())

        top = int(np.argmax(expected))
        self.likeliest += float(seen[top])
        self.likeliest_mean += float(expected[top])
        self.likeliest_variance += float(expected[top] * (1 - expected[top] / draws))

    def p_value(self) -> float:
        """Probability of deviations at least as large where draws follow what was logged.

        Of two, the smaller times two: Pearson's sees any deviation, the count of the likeliest choices sees much sooner
        that there is too much or too little chance. It is 1 where nothing was left to chance, and 0 where the
        impossible happened.
        """
        if self.impossible:
            return 0.0
        return min(1.0, 2 * min(self._any_deviation(), self._amount_of_chance()))

    def _any_deviation(self) -> float:
        if self.variance <= _NO_VARIANCE:  # one draw of equally likely choices: every result is as good as any other
            return 1.0
        spread = self.variance**0.5
        skewness = self.third_cumulant / spread**3
        return float(stats.pearson3.sf((self.statistic - self.mean) / spread, skewness))

    def _amount_of_chance(self) -> float:
        if self.likeliest_variance < _LEAST_VARIANCE:  # too few to be normal
            return 1.0
        return float(2 * stats.norm.sf(abs(self.likeliest - self.likeliest_mean) / np.sqrt(self.likeliest_variance)))


def uniformity(values: Sequence[float]) -> float:
    """p-value of the Kolmogorov-Smirnov test that values are uniform on [0, 1); 1 where there are none."""
    return float(stats.kstest(values, "uniform").pvalue) if len(values) else 1.0


def place_in_order(probabilities: Mapping[str, float], chosen: str, uniform: float) -> float:
    """Where a logged choice lies when all are laid end to end by falling probability.

    It is uniform on [0, 1) if choices are drawn with these probabilities, and too low where the likeliest is chosen too
    often.

    Args:
        probabilities: As logged, by message key.
        chosen: What was chosen.
        uniform: A fresh number in [0, 1) that says where in the choice's own stretch.
    """
    order = sorted(probabilities, key=lambda key: (-probabilities[key], key))
    below = sum(probabilities[key] for key in order[: order.index(chosen)])
    return min(below + uniform * probabilities[chosen], 1.0)


def detectable_shift(count: int, *, false_alarm: float, power: float = 0.9) -> float:
    """Greatest distance between the logged and the real distribution of choices that may go unseen by `uniformity`.

    By the Dvoretzky-Kiefer-Wolfowitz inequality, a distance larger than this is detected with at least this power.

    Args:
        count: Number of logged choices that left something to chance.
        false_alarm: Level of the test.
        power: Wanted probability of detection.
    """
    if not count:
        return 1.0
    bounds: FloatArray = np.sqrt(np.log(2 / np.array([false_alarm, 1 - power])) / (2 * count))
    return min(1.0, float(bounds.sum()))
