"""The form of `care`: which cases pause marketing, and how long their cooldown is."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.catalogue.care import DEFAULT_CARE, CaseKind
from decisioning.catalogue.message import MessageClass
from features.catalogue.forms.fields import ColumnName, Days, FileModel, Hours, Text

CooldownDays = Annotated[float, Field(ge=0, le=3660)]

_DAY_S = 86_400.0
_PLAIN = DEFAULT_CARE.kinds["outage"]
"""What a kind of trouble is where its fields say nothing."""


def _cooldown_days(kind: CaseKind) -> dict[str, float]:
    return {severity: seconds / _DAY_S for severity, seconds in kind.cooldown_seconds.items()}


def _max_open_days(kind: CaseKind) -> float | None:
    return None if kind.max_open_seconds is None else kind.max_open_seconds / _DAY_S


class CaseFile(FileModel):
    """A kind of trouble, such as a lost item."""

    opened_by: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=tuple(sorted(_PLAIN.opened_by)), description="Event types that open a case"
    )
    resolved_by: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=tuple(sorted(_PLAIN.resolved_by)), description="Event types that resolve it"
    )
    cooldown_days: Annotated[dict[ColumnName, CooldownDays], Field(min_length=1)] = Field(
        default_factory=lambda: _cooldown_days(_PLAIN), description="Days of rest after the resolution, by severity"
    )
    default_severity: str = Field(default=_PLAIN.default_severity, description="Severity where an event names none")
    max_open_days: Days | None = Field(
        default=_max_open_days(_PLAIN),
        description="A case nobody resolved ends after this; null for never",
    )
    owner: Text | None = Field(default=None, description="Who answers for such cases until somebody is assigned")
    answer_within_hours: Hours | None = Field(
        default=None, description="A customer must have an answer within this; later it is an alarm"
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
    return {name: _file_of(kind) for name, kind in DEFAULT_CARE.kinds.items()}


def _file_of(kind: CaseKind) -> CaseFile:
    return CaseFile(
        opened_by=tuple(sorted(kind.opened_by)),
        resolved_by=tuple(sorted(kind.resolved_by)),
        cooldown_days=_cooldown_days(kind),
        default_severity=kind.default_severity,
        max_open_days=_max_open_days(kind),
    )


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
            raise ValueError(f"must not pause {min(helping)}: customers with an open case must get it")
        return self
