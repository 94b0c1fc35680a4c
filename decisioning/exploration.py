"""How much chance a decision leaves, with exact action probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

from decisioning.errors import InvalidInputError, InvalidPolicyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """Epsilon-greedy with a floor.

    Attributes:
        epsilon: Share of decisions drawn evenly over permitted messages and silence, in [0, 1].
        min_probability: Smallest action probability of a permitted candidate, in [0, 1); 0 switches the floor off.
    """

    epsilon: float = 0.0
    min_probability: float = 0.0


def check_exploration(exploration: Exploration) -> None:
    """Refuse settings that are no probabilities.

    Raises:
        InvalidPolicyError: `epsilon` outside [0, 1] or `min_probability` outside [0, 1).
    """
    if not 0 <= exploration.epsilon <= 1:
        raise InvalidPolicyError(f"epsilon must be in [0, 1], got {exploration.epsilon}")
    if not 0 <= exploration.min_probability < 1:
        raise InvalidPolicyError(f"min_probability must be in [0, 1), got {exploration.min_probability}")


def action_probabilities(exploration: Exploration, *, count: int, best: int) -> tuple[float, ...]:
    """Action probabilities of epsilon-greedy over `count` candidates.

    Every candidate but the best gets max(epsilon / count, min_probability), the best gets the rest. Where the floor
    cannot be kept (count x min_probability > 1) all are equally likely, which is as near to it as can be.

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
    if not 0 <= best < count:
        raise InvalidInputError(f"best must be in [0, {count}), got {best}")
    other = min(max(exploration.epsilon / count, exploration.min_probability), 1 / count)
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
