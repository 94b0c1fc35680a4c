"""Decisions, permits and reports on their way into Redis: keys and arguments of the scripts that write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

import orjson

from decisioning.catalogue.contact_policy import Contact
from decisioning.gates.reservation import Reservation
from features.log.tombstones import NO_TOKEN
from features.online.redis_keys import SHARD_COUNT, decision_key, feature_key, seen_key, shard_of, stream_key
from serving.live.book import BOOK_LASTS, contact_text
from serving.live.changes import Changes
from serving.live.decision_hash import class_text
from serving.live.encoding import time_text
from serving.live.live_hash import Word, exposure
from serving.live.reader import SupplyQuery, query_json, since_of, state_keys
from serving.live.redis_link import Command

UNTOLD = "1"
"""Stands where a digest would, of a report that an older release or a restoration marked as seen."""

_DAY_MS = 86_400_000
_COUNTER_TTL_MS = 70 * _DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherRow:
    """A further position of a slate: a row of the canonical table `decisions` of its own, see `packed_row`."""

    decision_id: str
    channel_id: str | None
    row: bytes
    ask: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A decision on its way into the log.

    Attributes:
        channel_id: The channel of the message, None for silence.
        row: One row of the canonical table `decisions`, see `log_rows.packed_row`.
        ask: What a permit will need, see `decision_hash.ask_fields`; empty for silence.
        answer: What a repeat of the ask will get, as JSON.
        stored_at: Key of that answer; None where the ask cannot be repeated.
        sticky_seconds: How long the answer is kept.
        further: Rows of the further positions of a slate.
        reservation: Contacts and what they use up; None, or one without contacts, changes no book.
        supply: What to return about shared limits if the decision comes too late, and its moment.
        book_lasts: How long contacts are kept, see `book_lasts`.
        exposures: Tests that it puts the customer into, see `Policy.exposures`, and when.
        put_off: Field of the live hash that says what is put off, and its value, empty to end it; None changes nothing.
    """

    decision_id: str
    customer_id: str
    channel_id: str | None
    row: bytes
    ask: bytes = b""
    answer: bytes = b""
    stored_at: str | None = None
    sticky_seconds: float = 0.0
    further: tuple[FurtherRow, ...] = ()
    reservation: Reservation | None = None
    supply: SupplyQuery | None = None
    book_lasts: timedelta = BOOK_LASTS
    exposures: Mapping[str, str] = field(default_factory=dict[str, str])
    put_off: Word | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A permit's answer on its way into Redis.

    Attributes:
        decision_id: The decision, or the position of a slate, it is for.
        is_allowed: Whether the contact is confirmed; otherwise it is released.
        answer: The answer as JSON, given again until `good_until`.
        reservation: The one contact, what it uses up now, and the versions that were judged by.
        supply: As in `LogEntry`; its `now` is the moment of the permit.
        rows: Table and row of each entry for the log.
        book_lasts: As in `LogEntry`.
    """

    decision_id: str
    customer_id: str
    is_allowed: bool
    answer: bytes
    good_until: datetime
    reservation: Reservation
    supply: SupplyQuery
    rows: tuple[tuple[str, bytes], ...] = ()
    book_lasts: timedelta = BOOK_LASTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """A report on its way into Redis.

    Attributes:
        seen_as: Identity of the report among those of its customer: taken once.
        digest: Tells whether two reports of one identity have the same content; `UNTOLD` if the content is not known.
        row: One row of its canonical table, as JSON.
        decision_id: The decision it answers; None for events.
        now: When it came.
    """

    seen_as: str
    customer_id: str
    row: bytes
    now: datetime
    changes: Changes = field(default_factory=Changes)
    decision_id: str | None = None
    digest: str = UNTOLD


class Taken(IntEnum):
    """The result for a report."""

    NOT = 0  # it was seen before, or its customer was erased
    IN = 1
    CLASHED = 2  # another report was accepted under its id
    UNSURE = 3  # some report was, and nobody knows what it said


def shard_in(decision_id: str) -> int | None:
    """Shard that a decision id of ours names, `dec_<two hex digits><32 hex digits>`; None for any other id."""
    digits = decision_id[4:6]
    is_ours = decision_id.startswith("dec_") and all(one in "0123456789abcdef" for one in digits)
    shard = int(digits, 16) if is_ours and len(digits) == 2 else SHARD_COUNT  # noqa: PLR2004 - two digits
    return shard if shard < SHARD_COUNT else None


def commit_call(entry: LogEntry, *, now: datetime, decision_ttl_ms: int, token: str = NO_TOKEN) -> Command:
    """Keys and arguments of the script `COMMIT_DECISION`; `token` is what a tombstone of the customer would be."""
    shard = shard_of(entry.customer_id)
    ids = [entry.decision_id, *(one.decision_id for one in entry.further)]
    keys = [stream_key(shard), *state_keys(entry.customer_id), *(decision_key(one, shard) for one in ids)]
    if entry.stored_at:
        keys.append(entry.stored_at)
    reservation = entry.reservation if entry.reservation is not None and entry.reservation.contacts else None
    rows: list[bytes | str] = [entry.row, entry.channel_id or "", entry.ask]
    for one in entry.further:
        rows += [one.row, one.channel_id or "", one.ask]
    return (
        len(keys),
        *keys,
        *_judged_by(reservation, entry.supply, now, _record_ttl_ms(reservation, now, decision_ttl_ms)),
        *_reserving(reservation, ids, entry.supply, now, entry.book_lasts),
        entry.customer_id,
        entry.answer,
        max(1, int(entry.sticky_seconds * 1000)),
        len(ids),
        token,
        *rows,
        orjson.dumps(dict(exposure(test, value, now) for test, value in entry.exposures.items())),
        *(entry.put_off or ()),
    )


def settle_call(settlement: Settlement, *, decision_ttl_ms: int, token: str = NO_TOKEN) -> Command:
    """Keys and arguments of the script `SETTLE_PERMIT`; `token` as in `commit_call`."""
    shard = shard_of(settlement.customer_id)
    keys = [stream_key(shard), *state_keys(settlement.customer_id), decision_key(settlement.decision_id, shard)]
    reservation, now = settlement.reservation, settlement.supply.now
    rows = [word for pair in settlement.rows for word in pair]
    return (
        len(keys),
        *keys,
        *_judged_by(reservation, settlement.supply, now, _record_ttl_ms(reservation, now, decision_ttl_ms)),
        *_reserving(reservation, [settlement.decision_id], settlement.supply, now, settlement.book_lasts),
        settlement.customer_id,
        int(settlement.is_allowed),
        settlement.answer,
        time_text(settlement.good_until),
        token,
        *rows,
    )


def take_in_call(table: str, taking: Taking, *, mark_ttl_ms: int, since: datetime, token: str = NO_TOKEN) -> Command:
    """Keys and arguments of the script `TAKE_IN`; `token` as in `commit_call`."""
    who = taking.customer_id
    shard = shard_of(who)
    live, book, events, pointer = state_keys(who)
    keys = [stream_key(shard), seen_key(who, taking.seen_as), live, book, events, pointer, feature_key(who)]
    keys.append(decision_key(taking.decision_id or "", shard))
    told = (table, mark_ttl_ms, taking.row, taking.changes.to_json(), time_text(since), time_text(taking.now), token)
    return (len(keys), *keys, *told, taking.digest)


def _judged_by(
    reservation: Reservation | None, supply: SupplyQuery | None, now: datetime, record_ttl_ms: int
) -> Command:
    version, household_version = 0, 0
    if reservation is not None:
        version, household_version = reservation.version, reservation.household_version
    return (time_text(now), since_of(supply), record_ttl_ms, str(version), str(household_version))


def _reserving(
    reservation: Reservation | None, ids: Sequence[str], supply: SupplyQuery | None, now: datetime, lasts: timedelta
) -> Command:
    wanted = b"" if reservation is None else orjson.dumps(_wanted(reservation, ids))
    return (wanted, query_json(supply), time_text(now - lasts), int(lasts / timedelta(milliseconds=1)))


def _wanted(reservation: Reservation, ids: Sequence[str]) -> dict[str, Any]:
    """A reservation as the scripts read it."""
    return {
        "contacts": [_contact(one, reservation, ids) for one in reservation.contacts],
        "uses": dict(reservation.uses),
        "ceilings": dict(reservation.ceilings),
        "ttls": {counter: ttl for counter in reservation.uses if (ttl := counter_ttl_ms(counter)) is not None},
        "evidence": dict(reservation.evidence),
    }


def _contact(contact: Contact, reservation: Reservation, ids: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": contact.contact_id,
        "value": contact_text(contact),
        "place": ids.index(contact.contact_id) + 1 if contact.contact_id in ids else 1,
    }
    if contact.is_ghost:
        return found
    found["touch"] = class_text(contact.touch)
    uses = _uses_of(contact, reservation)
    if uses:
        found["uses"] = orjson.dumps(dict(uses)).decode()
        if contact.reserved_until is not None and not contact.is_confirmed:
            found["until_at"] = time_text(contact.reserved_until)
    return found


def _uses_of(contact: Contact, reservation: Reservation) -> dict[str, float]:
    """What a contact gives back where it is released; where nobody says and there are several, the first has it all."""
    if contact.contact_id in reservation.uses_by_contact:
        return dict(reservation.uses_by_contact[contact.contact_id])
    sent = [one.contact_id for one in reservation.contacts if not one.is_ghost]
    is_first = bool(sent) and sent[0] == contact.contact_id and not reservation.uses_by_contact
    return dict(reservation.uses) if is_first else {}


def counter_ttl_ms(counter: str) -> int | None:
    """Counters of a period outlive it by a while; one for the whole of a limit's life stays."""
    return None if ":total" in counter else _COUNTER_TTL_MS


def _record_ttl_ms(reservation: Reservation | None, now: datetime, decision_ttl_ms: int) -> int:
    """A decision is kept at least until its reservation has run out, so that it can give back what it holds."""
    ends = [one.reserved_until for one in reservation.contacts if one.reserved_until] if reservation else []
    longest = max((int((end - now) / timedelta(milliseconds=1)) for end in ends), default=0)
    return max(decision_ttl_ms, longest + _DAY_MS if ends else 0)
