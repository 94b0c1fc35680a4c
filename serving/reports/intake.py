"""Intake of outcomes and events: each item is checked on its own, and each message id counts once.

The mark that a message was seen, its entry in the log stream and what it changes in the customer's live state are one
atomic step, so the decision right after a report reflects it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import nearest_names
from features.listening.listener import listen
from features.log.declared_events import widened
from features.log.event_types import StateEventType
from features.log.heard import TEXT_TYPES
from features.log.identities import ANONYMOUS_ID
from features.log.reported import CARING, YES_LEAD, is_ahead
from serving.errors import Fault, InvalidFormError
from serving.forms import Body, EventItem, OutcomeItem, validate
from serving.in_force.policy_in_force import InForce
from serving.live.changes import changes_of_event, changes_of_outcome, fitted_event, in_utc, touch_in_catalogue
from serving.live.decision_hash import Owner
from serving.live.join import JOINING, Visitor, forwarded, joined, told_who
from serving.live.reader import Lookup
from serving.live.store import LiveStore
from serving.live.writer import Taken, Taking
from serving.log.archive import find_decisions
from serving.log.log_rows import event_row, outcome_row

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_SLACK = timedelta(minutes=5)
"""How far ahead of ours a caller's clock may run."""


_STATE_EVENT_TYPES = frozenset(map(str, StateEventType))
_HEARD = frozenset({Taken.IN, Taken.NOT, Taken.UNSURE})
_MOST_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A rejected item, and the reason."""

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
    """The results for the items of one request, by their place in it.

    Attributes:
        unknown: Pointer to a name in an item that is not known: a customer or decision without any data. Such
            an item is accepted all the same, since it may have arrived before what it names.
        widened: Pointers to the channel or purpose of a withdrawal that the catalogue does not know: it counts for all.
    """

    accepted: tuple[int, ...]
    duplicate: tuple[int, ...]
    rejected: tuple[Rejected, ...]
    unknown: Mapping[int, str] = field(default_factory=dict[int, str])
    widened: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])

    def document(self) -> dict[str, Any]:
        """As callers read it."""
        statuses = dict.fromkeys(self.accepted, "accepted") | dict.fromkeys(self.duplicate, "duplicate")
        statuses |= {one.index: "rejected" for one in self.rejected}
        return {
            "accepted": len(self.accepted),
            "duplicate": len(self.duplicate),
            "rejected": [one.document() for one in sorted(self.rejected, key=lambda one: one.index)],
            "items": [self._item(place, statuses[place]) for place in sorted(statuses)],
        }

    def _item(self, place: int, status: str) -> dict[str, Any]:
        if status == "rejected":
            return {"index": place, "status": status}
        unknown = {"unknown": self.unknown[place]} if place in self.unknown else {}
        widened = {"widened": list(self.widened[place])} if self.widened.get(place) else {}
        return {"index": place, "status": status, **unknown, **widened}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Accepts reports."""

    state: LiveStore
    log_path: Path
    now: Callable[[], datetime]

    async def events(self, values: Sequence[Any], in_force: InForce) -> Report:
        """Take events in.

        Raises:
            UnavailableError: Redis is away; repeat the request later, nothing is taken twice.
        """
        now = self.now()
        items, rejected = _checked(EventItem, values)
        digests = {place: _digest(item) for place, item in items.items()}
        items = await _heard(items, in_force.catalogue)
        visitors = await self._visitors(items)
        takings: dict[int, Taking] = {}
        for place, item in items.items():
            if self.state.has_erased(item.customer_id, item.occurred_at) or self._names_erased(item):
                rejected.append(_unknown_customer(place))
                continue
            found = _taken_event(item, in_force, now, visitors.get(place))
            if isinstance(found, Fault):
                rejected.append(_invalid(place, found))
            else:
                takings[place] = replace(found, digest=digests[place])
        known = await self.state.known_customers([taking.customer_id for taking in takings.values()])
        unknown = {place: "/customer_id" for place, one in takings.items() if one.customer_id not in known}
        who = {place: one.visitor_id for place, one in visitors.items() if place in takings}
        report = await self._take_in("events", takings, rejected, unknown, who)
        return replace(report, widened={place: _widened(items[place], in_force.catalogue) for place in takings})

    async def outcomes(self, values: Sequence[Any], in_force: InForce) -> Report:
        """Take outcomes in.

        Raises:
            UnavailableError: Redis is away; repeat the request later, nothing is taken twice.
        """
        now = self.now()
        items, rejected = _checked(OutcomeItem, values)
        owners = await self._owners([item.decision_id for item in items.values()], in_force.catalogue)
        takings: dict[int, Taking] = {}
        for place, item in items.items():
            if item.customer_id is not None and self.state.has_erased(item.customer_id, item.occurred_at):
                rejected.append(_unknown_customer(place))
                continue
            refusal = _refusal(place, item, owners.get(item.decision_id), in_force.catalogue, now)
            if refusal is None:
                found = _taken_outcome(_by_our_clock(item, now), owners.get(item.decision_id), in_force, now)
                if isinstance(found, Taking):
                    takings[place] = replace(found, digest=_digest(item))
                    continue
                refusal = _invalid(place, found)
            rejected.append(refusal)
        unknown = {place: "/decision_id" for place in takings if items[place].decision_id not in owners}
        return await self._take_in("outcomes", takings, rejected, unknown)

    def _names_erased(self, item: EventItem) -> bool:
        visitor = item.properties.get(ANONYMOUS_ID)
        return item.type == StateEventType.IDENTIFIED and isinstance(visitor, str) and self.state.has_erased(visitor)

    async def _visitors(self, items: Mapping[int, EventItem]) -> dict[int, Visitor]:
        """What is known of visitors who turned out to be customers, by place of the event that says so."""
        named = {
            place: visitor
            for place, item in items.items()
            if item.type == StateEventType.IDENTIFIED and isinstance(visitor := item.properties.get(ANONYMOUS_ID), str)
        }
        lookups = [Lookup(customer_id=visitor, touchpoint_id="") for visitor in named.values()]
        known = await self.state.read_many(lookups) if lookups else []
        return {
            place: Visitor(visitor_id=visitor, known=one)
            for (place, visitor), one in zip(named.items(), known, strict=True)
        }

    async def _owners(self, decision_ids: Sequence[str], catalogue: Catalogue) -> dict[str, Owner]:
        """Whose decisions these are, from Redis, else from the log."""
        distinct = sorted(set(decision_ids))
        found = zip(distinct, await self.state.owners(distinct), strict=True)
        owners = {decision_id: owner for decision_id, owner in found if owner is not None}
        missing = [one for one in distinct if one not in owners]
        if missing:
            rows = await asyncio.to_thread(find_decisions, self.log_path, missing)
            owners |= {decision_id: _owner_in_log(row, catalogue) for decision_id, row in rows.items()}
        return owners

    async def _take_in(
        self,
        table: str,
        takings: Mapping[int, Taking],
        rejected: Sequence[Rejected],
        unknown: Mapping[int, str],
        visitors: Mapping[int, str] = MappingProxyType({}),
    ) -> Report:
        taken = await self._taken(table, takings)
        spared = {
            place: _under_own_id(takings[place])
            for place, what in taken.items()
            if what in {Taken.CLASHED, Taken.UNSURE} and _kind(takings[place]) in CARING
        }
        taken |= await self._taken(table, spared)
        await self._pass_on(table, {place: takings[place] for place in takings if taken[place] in _HEARD}, visitors)
        clashed = [place for place, what in taken.items() if what is Taken.CLASHED]
        return Report(
            accepted=tuple(place for place, what in taken.items() if what is Taken.IN),
            duplicate=tuple(place for place, what in taken.items() if what in {Taken.NOT, Taken.UNSURE}),
            rejected=(*rejected, *map(_id_is_taken, clashed)),
            unknown=unknown,
        )

    async def _pass_on(self, table: str, takings: Mapping[int, Taking], visitors: Mapping[int, str]) -> None:
        """Tell visitors' live state who they are, and their customers' what is reported about the visitor.

        A repeat passes on again, which comes to the same: who heard no answer sends again.
        """
        told = [
            replace(
                one, seen_as=JOINING, customer_id=visitors[place], row=b"", changes=told_who(one.customer_id, one.now)
            )
            for place, one in takings.items()
            if place in visitors
        ]
        if told:
            await self.state.take(table, told)
        passed = list(takings.values())
        for _ in range(_MOST_STEPS):
            people = await self.state.people([one.customer_id for one in passed])
            passed = [
                replace(
                    one, seen_as=JOINING, customer_id=people[one.customer_id], row=b"", changes=forwarded(one.changes)
                )
                for one in passed
                if one.customer_id in people
            ]
            if not passed:
                break
            await self.state.take(table, passed)

    async def _taken(self, table: str, takings: Mapping[int, Taking]) -> dict[int, Taken]:
        """The fate of reports by index; of equal ones the first is accepted."""
        firsts: dict[tuple[str, str, str], int] = {}
        for place, one in sorted(takings.items()):
            firsts.setdefault((one.customer_id, one.seen_as, one.digest), place)
        places = list(firsts.values())
        found = await self.state.take(table, [takings[place] for place in places]) if places else []
        return dict.fromkeys(takings, Taken.NOT) | dict(zip(places, found, strict=True))


def _owner_in_log(row: Mapping[str, Any], catalogue: Catalogue) -> Owner:
    touch = None
    if row["offer_id"] and row["channel"]:
        touch = touch_in_catalogue(catalogue, row["offer_id"], row["channel"], row["creative_id"] or "")
    return Owner(customer_id=row["customer_id"], channel_id=row["channel"], touch=touch, decided_at=row["decided_at"])


async def _heard(items: dict[int, EventItem], catalogue: Catalogue) -> dict[int, EventItem]:
    """The items with what their words say; reading takes a while, so it does not hold up who waits for a decision."""
    if not any(item.type in TEXT_TYPES for item in items.values()):
        return items
    return await asyncio.to_thread(lambda: {place: _listened(item, catalogue) for place, item in items.items()})


def _listened(item: EventItem, catalogue: Catalogue) -> EventItem:
    if item.type not in TEXT_TYPES:
        return item
    properties = dict(listen(item.type, item.message_id, item.properties, catalogue))
    return item.model_copy(update={"properties": properties})


def _taken_event(item: EventItem, in_force: InForce, now: datetime, visitor: Visitor | None) -> Taking | Fault:
    fault = _fault_of_event(item, in_force.catalogue) or _fault_of_time(item, now)
    if fault is not None:
        return fault
    fitted = fitted_event(_by_our_clock(item, now), in_force.catalogue)
    if isinstance(fitted, Fault):
        return fitted
    item = fitted
    changes = changes_of_event(item, in_force.catalogue, arrived_at=now, keeps=in_force.keeps(item.type))
    if isinstance(changes, Fault):
        return changes
    if visitor is not None:
        changes = joined(changes, visitor, in_force.catalogue, now)
    try:
        row = event_row(item, now=now, per_major=in_force.per_major)
    except ValueError as error:
        return Fault(pointer="/value/amount", detail=str(error))
    return Taking(
        seen_as=f"events:{item.message_id}",
        customer_id=item.customer_id,
        row=orjson.dumps(row),
        now=now,
        changes=changes,
    )


def _widened(item: EventItem, catalogue: Catalogue) -> tuple[str, ...]:
    fitted = fitted_event(item, catalogue)
    return () if isinstance(fitted, Fault) else tuple(f"/properties/{one}" for one in widened(fitted.properties))


def _taken_outcome(item: OutcomeItem, owner: Owner | None, in_force: InForce, now: datetime) -> Taking | Fault:
    customer_id = owner.customer_id if owner is not None else str(item.customer_id)
    try:
        row = outcome_row(item, customer_id=customer_id, now=now, per_major=in_force.per_major)
    except ValueError as error:
        return Fault(pointer="/value/amount", detail=str(error))
    return Taking(
        seen_as=f"outcomes:{item.message_id}",
        customer_id=customer_id,
        row=orjson.dumps(row),
        now=now,
        changes=changes_of_outcome(
            item,
            in_force.catalogue,
            touch=owner.touch if owner is not None else None,
            channel_id=owner.channel_id if owner is not None else None,
            arrived_at=now,
            decided_at=owner.decided_at if owner is not None else None,
        ),
        decision_id=item.decision_id,
    )


def _checked[T: Body](model: type[T], values: Sequence[Any]) -> tuple[dict[int, T], list[Rejected]]:
    items: dict[int, T] = {}
    rejected: list[Rejected] = []
    for place, value in enumerate(values):
        try:
            items[place] = validate(model, value)
        except InvalidFormError as error:
            rejected.append(Rejected(index=place, code=error.code, detail=str(error), faults=error.faults))
    return items, rejected


def _refusal(
    place: int, item: OutcomeItem, owner: Owner | None, catalogue: Catalogue, now: datetime
) -> Rejected | None:
    if owner is None and item.customer_id is None:
        detail = "decision_id must be a decision of this server or of its log, got an unknown one; or give customer_id"
        return Rejected(index=place, code="unknown_decision", detail=detail)
    if owner is not None and item.customer_id not in (None, owner.customer_id):
        detail = "customer_id must be the decision's customer, got another; leave it out"
        return Rejected(index=place, code="customer_mismatch", detail=detail)
    fault = _fault_of_time(item, now) or _fault_of_currency(item, catalogue)
    return None if fault is None else _invalid(place, fault)


def _fault_of_event(item: EventItem, catalogue: Catalogue) -> Fault | None:
    if item.type not in catalogue.event_types and item.type not in _STATE_EVENT_TYPES:
        nearest = nearest_names(item.type, [*catalogue.event_types, *_STATE_EVENT_TYPES])
        hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
        return Fault(pointer="/type", detail=f"must be an event type of the catalogue{hint}")
    return _fault_of_currency(item, catalogue)


def _fault_of_currency(item: EventItem | OutcomeItem, catalogue: Catalogue) -> Fault | None:
    if item.value is None or item.value.currency == catalogue.currency:
        return None
    return Fault(pointer="/value/currency", detail=f"must be {catalogue.currency}, the catalogue's currency")


def _fault_of_time(item: EventItem | OutcomeItem, now: datetime) -> Fault | None:
    """Reports that protect the customer are accepted whatever their time; a consent needs a plausible time."""
    if item.type in CARING:
        return None
    if is_ahead(item.type, item.occurred_at, now):
        seconds = YES_LEAD // timedelta(seconds=1)
        detail = f"must be at most {seconds} seconds ahead of our clock for a yes; set the sender's clock, send again"
        return Fault(pointer="/occurred_at", detail=detail)
    if item.occurred_at > now + CLOCK_SLACK:
        return Fault(pointer="/occurred_at", detail="must not lie in the future")
    if item.occurred_at < EARLIEST:
        return Fault(pointer="/occurred_at", detail=f"must not lie before {EARLIEST:%Y-%m-%d}")
    return None


def _by_our_clock[T: EventItem | OutcomeItem](item: T, now: datetime) -> T:
    """The report in UTC; a moment ahead of ours, or before any clock of ours, counts as now."""
    moment = item.occurred_at
    return in_utc(item.model_copy(update={"occurred_at": moment if EARLIEST <= moment <= now else now}))


def _unknown_customer(place: int) -> Rejected:
    """Reports about an erased customer are rejected."""
    detail = "customer_id must be a customer whose data may be stored, got one who was erased; stop sending it"
    return Rejected(index=place, code="unknown_customer", detail=detail)


def _id_is_taken(place: int) -> Rejected:
    detail = "must be new for each report of a customer, got the id of another report; send it under an id of its own"
    return Rejected(
        index=place,
        code="message_id_taken",
        detail=f"/message_id: {detail}",
        faults=(Fault(pointer="/message_id", detail=detail),),
    )


def _digest(item: EventItem | OutcomeItem) -> str:
    """Tells whether two reports under one id say the same."""
    said = orjson.dumps(item.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return blake2b(said, digest_size=8).hexdigest()


def _kind(taking: Taking) -> str:
    return orjson.loads(taking.row)["type"]


def _under_own_id(taking: Taking) -> Taking:
    """A refusal is accepted even if its id is used already: it gets an id that only this report can have."""
    row, seen_as = orjson.loads(taking.row), f"{taking.seen_as}~{taking.digest}"
    name = "event_id" if "event_id" in row else "outcome_id"
    return replace(taking, seen_as=seen_as, row=orjson.dumps({**row, name: seen_as.partition(":")[2]}))


def _invalid(place: int, fault: Fault) -> Rejected:
    return Rejected(index=place, code="validation_error", detail=f"{fault.pointer}: {fault.detail}", faults=(fault,))
