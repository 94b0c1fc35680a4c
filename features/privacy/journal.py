"""The journal of unfinished erasures: the customer's ids, until nothing is left.

An erasure forgets as it goes. Killed in the middle, it could no longer tell which decisions were whose; so it writes
down first what it will look for, in a file for the owner's eyes only, and removes that file last.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import orjson

from decisioning.errors import UnavailableError
from features.log.tombstones import tombstones_of
from features.settings import Settings

_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An erasure that was begun.

    Attributes:
        reason: Why, in a word of a fixed list.
        by: Who asked: the name of an API key, or the command line.
        decision_ids: Their decisions, as far as they were found.
        message_ids: Their reports, as `events:<id>` and `outcomes:<id>`.
    """

    customer_id: str
    reason: str
    by: str
    decision_ids: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()


def journal_folder(settings: Settings) -> Path:
    """Where unfinished erasures are noted."""
    return settings.log_path / "erased" / "unfinished"


def note_unfinished(settings: Settings, erasure: Unfinished) -> Unfinished:
    """Write down an erasure with everything that was noted about it before; gives both together.

    Raises:
        UnavailableError: The disk does not take it.
    """
    path = _path(settings, erasure.customer_id)
    before = _read(path)
    if before is not None:
        erasure = Unfinished(
            customer_id=erasure.customer_id,
            reason=erasure.reason,
            by=erasure.by,
            decision_ids=_union(before.decision_ids, erasure.decision_ids),
            message_ids=_union(before.message_ids, erasure.message_ids),
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{uuid4().hex}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(erasure))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise UnavailableError(
            f"erasure must be noted before it begins, got {error.strerror}; free the disk"
        ) from error
    return erasure


def unfinished(settings: Settings) -> list[Unfinished]:
    """Erasures that were begun and not finished."""
    found = (_read(path) for path in sorted(journal_folder(settings).glob("*.json")))
    return [one for one in found if one is not None]


def finish(settings: Settings, customer_id: str) -> None:
    """Forget the note: nothing is left to look for."""
    _path(settings, customer_id).unlink(missing_ok=True)
    for torn in journal_folder(settings).glob(f"{_path(settings, customer_id).stem}.*"):
        torn.unlink(missing_ok=True)


@contextmanager
def one_at_a_time(settings: Settings) -> Iterator[None]:
    """Hold while an erasure or a retention run is at work.

    Raises:
        UnavailableError: Another one is at work.
    """
    folder = settings.log_path / "erased"
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "work.lock", os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UnavailableError("erasure must be the only one at work, got another; try again later") from error
    finally:
        os.close(handle)


def _path(settings: Settings, customer_id: str) -> Path:
    return journal_folder(settings) / f"{tombstones_of(settings).token(customer_id)}.json"


def _read(path: Path) -> Unfinished | None:
    with suppress(FileNotFoundError):
        fields = orjson.loads(path.read_bytes())
        fields |= {name: tuple(fields[name]) for name in ("decision_ids", "message_ids")}
        return Unfinished(**fields)
    return None


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*first, *second}))
