"""How much exploration a catalogue declares; `decisioning.choice.chance` turns it into probabilities."""

from dataclasses import dataclass, field
from enum import StrEnum

from decisioning.errors import InvalidPolicyError


class ExplorationKind(StrEnum):
    """How exploration is spread over candidates."""

    EPSILON_GREEDY = "epsilon_greedy"
    INVERSE_GAP = "inverse_gap"
    THOMPSON = "thompson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """How a new offer is ramped up: its probability is at most start_share + (1 - start_share) x evidence / needed.

    Attributes:
        needed: Decisions that sent an offer before it counts as known; 0 switches the ramp off.
        start_share: Greatest probability of an offer that nobody got yet, in (0, 1].
    """

    needed: int = 0
    start_share: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """How much a decision explores.

    Attributes:
        epsilon: Epsilon-greedy: share of decisions drawn evenly over permitted messages and silence, in [0, 1].
        min_probability: Smallest action probability of a permitted candidate, in [0, 1), as far as the share for
            exploration reaches; 0 switches the floor off.
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

    @property
    def leaves_chance(self) -> bool:
        """Whether anything but the best choice may be drawn."""
        return self.kind is not ExplorationKind.EPSILON_GREEDY or self.epsilon > 0

    @property
    def floor_share(self) -> float:
        """Share of decisions that the floor may take in total, in [0, 1]."""
        return self.epsilon if self.kind is ExplorationKind.EPSILON_GREEDY or self.epsilon else FLOOR_SHARE


FLOOR_SHARE = 0.1
"""What a floor may take in total where no epsilon is declared, under the kinds that need none."""

LARGEST_SCALE_MINOR = 1e15
"""No gap scale and no prior deviation is larger."""

SMALLEST_SCALE_MINOR = 1e-6
"""Nor smaller: below it, probabilities would depend on rounding."""


def check_exploration(exploration: Exploration) -> None:
    """Refuse settings that are no probabilities and no scales.

    Raises:
        InvalidPolicyError: `epsilon` outside [0, 1], `min_probability` outside [0, 1), a scale that is not between
            SMALLEST_SCALE_MINOR and LARGEST_SCALE_MINOR, or a ramp that could let nobody in.
    """
    if not 0 <= exploration.epsilon <= 1:
        raise InvalidPolicyError(f"epsilon must be in [0, 1], got {exploration.epsilon}")
    if not 0 <= exploration.min_probability < 1:
        raise InvalidPolicyError(f"min_probability must be in [0, 1), got {exploration.min_probability}")
    scales = {"gap_scale": exploration.gap_scale_minor, "prior_deviation": exploration.prior_deviation_minor}
    for name, scale in scales.items():
        if not SMALLEST_SCALE_MINOR <= scale <= LARGEST_SCALE_MINOR:
            raise InvalidPolicyError(
                f"{name} must be in [{SMALLEST_SCALE_MINOR:g}, {LARGEST_SCALE_MINOR:g}] minor units, got {scale}"
            )
    ramp = exploration.ramp
    if ramp.needed < 0:
        raise InvalidPolicyError(f"needed of the ramp must be at least 0, got {ramp.needed}; 0 switches it off")
    if not 0 < ramp.start_share <= 1:
        raise InvalidPolicyError(f"start_share of the ramp must be in (0, 1], got {ramp.start_share}")
