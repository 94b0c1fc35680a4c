"""A decider about the customers of a live store."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import orjson

from decisioning.catalogue.contact_policy import Contact
from decisioning.decision import Request
from decisioning.gates.reservation import Reservation
from features.online.redis_keys import shard_of
from serving.live.changes import Changes
from serving.live.decision_hash import ask_fields
from serving.live.encoding import time_text
from serving.live.reader import Conflict, Known, Lookup, SupplyQuery
from serving.live.store import LiveStore
from serving.live.writer import LogEntry, Settlement, Taken, Taking
from tests.touches import make_touch

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
MAIL = make_touch()
SEATS = "limit:seats:total"
CALLS = "limit:calls:2026-11-02"
HOUR = timedelta(hours=1)


def query(at: datetime = NOW) -> SupplyQuery:
    return SupplyQuery(now=at, counters=(CALLS, SEATS), wants_evidence=True)


@dataclass
class Decider:
    """Decides about customers of a live store."""

    state: LiveStore
    count: int = 0
    now: datetime = NOW
    limit: float = 2.0
    answers: list[object] = field(default_factory=list)

    async def read(self, customer: str = "C-1") -> Known:
        return await self.state.read(Lookup(customer_id=customer, touchpoint_id="t", supply=query(self.now)))

    def entry(
        self, known: Known, customer: str = "C-1", *, until: timedelta | None = None, **changes: object
    ) -> LogEntry:
        self.count += 1
        decision_id = f"dec_{shard_of(customer):02x}{self.count:032x}"
        contact = Contact(
            contact_id=decision_id, touch=MAIL, at=self.now, reserved_until=None if until is None else self.now + until
        )
        reservation = Reservation(
            contacts=(contact,),
            uses={SEATS: 1.0, CALLS: 1.0},
            ceilings={SEATS: self.limit},
            version=known.live.version,
            household_version=known.live.household_version,
            evidence={"free-coffee": 1},
        )
        fields: dict[str, object] = {"reservation": reservation, "supply": query(self.now), **changes}
        return LogEntry(
            decision_id=decision_id,
            customer_id=customer,
            channel_id="email",
            row=orjson.dumps({"decision_id": decision_id}),
            ask=ask_fields(Request(customer_id=customer, touchpoint_id="weekly", request_key=""), MAIL.message_key),
            **fields,  # pyright: ignore[reportArgumentType]
        )

    async def send(self, customer: str = "C-1", **changes: object) -> str:
        entry = self.entry(await self.read(customer), customer, **changes)  # pyright: ignore[reportArgumentType]
        assert await self.state.commit([entry]) == [None]
        return entry.decision_id

    async def report(self, decision_id: str, word: str, customer: str = "C-1", at: datetime = NOW) -> bool:
        delivered = time_text(at) if word == "delivered" else None
        changes = Changes(contact=(decision_id, "release" if word == "release" else "confirm", delivered))
        taking = Taking(
            seen_as=f"outcomes:{decision_id}:{word}",
            customer_id=customer,
            row=b"{}",
            now=self.now,
            changes=changes,
            decision_id=decision_id,
        )
        [taken] = await self.state.take("outcomes", [taking])
        return taken is Taken.IN

    async def settle(self, decision_id: str, *, is_allowed: bool, answer: bytes = b"{}") -> bytes | Conflict | None:
        context = await self.state.permit_context(decision_id, query(self.now))
        assert context is not None
        live = context.known.live
        entry = self.entry(context.known, context.customer_id)
        assert entry.reservation is not None
        contact = replace(entry.reservation.contacts[0], contact_id=decision_id)
        return await self.state.settle_permit(
            Settlement(
                decision_id=decision_id,
                customer_id=context.customer_id,
                is_allowed=is_allowed,
                answer=answer,
                good_until=self.now + timedelta(minutes=10),
                reservation=replace(
                    entry.reservation,
                    contacts=(contact,),
                    version=live.version,
                    household_version=live.household_version,
                ),
                supply=query(self.now),
                rows=(("outcomes", b"{}"),) if not is_allowed else (),
            )
        )
