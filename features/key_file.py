"""Files that hold one secret key: created atomically on first use, readable by the owner only."""

import secrets
from pathlib import Path

from features.durability import create_once

KEY_BYTES = 32


def key_text(path: Path) -> bytes:
    """The text of a key file, which is made where there is none; where another process was faster, its key stands.

    Raises:
        OSError: The file cannot be read or made.
    """
    if not path.exists():
        create_once(path, secrets.token_hex(KEY_BYTES).encode())
    return path.read_bytes().strip()
