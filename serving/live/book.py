"""A book of contacts: a hash by contact id, a customer's or a household's, and the version it is in.

A contact is text of fixed places (`PLACES`), so that a script can turn its flags without parsing it.
"""

from datetime import timedelta
from functools import lru_cache

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Contact, book_seconds
from decisioning.errors import FeatureUnavailableError
from serving.live.encoding import TIME_DIGITS, moment_in, pairs_of, time_text, touch_in, touch_text

VERSION = "version"
"""Field that no contact has: it grows with every change, and a commit that was judged by an older one is refused."""

MOST_CONTACTS = 512
"""Contacts that a book holds at most; the oldest go first."""

BOOK_LASTS = timedelta(days=400)
"""How long a contact is kept at least, unless a window of the contact policy is longer."""

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

_NEVER, _NONE, _VERSION = NEVER_DELIVERED.encode(), NO_RESERVATION.encode(), VERSION.encode()
_SLICES = tuple(slice(first - 1, None if last < 0 else last) for first, last in PLACES.values())


def book_lasts(catalogue: Catalogue) -> timedelta:
    """How long contacts must be kept for every window that a catalogue has."""
    seconds = book_seconds(catalogue.contact_policy, catalogue.offers.values())
    return max(BOOK_LASTS, timedelta(seconds=seconds) + timedelta(days=1))


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


def book_in(flat: list[bytes]) -> tuple[int, tuple[Contact, ...]]:
    """Version and contacts, oldest first, of a hash with names and values in turn."""
    version, contacts = 0, list[Contact]()
    for name, value in pairs_of(flat):
        if name == _VERSION:
            version = int(value)
        else:
            contacts.append(contact_in(name.decode(), value))
    contacts.sort(key=lambda one: (one.at, one.contact_id))
    return version, tuple(contacts)
