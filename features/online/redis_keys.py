"""Names of everything in Redis.

A decision must reserve, remember and log in one atomic step, and Redis Cluster runs a script on one slot only. So every
key carries the hash tag of its customer's *shard*, and each shard has a log stream of its own: the customer's state and
the stream that its decisions go to always share a slot.

What a household and what all customers share lies elsewhere: on the household's own shard and under one tag for
everybody. A script that reserves touches all three, so it needs one Redis server (with replicas, if you like); a
cluster would need a reservation in two steps, which is not supported.
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
    """Live state since the profile was written (hash); every value begins with its time, so the greatest is newest."""
    return f"{_tag(shard_of(customer_id))}:s:{customer_id}"


def book_key(customer_id: str) -> str:
    """The customer's book of contacts (hash by contact id) with its `version`."""
    return f"{_tag(shard_of(customer_id))}:b:{customer_id}"


def events_key(customer_id: str) -> str:
    """Recent behaviour (sorted set by time)."""
    return f"{_tag(shard_of(customer_id))}:e:{customer_id}"


def household_pointer_key(customer_id: str) -> str:
    """Identifier of the customer's household (text); absent without one. Written with the profile."""
    return f"{_tag(shard_of(customer_id))}:h:{customer_id}"


HOUSEHOLD_BOOK = "nb:{%02d}:hb:%s"
"""Name of a household's book by shard and id, in words that Python and Lua format alike."""


def household_shard_of(household_id: str) -> int:
    """Shard of a household, in [0, SHARD_COUNT): the sum of its bytes, which a script in Redis can work out too."""
    return sum(household_id.encode()) % SHARD_COUNT


def household_book_key(household_id: str) -> str:
    """The household's book of contacts, as `book_key`; its members' all together."""
    return HOUSEHOLD_BOOK % (household_shard_of(household_id), household_id)


def counter_key(counter: str) -> str:
    """How much of a capacity, budget or share was used (number), by `decisioning.catalogue.limits.counter_name`."""
    return f"{COUNTER_PREFIX}{counter}"


def request_key(customer_id: str, touchpoint_id: str, key: str) -> str:
    """The decision that a dedupe key already got."""
    return f"{_tag(shard_of(customer_id))}:k:{touchpoint_id}:{customer_id}:{key}"


def decision_key(decision_id: str, shard: int) -> str:
    """The record of a decision, until its time to live ends."""
    return f"{_tag(shard)}:d:{decision_id}"


def seen_key(customer_id: str, report: str) -> str:
    """Mark of an accepted outcome or event of a customer (text that identifies its content)."""
    return f"{_tag(shard_of(customer_id))}:m:{len(customer_id)}:{customer_id}:{report}"


def idempotency_key(digest: str) -> str:
    """The request that an idempotency key stands for, by the key's digest; without a customer, on any shard."""
    return f"nb:idempotency:{digest}"


def stream_key(shard: int) -> str:
    """The log stream of a shard: entries with `table` (a canonical table) and `row` (JSON of one row of it)."""
    return f"{_tag(shard)}:log"


COUNTER_PREFIX = "nb:{all}:u:"
"""What the keys of counters begin with."""

PRICES_KEY = "nb:{all}:prices"
"""Shadow prices (hash, minor units by limit or share id)."""

EVIDENCE_KEY = "nb:{all}:evidence"
"""Decisions that sent each offer so far (hash)."""

PACES_KEY = "nb:{all}:paces"
"""Where limits and shares stood when their prices were last set (hash of JSON by the name of the price)."""

PACER_KEY = "nb:{all}:pacer"
"""Which process sets the prices (text that expires)."""

CARE_WATCH_KEY = "nb:{all}:care-watch"
"""Which process counts the cases (text that expires)."""

CASES_KEY = "nb:{all}:cases"
"""Open and overdue cases by kind, as they were counted last (JSON)."""

EVIDENCE_TOLD_KEY = f"{EVIDENCE_KEY}:is-told"
"""Mark that the evidence of the log was counted in."""

DEMAND_KEY = "nb:{all}:demand"
"""Decisions by hour of the week, from Monday 00:00 UTC (hash by `0` to `167`)."""

ROLLOUT_KEY = "nb:{all}:rollout"
"""What servers saw of the rollout under way (hash of counts; `name` says of which rollout)."""

RESIDUALS_KEY = "nb:{all}:residuals"
"""What outcomes since training say of messages (JSON); see `features.online.residuals`."""

HELD_KEY = "nb:{all}:held"
"""Reservations that hold a part of a counter (sorted set of decision keys by the end of the reservation)."""

STATE_KEY = "nb:{all}:state"
"""Mark of the live state, by which a Redis that was emptied is recognised: see `features.online.state_mark`."""

ERASED_KEY = "nb:{all}:erased"
"""Tombstones of erased customers (set of keyed hashes)."""

FEATURE_KEY_PATTERN = "nb:{*}:f:*"
"""Glob of every packed feature record."""

MATERIALISED_KEY = "nb:materialised"
"""What the store was last filled with: schema, generation of the feature history, moment (JSON)."""
