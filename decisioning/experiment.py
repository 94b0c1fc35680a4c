"""Who is in which arm: salted, stable, independent of the order of requests."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ArmPolicy(StrEnum):
    """What an arm does with its customers. Every one of them passes every gate."""

    ENGINE = "engine"
    RANDOM = "random"
    SILENCE = "silence"


class Exposure(StrEnum):
    """From which moment a customer counts in a readout."""

    DELIVERED = "delivered"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A cell of an experiment; the shares of an experiment's arms sum to 1."""

    arm_id: str
    share: float
    policy: ArmPolicy = ArmPolicy.ENGINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A declared test.

    Attributes:
        experiment_id: Name.
        salt: Text that makes this assignment independent of every other.
        arms: At least two; `control_arm_id` names one of them.
        control_arm_id: The arm that others are compared with.
        exposure: `decided` where an arm is silent (nothing is delivered there), else `delivered`.
        primary_measure_id: The measure that decides.
        secondary_measure_ids: Further measures.
        starts_at: First moment of assignment (aware, UTC); None for always.
        ends_at: First moment without assignment; None for open end.
        touchpoints: Touchpoints it runs on; empty means all.
    """

    experiment_id: str
    salt: str
    arms: tuple[Arm, ...]
    control_arm_id: str
    exposure: Exposure
    primary_measure_id: str
    secondary_measure_ids: tuple[str, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    touchpoints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The universal holdout: a fixed share of customers who get no marketing message, so that its worth is known."""

    share: float
    salt: str
