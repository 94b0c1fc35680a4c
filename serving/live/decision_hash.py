"""The hash of a decision, kept until its time to live ends: whose it is, what was asked, its permit, what it holds.

Its record is in the log alone: in the stream, under the id that `entry` names, until the drain has stored it.

Written by the scripts `COMMIT_DECISION`, `SETTLE_PERMIT` and `RESTORE_DECISION`; what it holds also by `TAKE_IN` and by
every script that sweeps; read by `READ_PERMIT` and by `LiveStore`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from decisioning.catalogue.contact_policy import Touch
from decisioning.catalogue.message import SILENCE
from decisioning.decision import Request
from decisioning.permit import DecidedMessage
from decisioning.record.document import facts_from_plain, facts_to_plain
from serving.live.encoding import moment_in, touch_in
from serving.live.reader import IsLost, Known, known_in, supply_of, without
from serving.live.redis_link import Reply


class DecisionField(StrEnum):
    """Fields of the hash."""

    CUSTOMER_ID = "customer_id"
    CHANNEL = "channel"  # empty for silence
    DECIDED_AT = "decided_at"  # 16 digits
    ASK = "ask"  # the message and what its ask said, JSON; not for silence
    ENTRY = "entry"  # id of its row in the stream
    TOUCH = "touch"  # JSON
    HOUSEHOLD = "household"  # whose book has the contact too
    USES = "uses"  # what the message uses up, JSON by counter
    HELD = "held"  # `1` exactly while the counters contain it
    PERMIT = "permit"  # the answer, JSON
    PERMIT_UNTIL = "permit_until"  # until when it is given again, 16 digits


OWNED = (DecisionField.CUSTOMER_ID, DecisionField.CHANNEL, DecisionField.TOUCH, DecisionField.DECIDED_AT)
"""Fields that say whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose decision it is, and what it sent; both None for silence, `touch` also if not recorded.

    Attributes:
        decided_at: When (aware, UTC); None if not recorded.
    """

    customer_id: str
    channel_id: str | None
    touch: Touch | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitContext:
    """Everything that a permit is judged by.

    Attributes:
        decided: The message, and what its ask said; None for silence, and where nobody wrote it down.
        is_silence: The decision, or this position of its slate, has no message.
        known: The customer as known now; what the decision itself holds of counters is taken out of `known.supply`.
        answer: An earlier answer that still stands, as JSON: give it again.
    """

    decision_id: str
    customer_id: str
    decided: DecidedMessage | None
    is_silence: bool
    known: Known
    answer: bytes | None


def ask_text(request: Request, message_key: str) -> bytes:
    """The field `ASK`: what `decided_in` needs beside the id and the customer; empty for silence."""
    if message_key == SILENCE:
        return b""
    told: dict[str, Any] = {
        "touchpoint": request.touchpoint_id,
        "message": message_key,
        "context": facts_to_plain(request.context),
        "stage": request.stage_id,
        "exclude_offers": sorted(request.excluded_offers),
    }
    channels = {} if request.channels is None else {"channels": sorted(request.channels)}
    return orjson.dumps({name: value for name, value in told.items() if value} | channels)


def decided_in(ask: bytes, decision_id: str, customer_id: str) -> DecidedMessage:
    """The message that a field `ASK` says was decided for; the key of the request is not kept."""
    told = orjson.loads(ask)
    channels = told.get("channels")
    request = Request(
        customer_id=customer_id,
        touchpoint_id=told["touchpoint"],
        request_key="",
        context=facts_from_plain(told.get("context", {})),
        channels=None if channels is None else frozenset(channels),
        excluded_offers=frozenset(told.get("exclude_offers", ())),
        stage_id=told.get("stage"),
    )
    return DecidedMessage(decision_id=decision_id, request=request, message_key=told["message"])


def owner_of(reply: list[bytes | None]) -> Owner | None:
    """Whose decision it is, by the fields `OWNED` of its hash; None where there is none."""
    customer, channel, touch, decided_at = reply
    if customer is None:
        return None
    return Owner(
        customer_id=customer.decode(),
        channel_id=channel.decode() if channel else None,
        touch=touch_in(touch) if touch else None,
        decided_at=moment_in(decided_at) if decided_at else None,
    )


def permit_context_of(decision_id: str, reply: Reply, is_lost: IsLost) -> PermitContext:
    """What the script that reads for a permit answered."""
    customer, ask, channel, answer, held, features, profile, state, supply, mark = reply
    known = known_in(
        state,
        features=features,
        profile=profile,
        supply=without(supply_of(supply), orjson.loads(held) if held else {}),
        is_lost=is_lost(mark),
    )
    return PermitContext(
        decision_id=decision_id,
        customer_id=customer.decode(),
        decided=None if ask is None else decided_in(ask, decision_id, customer.decode()),
        is_silence=not channel,
        known=known,
        answer=answer,
    )
