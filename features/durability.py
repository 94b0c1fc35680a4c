"""What was written reaches the disk before anything relies on it."""

import os
import secrets
from pathlib import Path

_OWNER_ONLY = 0o600


def create_once(path: Path, content: bytes) -> None:
    """Make a file that only its owner can read; where another process was faster, its file stands.

    Raises:
        OSError: The file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        os.write(handle, content)
        os.fsync(handle)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.close(handle)
        draft.unlink()


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
