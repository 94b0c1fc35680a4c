"""Rows of the canonical tables, as the log stream carries them: plain values, times in ISO 8601."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import Decision
from decisioning.gates.reservation import position_id
from serving.forms import EventItem, Money, OutcomeItem

type StreamRow = dict[str, Any]


def decision_of_position(position: str) -> tuple[str, int]:
    """The decision that a position belongs to, and its place from 0.

    Example:
        >>> decision_of_position("dec_1-2"), decision_of_position("dec_1")
        (('dec_1', 1), ('dec_1', 0))
    """
    decision_id, dash, number = position.rpartition("-")
    is_further = bool(dash) and decision_id.startswith("dec_") and number.isdecimal() and int(number) > 1
    return (decision_id, int(number) - 1) if is_further else (position, 0)


def decision_rows(decision: Decision, record: bytes, catalogue: Catalogue) -> list[StreamRow]:
    """The rows of a decision, one for each position of its slate.

    Every position has outcomes of its own, so evaluation and learning look at it by itself. The record, which tells of
    all of them, stands in the first row.
    """
    first = decision_row(decision, record, catalogue)
    if not decision.further:
        return [first]
    first["placement"] = decision.inputs.request.placements[0].placement_id
    rows = [first]
    for place, position in enumerate(decision.further, start=2):
        offer_id, channel_id, creative_id = parts_of(position.message_key)
        rows.append(
            first
            | {
                "decision_id": position_id(decision.decision_id, place),
                "offer_id": offer_id,
                "channel": channel_id,
                "creative_id": creative_id,
                "action_probability": position.action_probability,
                "placement": position.placement_id,
                "ghost": None,
                "record": None,
            }
        )
    return rows


def packed_row(row: StreamRow) -> bytes:
    """A decision's row as the stream carries it: values in the order of the columns, missing ones at the end left out.

    The record stands in it as it is and not as text, which would have to escape every quotation mark.
    """
    record = row["record"]
    values = list((row if record is None else {**row, "record": orjson.Fragment(record)}).values())
    while values[-1] is None:
        values.pop()
    return orjson.dumps(values)


def parts_of(message_key: str) -> tuple[str, str, str] | tuple[None, None, None]:
    """Offer, channel and creative that a message's key names; three times None for silence."""
    return message_parts(message_key) or (None, None, None)


def decision_row(decision: Decision, record: bytes, catalogue: Catalogue) -> StreamRow:
    """The first row of a decision, its columns in their order; arguments as `decision_rows`."""
    learning = catalogue.learning
    ends_at = decision.decided_at + timedelta(days=learning.window_days) if learning else None
    row: StreamRow = {
        "decision_id": decision.decision_id,
        "customer_id": decision.customer_id,
        "decided_at": decision.decided_at.isoformat(),
        "touchpoint": decision.touchpoint_id,
        "offer_id": decision.offer_id,
        "channel": decision.channel_id,
        "creative_id": decision.creative_id,
        "action_probability": decision.action_probability,
        "window_ends_at": ends_at.isoformat() if ends_at else None,
        "stage": decision.stage_id,
        "arms": _json(decision.arms),
        "policy_version": decision.policy_version,
        "model_version": decision.model_version,
        "record": record.decode(),
        "is_held_out": decision.is_held_out,
        "ghost": None if decision.ghost is None else _json(asdict(decision.ghost)),
        "placement": None,
    }
    if decision.better_hour is None:
        return row
    return row | {"commitment": None, "record_key": None, "put_off_until": decision.better_hour.at.isoformat()}


def outcome_row(item: OutcomeItem, *, customer_id: str, now: datetime, per_major: float) -> StreamRow:
    """The row of a reported outcome that arrived now; `per_major` is minor units per major unit of its currency.

    Raises:
        ValueError: The amount has a fraction of a minor unit.
    """
    return {
        "outcome_id": item.message_id,
        "decision_id": item.decision_id,
        "customer_id": customer_id,
        "type": item.type.value,
        "occurred_at": item.occurred_at.isoformat(),
        "recorded_at": now.isoformat(),
        **_money(item.value, per_major),
        "properties": _json(item.properties),
    }


def event_row(item: EventItem, *, now: datetime, per_major: float) -> StreamRow:
    """The row of a reported event; arguments and errors as `outcome_row`."""
    return {
        "event_id": item.message_id,
        "customer_id": item.customer_id,
        "type": item.type,
        "occurred_at": item.occurred_at.isoformat(),
        "recorded_at": now.isoformat(),
        "channel": item.channel,
        **_money(item.value, per_major),
        "properties": _json(item.properties),
    }


def sent_positions(decision: Decision) -> list[str]:
    """Ids of the positions that got a message."""
    keys = [decision.message_key, *(position.message_key for position in decision.further)]
    return [position_id(decision.decision_id, place) for place, key in enumerate(keys, start=1) if key != SILENCE]


def not_sent_row(position: str, customer_id: str, *, now: datetime, cause: str) -> StreamRow:
    """The outcome of a position that may be in the log although its caller was told something else."""
    return {
        "outcome_id": f"{position}:not_sent",
        "decision_id": position,
        "customer_id": customer_id,
        "type": "not_sent",
        "occurred_at": now.isoformat(),
        "recorded_at": now.isoformat(),
        "properties": _json({"cause": cause}),
    }


def _money(value: Money | None, per_major: float) -> StreamRow:
    if value is None:
        return {"amount_minor": None, "currency": None}
    return {"amount_minor": value.to_minor(per_major), "currency": value.currency}


def _json(value: Mapping[str, Any]) -> str | None:
    return orjson.dumps(value).decode() if value else None
