"""Demand by hour of the week, which paces budgets; computed from the log and stored in Redis."""

from datetime import datetime, timedelta

import polars as pl
from redis import Redis

from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.online.redis_connection import asking_redis
from features.online.redis_keys import DEMAND_KEY

HOURS = 168
LOOK_BACK = timedelta(weeks=8)
FEWEST = 1_000
"""Decisions below which the hours of a week say nothing."""

_EVEN_SHARE = 0.05
"""Share of the demand that is taken to be spread evenly, so that an hour without any yet is not thought impossible."""


def tell_demand(redis: Redis, log: EventLog, now: datetime) -> bool:
    """Count the decisions of the last weeks by hour of the week; False where they are few, and then it forgets them.

    Raises:
        FeatureUnavailableError: Redis could not take them.
    """
    at = pl.col("decided_at")
    recent = log.scan(DECISIONS).filter(at > pl.lit(now - LOOK_BACK), at <= pl.lit(now))
    hour = ((at.dt.weekday().cast(pl.Int64) - 1) * 24 + at.dt.hour().cast(pl.Int64)).alias("hour")
    counts = dict(recent.group_by(hour).len("count").collect().iter_rows())
    total = sum(counts.values())
    with asking_redis("demand by hour could not be written to Redis"), redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(DEMAND_KEY)
        if total >= FEWEST:
            even = _EVEN_SHARE * total / HOURS
            pipeline.hset(DEMAND_KEY, mapping={str(one): counts.get(one, 0) + even for one in range(HOURS)})
        pipeline.execute()
    return total >= FEWEST
