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

from decisioning.catalogue.contact_policy import Touch, touch_of_words, touch_words
from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import Request
from decisioning.permit import DecidedMessage
from decisioning.record.document import facts_from_plain, facts_to_plain
from serving.live.encoding import moment_in, touch_in
from serving.live.reader import IsLost, Known, known_in, supply_of, without
from serving.live.redis_link import Reply

_CLASS_WORDS = 3
"""Words of a touch that its message's key does not have."""


class DecisionField(StrEnum):
    """Fields of the hash."""

    CUSTOMER_ID = "customer_id"
    CHANNEL = "channel"  # empty for silence
    DECIDED_AT = "decided_at"  # 16 digits
    TOUCHPOINT = "touchpoint"  # not for silence, like the next two
    MESSAGE = "message"  # its key
    ASK = "ask"  # what else the ask said, JSON; nothing where it said nothing
    ENTRY = "entry"  # id of its row in the stream
    TOUCH = "touch"  # class, department and goal, JSON; with the parts of the message where MESSAGE is not there
    HOUSEHOLD = "household"  # whose book has the contact too
    USES = "uses"  # what the message uses up, JSON by counter
    HELD = "held"  # `1` exactly while the counters contain it
    PERMIT = "permit"  # the answer, JSON
    PERMIT_UNTIL = "permit_until"  # until when it is given again, 16 digits


OWNED = (
    DecisionField.CUSTOMER_ID,
    DecisionField.CHANNEL,
    DecisionField.TOUCH,
    DecisionField.DECIDED_AT,
    DecisionField.MESSAGE,
)
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


def ask_fields(request: Request, message_key: str) -> bytes:
    """The fields `TOUCHPOINT`, `MESSAGE` and `ASK` with their values, as a JSON list; empty for silence.

    Redis packs a hash of short values tightly, so each is a field of its own, and what is empty is left out.
    """
    if message_key == SILENCE:
        return b""
    told: dict[str, Any] = {
        "context": facts_to_plain(request.context),
        "stage": request.stage_id,
        "exclude_offers": sorted(request.excluded_offers),
    }
    channels = {} if request.channels is None else {"channels": sorted(request.channels)}
    told = {name: value for name, value in told.items() if value} | channels
    rest = [DecisionField.ASK, orjson.dumps(told).decode()] if told else []
    return orjson.dumps([DecisionField.TOUCHPOINT, request.touchpoint_id, DecisionField.MESSAGE, message_key, *rest])


def class_text(touch: Touch) -> str:
    """The field `TOUCH` beside a message."""
    return orjson.dumps(touch_words(touch)[:_CLASS_WORDS]).decode()


def _touch_in(touch: bytes, message: bytes | None) -> Touch:
    words: list[str] = orjson.loads(touch)
    parts = None if message is None else message_parts(message.decode())
    if parts is None or len(words) > _CLASS_WORDS:
        return touch_in(touch)
    return touch_of_words([*words, parts.channel_id, parts.offer_id, parts.creative_id])


def _decided_in(
    decision_id: str, customer_id: str, touchpoint: bytes | None, message: bytes | None, ask: bytes | None
) -> DecidedMessage | None:
    """The message that was decided for; the key of the request is not kept."""
    if touchpoint is None or message is None:
        return None
    told: dict[str, Any] = {} if ask is None else orjson.loads(ask)
    channels = told.get("channels")
    request = Request(
        customer_id=customer_id,
        touchpoint_id=touchpoint.decode(),
        request_key="",
        context=facts_from_plain(told.get("context", {})),
        channels=None if channels is None else frozenset(channels),
        excluded_offers=frozenset(told.get("exclude_offers", ())),
        stage_id=told.get("stage"),
    )
    return DecidedMessage(decision_id=decision_id, request=request, message_key=message.decode())


def owner_of(reply: list[bytes | None]) -> Owner | None:
    """Whose decision it is, by the fields `OWNED` of its hash; None where there is none."""
    customer, channel, touch, decided_at, message = reply
    if customer is None:
        return None
    return Owner(
        customer_id=customer.decode(),
        channel_id=channel.decode() if channel else None,
        touch=_touch_in(touch, message) if touch else None,
        decided_at=moment_in(decided_at) if decided_at else None,
    )


def permit_context_of(decision_id: str, reply: Reply, is_lost: IsLost) -> PermitContext:
    """What the script that reads for a permit answered."""
    customer, touchpoint, message, ask, channel, answer, held, features, profile, state, supply, mark = reply
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
        decided=_decided_in(decision_id, customer.decode(), touchpoint, message, ask),
        is_silence=not channel,
        known=known,
        answer=answer,
    )
