"""Reports, moved into the log."""

from collections.abc import Callable

import pytest
import redis

from features.log.event_log import EventLog
from features.settings import Settings
from serving.log.drain import drain_alone


@pytest.fixture
def drain(settings: Settings, live_redis: redis.Redis) -> Callable[[], EventLog]:
    """Moves everything waiting in the stream into the log."""

    def run() -> EventLog:
        log = EventLog(settings.log_path)
        drain_alone(live_redis, log, settings.spool_path)
        return log

    return run
