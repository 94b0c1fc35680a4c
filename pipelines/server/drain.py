"""A drain beside other work, for as long as that lasts and once more after it, and what comes with a drain."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from features.settings import Settings
from pipelines.server.canary_watch import run_guarding
from pipelines.server.residual_keeper import run_keeping
from serving.log.drain import run_drain
from serving.watch.care_watch import run_counting


@contextmanager
def draining(settings: Settings, redis_url: str) -> Iterator[None]:
    """Drain in a thread while the block runs; what was logged by its end is in the log afterwards."""
    with _beside(run_drain, settings, redis_url):
        yield


@contextmanager
def counting(settings: Settings, redis_url: str) -> Iterator[None]:
    """Count the cases of the log in a thread while the block runs, for the server's metrics."""
    with _beside(run_counting, settings, redis_url):
        yield


@contextmanager
def guarding(settings: Settings, redis_url: str) -> Iterator[None]:
    """Guard a canary in a thread while the block runs: one that harms is taken back."""
    with _beside(run_guarding, settings, redis_url):
        yield


@contextmanager
def learning(settings: Settings, redis_url: str) -> Iterator[None]:
    """Keep residuals current in a thread while the block runs: outcomes move prices."""
    with _beside(run_keeping, settings, redis_url):
        yield


@contextmanager
def _beside(
    work: Callable[[Settings, str, threading.Event], None], settings: Settings, redis_url: str
) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(settings, redis_url, stop), name=work.__name__)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
