"""The form of `care`: which trouble pauses marketing, and for how long after it is solved."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.message import MessageClass
from features.catalogue.fields import ColumnName, Days, FileModel
from features.contracts import EventType, StateEventType

CooldownDays = Annotated[float, Field(ge=0, le=3660)]

_COOLDOWNS = {"low": 2.0, "normal": 7.0, "high": 21.0}
_LONGEST_OPEN_DAYS = 60.0


class CaseFile(FileModel):
    """A kind of trouble, such as a lost item."""

    opened_by: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=(StateEventType.CASE_OPENED.value,), description="Event types that open a case"
    )
    resolved_by: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=(StateEventType.CASE_RESOLVED.value,), description="Event types that resolve it"
    )
    cooldown_days: Annotated[dict[ColumnName, CooldownDays], Field(min_length=1)] = Field(
        default_factory=lambda: dict(_COOLDOWNS), description="Days of rest after the resolution, by severity"
    )
    default_severity: str = Field(default="normal", description="Severity where an event names none")
    max_open_days: Days | None = Field(
        default=_LONGEST_OPEN_DAYS, description="A case nobody resolved ends after this; null for never"
    )

    @model_validator(mode="after")
    def _knows_its_default(self) -> Self:
        if self.default_severity not in self.cooldown_days:
            known = ", ".join(self.cooldown_days)
            raise ValueError(f"must have a `default_severity` of its `cooldown_days` ({known})")
        return self


def default_cases() -> dict[str, CaseFile]:
    """The kinds of trouble that a catalogue knows where it declares none.

    Example:
        >>> sorted(default_cases())
        ['complaint', 'delayed_delivery', 'failed_payment', 'lost_item', 'outage']
    """
    kinds = ("outage", "failed_payment", "delayed_delivery", "lost_item")
    opening = (StateEventType.CASE_OPENED.value, EventType.COMPLAINT.value, EventType.SERVICE_TICKET.value)
    return {"complaint": CaseFile(opened_by=opening), **{kind: CaseFile() for kind in kinds}}


class CareFile(FileModel):
    """Service before sales: an open case pauses classes across every department."""

    pauses: tuple[MessageClass, ...] = Field(
        default=(MessageClass.MARKETING,), description="Classes that rest while a case is open or cooling down"
    )
    cases: dict[ColumnName, CaseFile] = Field(default_factory=default_cases, description="Kinds of trouble by name")

    @model_validator(mode="after")
    def _leaves_help(self) -> Self:
        helping = {MessageClass.MANDATORY, MessageClass.RECOVERY} & set(self.pauses)
        if helping:
            raise ValueError(f"must not pause {min(helping)}: it has to reach customers in trouble")
        return self
