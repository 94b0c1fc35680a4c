"""Tombstones in Redis, and removal of what a concurrent run wrote about an erased customer."""

from collections.abc import Iterable
from itertools import batched

from redis import Redis

from features.log.tombstones import Tombstones
from features.online.redis_bulk import unset_many
from features.online.redis_connection import asking_redis
from features.online.redis_keys import ERASED_KEY, feature_key, household_pointer_key, profile_key

_TOGETHER = 1_000


def tell_erased(redis: Redis, erased: Tombstones) -> None:
    """Put every tombstone into Redis, where the scripts that write look at them.

    Raises:
        FeatureUnavailableError: Redis could not take them.
    """
    with asking_redis("tombstones could not be written to Redis", is_private=True):
        for some in batched(sorted(erased.tokens()), _TOGETHER):
            redis.sadd(ERASED_KEY, *some)
        for some in batched(sorted(erased.readmitted()), _TOGETHER):
            redis.srem(ERASED_KEY, *some)


def forget_erased(redis: Redis, erased: Tombstones, customer_ids: Iterable[str]) -> None:
    """Delete features and profiles of those who were erased while they were being written.

    Call it after the last write: later erasures remove their customers themselves.

    Raises:
        FeatureUnavailableError: Redis could not delete them.
    """
    gone = sorted(erased.among(customer_ids))
    with asking_redis("erased customers could not be deleted", is_private=True):
        for key_of in (feature_key, profile_key, household_pointer_key):
            unset_many(redis, map(key_of, gone))
