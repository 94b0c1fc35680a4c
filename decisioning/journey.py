"""Where a customer stands, and the places that ask for a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from decisioning.predicate import ALWAYS, Predicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a department wants; `weight` is its visible share in arbitration (1 changes nothing)."""

    goal_id: str
    department: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyStage:
    """A stage of the journey; `entry` is the rule that puts a customer in it, the first match in order wins."""

    stage_id: str
    goal_id: str
    entry: Predicate = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Touchpoint:
    """A place or moment that asks for a decision.

    Attributes:
        touchpoint_id: Name.
        channels: Channels a message may travel on when this touchpoint asks.
        context: Declared context fields and their types: `number`, `text` or `flag`.
        sticky_seconds: How long the same dedupe key gets the same decision.
    """

    touchpoint_id: str
    channels: frozenset[str]
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    sticky_seconds: int = 86_400
