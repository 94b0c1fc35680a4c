"""What happened to each customer in the demo's weeks, and the choice of the one whose journey is told."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from decisioning.decision import Reason
from pipelines.demo.traffic import Item

MOST_ENTRIES = 22
"""Nobody reads a longer journey."""

_POINTS = {
    "accepted": 5.0,
    "answered case": 4.0,
    "purchase": 3.0,
    "silent for care": 2.0,
    "viewed": 2.0,
    "flight_landed": 2.0,
    "message sent": 1.0,
    "service message": 1.0,
    "clicked": 1.0,
    "silence": 1.0,
    "review": 1.0,
    "search": 0.5,
}
"""What makes a journey worth showing, each counted once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision about the customer: the answer as the campaign tool got it."""

    at: datetime
    asked_by: str
    answer: dict[str, Any]

    @property
    def is_sent(self) -> bool:
        """Whether a message went out."""
        return self.answer["action"] == "send"

    @property
    def is_marketing(self) -> bool:
        """Whether the weekly campaign asked."""
        return self.answer["touchpoint"] == "weekly-campaign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something the customer did or experienced, or the outcome of a message."""

    at: datetime
    what: str
    channel: str | None
    amount: float | None
    properties: dict[str, Any]
    decision_id: str | None


type JourneyEntry = Decided | Happened


@dataclass(slots=True)
class Journeys:
    """Everybody's entries, in the order in which they came."""

    entries: dict[str, list[JourneyEntry]] = field(default_factory=lambda: defaultdict[str, list[JourneyEntry]](list))

    def saw_decision(self, answer: dict[str, Any], asked_by: str) -> None:
        """Note a decision."""
        at = datetime.fromisoformat(answer["decided_at"])
        self.entries[answer["customer_id"]].append(Decided(at=at, asked_by=asked_by, answer=answer))

    def saw_reports(self, items: Iterable[Item]) -> None:
        """Note events or outcomes."""
        for item in items:
            body = item["body"]
            self.entries[body["customer_id"]].append(
                Happened(
                    at=item["at"],
                    what=body["type"],
                    channel=body.get("channel"),
                    amount=body["value"]["amount"] if "value" in body else None,
                    properties=body.get("properties", {}),
                    decision_id=body.get("decision_id"),
                )
            )

    def most_telling(self) -> str:
        """The customer whose weeks show most of what the engine does, in few enough lines to be read.

        Customers of the holdout are passed over: the engine sent them nothing to show.
        """
        return max(sorted(self.entries), key=lambda customer_id: _worth_telling(self.entries[customer_id]))


def _worth_telling(entries: Sequence[JourneyEntry]) -> float:
    if any(isinstance(one, Decided) and one.answer["held_out"] for one in entries):
        return float("-inf")
    shown = {mark for one in entries for mark in _marks(one)}
    return sum(_POINTS.get(mark, 0.0) for mark in shown) - 0.2 * max(0, len(entries) - MOST_ENTRIES)


def _marks(entry: JourneyEntry) -> Iterable[str]:
    """What an entry shows of the engine."""
    if isinstance(entry, Happened):
        yield entry.what
        return
    if not entry.is_sent:
        yield "silent for care" if entry.answer["reason"] == Reason.CARE else "silence"
    elif entry.is_marketing:
        yield "message sent"
    else:
        yield "answered case" if entry.answer["stage"] == "recover" else "service message"
