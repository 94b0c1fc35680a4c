"""What servers count of a rollout, in one hash in Redis that every worker adds to."""

from collections.abc import Mapping

from redis import Redis

from features.models.rollout import Rollout
from features.online.redis_connection import asking_redis
from features.online.redis_keys import ROLLOUT_KEY

NAME = "name"
"""Field that says of which rollout the counts are; counts of another one are dropped."""

ADD_COUNTS = """
if redis.call('HGET', KEYS[1], 'name') ~= ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'name', ARGV[1])
end
for place = 2, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[1], ARGV[place], ARGV[place + 1])
end
return 1
"""
"""Script that adds counts by name; arguments: name of the rollout, then field and number in turn."""


def count_arguments(rollout: Rollout, counts: Mapping[str, float]) -> tuple[str, ...]:
    """Arguments of `ADD_COUNTS`."""
    return (rollout.name, *(word for name, number in counts.items() for word in (name, repr(float(number)))))


def read_counts(redis: Redis, rollout: Rollout) -> dict[str, float]:
    """What was counted of a rollout; nothing where no server has told anything yet.

    Raises:
        FeatureUnavailableError: Redis is away.
    """
    with asking_redis("Redis must answer before a rollout can be told about, got"):
        found = redis.hgetall(ROLLOUT_KEY)
    told = {key.decode(): value.decode() for key, value in found.items()}  # pyright: ignore[reportAttributeAccessIssue]
    if told.pop(NAME, None) != rollout.name:
        return {}
    return {name: float(number) for name, number in told.items()}
