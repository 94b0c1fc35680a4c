"""The book of what was handed over: every decision at most once, and every file whole or not there.

A hand-off is prepared first: its files are written below the home, and one rename makes it count. Then they are put
where they were asked for, and a second rename closes it. Whatever ends in between, the next run finishes it with the
very same bytes before it looks for anything new::

    handoffs/<id>.<number>         the bytes of one file of a prepared hand-off
    handoffs/<id>.prepared.json    prepared: counts as handed over, and may still have to be put in place
    handoffs/<id>.json             closed: names the decisions, and holds nothing else of anybody
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from decisioning.errors import InvalidInputError, LogUnavailableError
from features.durability import make_durable

_PREPARED = ".prepared.json"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """One hand-off.

    Attributes:
        channel_id: Whom it went to.
        handed_over_at: When (ISO 8601, UTC).
        decision_ids: Decisions that were handed over.
        settled_ids: Decisions that were refused for good.
        paths: Where its files go, absolute.
    """

    handoff_id: str
    channel_id: str
    handed_over_at: str
    decision_ids: tuple[str, ...]
    settled_ids: tuple[str, ...]
    paths: tuple[str, ...]


class HandOffBook:
    """Hand-offs below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the book: only one run hands over at a time.

        Raises:
            InvalidInputError: Another run is at work.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InvalidInputError("hand-off must be the only one, got another at work; wait for it") from error
            yield

    def settled(self) -> set[str]:
        """Decisions that are not to be looked at again: handed over, or refused for good."""
        found = set[str]()
        for path in self.folder.glob("*.json"):
            handoff = _read(path)
            found.update(handoff.decision_ids, handoff.settled_ids)
        return found

    def finish(self) -> list[HandOff]:
        """Put the files of hand-offs in place that were prepared and not closed, and close them.

        Raises:
            LogUnavailableError: A file could not be written where it was asked for.
        """
        prepared = sorted(self.folder.glob(f"*{_PREPARED}"))
        finished = [self._close(_read(path)) for path in prepared]
        self._drop_leftovers()
        return finished

    def hand_over(self, handoff: HandOff, payloads: Sequence[bytes]) -> None:
        """Note a hand-off and put its files in place; `payloads` are those of its paths, in order.

        Raises:
            LogUnavailableError: A file could not be written; the next run finishes the hand-off.
        """
        for number, payload in enumerate(payloads):
            _write_whole(self._payload(handoff, number), payload)
        _write_whole(self.folder / f"{handoff.handoff_id}{_PREPARED}", orjson.dumps(asdict(handoff)))
        self._close(handoff)

    def _close(self, handoff: HandOff) -> HandOff:
        payloads = [self._payload(handoff, number) for number in range(len(handoff.paths))]
        for payload, path in zip(payloads, handoff.paths, strict=True):
            if payload.exists():  # else all of them are in place, and only the closing was missed
                _write_whole(Path(path), payload.read_bytes())
        for payload in payloads:
            payload.unlink(missing_ok=True)
        (self.folder / f"{handoff.handoff_id}{_PREPARED}").rename(self.folder / f"{handoff.handoff_id}.json")
        return handoff

    def _drop_leftovers(self) -> None:
        """Remove the bytes of hand-offs that were never prepared to the end; those that were are closed by now."""
        for path in self.folder.iterdir():
            if path.suffix != ".json" and path.name != _LOCK:
                path.unlink(missing_ok=True)

    def _payload(self, handoff: HandOff, number: int) -> Path:
        return self.folder / f"{handoff.handoff_id}.{number}"


def _read(path: Path) -> HandOff:
    try:
        fields: dict[str, Any] = orjson.loads(path.read_bytes())
        lists = {name: tuple(fields[name]) for name in ("decision_ids", "settled_ids", "paths")}
        return HandOff(**{**fields, **lists})
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise LogUnavailableError(
            f"book of hand-offs must be readable, got {type(error).__name__} at {path}; restore it, or decisions are "
            "handed over twice"
        ) from error


def _write_whole(path: Path, payload: bytes) -> None:
    """A file that is there whole or not at all, and survives a power cut."""
    draft = path.with_name(f".{path.name}.part")  # always the same, so that nobody's data is left lying in others
    try:
        with draft.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        make_durable(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise LogUnavailableError(
            f"hand-off must be writable, got {error.strerror} at {path}; repair that and run it again"
        ) from error
