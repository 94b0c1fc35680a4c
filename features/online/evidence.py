"""How often each offer was sent so far, for the ramp of new offers; copied from the log to Redis once."""

from pathlib import Path

import polars as pl
from redis import Redis

from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.online.redis_connection import asking_redis
from features.online.redis_keys import EVIDENCE_KEY, EVIDENCE_TOLD_KEY

_TELL = Path(__file__).with_name("tell_evidence.lua").read_text(encoding="utf-8")


def tell_evidence(redis: Redis, log: EventLog) -> bool:
    """Count the log's decisions per offer for a Redis that was never told; whether it was told now.

    Decisions that Redis counted by itself before may be in the log too, so the larger number stands.

    Raises:
        FeatureUnavailableError: Redis could not take them.
    """
    with asking_redis("evidence of offers could not be written to Redis"):
        if redis.exists(EVIDENCE_TOLD_KEY):
            return False
        sent = log.scan(DECISIONS).filter(pl.col("offer_id").is_not_null()).group_by("offer_id").len("count").collect()
        words = [word for row in sent.sort("offer_id").iter_rows() for word in row]
        return bool(redis.eval(_TELL, 2, EVIDENCE_KEY, EVIDENCE_TOLD_KEY, *words))
