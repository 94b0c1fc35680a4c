"""What all customers share: capacities, budgets and the shares of departments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class LimitScope(StrEnum):
    """What a limit counts."""

    EVERYTHING = "everything"
    DEPARTMENT = "department"
    GOAL = "goal"
    CLASS = "class"
    CHANNEL = "channel"
    OFFER = "offer"


class LimitMeasure(StrEnum):
    """Messages, or what they cost (minor units)."""

    COUNT = "count"
    COST = "cost"


class Period(StrEnum):
    """How long one amount lasts, in the limit's zone; `total` for the whole of its life."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A capacity (call-centre slots per hour, seats of an event) or a budget.

    Attributes:
        limit_id: Name.
        amount: Messages or minor units per period; 0 closes.
        zone: IANA zone that periods begin in.
        starts_at: First moment it holds (aware); None for always.
        ends_at: First moment it no longer holds; None for ever.
    """

    limit_id: str
    scope: LimitScope
    amount: float
    of: str | None = None
    measure: LimitMeasure = LimitMeasure.COUNT
    period: Period = Period.TOTAL
    zone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentShare:
    """The least and the most that a department may have of all messages of a period.

    Attributes:
        slack: Messages by which the maximum may be passed while a period is young, so that it can begin at all.
    """

    share_id: str
    department: str
    min_share: float = 0.0
    max_share: float = 1.0
    period: Period = Period.DAY
    zone: str = "UTC"
    slack: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """How much of what is shared was used, as read at the moment of deciding.

    Attributes:
        used: Amount used by counter name, see `limits.counter_name`.
        prices_minor: Shadow price of one unit (a message, or a minor unit of cost) by limit id, and of one message by
            share id (negative lifts a department that is below its minimum).
        evidence: Decisions that sent each offer so far, for the ramp of new ones.
    """

    used: Mapping[str, float] = field(default_factory=dict[str, float])
    prices_minor: Mapping[str, float] = field(default_factory=dict[str, float])
    evidence: Mapping[str, int] = field(default_factory=dict[str, int])
