"""Service before sales: an open case pauses marketing until it is resolved and its cooldown is over.

A case holds two moments, its latest opening and its latest resolution, and they say where it stands::

    open           opened after the latest resolution; closed after `max_open_seconds`, if nobody ever resolves it
    cooling_down   resolved, for the cooldown of its severity
    closed         after that

Both moments only ever move forward, so duplicated, late and reordered events end in the same case.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from decisioning.catalogue.contact_policy import LONGEST_SECONDS
from decisioning.catalogue.message import MessageClass
from decisioning.errors import InvalidInputError, InvalidPolicyError
from decisioning.value_class import value_class


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
        owner: Who is responsible for such cases until one is assigned; None if nobody is named.
        answer_within_seconds: How soon a customer must have an answer; None where no time is promised.
    """

    kind: str
    opened_by: frozenset[str]
    resolved_by: frozenset[str]
    cooldown_seconds: Mapping[str, float]
    default_severity: str
    max_open_seconds: float | None = None
    owner: str | None = None
    answer_within_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePolicy:
    """Which cases there are, and which classes they pause across every department."""

    kinds: Mapping[str, CaseKind] = field(default_factory=dict[str, CaseKind])
    paused_classes: frozenset[MessageClass] = frozenset({MessageClass.MARKETING})


@value_class
class Case:
    """Trouble that a customer has or had; the latest opening and the latest resolution say where it stands.

    Attributes:
        kind: A kind that the policy declares; empty where only a resolution is known that named none.
        severity: A word of the kind's cooldowns; empty where no event named one.
    """

    case_id: str
    kind: str
    severity: str
    opened_at: datetime | None = None
    resolved_at: datetime | None = None
    channel_id: str | None = None


@value_class
class CareStanding:
    """Whether service comes before sales for one customer.

    Attributes:
        state: Of the most serious case; None without a case of a declared kind.
        case: The most serious: open before cooling down before closed, then the one that lasts longest.
        until: First moment at which no case pauses anything, if nothing else happens; None where an open case has no
            end, and where nothing is paused.
        open_count: Cases that are open.
        channel_id: Where the customer last reported a case that is open or cooling down; None if unknown.
    """

    state: CaseState | None = None
    case: Case | None = None
    until: datetime | None = None
    open_count: int = 0
    channel_id: str | None = None


NO_CASE = CareStanding()


def _default_kind(kind: str, *further: str) -> CaseKind:
    return CaseKind(
        kind=kind,
        opened_by=frozenset({"case_opened", *further}),
        resolved_by=frozenset({"case_resolved"}),
        cooldown_seconds={"low": 2 * 86_400.0, "normal": 7 * 86_400.0, "high": 21 * 86_400.0},
        default_severity="normal",
        max_open_seconds=60 * 86_400.0,
    )


DEFAULT_CARE = CarePolicy(
    kinds={
        "complaint": _default_kind("complaint", "complaint", "service_ticket"),
        **{kind: _default_kind(kind) for kind in ("outage", "failed_payment", "delayed_delivery", "lost_item")},
    }
)
"""The kinds of trouble where a catalogue declares none."""

_GRAVITY = {CaseState.OPEN: 2, CaseState.COOLING_DOWN: 1, CaseState.CLOSED: 0}


def case_standing(policy: CarePolicy, case: Case, now: datetime) -> tuple[CaseState, datetime | None]:
    """Where one case stands, and when it stops pausing anything (None for never, or not any more).

    Args:
        policy: Declares the case's kind.
        case: The case.
        now: The moment of the decision. An opening dated after it counts, a resolution dated after it not yet.

    Raises:
        InvalidInputError: A case of a kind that the policy does not declare.
    """
    kind = policy.kinds.get(case.kind)
    if kind is None:
        raise InvalidInputError(f"kind of a case must be a declared one, got {case.kind!r}")
    if case.resolved_at is not None and (case.opened_at is None or case.opened_at <= case.resolved_at):
        ends_at = case.resolved_at + timedelta(seconds=cooldown_seconds(kind, case.severity))
        if now < case.resolved_at:
            return CaseState.OPEN, ends_at
        return (CaseState.COOLING_DOWN, ends_at) if now < ends_at else (CaseState.CLOSED, None)
    if case.opened_at is None or kind.max_open_seconds is None:
        return (CaseState.CLOSED if case.opened_at is None else CaseState.OPEN), None
    ends_at = case.opened_at + timedelta(seconds=kind.max_open_seconds)
    return (CaseState.OPEN, ends_at) if now < ends_at else (CaseState.CLOSED, None)


def cooldown_seconds(kind: CaseKind, severity: str) -> float:
    """Rest after a resolution: of the severity, of the default one where none is named, else the longest there is."""
    known = kind.cooldown_seconds
    seconds = known.get(severity or kind.default_severity)
    return max(known.values(), default=0.0) if seconds is None else seconds


def care_standing(policy: CarePolicy, cases: Iterable[Case], now: datetime) -> CareStanding:
    """Where service stands before sales, over all cases; those of kinds that are not declared are passed over.

    Example:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
        >>> bag = Case(case_id="c1", kind="lost_item", severity="normal", opened_at=noon)
        >>> care_standing(DEFAULT_CARE, [bag], noon).state
        <CaseState.OPEN: 'open'>
    """
    found = [(*case_standing(policy, case, now), case) for case in cases if case.kind in policy.kinds]
    if not found:
        return NO_CASE
    state, _, case = found[0] if len(found) == 1 else max(found, key=lambda entry: _gravity(policy, *entry))
    active = [(ends_at, case) for standing, ends_at, case in found if standing is not CaseState.CLOSED]
    ends = [ends_at for ends_at, _ in active]
    return CareStanding(
        state=state,
        case=case,
        until=max((end for end in ends if end is not None), default=None) if None not in ends else None,
        open_count=sum([standing is CaseState.OPEN for standing, _, _ in found]),
        channel_id=_channel_told([case for _, case in active]) if active else None,
    )


def _channel_told(cases: Iterable[Case]) -> str | None:
    told = [(case.opened_at, case.case_id, case.channel_id) for case in cases if case.opened_at and case.channel_id]
    return max(told)[-1] if told else None


def paused_classes(policy: CarePolicy, standing: CareStanding) -> frozenset[MessageClass]:
    """Classes whose messages rest because of a case that is open or cooling down."""
    is_active = standing.state in {CaseState.OPEN, CaseState.COOLING_DOWN}
    return policy.paused_classes if is_active else frozenset()


def check_care(policy: CarePolicy) -> None:
    """Refuse kinds of trouble that cannot work.

    Raises:
        InvalidPolicyError: A kind under another name, a cooldown, time to answer or longest time that is negative or
            beyond a century, or a default severity without a cooldown.
    """
    for name, kind in policy.kinds.items():
        if name != kind.kind or not name:
            raise InvalidPolicyError(f"kind of case must be listed under its name, got {kind.kind!r} under {name!r}")
        for severity, seconds in kind.cooldown_seconds.items():
            if not 0 <= seconds <= LONGEST_SECONDS:
                raise InvalidPolicyError(f"cooldown of {name} ({severity}) must be 0 or more, got {seconds}")
        if kind.default_severity not in kind.cooldown_seconds:
            raise InvalidPolicyError(f"default_severity of {name} must have a cooldown, got {kind.default_severity!r}")
        if kind.max_open_seconds is not None and not 0 < kind.max_open_seconds <= LONGEST_SECONDS:
            raise InvalidPolicyError(f"max_open_seconds of {name} must be positive, got {kind.max_open_seconds}")
        if kind.answer_within_seconds is not None and not 0 < kind.answer_within_seconds <= LONGEST_SECONDS:
            raise InvalidPolicyError(
                f"answer_within_seconds of {name} must be positive, got {kind.answer_within_seconds}"
            )


def _gravity(
    policy: CarePolicy, state: CaseState, ends_at: datetime | None, case: Case
) -> tuple[int, float, float, str]:
    ends = math.inf if ends_at is None else ends_at.timestamp()
    return (_GRAVITY[state], ends, cooldown_seconds(policy.kinds[case.kind], case.severity), case.case_id)
