"""Reservations on a real Redis: expiry, release, confirmation, and ghosts that use nothing."""

from dataclasses import replace
from datetime import timedelta

import redis

from decisioning.catalogue.contact_policy import Contact
from decisioning.gates.reservation import Reservation
from features.online.redis_keys import counter_key, household_pointer_key, shard_of, stream_key
from serving.live.reader import Conflict
from serving.live.writer import FurtherRow
from tests.serving.live.decider import CALLS, HOUR, MAIL, NOW, SEATS, Decider, query


async def test_an_expired_reservation_releases_its_use_once(decider: Decider) -> None:
    await decider.send("C-1", until=HOUR)
    await decider.send("C-2", until=2 * HOUR)
    assert (await decider.read("C-3")).supply.used[SEATS] == 2

    decider.now += HOUR

    assert (await decider.read("C-3")).supply.used == {SEATS: 1.0, CALLS: 1.0}
    assert (await decider.read("C-3")).supply.used == {SEATS: 1.0, CALLS: 1.0}
    await decider.send("C-3")


async def test_a_commit_uses_room_that_an_expired_reservation_left(decider: Decider) -> None:
    await decider.send("C-1", until=HOUR)
    await decider.send("C-2", until=HOUR)
    decider.now += HOUR - timedelta(microseconds=1)
    known = await decider.read("C-3")
    [full] = await decider.state.commit([decider.entry(known, "C-3")])
    assert isinstance(full, Conflict)

    decider.now += timedelta(microseconds=1)

    assert await decider.state.commit([decider.entry(known, "C-3")]) == [None]


async def test_an_unsent_message_releases_its_use_and_a_delivered_one_takes_it_again(decider: Decider) -> None:
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


async def test_a_confirmed_reservation_does_not_expire(decider: Decider, live_redis: redis.Redis) -> None:
    for customer in ("C-1", "C-2"):
        live_redis.set(household_pointer_key(customer), "H")
    decision_id = await decider.send(until=HOUR)
    await decider.report(decision_id, "confirm")
    decider.now += 2 * HOUR

    assert (await decider.read("C-2")).supply.used[SEATS] == 1
    assert [one.is_confirmed for one in (await decider.read("C-2")).live.household_contacts] == [True]


async def test_a_message_delivered_after_its_reservation_expired_still_counts(decider: Decider) -> None:
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


async def test_a_slate_is_reserved_as_a_whole_and_released_by_position(
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
    further = (FurtherRow(decision_id=second.contact_id, channel_id="email", row=b"{}", ask=entry.ask),)

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
    assert context.decided is not None
    assert (context.decided.decision_id, context.decided.message_key) == (second.contact_id, MAIL.message_key)
    assert await decider.state.row(second.contact_id) == b"{}"


async def test_a_ghost_is_stored_and_uses_no_shared_limit(decider: Decider) -> None:
    entry = decider.entry(await decider.read())
    ghost = Contact(contact_id=f"{entry.decision_id}-ghost", touch=MAIL, at=NOW, is_confirmed=True, is_ghost=True)
    reservation = Reservation(contacts=(ghost,))

    assert await decider.state.commit([replace(entry, reservation=reservation)]) == [None]

    known = await decider.read()
    assert known.live.contacts == (ghost,)
    assert known.supply.used[SEATS] == 0
