"""How often each offer was sent so far: what the ramp of new offers looks at, brought from the log into Redis once."""

import polars as pl
from redis import Redis
from redis.exceptions import RedisError

from decisioning.errors import FeatureUnavailableError
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.online.redis_keys import EVIDENCE_KEY

_IS_TOLD = f"{EVIDENCE_KEY}:is-told"

_TELL = """
-- KEYS: evidence, mark; ARGV: offer, count, offer, count ...
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
for i = 1, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  if not known or tonumber(known) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('SET', KEYS[2], '1')
return 1
"""


def tell_evidence(redis: Redis, log: EventLog) -> bool:
    """Count the log's decisions per offer for a Redis that was never told; every commit counts on from there.

    Decisions that Redis counted by itself before may be in the log too, so the larger number stands.

    Returns:
        Whether it was told now.

    Raises:
        FeatureUnavailableError: Redis could not take them.
    """
    try:
        if redis.exists(_IS_TOLD):
            return False
        sent = log.scan(DECISIONS).filter(pl.col("offer_id").is_not_null()).group_by("offer_id").len("count").collect()
        words = [word for row in sent.sort("offer_id").iter_rows() for word in row]
        return bool(redis.eval(_TELL, 2, EVIDENCE_KEY, _IS_TOLD, *words))
    except RedisError as error:
        raise FeatureUnavailableError(f"evidence of offers could not be written to Redis: {error}") from error
