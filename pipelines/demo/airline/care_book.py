"""Cases and answers in time, as the demo shows them while it runs."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from decisioning.catalogue.care import CarePolicy


@dataclass(slots=True, kw_only=True)
class Trouble:
    """One case: when it began, and when somebody first answered."""

    kind: str
    opened_at: datetime
    answered_at: datetime | None = None
    resolved_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class CareBook:
    """Cases by customer and kind, from the events that open and resolve them and the apologies that answer them.

    Attributes:
        policy: The catalogue's; it says how soon a case of a kind must be answered.
        since: Cases that were opened before are followed, and not counted.
    """

    policy: CarePolicy
    since: datetime
    open_cases: dict[tuple[str, str], Trouble] = field(default_factory=dict[tuple[str, str], Trouble])
    closed_cases: list[Trouble] = field(default_factory=list[Trouble])

    def read(self, cases: pl.DataFrame) -> None:
        """Take over what the log holds: rows of `cases_of`, of a time before the first event seen."""
        names = ("kind", "opened_at", "answered_at", "resolved_at")
        for row in cases.filter("is_open").iter_rows(named=True):
            self.open_cases[row["customer_id"], row["kind"]] = Trouble(**{name: row[name] for name in names})

    def saw_event(self, customer_id: str, event_type: str, at: datetime) -> None:
        """Open or resolve what this event opens or resolves."""
        for kind in self.policy.kinds.values():
            key = (customer_id, kind.kind)
            if event_type in kind.opened_by and key not in self.open_cases:
                self.open_cases[key] = Trouble(kind=kind.kind, opened_at=at)
            elif event_type in kind.resolved_by and key in self.open_cases:
                self._resolve(key, at)

    def saw_answer(self, customer_id: str, at: datetime) -> None:
        """Somebody wrote to the customer about it: the first answer to everything that is open."""
        for trouble in self.open_of(customer_id):
            trouble.answered_at = trouble.answered_at or at

    def is_waiting(self, customer_id: str) -> bool:
        """Whether a case of this customer is open that nobody has answered."""
        return any(trouble.answered_at is None for trouble in self.open_of(customer_id))

    def open_of(self, customer_id: str) -> list[Trouble]:
        """The open cases of a customer."""
        return [trouble for (owner, _), trouble in self.open_cases.items() if owner == customer_id]

    def opens_case(self, event_type: str) -> bool:
        """Whether an event of this type opens a case."""
        return any(event_type in kind.opened_by for kind in self.policy.kinds.values())

    def count(self, now: datetime) -> "CareCount":
        """Where care stands."""
        everything = [one for one in (*self.open_cases.values(), *self.closed_cases) if one.opened_at >= self.since]
        due = [one for one in everything if self._is_due(one, now)]
        return CareCount(
            opened=len(everything),
            still_open=sum(one.resolved_at is None for one in everything),
            due=len(due),
            in_time=sum(self._was_in_time(one) for one in due),
        )

    def _resolve(self, key: tuple[str, str], at: datetime) -> None:
        trouble = self.open_cases.pop(key)
        trouble.resolved_at = at
        trouble.answered_at = trouble.answered_at or at
        self.closed_cases.append(trouble)

    def _is_due(self, trouble: Trouble, now: datetime) -> bool:
        """Whether its answer has come or should have."""
        due_at = self._due_at(trouble)
        return due_at is not None and (trouble.answered_at is not None or due_at <= now)

    def _was_in_time(self, trouble: Trouble) -> bool:
        due_at = self._due_at(trouble)
        return due_at is not None and trouble.answered_at is not None and trouble.answered_at <= due_at

    def _due_at(self, trouble: Trouble) -> datetime | None:
        seconds = self.policy.kinds[trouble.kind].answer_within_seconds
        return None if seconds is None else trouble.opened_at + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class CareCount:
    """Cases so far.

    Attributes:
        opened: All that began since the book did.
        still_open: Not resolved yet.
        due: Answered, or past the time in which they should have been.
        in_time: Of those, answered in time.
    """

    opened: int
    still_open: int
    due: int
    in_time: int
