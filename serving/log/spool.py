"""Where decisions wait on disk while Redis cannot take them: JSON lines, one file per process."""

import asyncio
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from decisioning.errors import LogUnavailableError
from features.durability import make_durable

SUFFIX = ".jsonl"
TAKEN_SUFFIX = ".draining"


class Spool:
    """Keeps rows for the log; every append is on the disk when it returns."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"

    def append(self, table: str, row: Mapping[str, object]) -> None:
        """Keep a row of a canonical table until the drain takes it; times may be datetimes or ISO 8601 text.

        It blocks for one flush of the disk, so an event loop calls `keep`.

        Raises:
            LogUnavailableError: The disk did not take it.
        """
        line = orjson.dumps({"table": table, "row": row}, option=orjson.OPT_APPEND_NEWLINE)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _locked_for_append(self._path) as handle:
                is_new = _write_whole(handle, line)
                os.fsync(handle)
            if is_new:
                make_durable(self._path.parent)  # the name of the new file
        except OSError as error:
            raise LogUnavailableError(
                f"spool must be writable, got {error.strerror}; repair or free the disk"
            ) from error

    async def keep(self, rows: Sequence[tuple[str, Mapping[str, object]]], *, within_s: float) -> None:
        """Keep rows, each with the name of its table, without holding up the event loop.

        Raises:
            LogUnavailableError: The disk did not take them, or not in time; it may still take them later.
        """
        try:
            async with asyncio.timeout(within_s):
                await asyncio.to_thread(lambda: [self.append(table, row) for table, row in rows])
        except TimeoutError as error:
            raise LogUnavailableError("spool must take a row in time, got a slow disk; look at the disk") from error


def take_files(folder: Path) -> list[Path]:
    """Files whose rows the caller must bring into the log and then remove; their writers begin new ones.

    A file that an interrupted drain took comes again.
    """
    for path in folder.glob(f"*{SUFFIX}"):
        _take(path)
    return sorted(folder.glob(f"*{TAKEN_SUFFIX}"))


def _take(path: Path) -> None:
    """Rename a file while nobody writes to it; the lock lasts no longer than that, so no writer waits for the log."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # another drain was faster
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_at(path, handle):
            path.rename(path.with_name(f"{path.stem}-{secrets.token_hex(4)}{TAKEN_SUFFIX}"))
    finally:
        os.close(handle)


@contextmanager
def _locked_for_append(path: Path) -> Iterator[int]:
    """The file at `path`, locked; opened again where the drain has just taken it."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(path, handle):
                yield handle
                return
        finally:
            os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """Whether an open file is still the one that `path` names."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _write_whole(handle: int, line: bytes) -> bool:
    """Write a line, or take back the part of it that was written; whether it is the file's first."""
    size = os.fstat(handle).st_size
    try:
        written = os.write(handle, line)
        while written < len(line):
            written += os.write(handle, line[written:])
    except OSError:
        os.ftruncate(handle, size)
        raise
    return size == 0
