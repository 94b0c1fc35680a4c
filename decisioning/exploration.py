"""How much chance a decision leaves, with exact action probabilities."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """Epsilon-greedy with a floor.

    Attributes:
        epsilon: Share of decisions drawn evenly over permitted messages and silence, in [0, 1].
        min_probability: Smallest action probability of a permitted candidate, in [0, 1); 0 switches the floor off.
    """

    epsilon: float = 0.0
    min_probability: float = 0.0
