"""Outcomes and events on their way into the log: each item checked alone, each message id taken in once.

The mark that a message was seen and its entry in the log stream are one atomic step, on the shard of the message id.
A customer who leaves a channel is remembered before the report is taken in: if anything fails in between, the caller
repeats the report and nothing is lost, and no decision in between can send.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from decisioning.catalogue import Catalogue
from decisioning.errors import nearest_names
from features.contracts import OutcomeType
from serving.archive import find_decisions
from serving.bodies import Body, EventItem, OutcomeItem, validate
from serving.in_force import InForce
from serving.live_state import LiveState
from serving.log_rows import Row, event_row, outcome_row
from serving.problems import Fault, Problem

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_SLACK = timedelta(minutes=5)
"""How far ahead of ours a caller's clock may run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An item that was not taken in, and why."""

    index: int
    code: str
    detail: str
    faults: tuple[Fault, ...] = ()

    def document(self) -> dict[str, Any]:
        """As callers read it."""
        faults = [{"pointer": one.pointer, "detail": one.detail} for one in self.faults]
        return {"index": self.index, "code": self.code, "detail": self.detail, "errors": faults}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of the items of one request, by their place in it."""

    accepted: tuple[int, ...]
    duplicate: tuple[int, ...]
    rejected: tuple[Rejected, ...]

    def document(self) -> dict[str, Any]:
        """As callers read it."""
        statuses = dict.fromkeys(self.accepted, "accepted") | dict.fromkeys(self.duplicate, "duplicate")
        statuses |= {one.index: "rejected" for one in self.rejected}
        return {
            "accepted": len(self.accepted),
            "duplicate": len(self.duplicate),
            "rejected": [one.document() for one in sorted(self.rejected, key=lambda one: one.index)],
            "items": [{"index": place, "status": statuses[place]} for place in sorted(statuses)],
        }


class Intake:
    """Takes reports in."""

    def __init__(self, *, state: LiveState, log_path: Path, now: Callable[[], datetime]) -> None:
        self._state = state
        self._log_path = log_path
        self._now = now

    async def events(self, values: Sequence[Any], in_force: InForce) -> Report:
        """Take events in.

        Raises:
            UnavailableError: Redis is away; repeat the request later, nothing is taken twice.
        """
        now = self._now()
        items, rejected = _checked(EventItem, values)
        rows: dict[int, Row] = {}
        for place, item in items.items():
            fault = _fault_of_event(item, in_force.catalogue) or _fault_of_time(item.occurred_at, now)
            if fault is None:
                try:
                    rows[place] = event_row(_in_utc(item), now=now, per_major=in_force.per_major)
                except ValueError as error:
                    fault = Fault(pointer="/value/amount", detail=str(error))
            if fault is not None:
                rejected.append(_invalid(place, fault))
        return await self._take_in("events", {place: items[place].message_id for place in rows}, rows, rejected)

    async def outcomes(self, values: Sequence[Any], in_force: InForce) -> Report:
        """Take outcomes in.

        Raises:
            UnavailableError: Redis is away; repeat the request later, nothing is taken twice.
        """
        now = self._now()
        items, rejected = _checked(OutcomeItem, values)
        owners = await self._owners([item.decision_id for item in items.values()])
        rows: dict[int, Row] = {}
        for place, item in items.items():
            refusal = _refusal(place, item, owners.get(item.decision_id), in_force.catalogue, now)
            if refusal is None:
                customer_id = _customer_of(item, owners)
                try:
                    rows[place] = outcome_row(
                        _in_utc(item), customer_id=customer_id, now=now, per_major=in_force.per_major
                    )
                except ValueError as error:
                    refusal = _invalid(place, Fault(pointer="/value/amount", detail=str(error)))
            if refusal is not None:
                rejected.append(refusal)
        for place, row in rows.items():
            if items[place].type is OutcomeType.UNSUBSCRIBED:
                await self._leave(items[place], row["customer_id"], owners, in_force.catalogue)
        return await self._take_in("outcomes", {place: items[place].message_id for place in rows}, rows, rejected)

    async def _leave(
        self, item: OutcomeItem, customer_id: str, owners: Mapping[str, "_Owner"], catalogue: Catalogue
    ) -> None:
        """The customer left the decision's channel; where nobody knows which that was, every channel."""
        owner = owners.get(item.decision_id)
        channels = [owner.channel_id] if owner is not None and owner.channel_id else sorted(catalogue.channels)
        await self._state.unsubscribe(customer_id, channels, item.occurred_at)

    async def _owners(self, decision_ids: Sequence[str]) -> dict[str, "_Owner"]:
        """Whose decisions these are, from Redis, else from the log."""
        distinct = sorted(set(decision_ids))
        found = dict(zip(distinct, await self._state.owners(distinct), strict=True))
        owners = {one: _Owner(customer_id=pair[0], channel_id=pair[1]) for one, pair in found.items() if pair}
        missing = [one for one in distinct if one not in owners]
        if missing:
            rows = await asyncio.to_thread(find_decisions, self._log_path, missing)
            owners |= {
                one: _Owner(customer_id=row["customer_id"], channel_id=row["channel"]) for one, row in rows.items()
            }
        return owners

    async def _take_in(
        self, table: str, ids: Mapping[int, str], rows: Mapping[int, Row], rejected: Sequence[Rejected]
    ) -> Report:
        firsts: dict[str, int] = {}
        for place in sorted(rows):
            firsts.setdefault(ids[place], place)
        entries = {f"{table}:{message_id}": orjson.dumps(rows[place]) for message_id, place in firsts.items()}
        taken = await self._state.take_in(table, entries) if entries else {}
        accepted = tuple(place for message_id, place in firsts.items() if taken[f"{table}:{message_id}"])
        return Report(
            accepted=accepted,
            duplicate=tuple(place for place in rows if place not in accepted),
            rejected=tuple(rejected),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    customer_id: str
    channel_id: str | None


def _checked[T: Body](model: type[T], values: Sequence[Any]) -> tuple[dict[int, T], list[Rejected]]:
    items: dict[int, T] = {}
    rejected: list[Rejected] = []
    for place, value in enumerate(values):
        try:
            items[place] = validate(model, value)
        except Problem as problem:
            rejected.append(Rejected(index=place, code=problem.code, detail=problem.detail, faults=problem.faults))
    return items, rejected


def _refusal(
    place: int, item: OutcomeItem, owner: _Owner | None, catalogue: Catalogue, now: datetime
) -> Rejected | None:
    if owner is None and item.customer_id is None:
        detail = "decision_id must be a decision of this server or of its log, got an unknown one; or give customer_id"
        return Rejected(index=place, code="unknown_decision", detail=detail)
    if owner is not None and item.customer_id not in (None, owner.customer_id):
        detail = "customer_id must be the decision's customer, got another; leave it out"
        return Rejected(index=place, code="customer_mismatch", detail=detail)
    fault = _fault_of_time(item.occurred_at, now) or _fault_of_currency(item, catalogue)
    return None if fault is None else _invalid(place, fault)


def _customer_of(item: OutcomeItem, owners: Mapping[str, _Owner]) -> str:
    owner = owners.get(item.decision_id)
    return owner.customer_id if owner is not None else str(item.customer_id)


def _fault_of_event(item: EventItem, catalogue: Catalogue) -> Fault | None:
    if item.type not in catalogue.event_types:
        nearest = nearest_names(item.type, catalogue.event_types)
        hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
        return Fault(pointer="/type", detail=f"must be an event type of the catalogue{hint}")
    return _fault_of_currency(item, catalogue)


def _fault_of_currency(item: EventItem | OutcomeItem, catalogue: Catalogue) -> Fault | None:
    if item.value is None or item.value.currency == catalogue.currency:
        return None
    return Fault(pointer="/value/currency", detail=f"must be {catalogue.currency}, the catalogue's currency")


def _fault_of_time(moment: datetime, now: datetime) -> Fault | None:
    if moment > now + CLOCK_SLACK:
        return Fault(pointer="/occurred_at", detail="must not lie in the future")
    if moment < EARLIEST:
        return Fault(pointer="/occurred_at", detail=f"must not lie before {EARLIEST:%Y-%m-%d}")
    return None


def _in_utc[T: EventItem | OutcomeItem](item: T) -> T:
    return item.model_copy(update={"occurred_at": item.occurred_at.astimezone(UTC)})


def _invalid(place: int, fault: Fault) -> Rejected:
    return Rejected(index=place, code="validation_error", detail=f"{fault.pointer}: {fault.detail}", faults=(fault,))
