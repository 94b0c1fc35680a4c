"""How live state is written in Redis: times as 16 digits, so that the greatest text is the newest, then what was said.

Whatever may be said twice, late or out of order is one field whose greatest value stands. Behind the time comes what
decides between words of the same moment, and there the careful one is greater: no beats yes, protected beats not.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import orjson

from decisioning.catalogue.contact_policy import Contact, Touch, touch_of_words, touch_words
from decisioning.errors import FeatureUnavailableError
from features.online.record import microseconds
from serving.live.scripts import NEVER_DELIVERED, NO_RESERVATION

TIME_DIGITS = 16
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OWN, JOINED = "0", "1"
"""Whether a first exposure was under this id, or under that of a visitor who turned out to be this customer."""

_TOUCHES: dict[bytes, Touch] = {}
_MOST_TOUCHES = 10_000
_NEVER, _NONE = NEVER_DELIVERED.encode(), NO_RESERVATION.encode()


def time_text(moment: datetime) -> str:
    """Microseconds since 1970 as text that sorts like the moment; what lies beyond the year 2286 counts as its end."""
    return f"{min(max(0, microseconds(moment)), 10**TIME_DIGITS - 2):016d}"


def exposure_text(at: datetime, value: str) -> str:
    """What a first exposure put the customer into; of several the earliest is the greatest text."""
    return f"{10**TIME_DIGITS - 1 - int(time_text(at)):0{TIME_DIGITS}d}{OWN}{value}"


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


def contact_text(contact: Contact) -> str:
    """A contact at fixed places, as `serving.live.scripts` describes."""
    until = NO_RESERVATION if contact.reserved_until is None else time_text(contact.reserved_until)
    flags = f"{int(contact.is_confirmed)}{int(contact.is_released)}{int(contact.is_ghost)}"
    return f"{flags}{time_text(contact.at)}{until}{NEVER_DELIVERED}{touch_text(contact.touch)}"


@lru_cache(maxsize=8_192)
def contact_in(contact_id: str, value: bytes) -> Contact:
    """The contact that `contact_text` wrote and scripts turned; a customer's and the household's are one and the same.

    Raises:
        FeatureUnavailableError: The bytes are none.
    """
    try:
        at, arrived = value[3:19], value[35:51]
        at = moment_in(arrived if at < arrived < _NEVER else at)
        return Contact(
            contact_id=contact_id,
            touch=touch_in(value[51:]),
            at=at,
            reserved_until=None if value[19:35] == _NONE else moment_in(value, 19),
            is_confirmed=value[:1] == b"1",
            is_released=value[1:2] == b"1",
            is_ghost=value[2:3] == b"1",
        )
    except ValueError as error:
        raise FeatureUnavailableError("a contact in Redis must be one of ours, got something else") from error
