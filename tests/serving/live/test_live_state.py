"""Contacts, reservations and shared counters on a real Redis: what is read, committed, permitted and given back."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import redis

from decisioning.catalogue.contact_policy import Contact, Touch
from decisioning.catalogue.message import MessageClass
from decisioning.gates.reservation import Reservation
from features.online.redis_keys import (
    EVIDENCE_KEY,
    PRICES_KEY,
    book_key,
    counter_key,
    events_key,
    feature_key,
    household_book_key,
    household_pointer_key,
    profile_key,
    shard_of,
    stream_key,
)
from serving.live.changes import Changes
from serving.live.encoding import time_text
from serving.live.reader import Conflict, Known, Lookup, SupplyQuery
from serving.live.redis_link import RedisLink
from serving.live.scripts import MOST_CONTACTS, MOST_EVENTS
from serving.live.store import LiveStore
from serving.live.writer import FurtherRow, LogEntry, Settlement, Taking

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
MAIL = Touch(
    message_class=MessageClass.MARKETING,
    department="marketing",
    goal_id="loyalty",
    channel_id="email",
    offer_id="free-coffee",
    creative_id="plain",
)
SEATS = "limit:seats:total"
CALLS = "limit:calls:2026-11-02"
HOUR = timedelta(hours=1)


def query(at: datetime = NOW) -> SupplyQuery:
    return SupplyQuery(now=at, counters=(CALLS, SEATS), wants_evidence=True)


@dataclass
class Decider:
    """Somebody who decides about customers."""

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
            record=b'{"decision": true}',
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
        [is_new] = await self.state.take_in("outcomes", [taking])
        return is_new

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


@pytest.fixture
async def state(redis_url: str, live_redis: redis.Redis) -> AsyncIterator[LiveStore]:
    state = LiveStore(redis_url, decision_ttl=timedelta(days=7))
    await state.start()
    yield state
    await state.stop()


@pytest.fixture
def decider(state: LiveStore) -> Decider:
    return Decider(state=state)


async def test_one_trip_reads_profile_features_books_household_and_what_all_share(
    decider: Decider, live_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_redis.mset({feature_key("C-1"): b"features", profile_key("C-1"): b"profile"})
    for customer in ("C-1", "C-2"):
        live_redis.set(household_pointer_key(customer), "Hüttl 7")
    live_redis.hset(PRICES_KEY, "seats", "12.5")
    mine, theirs = await decider.send("C-1"), await decider.send("C-2")
    trips: list[int] = []
    send = RedisLink.send
    monkeypatch.setattr(RedisLink, "send", lambda link, commands: trips.append(len(commands)) or send(link, commands))

    known = await decider.read("C-1")

    assert [count for count in trips if count > 1] == [2]  # the customer's script and everybody's, sent together
    assert (known.features, known.profile, known.household_id) == (b"features", b"profile", "Hüttl 7")
    assert [one.contact_id for one in known.live.contacts] == [mine]
    assert {one.contact_id for one in known.live.household_contacts} == {mine, theirs}
    assert known.live.contacts[0] == Contact(contact_id=mine, touch=MAIL, at=NOW)
    assert known.supply.used == {SEATS: 2.0, CALLS: 2.0}
    assert known.supply.prices_minor == {"seats": 12.5}
    assert known.supply.evidence == {"free-coffee": 2}
    assert live_redis.exists(household_book_key("Hüttl 7"))


async def test_who_decided_by_an_older_book_writes_nothing_and_is_told_the_newer_one(
    decider: Decider, live_redis: redis.Redis
) -> None:
    known = await decider.read()
    first, second = decider.entry(known), decider.entry(known)

    done, lost = await decider.state.commit([first, second])

    assert done is None
    assert isinstance(lost, Conflict)
    assert lost.live == (await decider.read()).live
    assert [one.contact_id for one in lost.live.contacts] == [first.decision_id]
    assert lost.supply.used == {SEATS: 1.0, CALLS: 1.0}
    assert live_redis.xlen(stream_key(shard_of("C-1"))) == 1
    assert await decider.state.record(second.decision_id) is None

    again = decider.entry(lost.after(known))
    assert await decider.state.commit([again]) == [None]


async def test_a_member_s_contact_makes_the_rest_of_the_household_decide_again(
    decider: Decider, live_redis: redis.Redis
) -> None:
    for customer in ("C-1", "C-2"):
        live_redis.set(household_pointer_key(customer), "H")
    other = decider.entry(await decider.read("C-2"), "C-2")
    await decider.send("C-1")

    [lost] = await decider.state.commit([other])

    assert isinstance(lost, Conflict)
    assert (lost.household_id, len(lost.live.household_contacts), lost.live.contacts) == ("H", 1, ())


async def test_silence_moves_no_version_and_conflicts_with_nothing(decider: Decider) -> None:
    known = await decider.read()
    send = decider.entry(known)
    silence = decider.entry(known, reservation=Reservation())

    assert await decider.state.commit([silence, send]) == [None, None]
    assert await decider.state.commit([decider.entry(known, reservation=None)]) == [None]


async def test_a_forgotten_book_cannot_pass_for_the_one_that_was_read(
    decider: Decider, live_redis: redis.Redis
) -> None:
    decider.limit = 9
    await decider.send()
    known = await decider.read()
    live_redis.delete(book_key("C-1"))
    await decider.send()

    [lost] = await decider.state.commit([decider.entry(known)])

    assert isinstance(lost, Conflict)


async def test_a_counter_never_passes_its_ceiling_whoever_the_customers_are(
    decider: Decider, live_redis: redis.Redis
) -> None:
    entries = [decider.entry(await decider.read(f"C-{n}"), f"C-{n}") for n in range(4)]

    replies = await decider.state.commit(entries)

    assert [reply is None for reply in replies] == [True, True, False, False]
    assert float(live_redis.get(counter_key(SEATS)) or 0) == 2  # pyright: ignore[reportArgumentType]
    assert live_redis.ttl(counter_key(SEATS)) == -1  # for the whole of the limit's life
    assert 40 * 86_400 < live_redis.ttl(counter_key(CALLS)) < 100 * 86_400  # pyright: ignore[reportOperatorIssue]


@pytest.mark.parametrize(("limit", "sent"), [(0.0, 0), (1.0, 1), (None, 3)])
async def test_a_limit_of_zero_of_one_and_none_mean_just_that(decider: Decider, limit: float | None, sent: int) -> None:
    done = 0
    for n in range(3):
        entry = decider.entry(await decider.read(f"C-{n}"), f"C-{n}")
        assert entry.reservation is not None
        ceilings = {} if limit is None else {SEATS: limit}
        entry = replace(entry, reservation=replace(entry.reservation, ceilings=ceilings))
        done += (await decider.state.commit([entry])) == [None]
    assert done == sent


async def test_amounts_of_money_add_up_to_the_last_tenth_of_a_cent(decider: Decider) -> None:
    for n in range(10):
        entry = decider.entry(await decider.read(f"C-{n}"), f"C-{n}")
        assert entry.reservation is not None
        reservation = replace(entry.reservation, uses={SEATS: 0.1}, ceilings={SEATS: 1.0})
        assert await decider.state.commit([replace(entry, reservation=reservation)]) == [None]
    assert (await decider.read()).supply.used[SEATS] == 1.0


async def test_a_reservation_that_runs_out_gives_its_part_back_once(decider: Decider) -> None:
    await decider.send("C-1", until=HOUR)
    await decider.send("C-2", until=2 * HOUR)
    assert (await decider.read("C-3")).supply.used[SEATS] == 2

    decider.now += HOUR

    assert (await decider.read("C-3")).supply.used == {SEATS: 1.0, CALLS: 1.0}
    assert (await decider.read("C-3")).supply.used == {SEATS: 1.0, CALLS: 1.0}
    await decider.send("C-3")


async def test_the_commit_itself_finds_room_that_a_reservation_left(decider: Decider) -> None:
    await decider.send("C-1", until=HOUR)
    await decider.send("C-2", until=HOUR)
    decider.now += HOUR - timedelta(microseconds=1)
    known = await decider.read("C-3")
    [full] = await decider.state.commit([decider.entry(known, "C-3")])
    assert isinstance(full, Conflict)

    decider.now += timedelta(microseconds=1)

    assert await decider.state.commit([decider.entry(known, "C-3")]) == [None]


async def test_what_was_not_sent_gives_back_and_what_arrived_takes_again(decider: Decider) -> None:
    decision_id = await decider.send()
    assert (await decider.read()).supply.used[SEATS] == 1

    assert await decider.report(decision_id, "release") is True
    assert await decider.report(decision_id, "release") is False
    known = await decider.read()
    assert (known.supply.used[SEATS], known.live.contacts[0].counts_at(NOW)) == (0.0, False)

    await decider.report(decision_id, "delivered", at=NOW + HOUR)
    known = await decider.read()
    assert (known.supply.used[SEATS], known.live.contacts[0].counts_at(NOW)) == (1.0, True)
    assert known.live.contacts[0].at == NOW + HOUR


async def test_a_confirmed_reservation_does_not_run_out(decider: Decider, live_redis: redis.Redis) -> None:
    for customer in ("C-1", "C-2"):
        live_redis.set(household_pointer_key(customer), "H")
    decision_id = await decider.send(until=HOUR)
    await decider.report(decision_id, "confirm")
    decider.now += 2 * HOUR

    assert (await decider.read("C-2")).supply.used[SEATS] == 1
    assert [one.is_confirmed for one in (await decider.read("C-2")).live.household_contacts] == [True]


async def test_what_arrived_after_its_reservation_ran_out_counts_all_the_same(decider: Decider) -> None:
    decision_id = await decider.send(until=HOUR)
    decider.now += 2 * HOUR
    assert (await decider.read()).supply.used[SEATS] == 0

    await decider.report(decision_id, "confirm")

    assert (await decider.read()).supply.used[SEATS] == 1


async def test_counters_never_fall_below_zero(decider: Decider, live_redis: redis.Redis) -> None:
    decision_id = await decider.send()
    live_redis.set(counter_key(SEATS), "0.5")
    live_redis.delete(counter_key(CALLS))

    await decider.report(decision_id, "release")

    assert (await decider.read()).supply.used == {SEATS: 0.0, CALLS: 0.0}


async def test_a_slate_is_reserved_as_one_and_released_position_by_position(
    decider: Decider, live_redis: redis.Redis
) -> None:
    entry = decider.entry(await decider.read(), until=HOUR)
    assert entry.reservation is not None
    [first] = entry.reservation.contacts
    second = replace(first, contact_id=f"{entry.decision_id}-2")
    reservation = replace(
        entry.reservation,
        contacts=(first, second),
        uses={SEATS: 2.0},
        uses_by_contact={first.contact_id: {SEATS: 1.0}, second.contact_id: {SEATS: 1.0}},
    )
    further = (FurtherRow(decision_id=second.contact_id, channel_id="email", row=b"{}"),)

    assert await decider.state.commit([replace(entry, reservation=reservation, further=further)]) == [None]

    assert live_redis.xlen(stream_key(shard_of("C-1"))) == 2
    [owner] = await decider.state.owners([second.contact_id])
    assert owner is not None
    assert (owner.customer_id, owner.touch) == ("C-1", MAIL)
    await decider.report(second.contact_id, "release")
    known = await decider.read()
    assert known.supply.used[SEATS] == 1
    assert {one.contact_id: one.is_released for one in known.live.contacts} == {
        first.contact_id: False,
        second.contact_id: True,
    }
    context = await decider.state.permit_context(second.contact_id, query())
    assert context is not None
    assert context.record == b'{"decision": true}'


async def test_a_ghost_is_remembered_and_takes_nothing_that_is_shared(decider: Decider) -> None:
    entry = decider.entry(await decider.read())
    ghost = Contact(contact_id=f"{entry.decision_id}-ghost", touch=MAIL, at=NOW, is_confirmed=True, is_ghost=True)
    reservation = Reservation(contacts=(ghost,))

    assert await decider.state.commit([replace(entry, reservation=reservation)]) == [None]

    known = await decider.read()
    assert known.live.contacts == (ghost,)
    assert known.supply.used[SEATS] == 0


async def test_the_first_answer_of_a_permit_stands_while_it_is_good(decider: Decider) -> None:
    decision_id = await decider.send(until=HOUR)

    assert await decider.settle(decision_id, is_allowed=True, answer=b"yes") is None
    assert await decider.settle(decision_id, is_allowed=False, answer=b"no") == b"yes"
    context = await decider.state.permit_context(decision_id, query())
    assert context is not None
    assert context.answer == b"yes"

    decider.now += timedelta(minutes=11)
    context = await decider.state.permit_context(decision_id, query(decider.now))
    assert context is not None
    assert context.answer is None


async def test_with_leave_a_reservation_counts_from_then_on_and_no_longer_runs_out(decider: Decider) -> None:
    decision_id = await decider.send(until=HOUR)
    decider.now += HOUR / 2

    await decider.settle(decision_id, is_allowed=True)

    [contact] = (await decider.read()).live.contacts
    assert (contact.at, contact.reserved_until) == (NOW + HOUR / 2, None)
    decider.now += 2 * HOUR
    assert (await decider.read()).supply.used[SEATS] == 1


async def test_what_is_denied_gives_everything_back_with_its_row_in_the_log(
    decider: Decider, live_redis: redis.Redis
) -> None:
    decision_id = await decider.send(until=HOUR)

    assert await decider.settle(decision_id, is_allowed=False) is None

    known = await decider.read()
    assert (known.supply.used[SEATS], known.live.contacts[0].counts_at(NOW)) == (0.0, False)
    assert live_redis.xlen(stream_key(shard_of("C-1"))) == 2
    decider.now += timedelta(minutes=11)
    assert await decider.settle(decision_id, is_allowed=True) is None
    known = await decider.read()
    assert (known.supply.used[SEATS], known.live.contacts[0].counts_at(NOW)) == (1.0, True)


async def test_a_reservation_that_ran_out_is_taken_again_only_where_there_is_room(decider: Decider) -> None:
    late, early = await decider.send("C-1", until=HOUR), await decider.send("C-2", until=HOUR)
    decider.now += HOUR
    assert await decider.settle(early, is_allowed=True) is None
    await decider.send("C-3")

    assert isinstance(await decider.settle(late, is_allowed=True), Conflict)

    assert (await decider.read()).supply.used[SEATS] == 2


async def test_a_permit_judged_by_an_older_book_is_judged_again(decider: Decider) -> None:
    decider.limit = 9
    decision_id = await decider.send(until=HOUR)
    context = await decider.state.permit_context(decision_id, query())
    assert context is not None
    entry = decider.entry(context.known)
    assert entry.reservation is not None
    contact = replace(entry.reservation.contacts[0], contact_id=decision_id)
    await decider.send()
    settlement = Settlement(
        decision_id=decision_id,
        customer_id="C-1",
        is_allowed=True,
        answer=b"yes",
        good_until=NOW + HOUR,
        reservation=replace(entry.reservation, contacts=(contact,)),
        supply=query(),
    )

    lost = await decider.state.settle_permit(settlement)

    assert isinstance(lost, Conflict)
    assert len(lost.live.contacts) == 2


async def test_a_permit_sees_the_counters_as_if_its_own_reservation_were_not_there(decider: Decider) -> None:
    decision_id = await decider.send(until=HOUR)
    await decider.send("C-2", until=HOUR)

    context = await decider.state.permit_context(decision_id, query())

    assert context is not None
    assert context.known.supply.used == {SEATS: 1.0, CALLS: 1.0}
    assert await decider.settle(decision_id, is_allowed=True) is None  # its own part is what it takes
    assert (await decider.read()).supply.used[SEATS] == 2


async def test_a_decision_of_somebody_else_has_no_permit_context(decider: Decider) -> None:
    assert await decider.state.permit_context("D-1", query()) is None
    assert await decider.state.permit_context("dec_00" + "0" * 32, query()) is None


async def test_contacts_beyond_every_window_leave_the_book_and_the_newest_stay(
    decider: Decider, live_redis: redis.Redis
) -> None:
    decider.limit = 1e9
    for _ in range(20):
        await decider.send(book_lasts=timedelta(days=10))
    decider.now += timedelta(days=11)
    for _ in range(30):
        await decider.send(book_lasts=timedelta(days=10))

    contacts = (await decider.read()).live.contacts
    assert 30 <= len(contacts) < 46  # swept every sixteen contacts
    assert sum(one.at == decider.now for one in contacts) == 30
    assert live_redis.ttl(book_key("C-1")) <= 10 * 86_400  # pyright: ignore[reportOperatorIssue]


async def test_a_book_holds_so_many_contacts_at_most(decider: Decider, live_redis: redis.Redis) -> None:
    decider.limit = 1e9
    await decider.send()
    [known] = (await decider.read()).live.contacts
    value = live_redis.hget(book_key("C-1"), known.contact_id)
    assert isinstance(value, bytes)
    filler = {f"x{n}": value[:3] + b"%016d" % n + value[19:] for n in range(MOST_CONTACTS + 40)}
    live_redis.hset(book_key("C-1"), mapping=filler)  # pyright: ignore[reportArgumentType]
    for _ in range(16):
        await decider.send(book_lasts=timedelta(days=365_000))

    contacts = (await decider.read()).live.contacts
    assert len(contacts) <= MOST_CONTACTS + 16
    assert sum(one.at == NOW for one in contacts) == 17


async def test_recent_behaviour_is_of_the_last_day_and_bounded(decider: Decider, live_redis: redis.Redis) -> None:
    def taking(n: int, at: datetime) -> Taking:
        changes = Changes(event=(time_text(at), f"browse\0e-{n}"))
        return Taking(seen_as=f"events:e-{n}", customer_id="C-1", row=b"{}", now=decider.now, changes=changes)

    await decider.state.take_in("events", [taking(n, NOW - timedelta(minutes=n)) for n in range(MOST_EVENTS + 20)])
    events = (await decider.read()).live.events
    assert len(events) == MOST_EVENTS
    assert (events[-1].event_type, events[-1].at) == ("browse", NOW)

    decider.now += timedelta(hours=23, minutes=30)
    assert len((await decider.read()).live.events) == 31
    await decider.state.take_in("events", [taking(1_000, decider.now)])
    assert live_redis.zcard(events_key("C-1")) == 32
    assert 0 < live_redis.ttl(events_key("C-1")) < 2 * 86_400  # pyright: ignore[reportOperatorIssue]


async def test_a_flushed_redis_is_told_its_scripts_again(decider: Decider, live_redis: redis.Redis) -> None:
    live_redis.script_flush()
    assert (await decider.read()).live.contacts == ()


async def test_evidence_counts_decisions_that_were_committed(decider: Decider, live_redis: redis.Redis) -> None:
    known = await decider.read()
    await decider.state.commit([decider.entry(known), decider.entry(known)])
    assert live_redis.hgetall(EVIDENCE_KEY) == {b"free-coffee": b"1"}
