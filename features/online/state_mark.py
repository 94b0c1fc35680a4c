"""Which live state a Redis holds: one random name, kept in Redis and in the home.

A Redis that was flushed, or that came up empty, has no mark while the home still knows one: its contacts, cases and
words are gone, although the log is not. A home that knows none is new, and whoever meets its Redis first marks both.

A Redis that does not answer is a `FeatureUnavailableError` everywhere.
"""

import secrets
from pathlib import Path

from redis import Redis

from decisioning.errors import InvalidInputError
from features.durability import create_once
from features.online.redis_connection import asking_redis
from features.online.redis_keys import STATE_KEY
from features.settings import Settings


class StateMark:
    """The mark as the home knows it.

    Attributes:
        path: File that holds it; absent until a Redis was marked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name: bytes | None = None

    @property
    def name(self) -> bytes | None:
        """The mark that Redis should have; None where no Redis was marked yet."""
        if self._name is None:
            try:
                self._name = self.path.read_bytes().strip() or None
            except FileNotFoundError:
                return None
        return self._name

    def is_lost(self, found: bytes | None) -> bool:
        """Whether a Redis with this mark, or none, lacks the live state of this home."""
        return self.name is not None and found != self.name

    def keep(self, found: bytes) -> None:
        """Keep what a Redis was marked with; where another process was faster, its word stands."""
        create_once(self.path, found)


def new_mark() -> str:
    """A mark that no other Redis has."""
    return secrets.token_hex(16)


def state_mark_of(settings: Settings) -> StateMark:
    """The mark of a home."""
    return StateMark(settings.home / "live-state")


def is_state_lost(redis: Redis, mark: StateMark) -> bool:
    """Whether Redis lacks the live state of a home; a new home and its Redis are marked on the way."""
    with asking_redis("Redis must tell whose state it holds, got", is_private=True):
        if mark.name is None:
            redis.set(STATE_KEY, new_mark(), nx=True)
        found = redis.get(STATE_KEY)
    if not isinstance(found, bytes):
        return mark.name is not None
    if mark.name is None:
        mark.keep(found)
    return mark.is_lost(found)


def check_own(redis: Redis, mark: StateMark) -> None:
    """Refuse a Redis that another home marked.

    Raises:
        InvalidInputError: It holds another home's live state.
    """
    if is_state_lost(redis, mark) and redis.exists(STATE_KEY):
        raise InvalidInputError(
            "Redis must be this home's or empty, got the live state of another home;"
            " check NEXTBEST_HOME and NEXTBEST_REDIS_URL"
        )


def mark_whole(redis: Redis, mark: StateMark) -> None:
    """Say that Redis holds the live state of a home again."""
    if mark.name is None:
        is_state_lost(redis, mark)
        return
    with asking_redis("Redis must take the mark of its state, got", is_private=True):
        redis.set(STATE_KEY, mark.name)
