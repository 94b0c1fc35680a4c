"""Names of everything in Redis.

A decision must reserve, remember and log in one atomic step, and Redis Cluster runs a script on one slot only. So every
key carries the hash tag of its customer's *shard*, and each shard has a log stream of its own: the customer's state and
the stream that its decisions go to always share a slot.
"""

from zlib import crc32

SHARD_COUNT = 16
"""Number of shards, fixed for the life of a store: changing it moves every key."""


def shard_of(customer_id: str) -> int:
    """Shard of a customer, in [0, SHARD_COUNT); stable across processes and releases."""
    return crc32(customer_id.encode()) % SHARD_COUNT


def _tag(shard: int) -> str:
    return f"nb:{{{shard:02d}}}"


def feature_key(customer_id: str) -> str:
    """The packed feature record."""
    return f"{_tag(shard_of(customer_id))}:f:{customer_id}"


def profile_key(customer_id: str) -> str:
    """The profile: attributes, reachability, consents (JSON)."""
    return f"{_tag(shard_of(customer_id))}:c:{customer_id}"


def live_key(customer_id: str) -> str:
    """Live state since the profile was written (hash); `unsubscribed:<channel>` is its first kind of field."""
    return f"{_tag(shard_of(customer_id))}:s:{customer_id}"


def request_key(customer_id: str, touchpoint_id: str, key: str) -> str:
    """The decision that a dedupe key already got."""
    return f"{_tag(shard_of(customer_id))}:k:{touchpoint_id}:{customer_id}:{key}"


def decision_key(decision_id: str, shard: int) -> str:
    """The record of a decision, until its time to live ends."""
    return f"{_tag(shard)}:d:{decision_id}"


def seen_key(message_id: str, shard: int) -> str:
    """Mark of an outcome or event that was already taken in."""
    return f"{_tag(shard)}:m:{message_id}"


def stream_key(shard: int) -> str:
    """The log stream of a shard: entries with `table` (a canonical table) and `row` (JSON of one row of it)."""
    return f"{_tag(shard)}:log"


FEATURE_KEY_PATTERN = "nb:{*}:f:*"
"""Glob of every packed feature record."""

MATERIALISED_KEY = "nb:materialised"
"""What the store was last filled with: schema, generation of the feature history, moment (JSON)."""
