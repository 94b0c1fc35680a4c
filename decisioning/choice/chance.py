"""Exploration with exact action probabilities.

Three kinds, each over silence and the permitted messages with their priorities v in money; n is their number, b the
best of them:

- epsilon-greedy: p_i = max(epsilon / n, floor), but at most epsilon / (n - 1), for i other than b, and b has the rest;
- inverse-gap weighting: p_i = 1 / (n x (1 + (v_b - v_i) / gap scale)) for i other than b, and b has the rest, which is
  at least 1 / n since none of the others has more;
- Thompson sampling: p_i = P(i is the greatest), where the worth of a message over silence is normal with mean v_i and
  deviation = prior deviation / sqrt(1 + evidence), and that of silence is 0. See `decisioning.choice.thompson`. Where
  outcomes since training are learned from, the deviation is that of the message's residual (`decisioning.residuals`) in
  money, times the levers that apply to the priority; a lever below 1 applies to a loss's, too, so that 0 switches off.

To the latter two the floor is mixed in: p_i = f + (1 - n x f) x p_i with f = min(floor, share / n), where share is
epsilon where it is declared, else `FLOOR_SHARE`. So however many messages are permitted, exploration takes no more than
epsilon in total, and a floor no more than its share: with many messages each gets less than the floor. Last comes the
ramp: messages of an offer that few have got yet are cut to its cap together, in proportion, and what they lose goes to
the best candidate that is not ramping. So a floor never breaks a cap.

Reference:
    Foster and Rakhlin, Beyond UCB: optimal and efficient contextual bandits with regression oracles (2020),
    Algorithm 1, with mu = n and gamma = n / gap scale.
"""

from math import sqrt

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.choice.thompson import best_probabilities
from decisioning.errors import InvalidInputError
from decisioning.value_class import value_class


@value_class
class Contenders:
    """What exploration looks at in the n permitted candidates, silence first.

    Attributes:
        priority_minor: shape (n,), what arbitration compares; 0 for silence.
        offers: shape (n,), number of the offer; -1 for silence, which never ramps.
        evidence: shape (n,), decisions that sent the offer so far.
        deviation_minor: shape (n,), deviations of the priorities as residuals leave them; NaN for those that go by
            the evidence, as all do where it is None.
    """

    priority_minor: FloatArray
    offers: IntArray
    evidence: IntArray
    deviation_minor: FloatArray | None = None

    def __len__(self) -> int:
        """How many they are."""
        return len(self.priority_minor)


def explore(exploration: Exploration, contenders: Contenders, *, best: int) -> FloatArray:
    """Action probabilities of the candidates as the catalogue's exploration spreads them, ramp included.

    Args:
        exploration: Checked settings.
        contenders: n candidates, silence first.
        best: Index of the one that arbitration put first.

    Returns:
        Shape (n,), probabilities, not negative, summing to 1 within rounding.

    Raises:
        InvalidInputError: `best` is no index of a candidate.

    Example:
        >>> halving = Exploration(kind=ExplorationKind.INVERSE_GAP, gap_scale_minor=50.0)
        >>> three = Contenders(
        ...     priority_minor=np.array([0.0, 100.0, 50.0]), offers=np.array([-1, 0, 1]), evidence=np.array([0, 0, 0])
        ... )
        >>> explore(halving, three, best=1).tolist()
        [0.1111111111111111, 0.7222222222222222, 0.16666666666666666]
    """
    floor = _affordable(exploration, len(contenders))
    if exploration.kind is ExplorationKind.INVERSE_GAP:
        probabilities = _floored(
            floor, gap_probabilities(exploration.gap_scale_minor, contenders.priority_minor, best=best)
        )
    elif exploration.kind is ExplorationKind.THOMPSON:
        probabilities = _floored(floor, _thompson_probabilities(exploration.prior_deviation_minor, contenders))
    else:
        probabilities = action_probabilities(exploration, count=len(contenders), best=best)
    return ramped(exploration.ramp, contenders, probabilities)


def planned_probabilities(exploration: Exploration, contenders: Contenders, *, best: int) -> FloatArray:
    """Action probabilities where a plan over all customers chose: only the floor, and epsilon, leave chance to others.

    Args:
        exploration: Checked settings; gaps and uncertainty are the plan's matter and not looked at again.
        contenders: n candidates, silence first.
        best: Index of the planned one.

    Raises:
        InvalidInputError: `best` is no index of a candidate.
    """
    count = len(contenders)
    if exploration.kind is ExplorationKind.EPSILON_GREEDY:
        probabilities = action_probabilities(exploration, count=count, best=best)
    else:
        probabilities = _all_but_best(_affordable(exploration, count), count=count, best=best)
    return ramped(exploration.ramp, contenders, probabilities)


def gap_probabilities(gap_scale_minor: float, priorities: FloatArray, *, best: int) -> FloatArray:
    """Inverse-gap weighting, as the module's formula says.

    Args:
        gap_scale_minor: The gap at which a candidate is half as likely as with an equal worth; positive.
        priorities: shape (n,).
        best: Index of one with the greatest priority.

    Raises:
        InvalidInputError: `best` is no index of a candidate.
    """
    count = len(priorities)
    if not 0 <= best < count:
        raise InvalidInputError(f"best must be in [0, {count}), got {best}")
    gaps = np.maximum(priorities[best] - priorities, 0.0)
    probabilities = 1 / (count * (1 + gaps / gap_scale_minor))
    probabilities[best] = 0.0
    probabilities[best] = max(1 - sum(probabilities.tolist()), 1 / count)
    return probabilities


def _thompson_probabilities(prior_deviation_minor: float, contenders: Contenders) -> FloatArray:
    deviations = [
        0.0 if offer < 0 else prior_deviation_minor / sqrt(1 + evidence)
        for offer, evidence in zip(contenders.offers.tolist(), contenders.evidence.tolist(), strict=True)
    ]
    if contenders.deviation_minor is not None:
        learned = contenders.deviation_minor.tolist()
        deviations = [usual if one != one else one for usual, one in zip(deviations, learned, strict=True)]  # noqa: PLR0124 - NaN
    return np.array(best_probabilities(contenders.priority_minor.tolist(), deviations))


def _affordable(exploration: Exploration, count: int) -> float:
    """The floor, as far as its share reaches for so many candidates."""
    return min(exploration.min_probability, exploration.floor_share / count)


def _floored(floor: float, probabilities: FloatArray) -> FloatArray:
    if not floor:
        return probabilities
    count = len(probabilities)
    least = min(floor, 1 / count)
    return least + max(1 - count * least, 0.0) * probabilities


def ramp_caps(ramp: Ramp, evidence: IntArray) -> FloatArray:
    """Greatest probability of offers that so many decisions sent so far.

    Example:
        >>> ramp_caps(Ramp(needed=100, start_share=0.1), np.array([0, 50, 100])).tolist()
        [0.1, 0.55, 1.0]
    """
    return np.where(
        evidence >= ramp.needed, 1.0, ramp.start_share + (1 - ramp.start_share) * evidence / max(ramp.needed, 1)
    )


def ramped(ramp: Ramp, contenders: Contenders, probabilities: FloatArray, *, to: int | None = None) -> FloatArray:
    """Cut the messages of each new offer to its cap, together; the best that is not ramping gets what they lose.

    Silence never ramps, so there is always one to get it; of equal priorities the earlier is better.

    Args:
        ramp: How new offers are let in.
        contenders: n candidates, silence first.
        probabilities: shape (n,), summing to 1 within rounding.
        to: Index of the one that gets it instead; the random arm gives it to silence, since it asks for no worth.
    """
    is_new = (contenders.evidence < ramp.needed) & (contenders.offers >= 0)
    if not is_new.any():
        return probabilities
    offers = np.where(is_new, contenders.offers, 0)
    totals = np.bincount(offers, weights=np.where(is_new, probabilities, 0.0))[offers]
    caps = ramp_caps(ramp, contenders.evidence)
    is_cut = is_new & (totals > caps)
    if not is_cut.any():
        return probabilities
    cut = probabilities.copy()
    cut[is_cut] *= caps[is_cut] / totals[is_cut]
    excess = np.cumsum((probabilities - cut)[is_cut])[-1]  # one after the other, so that every machine rounds alike
    cut[_best_known(contenders, is_new) if to is None else to] += excess
    return cut


def _best_known(contenders: Contenders, is_new: BoolArray) -> int:
    return int(np.where(is_new, -np.inf, contenders.priority_minor).argmax())


def action_probabilities(exploration: Exploration, *, count: int, best: int) -> FloatArray:
    """Action probabilities of epsilon-greedy over `count` candidates.

    Every candidate but the best gets max(epsilon / count, min_probability), though all of them together never more than
    epsilon; the best gets the rest.

    Args:
        exploration: Checked settings.
        count: Number of candidates, silence included; at least 1.
        best: Index of the candidate that arbitration put first, in [0, count).

    Returns:
        Shape (count,), probabilities, non-negative, summing to 1 within rounding.

    Raises:
        InvalidInputError: `best` is no index of a candidate.

    Example:
        >>> action_probabilities(Exploration(epsilon=0.2), count=4, best=1).tolist()
        [0.05, 0.85, 0.05, 0.05]
    """
    if count <= 1:
        return _all_but_best(1.0, count=count, best=best)
    other = min(max(exploration.epsilon / count, exploration.min_probability), 1 / count)
    return _all_but_best(min(other, exploration.epsilon / (count - 1)), count=count, best=best)


def _all_but_best(other: float, *, count: int, best: int) -> FloatArray:
    """The same probability, at most 1 / count, for all but the best, which has the rest."""
    if not 0 <= best < count:
        raise InvalidInputError(f"best must be in [0, {count}), got {best}")
    probabilities = np.empty(count)
    probabilities.fill(other)
    probabilities[best] = max(1 - (count - 1) * other, other)
    return probabilities


def even_probabilities(count: int) -> FloatArray:
    """Action probabilities of the `random` arm: 1 / count each.

    Example:
        >>> even_probabilities(4).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    return np.full(count, 1 / count)


def draw(probabilities: FloatArray, uniform: float) -> int:
    """The index that a uniform number chooses: the inverse of the cumulative distribution.

    The caller keeps the order fixed (silence first, then messages by key): it must not follow priority, or a change
    of score would reshuffle every draw. An index with probability 0 is never chosen.

    Args:
        probabilities: shape (n,), non-negative, summing to 1 within rounding.
        uniform: In [0, 1).

    Raises:
        InvalidInputError: No probability is positive.

    Example:
        >>> draw(np.array([0.25, 0.0, 0.75]), 0.2), draw(np.array([0.25, 0.0, 0.75]), 0.25)
        (0, 2)
    """
    cumulative = probabilities.cumsum()
    index = int(cumulative.searchsorted(uniform, side="right"))
    if index < len(cumulative):
        return index
    positive = np.flatnonzero(probabilities > 0)
    if not len(positive):
        raise InvalidInputError(f"probabilities must have a positive one, got {probabilities.tolist()}")
    return int(positive[-1])  # rounding left the sum a hair below 1
