"""A live store on an empty Redis, and a decider that uses it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import redis

from serving.live.store import LiveStore
from tests.serving.live.decider import Decider


@pytest.fixture
async def state(redis_url: str, live_redis: redis.Redis) -> AsyncIterator[LiveStore]:
    state = LiveStore(redis_url, decision_ttl=timedelta(days=7))
    await state.start()
    yield state
    await state.stop()


@pytest.fixture
def decider(state: LiveStore) -> Decider:
    return Decider(state=state)
