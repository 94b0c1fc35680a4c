"""Exploration with exact action probabilities.

Three kinds, each over silence and the permitted messages with their priorities v in money; n is their number, b the
best of them:

- epsilon-greedy: p_i = max(epsilon / n, floor), but at most epsilon / (n - 1), for i other than b, and b has the rest;
- inverse-gap weighting: p_i = 1 / (n x (1 + (v_b - v_i) / gap scale)) for i other than b, and b has the rest, which is
  at least 1 / n since none of the others has more;
- Thompson sampling: p_i = P(i is the greatest), where the worth of a message over silence is normal with mean v_i and
  deviation = prior deviation / sqrt(1 + evidence), and that of silence is 0. See `decisioning.choice.thompson`.

To the latter two the floor is mixed in: p_i = f + (1 - n x f) x p_i with f = min(floor, share / n), where share is
epsilon where it is declared, else `FLOOR_SHARE`. So however many messages are permitted, exploration takes no more than
epsilon in total, and a floor no more than its share: with many messages each gets less than the floor. Last comes the
ramp: messages of an offer that few have got yet are cut to its cap together, in proportion, and what they lose goes to
the best candidate that is not ramping. So a floor never breaks a cap.

Reference:
    Foster and Rakhlin, Beyond UCB: optimal and efficient contextual bandits with regression oracles (2020),
    Algorithm 1, with mu = n and gamma = n / gap scale.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.choice.thompson import best_probabilities
from decisioning.errors import InvalidInputError


class Contender(NamedTuple):
    """What exploration looks at in a permitted candidate.

    Attributes:
        priority_minor: What arbitration compares; 0 for silence.
        offer_id: None for silence, which never ramps.
        evidence: Decisions that sent the offer so far.
    """

    priority_minor: float
    offer_id: str | None = None
    evidence: int = 0


def explore(exploration: Exploration, contenders: Sequence[Contender], *, best: int) -> tuple[float, ...]:
    """Action probabilities of the candidates as the catalogue's exploration spreads them, ramp included.

    Args:
        exploration: Checked settings.
        contenders: n candidates, silence first.
        best: Index of the one that arbitration put first.

    Returns:
        n probabilities, not negative, summing to 1 within rounding.

    Raises:
        InvalidInputError: `best` is no index of a candidate.

    Example:
        >>> halving = Exploration(kind=ExplorationKind.INVERSE_GAP, gap_scale_minor=50.0)
        >>> explore(halving, (Contender(0.0), Contender(100.0, "new"), Contender(50.0, "old")), best=1)
        (0.1111111111111111, 0.7222222222222222, 0.16666666666666666)
    """
    floor = _affordable(exploration, len(contenders))
    if exploration.kind is ExplorationKind.INVERSE_GAP:
        probabilities = _floored(floor, gap_probabilities(exploration.gap_scale_minor, contenders, best=best))
    elif exploration.kind is ExplorationKind.THOMPSON:
        probabilities = _floored(floor, _thompson_probabilities(exploration.prior_deviation_minor, contenders))
    else:
        probabilities = action_probabilities(exploration, count=len(contenders), best=best)
    return ramped(exploration.ramp, contenders, probabilities)


def planned_probabilities(exploration: Exploration, contenders: Sequence[Contender], *, best: int) -> tuple[float, ...]:
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


def gap_probabilities(gap_scale_minor: float, contenders: Sequence[Contender], *, best: int) -> tuple[float, ...]:
    """Inverse-gap weighting, as the module's formula says.

    Args:
        gap_scale_minor: The gap at which a candidate is half as likely as with an equal worth; positive.
        contenders: n candidates.
        best: Index of one with the greatest priority.

    Raises:
        InvalidInputError: `best` is no index of a candidate.
    """
    count = len(contenders)
    if not 0 <= best < count:
        raise InvalidInputError(f"best must be in [0, {count}), got {best}")
    top = contenders[best].priority_minor
    probabilities = [1 / (count * (1 + max(top - one.priority_minor, 0.0) / gap_scale_minor)) for one in contenders]
    probabilities[best] = 0.0
    probabilities[best] = max(1 - sum(probabilities), 1 / count)
    return tuple(probabilities)


def _thompson_probabilities(prior_deviation_minor: float, contenders: Sequence[Contender]) -> tuple[float, ...]:
    deviations = [0.0 if one.offer_id is None else prior_deviation_minor / sqrt(1 + one.evidence) for one in contenders]
    return best_probabilities([one.priority_minor for one in contenders], deviations)


def _affordable(exploration: Exploration, count: int) -> float:
    """The floor, as far as its share reaches for so many candidates."""
    return min(exploration.min_probability, exploration.floor_share / count)


def _floored(floor: float, probabilities: tuple[float, ...]) -> tuple[float, ...]:
    if not floor:
        return probabilities
    count = len(probabilities)
    least = min(floor, 1 / count)
    rest = max(1 - count * least, 0.0)
    return tuple(least + rest * probability for probability in probabilities)


def ramp_cap(ramp: Ramp, evidence: int) -> float:
    """Greatest probability of an offer that `evidence` decisions sent so far.

    Example:
        >>> ramp_cap(Ramp(needed=100, start_share=0.1), 0), ramp_cap(Ramp(needed=100, start_share=0.1), 100)
        (0.1, 1.0)
    """
    if evidence >= ramp.needed:
        return 1.0
    return ramp.start_share + (1 - ramp.start_share) * evidence / ramp.needed


def ramped(
    ramp: Ramp, contenders: Sequence[Contender], probabilities: Sequence[float], *, to: int | None = None
) -> tuple[float, ...]:
    """Cut the messages of each new offer to its cap, together; the best that is not ramping gets what they lose.

    Silence never ramps, so there is always one to get it; of equal priorities the earlier is better.

    Args:
        ramp: How new offers are let in.
        contenders: n candidates, silence first.
        probabilities: n of them, summing to 1 within rounding.
        to: Index of the one that gets it instead; the random arm gives it to silence, since it asks for no worth.
    """
    needed = ramp.needed
    new = [index for index, one in enumerate(contenders) if one.evidence < needed and one.offer_id is not None]
    totals: dict[str | None, float] = {}
    for index in new:
        if probabilities[index]:
            offer_id = contenders[index].offer_id
            totals[offer_id] = totals.get(offer_id, 0.0) + probabilities[index]
    cut, excess = list(probabilities), 0.0
    for index in new:
        if probabilities[index]:
            _, offer_id, evidence = contenders[index]
            total, cap = totals[offer_id], ramp_cap(ramp, evidence)
            if total > cap:
                cut[index] = probabilities[index] * (cap / total)
                excess += probabilities[index] - cut[index]
    if excess:
        cut[_best_known(contenders, frozenset(new)) if to is None else to] += excess
    return tuple(cut)


def _best_known(contenders: Sequence[Contender], ramping: frozenset[int]) -> int:
    known = (index for index in range(len(contenders)) if index not in ramping)
    return max(known, key=lambda index: contenders[index].priority_minor)


def action_probabilities(exploration: Exploration, *, count: int, best: int) -> tuple[float, ...]:
    """Action probabilities of epsilon-greedy over `count` candidates.

    Every candidate but the best gets max(epsilon / count, min_probability), though all of them together never more than
    epsilon; the best gets the rest.

    Args:
        exploration: Checked settings.
        count: Number of candidates, silence included; at least 1.
        best: Index of the candidate that arbitration put first, in [0, count).

    Returns:
        Probabilities, non-negative, summing to 1 within rounding.

    Raises:
        InvalidInputError: `best` is no index of a candidate.

    Example:
        >>> action_probabilities(Exploration(epsilon=0.2), count=4, best=1)
        (0.05, 0.85, 0.05, 0.05)
    """
    if count <= 1:
        return _all_but_best(1.0, count=count, best=best)
    other = min(max(exploration.epsilon / count, exploration.min_probability), 1 / count)
    return _all_but_best(min(other, exploration.epsilon / (count - 1)), count=count, best=best)


def _all_but_best(other: float, *, count: int, best: int) -> tuple[float, ...]:
    """The same probability, at most 1 / count, for all but the best, which has the rest."""
    if not 0 <= best < count:
        raise InvalidInputError(f"best must be in [0, {count}), got {best}")
    probabilities = [other] * count
    probabilities[best] = max(1 - (count - 1) * other, other)
    return tuple(probabilities)


def even_probabilities(count: int) -> tuple[float, ...]:
    """Action probabilities of the `random` arm: 1 / count each.

    Example:
        >>> even_probabilities(4)
        (0.25, 0.25, 0.25, 0.25)
    """
    return (1 / count,) * count


def draw(probabilities: Sequence[float], uniform: float) -> int:
    """The index that a uniform number chooses: the inverse of the cumulative distribution.

    The caller keeps the order fixed (silence first, then messages by key): it must not follow priority, or a change
    of score would reshuffle every draw. An index with probability 0 is never chosen.

    Args:
        probabilities: Non-negative, summing to 1 within rounding.
        uniform: In [0, 1).

    Raises:
        InvalidInputError: No probability is positive.

    Example:
        >>> draw((0.25, 0.0, 0.75), 0.2), draw((0.25, 0.0, 0.75), 0.25)
        (0, 2)
    """
    cumulative, last = 0.0, -1
    for index, probability in enumerate(probabilities):
        if probability > 0:
            cumulative += probability
            last = index
            if uniform < cumulative:
                return index
    if last < 0:
        raise InvalidInputError(f"probabilities must have a positive one, got {tuple(probabilities)}")
    return last  # rounding left the sum a hair below 1
