"""Waiting for something in another thread, another process or a server."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], seconds: float = 120.0) -> None:
    """Return as soon as `is_so()` holds; fail if it does not in time."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.01)
