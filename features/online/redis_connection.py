"""Connections to Redis for batch work, with timeouts long enough for a restart."""

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

RETRIES = 3
LONGEST_WAIT_SECONDS = 0.5


def connect(url: str) -> Redis:
    """A client for this address; it connects with the first command."""
    return Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=LONGEST_WAIT_SECONDS, base=0.05), RETRIES))
