"""The hash of a decision, kept until its time to live ends: whose it is, its record, its permit and what it holds.

Written by the scripts `COMMIT_DECISION`, `SETTLE_PERMIT` and `RESTORE_DECISION`; what it holds also by `TAKE_IN` and by
every script that sweeps; read by `READ_PERMIT` and by `LiveStore`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson

from decisioning.catalogue.contact_policy import Touch
from serving.live.encoding import moment_in, touch_in
from serving.live.reader import IsLost, Known, known_in, supply_of, without
from serving.live.redis_link import Reply


class DecisionField(StrEnum):
    """Fields of the hash."""

    CUSTOMER_ID = "customer_id"
    CHANNEL = "channel"  # empty for silence
    DECIDED_AT = "decided_at"  # 16 digits
    RECORD = "record"  # JSON; not where the log alone keeps it, and not at a further position of a slate
    FIRST = "first"  # key of the first position of the slate, which has the record
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
        record: The decision's record, as JSON; None where the log alone keeps it. A further position of a slate has the
            record of the first.
        known: The customer as known now; what the decision itself holds of counters is taken out of `known.supply`.
        answer: An earlier answer that still stands, as JSON: give it again.
    """

    decision_id: str
    customer_id: str
    record: bytes | None
    known: Known
    answer: bytes | None


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
    customer, record, answer, held, features, profile, state, supply, mark = reply
    known = known_in(
        state,
        features=features,
        profile=profile,
        supply=without(supply_of(supply), orjson.loads(held) if held else {}),
        is_lost=is_lost(mark),
    )
    return PermitContext(
        decision_id=decision_id, customer_id=customer.decode(), record=record, known=known, answer=answer
    )
