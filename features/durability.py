"""What was written reaches the disk before anything relies on it."""

import os
from pathlib import Path


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
