"""Reports kept as JSON files, one per moment they are about, so that every page shows the newest and old ones stay."""

import os
from datetime import UTC, datetime
from pathlib import Path

from decisioning.errors import InvalidInputError

_NAME = "%Y-%m-%dT%H%M%SZ"


def write_report(folder: Path, as_of: datetime, payload: bytes) -> Path:
    """Store a report in place of an earlier one as of the same second; a reader never sees half of it.

    Args:
        folder: Of this kind of report.
        as_of: The moment it is about (aware).
        payload: Its stored form.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{as_of.astimezone(UTC):{_NAME}}.json"
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_bytes(payload)
    fresh.replace(path)
    return path


def newest_report(folder: Path, command: str) -> bytes:
    """The stored form of the report about the latest moment.

    Args:
        folder: Of this kind of report.
        command: What to run where there is none.

    Raises:
        InvalidInputError: None is stored.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InvalidInputError(f"report must be stored before it is shown, got none; run `{command}`")
    return paths[-1].read_bytes()
