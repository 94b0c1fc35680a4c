"""Prices in Redis: set every second by one process, kept across restarts, and used by decisions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.limits import (
    DepartmentShare,
    Limit,
    LimitMeasure,
    LimitScope,
    Period,
    counter_name,
    total_counter_name,
)
from features.online.redis_keys import DEMAND_KEY, PACER_KEY, PACES_KEY, PRICES_KEY, counter_key
from serving.in_force.policy_in_force import InForce, put_in_force
from serving.watch import pacing
from serving.watch.pacing import Pacer, lines_of, scale_minor

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
MAILS = Limit(
    limit_id="mails", scope=LimitScope.CHANNEL, of="email", amount=100, period=Period.DAY, zone="Europe/Berlin"
)
SHARE = DepartmentShare(share_id="service-share", department="service", min_share=0.3)


def with_rules(catalogue: Catalogue, *limits: Limit, shares: tuple[DepartmentShare, ...] = ()) -> InForce:
    return put_in_force(replace(catalogue, limits=limits, shares=shares), seed="s")


@pytest.fixture
def pacer(redis_url: str, live_redis: redis.Redis, clock: Any) -> Callable[[InForce], Any]:
    """Another process that paces, for as long as a block lasts."""
    clock.now = NOON

    @asynccontextmanager
    async def start(in_force: InForce) -> AsyncIterator[Pacer]:
        one = Pacer(redis_url, in_force=lambda: in_force, now=clock)
        try:
            yield one
        finally:
            one.close()

    return start


def use(client: redis.Redis, rule: Limit | DepartmentShare, at: datetime, amount: float, value: str = "") -> None:
    client.set(counter_key(counter_name(rule, at, value or None)), amount)


def price(client: redis.Redis, name: str) -> float:
    return float(client.hget(PRICES_KEY, name) or 0)


async def test_a_burst_raises_the_price_and_a_lull_lowers_it(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    prices = []
    async with pacer(with_rules(shop_catalogue, MAILS)) as one:
        use(live_redis, MAILS, clock.now, 40)  # of 100, 13 hours into the day in Berlin
        prices.append((await one.look())["mails"])
        clock.now += timedelta(minutes=5)
        use(live_redis, MAILS, clock.now, 75)
        prices.append((await one.look())["mails"])
        clock.now += timedelta(hours=4)
        prices.append((await one.look())["mails"])

    assert prices[0] == 0 < prices[2] < prices[1]
    assert price(live_redis, "mails") == prices[2]


async def test_the_path_follows_demand_by_hour(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    """Forty by noon is on the path with even demand, and a burst if all demand comes in the evening."""
    live_redis.hset(DEMAND_KEY, mapping={str(hour): 10 if hour % 24 >= 18 else 0.1 for hour in range(168)})
    async with pacer(with_rules(shop_catalogue, MAILS)) as one:
        use(live_redis, MAILS, clock.now, 40)
        assert (await one.look())["mails"] > 0


async def test_one_process_sets_prices_and_another_takes_over_when_it_dies(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "LEADS_FOR_MS", 150)
    in_force = with_rules(shop_catalogue, MAILS)
    async with pacer(in_force) as first, pacer(in_force) as second:
        use(live_redis, MAILS, clock.now, 90)
        before = (await first.look())["mails"]
        assert await second.look() is None
        assert (await first.look())["mails"] == before > 0  # nothing happened in between
        await asyncio.sleep(0.3)
        assert (await second.look())["mails"] == before  # the lock has expired, the price has not
        assert await first.look() is None


async def test_a_process_that_loses_the_lock_while_pacing_writes_nothing(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    async with pacer(with_rules(shop_catalogue, MAILS)) as one:
        use(live_redis, MAILS, clock.now, 90)
        await one.look()
        live_redis.set(PACER_KEY, "somebody else")
        live_redis.delete(PRICES_KEY)
        await one._write({"mails": {"price_minor": 1.0}})

    assert not live_redis.exists(PRICES_KEY)


async def test_the_next_day_begins_with_the_price_of_the_day_before(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    async with pacer(with_rules(shop_catalogue, MAILS)) as one:
        use(live_redis, MAILS, clock.now, 95)
        before = (await one.look())["mails"]
        clock.now = datetime(2026, 11, 2, 23, 0, 1, tzinfo=UTC)  # past midnight in Berlin
        assert (await one.look())["mails"] == pytest.approx(before, rel=0.01)


async def test_a_limit_without_an_end_has_no_price(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    endless = replace(MAILS, period=Period.TOTAL)
    async with pacer(with_rules(shop_catalogue, endless)) as one:
        use(live_redis, endless, clock.now, 99)
        assert await one.look() == {"mails": 0}


async def test_a_limit_with_an_end_is_paced_from_first_sight(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    seats = replace(MAILS, period=Period.TOTAL, ends_at=NOON + timedelta(days=10))
    async with pacer(with_rules(shop_catalogue, seats)) as one:
        await one.look()
        clock.now += timedelta(days=1)
        use(live_redis, seats, clock.now, 50)
        assert (await one.look())["mails"] > 0


async def test_a_limit_that_counts_each_offer_separately_has_a_price_for_each(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    each = Limit(limit_id="each", scope=LimitScope.OFFER, amount=100, period=Period.DAY)
    async with pacer(with_rules(shop_catalogue, each)) as one:
        use(live_redis, each, clock.now, 95, "free-coffee")
        prices = await one.look()

    assert prices["each:free-coffee"] > 0
    assert {name for name, value in prices.items() if value == 0} == {
        "each:double-stamps",
        "each:ten-percent",
        "each:opening-hours",
    }


async def test_a_budget_is_priced_per_minor_unit(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    budget = Limit(
        limit_id="budget",
        scope=LimitScope.EVERYTHING,
        amount=100,
        measure=LimitMeasure.COST,
        period=Period.DAY,
    )
    costly = replace(
        shop_catalogue,
        channels={name: replace(one, cost_minor=10.0) for name, one in shop_catalogue.channels.items()},
    )
    async with pacer(with_rules(costly, budget)) as one:
        use(live_redis, budget, clock.now, 90)
        per_unit = (await one.look())["budget"]

    assert 0 < per_unit < scale_minor(costly)  # ten of them make one message


async def test_a_department_below_its_minimum_gets_a_negative_price(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    async with pacer(with_rules(shop_catalogue, shares=(SHARE,))) as one:
        for total in (0, 200):
            use(live_redis, SHARE, clock.now, total // 20)
            live_redis.set(counter_key(total_counter_name(SHARE, clock.now)), total)
            prices = await one.look()

    assert prices["service-share"] < 0


async def test_a_removed_limit_has_no_price(
    pacer: Any, clock: Any, live_redis: redis.Redis, shop_catalogue: Catalogue
) -> None:
    async with pacer(with_rules(shop_catalogue, MAILS, replace(MAILS, limit_id="old"))) as one:
        await one.look()
    live_redis.delete(PACER_KEY)
    async with pacer(with_rules(shop_catalogue, MAILS)) as one:
        await one.look()
    live_redis.delete(PACER_KEY)
    async with pacer(with_rules(shop_catalogue)) as one:
        assert await one.look() is None

    assert live_redis.hkeys(PRICES_KEY) == live_redis.hkeys(PACES_KEY) == [b"mails"]


def test_after_the_cut_off_a_channel_counts_towards_its_next_run(shop_catalogue: Catalogue) -> None:
    email = replace(shop_catalogue.channels["email"], cut_off_minute=11 * 60, zone="UTC")
    late = replace(shop_catalogue, channels={**shop_catalogue.channels, "email": email}, limits=(MAILS,))

    [line] = lines_of(late, NOON)

    assert line.counter == counter_name(MAILS, NOON + timedelta(days=1))


async def test_pacing_resumes_after_a_redis_outage(
    redis_url: str, live_redis: redis.Redis, clock: Any, shop_catalogue: Catalogue
) -> None:
    clock.now = NOON
    in_force = with_rules(shop_catalogue, MAILS)
    one = Pacer("redis://127.0.0.1:1/0", in_force=lambda: in_force, now=clock)
    task = asyncio.create_task(one.run(0.01))
    await asyncio.sleep(0.05)
    one._url = redis_url
    use(live_redis, MAILS, clock.now, 90)
    for _ in range(100):
        await asyncio.sleep(0.02)
        if live_redis.exists(PRICES_KEY):
            break
    task.cancel()

    assert price(live_redis, "mails") > 0


def test_decisions_include_the_price_and_the_server_shows_it(
    serve: Callable[..., TestClient], customer: str, live_redis: redis.Redis, clock: Any
) -> None:
    client = serve("limits: {mails: {scope: channel, of: email, amount: 10, per: day}}")
    rule = replace(MAILS, zone="UTC", amount=10)
    use(live_redis, rule, clock.now, 9)
    for _ in range(200):
        if price(live_redis, "mails") > 0:
            break
        client.portal.call(asyncio.sleep, 0.02)  # pyright: ignore[reportOptionalMemberAccess]
    charged = price(live_redis, "mails")

    ask = {"customer_id": customer, "touchpoint": "weekly-mail", "explain": True}
    told = client.post("/v1/decisions", json=ask).json()["explanation"]["evaluated"]
    metrics = client.get("/metrics").text

    shadows = {one["message"]: one.get("shadow_price", {}).get("amount", 0) for one in told}
    by_mail = [value for key, value in shadows.items() if "/email/" in key]
    assert by_mail
    assert by_mail == [pytest.approx(charged / 100, abs=0.01)] * len(by_mail)
    assert f'nextbest_shadow_price_minor{{limit="mails"}} {charged}' in metrics
    assert 'nextbest_supply_used_ratio{limit="mails"} 0.9' in metrics
