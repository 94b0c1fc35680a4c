"""What customers did and said, from the log back into live state, as the same changes that reports make."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import CONFIRMING_OUTCOMES, RELEASING_OUTCOMES
from features.log.event_log import EventLog
from features.log.event_types import StateEventType
from features.log.heard import TEXT_TYPES
from features.log.outcome_types import OutcomeType
from features.log.restorable import StoredRow, events_since, first_exposures, outcomes_since
from serving.errors import Fault
from serving.forms import EventItem, OutcomeItem
from serving.in_force.policy_in_force import InForce
from serving.live.changes import REMEMBERED, Changes, changes_of_event, changes_of_outcome
from serving.live.join import JOINING
from serving.live.live_hash import exposure
from serving.live.recent_events import RECENT
from serving.live.writer import Taking
from serving.restoration.taken import Restorer


def events_of(log: EventLog, in_force: InForce, now: datetime) -> Iterator[Taking]:
    """Events that change live state: words for it, what opens and closes cases, and what happened of late.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    kinds = in_force.catalogue.care.kinds.values()
    lasting = {*map(str, StateEventType), *map(str, TEXT_TYPES)}
    lasting |= {one for kind in kinds for one in (*kind.opened_by, *kind.resolved_by)}
    for row in events_since(log, now - RECENT, or_types=lasting):
        taking = _event(row, in_force)
        if taking is not None:
            yield taking


def exposures_of(log: EventLog, catalogue: Catalogue, now: datetime) -> Iterator[Taking]:
    """What first exposures put customers into, which an event `identified` may bring to another id.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    for row in first_exposures(log, [one.programme_id for one in catalogue.programme_holdouts]):
        word = exposure(row["test"], row["value"], row["decided_at"])
        yield Taking(
            seen_as=JOINING, customer_id=row["customer_id"], row=b"", now=now, changes=Changes(greatest=(word,))
        )


def outcomes_of(log: EventLog, restorer: Restorer) -> Iterator[Taking]:
    """Outcomes that change live state: answers, whenever they came, and what became of contacts in the book.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    catalogue = restorer.in_force.catalogue
    lasting = REMEMBERED | {one.after for one in catalogue.contact_policy.suppressions}
    marking = CONFIRMING_OUTCOMES | RELEASING_OUTCOMES
    for row in outcomes_since(log, restorer.oldest_contact, types=marking, or_types=lasting):
        yield _outcome(row, restorer)


def _event(row: StoredRow, in_force: InForce) -> Taking | None:
    """An event as if it came in now; None where it changes nothing by this catalogue."""
    item = EventItem.model_construct(
        message_id=row["event_id"],
        customer_id=row["customer_id"],
        type=row["type"],
        occurred_at=row["occurred_at"],
        channel=row["channel"],
        value=None,
        properties=_properties(row["properties"]),
    )
    changes = changes_of_event(item, in_force.catalogue, arrived_at=_came_at(row), keeps=in_force.keeps(item.type))
    if isinstance(changes, Fault):
        return None
    seen_as, came_at = f"events:{item.message_id}", _came_at(row)
    return Taking(seen_as=seen_as, customer_id=item.customer_id, row=b"", now=came_at, changes=changes)


def _outcome(row: StoredRow, restorer: Restorer) -> Taking:
    item = OutcomeItem.model_construct(
        message_id=row["outcome_id"],
        decision_id=row["decision_id"],
        customer_id=row["customer_id"],
        type=OutcomeType(row["type"]),
        occurred_at=row["occurred_at"],
        value=None,
        properties=_properties(row["properties"]),
    )
    return Taking(
        seen_as=f"outcomes:{item.message_id}",
        customer_id=row["customer_id"],
        row=b"",
        now=_came_at(row),
        changes=changes_of_outcome(
            item,
            restorer.in_force.catalogue,
            touch=restorer.touch(row),
            channel_id=row["channel"],
            arrived_at=_came_at(row),
            decided_at=row["decided_at"],
        ),
        decision_id=item.decision_id,
    )


def _came_at(row: StoredRow) -> datetime:
    return row["recorded_at"] or row["occurred_at"]


def _properties(text: str | None) -> dict[str, Any]:
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
