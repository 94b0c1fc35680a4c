"""A simulated week in order of time: what happened, outcomes of messages, and moments that ask for a decision."""

import heapq
from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson
import polars as pl

from pipelines.demo.traffic import Item
from pipelines.simulation.events.frames import Frames

PER_MAJOR = 100
"""Minor units per euro, the airline's currency."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Moment:
    """A moment in a customer's journey that calls for a message.

    Attributes:
        name: What the moment is: `bag_lost`, `check_in_opened`, ...
        attempt: How often it was put off so far.
    """

    at: datetime
    customer_id: str
    name: str
    attempt: int = 0


@dataclass(slots=True)
class Timeline:
    """Events, outcomes and moments that are still to come.

    Attributes:
        events: Bodies for `POST /v1/events`, latest first.
        outcomes: Bodies for `POST /v1/outcomes`, latest first.
        moments: A heap.
    """

    events: list[Item] = field(default_factory=list[Item])
    outcomes: list[Item] = field(default_factory=list[Item])
    moments: list[Moment] = field(default_factory=list[Moment])

    def next_moment(self, until: datetime) -> Moment | None:
        """Take the earliest moment out, where one comes before `until`."""
        return heapq.heappop(self.moments) if self.moments and self.moments[0].at < until else None

    def put_off(self, moment: Moment, until: datetime) -> None:
        """Let a moment come again later."""
        heapq.heappush(self.moments, replace(moment, at=until, attempt=moment.attempt + 1))

    def happened(self, until: datetime) -> tuple[list[Item], list[Item]]:
        """Take out the events and outcomes before `until`, each in order of time."""
        return _taken(self.events, until), _taken(self.outcomes, until)


def _taken(items: list[Item], until: datetime) -> list[Item]:
    taken: list[Item] = []
    while items and items[-1]["at"] < until:
        taken.append(items.pop())
    return taken


def timeline_of(frames: Frames, moments: pl.DataFrame) -> Timeline:
    """The timeline of a simulated week: canonical tables, and moments (`customer_id`, `at`, `moment`)."""
    heap = [
        Moment(at=row["at"], customer_id=row["customer_id"], name=row["moment"])
        for row in moments.iter_rows(named=True)
    ]
    heapq.heapify(heap)
    return Timeline(
        events=events_of(frames.events),
        outcomes=[_outcome(row) for row in _latest_first(frames.outcomes, "outcome_id")],
        moments=heap,
    )


def events_of(events: pl.DataFrame) -> list[Item]:
    """Canonical events as the API takes them, latest first."""
    return [_event(row) for row in _latest_first(events, "event_id")]


def _latest_first(frame: pl.DataFrame, key: str) -> list[Item]:
    return frame.sort("occurred_at", key, descending=True).to_dicts()


def _event(row: Item) -> Item:
    named = {"message_id": row["event_id"], "customer_id": row["customer_id"], "channel": row.get("channel")}
    return {"at": row["occurred_at"], "body": named | _told(row)}


def _outcome(row: Item) -> Item:
    named = {"message_id": row["outcome_id"], "decision_id": row["decision_id"], "customer_id": row["customer_id"]}
    return {"at": row["occurred_at"], "body": named | _told(row)}


def _told(row: Item) -> Item:
    """What events and outcomes share, as the API takes it: money in major units, properties as an object."""
    told: Item = {"type": row["type"], "occurred_at": row["occurred_at"].isoformat()}
    if row.get("amount_minor") is not None:
        told["value"] = {"amount": row["amount_minor"] / PER_MAJOR, "currency": row.get("currency") or "EUR"}
    if row.get("properties"):
        told["properties"] = orjson.loads(row["properties"])
    return told
