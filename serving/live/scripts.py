"""What happens in Redis in one atomic step: Lua from the files in `lua/`, each behind the fragments that it uses.

Key names, names of fields, the places of a contact and all bounds reach a script as the local variables of `_known`,
so each is written down once, by its owner in Python. A name that the owner lacks is nil, which Redis refuses.

What holds a part of a counter is in the decision's own hash, by `DecisionField.USES` and `HELD`. It is held exactly
while the contact counts, so the order in which reports arrive does not change the counters in the end.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from pathlib import Path

from features.online.redis_keys import (
    COUNTER_PREFIX,
    ERASED_KEY,
    EVIDENCE_KEY,
    HELD_KEY,
    HOUSEHOLD_BOOK,
    PRICES_KEY,
    SHARD_COUNT,
    STATE_KEY,
)
from serving.live.book import MOST_CONTACTS, NO_RESERVATION, PLACES, VERSION
from serving.live.decision_hash import DecisionField
from serving.live.encoding import TIME_DIGITS
from serving.live.live_hash import BOUNDED, MOST_BOUNDED, WordKind
from serving.live.recent_events import AFTER_TYPE, RECENT_MS

FOLDER = Path(__file__).parent / "lua"

JOINED_CONTACTS_MS = 400 * 86_400_000
"""How long a book is kept after a visitor's contacts were joined into it, and live state with only a first exposure."""


@dataclass(frozen=True)
class Script:
    """A Lua text and the digest that Redis knows it by."""

    text: str

    @cached_property
    def digest(self) -> str:
        """SHA-1, as `EVALSHA` wants it."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _known() -> str:
    """What is written down in Python, as local variables of a script."""
    places = ", ".join(f"{name} = {{{first}, {last}}}" for name, (first, last) in PLACES.items())
    order = ", ".join(f"'{name}'" for name in PLACES)
    fields = ", ".join(f"{name} = '{name}'" for name in DecisionField)
    bounded = ", ".join(f"{kind} = true" for kind in BOUNDED)
    values = {
        "COUNTER": f"'{COUNTER_PREFIX}'",
        "HELD": f"'{HELD_KEY}'",
        "PRICES": f"'{PRICES_KEY}'",
        "EVIDENCE": f"'{EVIDENCE_KEY}'",
        "STATE": f"'{STATE_KEY}'",
        "ERASED": f"'{ERASED_KEY}'",
        "HOUSEHOLD_BOOK": f"'{HOUSEHOLD_BOOK}'",
        "SHARDS": SHARD_COUNT,
        "NO_RESERVATION": f"'{NO_RESERVATION}'",
        "TIME_DIGITS": TIME_DIGITS,
        "MOST_CONTACTS": MOST_CONTACTS,
        "VERSION": f"'{VERSION}'",
        "DECISION": f"{{{fields}}}",
        "PROFILING": f"'{WordKind.PROFILING}'",
        "BOUNDED": f"{{{bounded}}}",
        "MOST_BOUNDED": MOST_BOUNDED,
        "AFTER_TYPE": f"string.char({ord(AFTER_TYPE)})",
        "JOINED_CONTACTS_MS": JOINED_CONTACTS_MS,
        "RECENT_MS": RECENT_MS,
        "PLACES": f"{{{places}}}",
        "ORDER": f"{{{order}}}",
    }
    return "".join(f"local {name} = {value}\n" for name, value in values.items())


_KNOWN = _known()


def script(*files: str) -> Script:
    """A script made of Lua files, in their order: fragments first, what it does last.

    Example:
        >>> len(script("state", "counting", "read_supply").digest)
        40
    """
    return Script(_KNOWN + "".join((FOLDER / f"{file}.lua").read_text(encoding="utf-8") for file in files))


_STATE = ("state", "reading")
_BOOKS = (*_STATE, "counting", "contact", "bookkeeping")

READ = script(*_STATE, "read")
"""Everything about one customer, the household's book included."""

READ_SUPPLY = script("state", "counting", "read_supply")
"""What all customers share; reservations that ran out give their part back first."""

COMMIT_DECISION = script(*_BOOKS, "commit_decision")
"""Log a decision with its contacts, unless the same ask already has one (give that one back) or the book or the
counters moved on since they were read (give back what they are now); then change nothing. 1 where the customer was
erased: nothing about them is written."""

READ_PERMIT = script(*_STATE, "counting", "read_permit")
"""A decision with everything about its customer now, and the permit answer that still stands."""

SETTLE_PERMIT = script(*_BOOKS, "settle_permit")
"""Write what a permit was answered, and confirm or release its contact with it; an answer that still stands is given
back instead, and state that moved on likewise; 1 where the customer was erased."""

TAKE_IN = script(*_BOOKS, "take_in")
"""Accept one report: its row in the log, the mark that it was seen, and what it changes. Answers 1; 0 if it was seen
before, or its customer was erased; 2 if a different one was seen under its identity, and 3 if the content of that one
is not known. A report that the log already has is applied again, which changes nothing."""

ERASE = script(*_BOOKS, "erase")
"""Forget decisions: what they still held is released, and their contacts leave the books of households."""

RESTORE_DECISION = script(*_BOOKS, "restore_decision")
"""Bring back what a decision took, unless it is there already; gives back how many contacts were missing."""

LEAD_PACING = script("lead_pacing")
"""Become, or stay, the one process that sets prices; 0 if another process is."""

WRITE_PRICES = script("write_prices")
"""Set shadow prices and where each pace stands, if this process still leads; 0 if another does."""
