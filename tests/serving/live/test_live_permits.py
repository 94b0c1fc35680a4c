"""Permits on a real Redis: the first answer stands, and a denial releases everything."""

from dataclasses import replace
from datetime import timedelta

import redis

from features.online.redis_keys import shard_of, stream_key
from serving.live.reader import Conflict
from serving.live.writer import Settlement
from tests.serving.live.decider import CALLS, HOUR, NOW, SEATS, Decider, query


async def test_the_first_answer_of_a_permit_stands_until_it_expires(decider: Decider) -> None:
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


async def test_a_permit_confirms_the_reservation_from_then_on(decider: Decider) -> None:
    decision_id = await decider.send(until=HOUR)
    decider.now += HOUR / 2

    await decider.settle(decision_id, is_allowed=True)

    [contact] = (await decider.read()).live.contacts
    assert (contact.at, contact.reserved_until) == (NOW + HOUR / 2, None)
    decider.now += 2 * HOUR
    assert (await decider.read()).supply.used[SEATS] == 1


async def test_a_denial_releases_everything_and_is_logged(decider: Decider, live_redis: redis.Redis) -> None:
    decision_id = await decider.send(until=HOUR)

    assert await decider.settle(decision_id, is_allowed=False) is None

    known = await decider.read()
    assert (known.supply.used[SEATS], known.live.contacts[0].counts_at(NOW)) == (0.0, False)
    assert live_redis.xlen(stream_key(shard_of("C-1"))) == 2
    decider.now += timedelta(minutes=11)
    assert await decider.settle(decision_id, is_allowed=True) is None
    known = await decider.read()
    assert (known.supply.used[SEATS], known.live.contacts[0].counts_at(NOW)) == (1.0, True)


async def test_an_expired_reservation_is_renewed_only_if_there_is_room(decider: Decider) -> None:
    late, early = await decider.send("C-1", until=HOUR), await decider.send("C-2", until=HOUR)
    decider.now += HOUR
    assert await decider.settle(early, is_allowed=True) is None
    await decider.send("C-3")

    assert isinstance(await decider.settle(late, is_allowed=True), Conflict)

    assert (await decider.read()).supply.used[SEATS] == 2


async def test_a_permit_checked_with_an_older_book_is_checked_again(decider: Decider) -> None:
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


async def test_a_permit_sees_the_counters_without_its_own_reservation(decider: Decider) -> None:
    decision_id = await decider.send(until=HOUR)
    await decider.send("C-2", until=HOUR)

    context = await decider.state.permit_context(decision_id, query())

    assert context is not None
    assert context.known.supply.used == {SEATS: 1.0, CALLS: 1.0}
    assert await decider.settle(decision_id, is_allowed=True) is None  # its own use
    assert (await decider.read()).supply.used[SEATS] == 2


async def test_an_unknown_decision_has_no_permit_context(decider: Decider) -> None:
    assert await decider.state.permit_context("D-1", query()) is None
    assert await decider.state.permit_context("dec_00" + "0" * 32, query()) is None
