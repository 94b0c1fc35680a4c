"""Service before sales: an open case pauses marketing until it is solved and a while after."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from decisioning.message import MessageClass


class CaseState(StrEnum):
    """Where a case stands: open, then cooling down, then closed; opened again, it is open again."""

    OPEN = "open"
    COOLING_DOWN = "cooling_down"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseKind:
    """A kind of trouble.

    Attributes:
        kind: Name: `complaint`, `outage`, `failed_payment`, `delayed_delivery`, `lost_item`, ...
        opened_by: Event types that open a case.
        resolved_by: Event types that resolve it.
        cooldown_seconds: Rest after the resolution, by severity.
        default_severity: Where an event names none.
        max_open_seconds: A case nobody resolved ends after this; None for never.
    """

    kind: str
    opened_by: frozenset[str]
    resolved_by: frozenset[str]
    cooldown_seconds: Mapping[str, float]
    default_severity: str
    max_open_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePolicy:
    """Which cases there are, and which classes they pause across every department."""

    kinds: Mapping[str, CaseKind] = field(default_factory=dict[str, CaseKind])
    paused_classes: frozenset[MessageClass] = frozenset({MessageClass.MARKETING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Trouble that a customer has or had; the latest opening and the latest resolution say where it stands."""

    case_id: str
    kind: str
    severity: str
    opened_at: datetime | None = None
    resolved_at: datetime | None = None
    channel_id: str | None = None
