"""How live state is written in Redis: times as 16 digits, so that the greatest text is the newest, then what was said.

Whatever may be said twice, late or out of order is one field whose greatest value stands. Behind the time comes what
decides between words of the same moment, and there the careful one is greater: no beats yes, protected beats not.

A contact in a book is text of fixed places (`PLACES`), so that a script can turn its flags without parsing it.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import orjson

from decisioning.catalogue.contact_policy import Contact, Touch, touch_of_words, touch_words
from decisioning.errors import FeatureUnavailableError
from features.online.record import microseconds

TIME_DIGITS = 16
NEVER_DELIVERED = "9" * TIME_DIGITS
NO_RESERVATION = "0" * TIME_DIGITS

PLACES = {
    "confirmed": (1, 1),  # by what came back: `0` or `1`
    "released": (2, 2),
    "ghost": (3, 3),
    "decided": (4, 19),  # or permitted: microseconds since 1970
    "reserved": (20, 35),  # end of the reservation, `NO_RESERVATION` where there is none
    "arrived": (36, 51),  # when it was delivered, `NEVER_DELIVERED` where nobody said
    "touch": (52, -1),  # JSON
}
"""Where a contact's text has what, first and last letter counted from 1; -1 is the last there is."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OWN, JOINED = "0", "1"
"""Whether a first exposure was under this id, or under that of a visitor who turned out to be this customer."""

_TOUCHES: dict[bytes, Touch] = {}
_MOST_TOUCHES = 10_000
_NEVER, _NONE = NEVER_DELIVERED.encode(), NO_RESERVATION.encode()
_SLICES = tuple(slice(first - 1, None if last < 0 else last) for first, last in PLACES.values())


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
    """A contact at fixed places, see `PLACES`."""
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
        confirmed, released, ghost, at, reserved, arrived, touch = (value[place] for place in _SLICES)
        return Contact(
            contact_id=contact_id,
            touch=touch_in(touch),
            at=moment_in(arrived if at < arrived < _NEVER else at),
            reserved_until=None if reserved == _NONE else moment_in(reserved),
            is_confirmed=confirmed == b"1",
            is_released=released == b"1",
            is_ghost=ghost == b"1",
        )
    except ValueError as error:
        raise FeatureUnavailableError("a contact in Redis must be one of ours, got something else") from error
