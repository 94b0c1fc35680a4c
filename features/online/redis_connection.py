"""Connections to Redis for batch work, with timeouts long enough for a restart."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from decisioning.errors import FeatureUnavailableError

RETRIES = 3
LONGEST_WAIT_SECONDS = 0.5


def connect(url: str) -> Redis:
    """A client for this address; it connects with the first command."""
    return Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=LONGEST_WAIT_SECONDS, base=0.05), RETRIES))


@contextmanager
def asking_redis(rule: str, *, is_private: bool = False) -> Iterator[None]:
    """Say in our own error what Redis could not do, without its own words if they may quote what was written.

    Raises:
        FeatureUnavailableError: Redis is away, or refuses.
    """
    try:
        yield
    except RedisError as error:
        raise FeatureUnavailableError(f"{rule}: {type(error).__name__ if is_private else error}") from error
