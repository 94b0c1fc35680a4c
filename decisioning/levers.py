"""The business's visible weights: each with an owner, a reason and a day on which it ends."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from decisioning.predicate import ALWAYS, Predicate


class LeverScope(StrEnum):
    """What a lever lifts or lowers."""

    GOAL = "goal"
    DEPARTMENT = "department"
    CHANNEL = "channel"
    OFFER = "offer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A factor on gains; 1 changes nothing, 0 switches off.

    Attributes:
        of: The one goal, department, channel or offer.
        owner: Who answers for it.
        reason: Why it is there.
        expires_at: First moment it no longer counts (aware, UTC).
        when: A rule over facts makes it a context weight; without one it is a business weight.
    """

    lever_id: str
    scope: LeverScope
    of: str
    factor: float
    owner: str
    reason: str
    expires_at: datetime
    when: Predicate = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbitrationSwitches:
    """Which factors count; each can be switched off."""

    contact_cost: bool = True
    fatigue: bool = True
    shadow_prices: bool = True
    levers: bool = True
