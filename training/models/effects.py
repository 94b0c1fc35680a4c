"""Shrinkage of a booster's effects to what the log gives evidence for.

Boosters that compare messages by themselves chase noise. Here every difference they see is put to the test on customers
they were not trained on. With actions drawn with known probabilities, the weighted least squares regression ::

    y = c0 + c1 m(x) + sum_a (1{A = a} - pi_a) mu_a
           + s_common   sum_a (1{A = a} - pi_a) r_a (g(x) - mean g)
           + s_specific sum_a (1{A = a} - pi_a) (h(x, a) - mean h_a) + noise,       weights pi_A / p(A | x)

recovers the best linear prediction of the effects by what the boosters say, whether the boosters are right or not:
under the weights the action is independent of the customer, so the centred terms are independent of everything that m
leaves out. mu_a are average effects; g and h = d - r_a g are the common and the particular part of what the booster
without the customer says (`decisioning.value_model`). A slope of 1 says the booster is right, 0 that it sees noise.

Each estimate is then shrunk by its own evidence: the average effects together (`training.models.average_effects`), the
slopes by the positive-part James-Stein factor 1 - 1/t^2, which is zero where an estimate is within one standard error
of nothing. Standard errors are clustered by customer.

Beside the boosters stands a second account of how effects differ, linear in customers' features
(`training.models.linear_fit`). How much is taken of each (`Mixture`) depends on what came of decisions about customers
that neither saw.

Reference: Chernozhukov, Demirer, Duflo, Fernandez-Val (2018), "Generic machine learning inference on heterogeneous
treatment effects in randomized experiments", eq. 3.1 (best linear predictor), here with many actions; James and Stein
(1961); Nie and Wager (2021), eq. 4, for the loss by which mixtures are compared.
"""

from dataclasses import dataclass, replace

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from training.data.action_probabilities import LoggedChoice
from training.data.net_worth import NetWorth
from training.models.average_effects import shrink_averages

MOST_REFERENCES = 12
"""Reference messages at most: each is one more row to score per decision."""

_CLEAR = 3.0  # standard errors that the mean effect must be from zero before effects count as proportional
_STRONGEST_RESPONSE = 3.0
_DOUBT = 0.25  # standard deviation of shares before the log is asked
_PASSES = 3
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEstimate:
    """A number with its standard error, clustered by customer."""

    value: float
    standard_error: float

    @property
    def shrunk(self) -> float:
        """The value times the positive part of 1 - 1/t^2; never negative."""
        if self.value <= 0:
            return 0.0
        if self.standard_error == 0:
            return self.value
        return self.value * max(0.0, 1.0 - (self.standard_error / self.value) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEffects:
    """What messages do, for k messages.

    Attributes:
        averages: shape (k,), average effect of each message against silence, as estimated.
        standard_errors: shape (k,), of these.
        shrunk_averages: shape (k,), the same shrunk together.
        responses: shape (k,), `response` of `value_model`: shrunk averages over their mean where that is clearly
            positive, else 1.
        common: The slope of the common part.
        specific: The slope of the particular part.
        reference_weights: shape (k,), weight of each message in g; at most `MOST_REFERENCES` are positive.
        mean_effect: Weighted mean of the averages.
    """

    averages: FloatArray
    standard_errors: FloatArray
    shrunk_averages: FloatArray
    responses: FloatArray
    common: EffectEstimate
    specific: EffectEstimate
    reference_weights: FloatArray
    mean_effect: EffectEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEvidence:
    """n decisions of a log with k messages, and what boosters that did not see their customers say of them.

    Attributes:
        raw: shape (n, k + 1), cross-fitted learned function, silence first, in the measure's unit.
        actions: shape (n,), what was chosen.
        values: shape (n,), what came of it.
        customers: shape (n,), cluster of each row, whole numbers from 0.
        choice: How probable every choice was.
        levels: shapes (k,), groups of messages that are alike, from `average_effects.levels_of`.
        linear: shape (n, k), cross-fitted linear effects; None where none were fitted.
        slopes: shape (n,), how much of what is personal is believed of each customer's groups; None for all of it.
        worth: What choices cost and outcomes count for; None for values as they are.
    """

    raw: FloatArray
    actions: IntArray
    values: FloatArray
    customers: IntArray
    choice: LoggedChoice
    levels: tuple[IntArray, ...]
    linear: FloatArray | None = None
    slopes: FloatArray | None = None
    worth: NetWorth | None = None

    @property
    def changes(self) -> FloatArray:
        """What each message changes, d: shape (n, k)."""
        return self.raw[:, 1:] - self.raw[:, :1]

    @property
    def centred_actions(self) -> FloatArray:
        """Which action was chosen, less the share of each: shape (n, k + 1)."""
        return (self.actions[:, np.newaxis] == np.arange(self.raw.shape[1])) - self.choice.shares

    def take(self, rows: BoolArray | IntArray) -> "EffectEvidence":
        """Some decisions, as if there were no others; customers are numbered anew."""
        return replace(
            self,
            raw=self.raw[rows],
            actions=self.actions[rows],
            values=self.values[rows],
            customers=np.unique(self.customers[rows], return_inverse=True)[1].astype(np.int64),
            choice=replace(self.choice, probabilities=self.choice.probabilities[rows]),
            linear=None if self.linear is None else self.linear[rows],
            slopes=None if self.slopes is None else self.slopes[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Regression:
    coefficients: FloatArray
    covariance: FloatArray

    def at(self, place: int) -> EffectEstimate:
        """A coefficient; of a column without any differences nothing is known."""
        value, error = float(self.coefficients[place]), float(np.sqrt(self.covariance[place, place]))
        return EffectEstimate(value=value, standard_error=error if value or error else np.inf)


def estimate_effects(evidence: EffectEvidence) -> MessageEffects:
    """Average effects and slopes."""
    references = reference_weights(evidence.choice.shares[1:])
    result = _estimate(evidence, np.ones(len(references)))
    for _ in range(_PASSES):
        result = _estimate(evidence, _responses(result, references))
    return result


def reference_weights(shares: FloatArray) -> FloatArray:
    """Weight of each message in the common effect g: its share among the most frequent ones, shape (k,), sum 1."""
    kept = np.zeros_like(shares)
    places = np.argsort(-shares, kind="stable")[:MOST_REFERENCES]
    kept[places] = shares[places]
    return kept / kept.sum()


def _responses(effects: MessageEffects, references: FloatArray) -> FloatArray:
    mean = float(effects.shrunk_averages @ references)
    if mean <= 0 or effects.mean_effect.value < _CLEAR * effects.mean_effect.standard_error:
        return np.ones_like(references)
    return np.clip(effects.shrunk_averages / mean, 0.0, _STRONGEST_RESPONSE)


def _estimate(evidence: EffectEvidence, responses: FloatArray) -> MessageEffects:
    k = len(responses)
    references = reference_weights(evidence.choice.shares[1:])
    columns = _columns(evidence, responses, references)
    weights = evidence.choice.weights(evidence.actions)
    fit = _least_squares(columns, evidence.values, weights, evidence.customers)
    averages, covariance = fit.coefficients[2 : k + 2], fit.covariance[2 : k + 2, 2 : k + 2]
    errors = np.sqrt(np.diag(covariance))
    mean_error = float(np.sqrt(references @ covariance @ references))
    return MessageEffects(
        averages=averages,
        standard_errors=errors,
        shrunk_averages=shrink_averages(averages, covariance, evidence.levels),
        responses=responses,
        common=fit.at(k + 2),
        specific=fit.at(k + 3),
        reference_weights=references,
        mean_effect=EffectEstimate(value=float(averages @ references), standard_error=mean_error),
    )


def _columns(evidence: EffectEvidence, responses: FloatArray, references: FloatArray) -> FloatArray:
    """The regression's columns: shape (n, k + 4)."""
    centred = evidence.centred_actions
    common = evidence.changes @ references
    specific = evidence.changes - np.outer(common, responses)
    if np.abs(specific).max() <= _ROUNDING * np.abs(evidence.changes).max():  # messages are one to the booster
        specific = np.zeros_like(specific)
    return np.column_stack(
        [
            np.ones(len(common)),
            evidence.raw @ evidence.choice.shares,
            centred[:, 1:],
            (centred[:, 1:] @ responses) * (common - common.mean()),
            (centred[:, 1:] * (specific - specific.mean(axis=0))).sum(axis=1),
        ]
    )


def _least_squares(columns: FloatArray, values: FloatArray, weights: FloatArray, customers: IntArray) -> _Regression:
    """Weighted least squares with the cluster-robust covariance of Liang and Zeger (1986)."""
    scale = np.sqrt(np.maximum((columns**2 * weights[:, np.newaxis]).mean(axis=0), 1e-300))
    scaled = columns / scale
    bread = np.linalg.pinv(scaled.T @ (scaled * weights[:, np.newaxis]), rcond=1e-10, hermitian=True)
    coefficients = bread @ (scaled.T @ (weights * values))
    scores = scaled * (weights * (values - scaled @ coefficients))[:, np.newaxis]
    clusters = int(customers.max()) + 1
    sums = np.zeros((clusters, columns.shape[1]))
    np.add.at(sums, customers, scores)
    covariance = bread @ (sums.T @ sums) @ bread * clusters / max(clusters - 1, 1)
    return _Regression(coefficients=coefficients / scale, covariance=covariance / np.outer(scale, scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """How much of each account of how effects differ is taken, in [0, 1]."""

    linear: float = 0.0
    boosted: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a calibrated value is put together from, for the k messages of the log.

    Attributes:
        common_slope: Believed share of the common part, in units of the measure per unit of `raw`.
        specific_slope: The same for the particular part.
        offsets: shape (k,).
        responses: shape (k,).
        references: shape (k,), weight of each message in g.
        averages: shape (k,), what customers get who get nothing personal; None where all do.
        linear_share: Share of the linear effects that is taken.
        baseline_intercept: Of silence.
        baseline_slope: Of silence.
    """

    common_slope: float
    specific_slope: float
    offsets: FloatArray
    responses: FloatArray
    references: FloatArray
    averages: FloatArray | None = None
    linear_share: float = 0.0
    baseline_intercept: float = 0.0
    baseline_slope: float = 1.0

    def effects(
        self, raw: FloatArray, linear: FloatArray | None = None, slopes: FloatArray | None = None
    ) -> FloatArray:
        """Effect of each message on each customer, shape (n, k).

        Args:
            raw: shape (n, k + 1), learned function.
            linear: shape (n, k), linear effects.
            slopes: shape (n,), as `EffectEvidence.slopes`.
        """
        changes = raw[:, 1:] - raw[:, :1]
        common = np.outer(changes @ self.references, self.responses)
        boosted = self.offsets + self.common_slope * common + self.specific_slope * (changes - common)
        found = boosted if linear is None else boosted + self.linear_share * linear
        if slopes is None or self.averages is None:
            return found
        return self.averages + slopes[:, np.newaxis] * (found - self.averages)

    def values(self, raw: FloatArray, linear: FloatArray | None = None, slopes: FloatArray | None = None) -> FloatArray:
        """Calibrated values, shape (n, k + 1); arguments as of `effects`."""
        silence = self.baseline_intercept + self.baseline_slope * raw[:, :1]
        return np.hstack([silence, silence + self.effects(raw, linear, slopes)])


_BOOSTED_ONLY = Mixture()


def believe(
    effects: MessageEffects, raw: FloatArray, *, specific_share: float = 1.0, mixture: Mixture = _BOOSTED_ONLY
) -> Parts:
    """Shrunk slopes, and offsets so that each message's mean effect over `raw` is its shrunk average.

    No slope is believed beyond what proportion gives: a common slope that is steeper would turn the small effects of
    customers who hardly respond into losses, and a particular one would make more of a difference than the booster saw.

    Args:
        effects: From `estimate_effects`.
        raw: shape (n, k + 1), learned function over the customers that averages are meant over.
        specific_share: Share of the particular part to believe, on top of its own evidence, in [0, 1].
        mixture: Of the boosters' and the linear effects.
    """
    changes = raw[:, 1:] - raw[:, :1]
    means, common = changes.mean(axis=0), float((changes @ effects.reference_weights).mean())
    proportion = float(effects.shrunk_averages @ effects.reference_weights) / common if common > 0 else np.inf
    common_slope = mixture.boosted * min(effects.common.shrunk, max(proportion, 0.0))
    specific_slope = mixture.boosted * specific_share * min(effects.specific.shrunk, 1.0)
    particular = means - effects.responses * common
    offsets = effects.shrunk_averages - common_slope * effects.responses * common - specific_slope * particular
    return Parts(
        common_slope=common_slope,
        specific_slope=specific_slope,
        offsets=offsets,
        responses=effects.responses,
        references=effects.reference_weights,
        averages=effects.shrunk_averages,
        linear_share=mixture.linear,
    )


def mixture_of(evidence: EffectEvidence, effects: MessageEffects, left: FloatArray, boosted: Parts) -> Mixture:
    """The mixture that is closest to what came of decisions: the least R-loss, starting from linear effects alone.

    Linear effects are calibrated as they are fitted, so the log must speak for another mixture, as a normal prior with
    standard deviations of `_DOUBT` around that start asks of it.

    Args:
        evidence: n decisions, with cross-fitted linear effects.
        effects: From `estimate_effects`.
        left: shape (n,), from `left_by_averages`.
        boosted: What is believed where nothing linear is.
    """
    if evidence.linear is None:
        return Mixture()
    chosen, weights = evidence.centred_actions[:, 1:], evidence.choice.weights(evidence.actions)
    differences = boosted.effects(evidence.raw) - effects.shrunk_averages
    both = np.column_stack([(chosen * one).sum(axis=1) for one in (evidence.linear, differences)])
    noise = float((np.bincount(evidence.customers, weights=weights * left) ** 2).sum()) / len(left)
    start = np.array([1.0, 0.0])
    squares = both.T @ (both * weights[:, np.newaxis]) + np.eye(2) * noise / _DOUBT**2
    moved = start + np.linalg.lstsq(squares, both.T @ (weights * (left - both @ start)), rcond=None)[0]
    linear, boosted_share = np.clip(moved, 0.0, 1.0).tolist()
    return Mixture(linear=linear, boosted=boosted_share)


def left_by_averages(evidence: EffectEvidence, effects: MessageEffects) -> FloatArray:
    """Outcomes without what the customer brings whatever is sent, and without average effects: shape (n,)."""
    expected = evidence.raw @ evidence.choice.shares
    weights = np.sqrt(evidence.choice.weights(evidence.actions))
    averaged = evidence.values - evidence.centred_actions[:, 1:] @ effects.averages
    columns = np.column_stack([np.ones(len(expected)), expected])
    fitted = np.linalg.lstsq(columns * weights[:, np.newaxis], averaged * weights, rcond=None)[0]
    return averaged - columns @ fitted


def with_baseline(parts: Parts, evidence: EffectEvidence) -> Parts:
    """Add intercept and slope of silence: each value without its effect, regressed on the learned function."""
    effects = parts.effects(evidence.raw, evidence.linear, evidence.slopes)
    places = np.maximum(evidence.actions - 1, 0)[:, np.newaxis]
    own = np.where(evidence.actions > 0, np.take_along_axis(effects, places, axis=1)[:, 0], 0.0)
    weights, left = evidence.choice.weights(evidence.actions), evidence.values - own
    columns = np.column_stack([np.ones(len(left)), evidence.raw[:, 0]])
    root = np.sqrt(weights)
    intercept, slope = np.linalg.lstsq(columns * root[:, np.newaxis], left * root, rcond=None)[0]
    if slope <= 0:
        return replace(parts, baseline_intercept=float(np.average(left, weights=weights)), baseline_slope=0.0)
    return replace(parts, baseline_intercept=float(intercept), baseline_slope=float(slope))
