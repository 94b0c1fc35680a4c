"""The cost of reading and committing one decision's live state: `python benchmarks/live_state.py`.

A separate Redis on a unix socket, one connection, one customer after the other; microseconds per round trip (median),
and how much of that Redis spends in the scripts (mean). `bare` is what a store without books, households and counters
would do: MGET and HGETALL to read; XADD, HSET and PEXPIRE to write.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import orjson
import redis

from decisioning.catalogue.contact_policy import Contact, Touch
from decisioning.catalogue.message import MessageClass
from decisioning.gates.reservation import Reservation
from features.online.redis_keys import (
    decision_key,
    feature_key,
    household_pointer_key,
    live_key,
    profile_key,
    shard_of,
    stream_key,
)
from features.settings import Settings
from pipelines.server.embedded_redis import embedded_redis
from serving.live.changes import Changes
from serving.live.encoding import time_text
from serving.live.reader import Lookup, SupplyQuery
from serving.live.redis_link import RedisLink, connect
from serving.live.store import LiveStore
from serving.live.writer import LogEntry, Taking

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
CUSTOMERS = 200
ASK, ROW, FEATURES, PROFILE = b"a" * 120, b"w" * 2_400, b"f" * 600, b"p" * 500
COUNTERS = tuple(f"limit:{name}:2026-11-02" for name in ("calls", "budget", "letters", "seats"))
TOUCH = Touch(
    message_class=MessageClass.MARKETING, department="marketing", goal_id="loyalty", channel_id="email",
    offer_id="free-coffee", creative_id="plain",
)  # fmt: skip
OFFERS = 40


def decision_id(customer: str, number: int) -> str:
    return f"dec_{shard_of(customer):02x}{number:032x}"


def entry_of(customer: str, number: int, reservation: Reservation | None, query: SupplyQuery) -> LogEntry:
    return LogEntry(
        decision_id=decision_id(customer, number), customer_id=customer, channel_id="email", row=ROW, ask=ASK,
        reservation=reservation, supply=query,
    )  # fmt: skip


async def prepare(state: LiveStore, client: redis.Redis, contacts: int, events: int) -> None:
    """Create customers with books, households of two, and behaviour of the last day."""
    query = SupplyQuery(now=NOW)
    for n in range(CUSTOMERS):
        customer = f"C-{n}"
        client.set(feature_key(customer), FEATURES)
        client.set(profile_key(customer), PROFILE)
        client.set(household_pointer_key(customer), f"H-{n // 2}")
        known = await state.read(Lookup(customer_id=customer, touchpoint_id="t"))
        book = tuple(
            Contact(contact_id=decision_id(customer, k), touch=TOUCH, at=NOW - timedelta(hours=k + 1))
            for k in range(contacts)
        )
        reservation = Reservation(
            contacts=book, version=known.live.version, household_version=known.live.household_version
        )
        assert await state.commit([entry_of(customer, 10**6, reservation, query)]) == [None]
        takings = [
            Taking(
                seen_as=f"events:{customer}-{k}", customer_id=customer, row=b"{}", now=NOW,
                changes=Changes(event=(time_text(NOW - timedelta(minutes=k)), f"browse\0{customer}-{k}")),
            )
            for k in range(events)
        ]  # fmt: skip
        await state.take("events", takings)
    client.hset("nb:{all}:evidence", mapping={f"offer-{n}": n for n in range(OFFERS)})


async def timed(work: Callable[[int], Awaitable[object]], calls: int) -> float:
    """Microseconds per call, the median."""
    spent: list[float] = []
    for n in range(50 + calls):
        started = time.perf_counter()
        await work(n)
        spent.append(time.perf_counter() - started)
    return median(spent[50:]) * 1e6


async def bare(link: RedisLink, calls: int) -> dict[str, float]:
    async def read(n: int) -> None:
        customer = f"C-{n % CUSTOMERS}"
        await link.send([("MGET", feature_key(customer), profile_key(customer)), ("HGETALL", live_key(customer))])

    async def commit(n: int) -> None:
        customer = f"C-{n % CUSTOMERS}"
        shard = shard_of(customer)
        key = decision_key(decision_id(customer, 10**9 + n), shard)
        await link.send(
            [
                ("XADD", stream_key(shard), "*", "table", "decisions", "row", ROW),
                ("HSET", key, "customer_id", customer, "channel", "email", "ask", ASK),
                ("PEXPIRE", key, 86_400_000),
            ]
        )

    return {"read, bare": await timed(read, calls), "commit, bare": await timed(commit, calls)}


async def measured(state: LiveStore, client: redis.Redis, calls: int) -> dict[str, float]:
    asking = SupplyQuery(now=NOW, counters=COUNTERS, wants_evidence=True)

    def read(query: SupplyQuery) -> Callable[[int], Awaitable[object]]:
        return lambda n: state.read(Lookup(customer_id=f"C-{n % CUSTOMERS}", touchpoint_id="t", supply=query))

    async def silence(n: int) -> None:
        customer = f"C-{n % CUSTOMERS}"
        assert await state.commit([entry_of(customer, 2 * 10**9 + n, None, asking)]) == [None]

    found = {
        "read": await timed(read(replace(asking, counters=(), wants_evidence=False)), calls),
        "read, with counters and evidence": await timed(read(asking), calls),
        "commit of silence": await timed(silence, calls),
    }
    client.config_resetstat()
    found["commit of a message"] = await committing(state, asking, calls)
    stats = client.info("commandstats")["cmdstat_evalsha"]
    found["  of that in Redis, for read and commit"] = stats["usec"] / (calls + 50)
    return found


async def committing(state: LiveStore, query: SupplyQuery, calls: int) -> float:
    """Median time of commits alone, each with the book just read."""
    spent: list[float] = []
    for n in range(calls + 50):
        customer = f"C-{n % CUSTOMERS}"
        known = await state.read(Lookup(customer_id=customer, touchpoint_id="t"))
        contact = Contact(contact_id=decision_id(customer, 3 * 10**9 + n), touch=TOUCH, at=NOW)
        reservation = Reservation(
            contacts=(contact,), uses=dict.fromkeys(COUNTERS, 1.0), ceilings=dict.fromkeys(COUNTERS, 1e9),
            version=known.live.version, household_version=known.live.household_version, evidence={"offer-1": 1},
        )  # fmt: skip
        entry = entry_of(customer, 3 * 10**9 + n, reservation, query)
        started = time.perf_counter()
        assert await state.commit([entry]) == [None]
        spent.append(time.perf_counter() - started)
    return median(spent[50:]) * 1e6


async def run(url: str, options: argparse.Namespace) -> dict[str, float]:
    client = redis.Redis.from_url(url)
    state = LiveStore(url, decision_ttl=timedelta(days=7))
    await state.start()
    await prepare(state, client, options.contacts, options.events)
    link = await connect(url)
    found = await bare(link, options.calls)
    link.close()
    found |= await measured(state, client, options.calls)
    await state.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--contacts", type=int, default=10, help="contacts per customer; a household has twice as many")
    parser.add_argument("--events", type=int, default=10, help="events of the last day per customer")
    parser.add_argument("--fsync", choices=("always", "everysec"), default="everysec")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nextbest-bench-") as folder:
        settings = Settings(home=Path(folder), redis_fsync=options.fsync)
        with embedded_redis(settings) as url:
            found = asyncio.run(run(url, options))
    size = len(orjson.dumps(ROW.decode()))
    print(f"{options.contacts} contacts, {options.events} events, {len(COUNTERS)} counters, rows of {size} bytes")
    for name, micros in found.items():
        print(f"{name:42}{micros:8.0f} us")


if __name__ == "__main__":
    main()
