"""A drain beside other work, for as long as that lasts and once more after it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from features.settings import Settings
from serving.log.drain import run_drain


@contextmanager
def draining(settings: Settings, redis_url: str) -> Iterator[None]:
    """Drain in a thread while the block runs; what was logged by its end is in the log afterwards."""
    stop = threading.Event()
    drain = threading.Thread(target=run_drain, args=(settings, redis_url, stop), name="drain")
    drain.start()
    try:
        yield
    finally:
        stop.set()
        drain.join()
