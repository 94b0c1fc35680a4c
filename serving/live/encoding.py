"""What values in Redis are made of: moments as 16 digits, so that the greatest text is the newest, and touches."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import orjson

from decisioning.catalogue.contact_policy import Touch, touch_of_words, touch_words
from features.online.record import microseconds

TIME_DIGITS = 16
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TOUCHES: dict[bytes, Touch] = {}
_MOST_TOUCHES = 10_000


def time_text(moment: datetime) -> str:
    """Microseconds since 1970 as text that sorts like the moment; what lies beyond the year 2286 counts as its end."""
    return f"{min(max(0, microseconds(moment)), 10**TIME_DIGITS - 2):016d}"


def moment_in(value: bytes, start: int = 0) -> datetime:
    """The moment that 16 digits from `start` name."""
    return EPOCH + timedelta(0, 0, int(value[start : start + TIME_DIGITS]))


def touch_text(touch: Touch) -> str:
    """A touch as JSON."""
    return orjson.dumps(touch_words(touch)).decode()


def touch_in(value: bytes) -> Touch:
    """The touch that JSON names; a catalogue has few, so each is parsed once."""
    touch = _TOUCHES.get(value)
    if touch is None:
        if len(_TOUCHES) > _MOST_TOUCHES:
            _TOUCHES.clear()
        touch = _TOUCHES[value] = touch_of_words(orjson.loads(value))
    return touch


def pairs_of(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of a hash, which Redis gives in turn."""
    return zip(flat[::2], flat[1::2], strict=True)
