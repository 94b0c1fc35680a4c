"""The journal of unfinished erasures: the customer's ids, until nothing is left.

An erasure forgets as it goes. Killed in the middle, it could no longer tell which decisions were whose; so it writes
down first what it will look for, in a file for the owner's eyes only, and removes that file last.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from decisioning.errors import UnavailableError
from features.durability import OWNER_ONLY, replace_file
from features.locks import held
from features.log.tombstones import tombstones_of
from features.settings import Settings


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


_ADAPTER = TypeAdapter(Unfinished)


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
        erasure = replace(
            erasure,
            decision_ids=_union(before.decision_ids, erasure.decision_ids),
            message_ids=_union(before.message_ids, erasure.message_ids),
        )
    try:
        replace_file(path, orjson.dumps(erasure), mode=OWNER_ONLY, is_durable=True)
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
    for note in journal_folder(settings).glob(f"*{_path(settings, customer_id).stem}.*"):  # those of a crash, too
        note.unlink(missing_ok=True)


def one_at_a_time(settings: Settings) -> AbstractContextManager[None]:
    """Hold while an erasure or a retention run is at work.

    Raises:
        UnavailableError: Another one is at work.
    """
    busy = UnavailableError("erasure must be the only one at work, got another; try again later")
    return held(settings.log_path / "erased" / "work.lock", busy)


def _path(settings: Settings, customer_id: str) -> Path:
    return journal_folder(settings) / f"{tombstones_of(settings).token(customer_id)}.json"


def _read(path: Path) -> Unfinished | None:
    with suppress(FileNotFoundError):
        return _ADAPTER.validate_json(path.read_bytes())
    return None


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*first, *second}))
