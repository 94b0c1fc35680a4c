"""Files that hold one secret key: created atomically on first use, readable by the owner only."""

import os
import secrets
from pathlib import Path

KEY_BYTES = 32

_OWNER_ONLY = 0o600


def key_text(path: Path) -> bytes:
    """The text of a key file, which is made where there is none; where another process was faster, its key stands.

    Raises:
        OSError: The file cannot be read or made.
    """
    if not path.exists():
        _make(path)
    return path.read_bytes().strip()


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        os.write(handle, secrets.token_hex(KEY_BYTES).encode())
        os.fsync(handle)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.close(handle)
        draft.unlink()
