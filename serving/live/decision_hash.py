"""What Redis holds of a decision, as outcomes and permits ask for it."""

from dataclasses import dataclass
from datetime import datetime

import orjson

from decisioning.catalogue.contact_policy import Touch
from serving.live.encoding import moment_in, touch_in
from serving.live.reader import (
    IsLost,
    Known,
    household_of,
    lifts_of,
    live_of,
    person_of,
    supply_of,
    told_of,
    unsubscriptions_of,
    without,
)
from serving.live.redis_link import Reply

OWNED = ("customer_id", "channel", "touch", "decided_at")
"""Fields of a decision's hash that say whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose decision it is, and what it sent; both None for silence, `touch` also where nobody wrote it down.

    Attributes:
        decided_at: When (aware, UTC); None where nobody wrote it down.
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
    known = Known(
        features=features,
        profile=profile,
        live=live_of(state, is_lost=is_lost(mark)),
        supply=without(supply_of(supply), orjson.loads(held) if held else {}),
        unsubscribed_at=unsubscriptions_of(state),
        told=told_of(state),
        household_id=household_of(state),
        lifted_at=lifts_of(state),
        person=person_of(state),
    )
    return PermitContext(
        decision_id=decision_id, customer_id=customer.decode(), record=record, known=known, answer=answer
    )
