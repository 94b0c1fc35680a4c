"""What was written reaches the disk before anything relies on it, and no reader sees half of it."""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

OWNER_ONLY = 0o600
_ANYBODY = 0o666  # as far as the account's mask lets them


def create_once(path: Path, content: bytes) -> None:
    """Make a file that only its owner can read; where another process was faster, its file stands.

    Raises:
        OSError: The file cannot be made.
    """
    with suppress(FileExistsError), _draft(path, content, OWNER_ONLY, is_durable=True) as draft:
        os.link(draft, path)


def replace_file(path: Path, content: bytes, *, mode: int = _ANYBODY, is_durable: bool = False) -> None:
    """Write a file and its folder in one step: a reader sees what it was or what it becomes; on the disk if durable.

    Raises:
        OSError: The file cannot be written.
    """
    with _draft(path, content, mode, is_durable=is_durable) as draft:
        draft.replace(path)


def append_lines(path: Path, lines: Iterable[object], *, mode: int = _ANYBODY) -> None:
    """Add values to a file of JSON lines, made with its folder where it is not there; on the disk on return.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        file.flush()
        os.fsync(file.fileno())


def make_durable(path: Path) -> None:
    """Flush a file, or the names in a folder: a rename may only be trusted after what it names has reached the disk.

    Raises:
        FileNotFoundError: It is not there.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _draft(path: Path, content: bytes, mode: int, *, is_durable: bool) -> Iterator[Path]:
    """The content beside its place, which is gone again if nobody moves it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
