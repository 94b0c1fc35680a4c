"""How much chance a decision leaves, with exact action probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from decisioning.errors import InvalidInputError, InvalidPolicyError


class ExplorationKind(StrEnum):
    """How chance is spread over candidates."""

    EPSILON_GREEDY = "epsilon_greedy"
    INVERSE_GAP = "inverse_gap"
    THOMPSON = "thompson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """How a new offer is let in: its probability is at most start_share + (1 - start_share) x evidence / needed.

    Attributes:
        needed: Decisions that sent an offer before it counts as known; 0 switches the ramp off.
        start_share: Greatest probability of an offer that nobody got yet, in (0, 1].
    """

    needed: int = 0
    start_share: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """How much chance a decision leaves.

    Attributes:
        epsilon: Epsilon-greedy: share of decisions drawn evenly over permitted messages and silence, in [0, 1].
        min_probability: Smallest action probability of a permitted candidate, in [0, 1); 0 switches the floor off.
        gap_scale_minor: Inverse-gap weighting: a candidate this much worse than the best is half as likely as it would
            be with an equal value; positive.
        prior_deviation_minor: Thompson sampling: standard deviation of a message's value without any evidence.
        ramp: How new offers are let in.
    """

    epsilon: float = 0.0
    min_probability: float = 0.0
    kind: ExplorationKind = ExplorationKind.EPSILON_GREEDY
    gap_scale_minor: float = 100.0
    prior_deviation_minor: float = 100.0
    ramp: Ramp = field(default_factory=Ramp)


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
