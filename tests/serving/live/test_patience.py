"""Waiting for Redis while our own process computes: an answer that has arrived is never discarded."""

import asyncio
import time
from datetime import timedelta

import pytest

from serving.live.patience import answer_within
from serving.live.redis_link import connect
from serving.live.store import LiveStore

BUSY_S = 0.7


async def test_a_process_that_computes_for_longer_than_redis_may_take_keeps_its_connection(redis_url: str) -> None:
    state = LiveStore(redis_url, decision_ttl=timedelta(days=7))
    await state.start()
    link = state._link
    try:
        for _ in range(6):
            state.doubt()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(BUSY_S)
            await asyncio.sleep(0.05)
            assert state.is_up
            assert state._link is link
    finally:
        await state.stop()


async def test_a_server_that_does_not_answer_is_abandoned_in_time() -> None:
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        await answer_within(asyncio.sleep(60), 0.2)

    assert time.monotonic() - started < 5


async def test_an_error_while_waiting_is_raised() -> None:
    async def refused() -> None:
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError, match="refused"):
        await answer_within(refused(), 1.0)


BUSY = """
local function now() local time = redis.call('TIME'); return time[1] * 1000000 + time[2] end
local ends = now() + 30000
while now() < ends do end
return 1
"""


async def test_a_heartbeat_behind_many_commands_is_awaited_while_redis_answers_them(redis_url: str) -> None:
    """Each command is large, so that Redis answers one before it reads the next."""
    link = await connect(redis_url)
    started = time.perf_counter()
    busy = link.send([("EVAL", BUSY, 0, b"x" * 40_000)] * 40)

    async def ping() -> object:
        return await link.send([("PING",)])

    assert await answer_within(ping(), 0.3, heard=lambda: link.heard) == [b"PONG"]
    assert busy.done()
    assert time.perf_counter() - started > 0.6
    link.close()
