"""Many keys at once: one MSET per shard and batch.

A server that flushes its log before it answers does so once per command it has read in full, not once per record; and
the keys of one command share a slot, as Redis Cluster asks.
"""

from collections.abc import Iterable
from itertools import batched

from redis import Redis

BATCH = 500
"""Records per command: a command of this size holds others up for about a millisecond."""

_READ_AHEAD = 16 * BATCH


def set_many(redis: Redis, records: Iterable[tuple[str, bytes]]) -> int:
    """Set keys with a `{shard}` tag, in no particular order, holding only some in memory; how many were set."""
    count = 0
    for some in batched(records, _READ_AHEAD):
        by_shard: dict[str, dict[str, bytes]] = {}
        for key, value in some:
            by_shard.setdefault(key.partition("}")[0], {})[key] = value
        for shard in by_shard.values():
            for batch in batched(shard.items(), BATCH):
                redis.mset(dict(batch))
        count += len(some)
    return count


def unset_many(redis: Redis, keys: Iterable[str]) -> None:
    """Delete keys of `features.online.redis_keys`, in the same batches; those that are not there are no error."""
    for some in batched(keys, _READ_AHEAD):
        by_shard: dict[str, list[str]] = {}
        for key in some:
            by_shard.setdefault(key.partition("}")[0], []).append(key)
        for shard in by_shard.values():
            for batch in batched(shard, BATCH):
                redis.unlink(*batch)
