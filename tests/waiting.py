"""Waiting for what happens elsewhere: in another thread, another process, a server."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], seconds: float = 120.0) -> None:
    """Come back as soon as it is so; it must become so in time."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.01)
