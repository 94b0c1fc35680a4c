"""Readmission: an erased customer who signs up again returns with a new consent; nothing older comes back."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError, UnknownNameError
from features.log.contracts import CUSTOMERS, EVENTS
from features.log.event_types import StateEventType
from features.log.tombstones import tombstones_of
from features.online.erased import tell_erased
from features.online.redis_connection import connect
from features.privacy.audit_trail import Act, note_act
from features.settings import Settings
from serving.live.changes import purposes_of

SOURCE = "readmission"
"""Source of the consents that a return begins with."""


def readmit_customer(
    settings: Settings,
    redis_url: str,
    catalogue: Catalogue,
    customer_id: str,
    consents: Sequence[tuple[str, str]],
    *,
    given_at: datetime,
    now: datetime,
    by: str,
) -> None:
    """Take a customer in again; rows, events and answers from before `given_at` still do not come back.

    It takes at least one new yes, by channel and purpose, given after the erasure. `by` is who asked, as in
    `correct_customer`.

    Raises:
        InvalidInputError: The customer was not erased, or the consent does not fit.
        UnknownNameError: A channel or purpose that the catalogue does not have.
        UnavailableError: The log or Redis is away; repeat it.
    """
    from features.log.event_log import EventLog
    from features.log.rows import frame_of, row_of
    from features.privacy.profile_writer import write_row

    _check(catalogue, consents, given_at, now)
    log = EventLog(settings.log_path)
    log.erased.readmit(customer_id, since=given_at)
    answers = [
        {"channel": channel, "purpose": purpose, "granted": True, "recorded_at": given_at.astimezone(UTC).isoformat(),
         "source": SOURCE}
        for channel, purpose in consents
    ]  # fmt: skip
    row = dict.fromkeys(CUSTOMERS.schema) | {
        "customer_id": customer_id,
        "updated_at": max(given_at, now),
        "joined_at": given_at,
        "consents": orjson.dumps(answers).decode(),
    }
    events = frame_of(EVENTS, (row_of(EVENTS, each) for each in _given(customer_id, consents, given_at, now)))
    log.append(EVENTS, events)  # outlives whatever row another system sends
    with connect(redis_url) as client:
        tell_erased(client, log.erased)
        write_row(log, client, row, catalogue)
    note_act(settings, Act.READMITTED, customer_id, by=by, now=now, details={"consents": len(answers)})


def _given(
    customer_id: str, consents: Sequence[tuple[str, str]], given_at: datetime, now: datetime
) -> Iterator[Mapping[str, Any]]:
    """The new answers as events."""
    for channel, purpose in consents:
        yield {
            "event_id": f"{SOURCE}:{given_at.astimezone(UTC).isoformat()}:{channel}:{purpose}",
            "customer_id": customer_id,
            "type": StateEventType.CONSENT_GIVEN.value,
            "occurred_at": given_at.astimezone(UTC).isoformat(),
            "recorded_at": now.astimezone(UTC).isoformat(),
            "properties": orjson.dumps({"channel": channel, "purpose": purpose}).decode(),
        }


def was_erased(settings: Settings, customer_id: str) -> bool:
    """Whether a customer was erased and not readmitted since."""
    return customer_id in tombstones_of(settings)


def _check(catalogue: Catalogue, consents: Sequence[tuple[str, str]], given_at: datetime, now: datetime) -> None:
    if not consents:
        raise InvalidInputError("readmission must come with a new consent, got none")
    if given_at > now:
        raise InvalidInputError("new consent must not lie in the future, got a later time than now")
    purposes = purposes_of(catalogue)
    for channel, purpose in consents:
        if channel not in catalogue.channels:
            raise UnknownNameError("channel", channel, catalogue.channels)
        if purpose not in purposes:
            raise UnknownNameError("purpose", purpose, purposes)
