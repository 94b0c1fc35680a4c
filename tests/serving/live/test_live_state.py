"""Books and shared counters on a real Redis: what is read, committed and kept."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import redis

from decisioning.catalogue.contact_policy import Contact
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
from serving.live.book import MOST_CONTACTS
from serving.live.changes import Changes
from serving.live.encoding import time_text
from serving.live.reader import Conflict
from serving.live.recent_events import MOST_EVENTS
from serving.live.redis_link import RedisLink
from serving.live.writer import Taking
from tests.serving.live.decider import CALLS, MAIL, NOW, SEATS, Decider


async def test_one_round_trip_reads_profile_features_books_household_and_shared_limits(
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

    assert [count for count in trips if count > 1] == [2]  # the customer's script and the shared one, sent together
    assert (known.features, known.profile, known.household_id) == (b"features", b"profile", "Hüttl 7")
    assert [one.contact_id for one in known.live.contacts] == [mine]
    assert {one.contact_id for one in known.live.household_contacts} == {mine, theirs}
    assert known.live.contacts[0] == Contact(contact_id=mine, touch=MAIL, at=NOW)
    assert known.supply.used == {SEATS: 2.0, CALLS: 2.0}
    assert known.supply.prices_minor == {"seats": 12.5}
    assert known.supply.evidence == {"free-coffee": 2}
    assert live_redis.exists(household_book_key("Hüttl 7"))


async def test_a_commit_with_an_older_book_writes_nothing_and_gets_the_newer_one(
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
    assert await decider.state.row(second.decision_id) is None

    again = decider.entry(lost.after(known))
    assert await decider.state.commit([again]) == [None]


async def test_a_members_contact_makes_the_others_in_the_household_decide_again(
    decider: Decider, live_redis: redis.Redis
) -> None:
    for customer in ("C-1", "C-2"):
        live_redis.set(household_pointer_key(customer), "H")
    other = decider.entry(await decider.read("C-2"), "C-2")
    await decider.send("C-1")

    [lost] = await decider.state.commit([other])

    assert isinstance(lost, Conflict)
    assert (lost.household_id, len(lost.live.household_contacts), lost.live.contacts) == ("H", 1, ())


async def test_silence_changes_no_version_and_causes_no_conflict(decider: Decider) -> None:
    known = await decider.read()
    send = decider.entry(known)
    silence = decider.entry(known, reservation=Reservation())

    assert await decider.state.commit([silence, send]) == [None, None]
    assert await decider.state.commit([decider.entry(known, reservation=None)]) == [None]


async def test_a_deleted_book_is_not_mistaken_for_the_one_that_was_read(
    decider: Decider, live_redis: redis.Redis
) -> None:
    decider.limit = 9
    await decider.send()
    known = await decider.read()
    live_redis.delete(book_key("C-1"))
    await decider.send()

    [lost] = await decider.state.commit([decider.entry(known)])

    assert isinstance(lost, Conflict)


async def test_a_counter_never_exceeds_its_ceiling_across_customers(decider: Decider, live_redis: redis.Redis) -> None:
    entries = [decider.entry(await decider.read(f"C-{n}"), f"C-{n}") for n in range(4)]

    replies = await decider.state.commit(entries)

    assert [reply is None for reply in replies] == [True, True, False, False]
    assert float(live_redis.get(counter_key(SEATS)) or 0) == 2  # pyright: ignore[reportArgumentType]
    assert live_redis.ttl(counter_key(SEATS)) == -1  # over the limit's whole life
    assert 40 * 86_400 < live_redis.ttl(counter_key(CALLS)) < 100 * 86_400  # pyright: ignore[reportOperatorIssue]


@pytest.mark.parametrize(("limit", "sent"), [(0.0, 0), (1.0, 1), (None, 3)])
async def test_limits_of_0_and_1_and_no_limit_mean_exactly_that(
    decider: Decider, limit: float | None, sent: int
) -> None:
    done = 0
    for n in range(3):
        entry = decider.entry(await decider.read(f"C-{n}"), f"C-{n}")
        assert entry.reservation is not None
        ceilings = {} if limit is None else {SEATS: limit}
        entry = replace(entry, reservation=replace(entry.reservation, ceilings=ceilings))
        done += (await decider.state.commit([entry])) == [None]
    assert done == sent


async def test_amounts_of_money_add_up_to_a_tenth_of_a_cent(decider: Decider) -> None:
    for n in range(10):
        entry = decider.entry(await decider.read(f"C-{n}"), f"C-{n}")
        assert entry.reservation is not None
        reservation = replace(entry.reservation, uses={SEATS: 0.1}, ceilings={SEATS: 1.0})
        assert await decider.state.commit([replace(entry, reservation=reservation)]) == [None]
    assert (await decider.read()).supply.used[SEATS] == 1.0


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


async def test_a_book_has_a_maximum_number_of_contacts(decider: Decider, live_redis: redis.Redis) -> None:
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


async def test_recent_behaviour_covers_the_last_day_and_is_bounded(decider: Decider, live_redis: redis.Redis) -> None:
    def taking(n: int, at: datetime) -> Taking:
        changes = Changes(event=(time_text(at), f"browse\0e-{n}"))
        return Taking(seen_as=f"events:e-{n}", customer_id="C-1", row=b"{}", now=decider.now, changes=changes)

    await decider.state.take("events", [taking(n, NOW - timedelta(minutes=n)) for n in range(MOST_EVENTS + 20)])
    events = (await decider.read()).live.events
    assert len(events) == MOST_EVENTS
    assert (events[-1].event_type, events[-1].at) == ("browse", NOW)

    decider.now += timedelta(hours=23, minutes=30)
    assert len((await decider.read()).live.events) == 31
    await decider.state.take("events", [taking(1_000, decider.now)])
    assert live_redis.zcard(events_key("C-1")) == 32
    assert 0 < live_redis.ttl(events_key("C-1")) < 2 * 86_400  # pyright: ignore[reportOperatorIssue]


async def test_a_flushed_redis_gets_its_scripts_again(decider: Decider, live_redis: redis.Redis) -> None:
    live_redis.script_flush()
    assert (await decider.read()).live.contacts == ()


async def test_evidence_counts_committed_decisions(decider: Decider, live_redis: redis.Redis) -> None:
    known = await decider.read()
    await decider.state.commit([decider.entry(known), decider.entry(known)])
    assert live_redis.hgetall(EVIDENCE_KEY) == {b"free-coffee": b"1"}
