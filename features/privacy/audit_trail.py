"""The audit trail of data subject requests: a line per action, without ids or values."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from decisioning.errors import UnavailableError
from features.durability import OWNER_ONLY, append_lines
from features.log.tombstones import tombstones_of
from features.settings import Settings


class Act(StrEnum):
    """What was done."""

    SHOWN = "shown"
    CORRECTED = "corrected"
    ERASED = "erased"
    READMITTED = "readmitted"  # an erased customer signed up again
    RETAINED = "retained"  # data past its time was deleted


def trail_path(settings: Settings) -> Path:
    """The file: a JSON object a line."""
    return settings.home / "privacy.jsonl"


def note_act(
    settings: Settings, act: Act, customer_id: str | None, *, by: str, now: datetime, details: Mapping[str, Any]
) -> None:
    """Note an act; it is on the disk on return.

    Args:
        settings: Where the trail is, and the key of tombstones.
        act: What was done.
        customer_id: About whom; stands there as the keyed hash that a tombstone has. None for all.
        by: Who asked: the name of an API key, or the command line.
        now: When (aware).
        details: Counts and names of columns, never a value.

    Raises:
        UnavailableError: The disk does not take it.
    """
    about = None if customer_id is None else tombstones_of(settings).token(customer_id)
    line = {"at": now.astimezone(UTC), "act": act, "about": about, "by": by, **details}
    try:
        append_lines(trail_path(settings), [line], mode=OWNER_ONLY)
    except OSError as error:
        raise UnavailableError(f"act must be noted in the trail, got {error.strerror}; free the disk") from error


def acts(settings: Settings) -> list[dict[str, Any]]:
    """Every act, oldest first."""
    try:
        return [orjson.loads(line) for line in trail_path(settings).read_bytes().splitlines()]
    except FileNotFoundError:
        return []
