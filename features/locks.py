"""Lock files, held by one process at a time; the system releases them even when the process is killed."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER_ONLY = 0o600
_POLL_SECONDS = 0.005


@contextmanager
def held(path: Path, busy: Exception, *, shared: bool = False, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file, alone or shared; `busy` is raised where others hold it for longer than `wait_seconds`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        ends_at = time.monotonic() + wait_seconds
        while not _takes(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() >= ends_at:
                raise busy
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def _takes(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
