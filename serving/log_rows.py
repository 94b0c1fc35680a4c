"""Rows of the canonical tables, as the log stream carries them: plain values, times in ISO 8601."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from decisioning.catalogue import Catalogue
from decisioning.decision import Decision
from serving.bodies import EventItem, Money, OutcomeItem

type Row = dict[str, Any]


def decision_row(decision: Decision, record: bytes, catalogue: Catalogue) -> Row:
    """The row of a decision.

    Args:
        decision: The decision.
        record: Its full record, as JSON.
        catalogue: Says how long the window is in which its worth is counted.
    """
    learning = catalogue.learning
    ends_at = decision.decided_at + timedelta(days=learning.window_days) if learning else None
    return {
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
    }


def outcome_row(item: OutcomeItem, *, customer_id: str, now: datetime, per_major: float) -> Row:
    """The row of a reported outcome.

    Args:
        item: The report.
        customer_id: Whose decision it was.
        now: When the report arrived.
        per_major: Minor units per major unit of its currency.

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


def event_row(item: EventItem, *, now: datetime, per_major: float) -> Row:
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


def not_sent_row(decision: Decision, *, now: datetime, cause: str) -> Row:
    """The outcome of a decision that may be in the log although its caller was told something else."""
    return {
        "outcome_id": f"{decision.decision_id}:not_sent",
        "decision_id": decision.decision_id,
        "customer_id": decision.customer_id,
        "type": "not_sent",
        "occurred_at": now.isoformat(),
        "recorded_at": now.isoformat(),
        "properties": _json({"cause": cause}),
    }


def _money(value: Money | None, per_major: float) -> Row:
    if value is None:
        return {"amount_minor": None, "currency": None}
    return {"amount_minor": value.to_minor(per_major), "currency": value.currency}


def _json(value: Mapping[str, Any]) -> str | None:
    return orjson.dumps(value).decode() if value else None
