"""A decision's record, from Redis while kept there and from the log afterwards; positions of a slate share one."""

import asyncio
from pathlib import Path
from typing import Any

import orjson

from decisioning.errors import UnavailableError
from serving.errors import NoRecordError, UnknownDecisionError
from serving.live.store import LiveStore
from serving.log.archive import find_decisions
from serving.log.log_rows import decision_of_position


async def record_bytes(state: LiveStore, log_path: Path, decision_id: str, *, within_s: float) -> bytes:
    """The record of a decision, or of the decision that a position of a slate belongs to, as JSON.

    A decision that the engine did not make has no record; its row in the log stands for it. Redis may take
    `within_s` seconds.

    Raises:
        UnavailableError: Redis is away, and without it nobody can tell whether the decision exists.
        UnknownDecisionError: Nobody knows it.
    """
    decision_id, place = decision_of_position(decision_id)
    try:
        async with asyncio.timeout(within_s):
            record = await state.record(decision_id)
        is_certain = True
    except (TimeoutError, UnavailableError):
        record, is_certain = None, False
    if record is None:
        record = await asyncio.to_thread(_archived, log_path, decision_id)
    if record is not None and _has_position(record, place):
        return record
    if not is_certain:
        raise UnavailableError("Redis must answer before this decision can be found; retry")
    raise UnknownDecisionError


async def record_of(state: LiveStore, log_path: Path, decision_id: str, *, within_s: float) -> dict[str, Any]:
    """As `record_bytes`, read; for what only a record of the engine can answer.

    Raises:
        UnavailableError: As `record_bytes`.
        UnknownDecisionError: As `record_bytes`.
        NoRecordError: It was imported.
    """
    record = orjson.loads(await record_bytes(state, log_path, decision_id, within_s=within_s))
    if "record_version" not in record:
        raise NoRecordError
    return record


def _archived(log_path: Path, decision_id: str) -> bytes | None:
    row = find_decisions(log_path, [decision_id]).get(decision_id)
    if row is None:
        return None
    return row["record"].encode() if row["record"] else orjson.dumps(row)


def _has_position(record: bytes, place: int) -> bool:
    return place == 0 or place <= len(orjson.loads(record).get("further", ()))
