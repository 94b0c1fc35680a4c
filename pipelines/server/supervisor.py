"""The running server: an embedded Redis, the drain, and worker processes, started together and stopped together.

This process holds Redis and the drain, and watches the workers; they serve. Whatever ends it, workers notice within a
second and end too, and Redis ends when nobody of this home uses it.
"""

import ipaddress
import os
import signal
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from decisioning.errors import InvalidInputError, UnavailableError
from features.catalogue import load_catalogue
from features.settings import Settings
from pipelines.server.drain import counting, draining, guarding, learning
from pipelines.server.embedded_redis import redis_for
from serving.http.api_keys import Scope, read_keys

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE_S = 5
"""How long a worker may finish its requests when it is stopped."""

START_S = 60
"""How long a worker may be silent before it is replaced. It is silent while it loads, which takes longer than uvicorn's
five seconds where the machine is busy: it would be killed and restarted forever."""

_PARENT_CHECK_S = 0.5
_READY_CHECK_S = 0.05


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; everything that was answered is in the log when it returns.

    Args:
        settings: Host, port (0 for any free one), number of workers, and where state is.
        on_ready: Called once with the server's URL when it answers.

    Raises:
        InvalidInputError: The port is taken, there is no catalogue, or the address needs keys and there are none.
        UnavailableError: Redis or the workers cannot be started.
    """
    check_exposure(settings)
    load_catalogue(settings.catalogue_path)
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        listener = stack.enter_context(bound_socket(settings.host, settings.port))
        redis_url = stack.enter_context(redis_for(settings))
        metrics = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nextbest-metrics-")))
        running = settings.model_copy(update={"redis_url": redis_url, "port": listener.getsockname()[1]})
        stack.enter_context(draining(running, redis_url))
        stack.enter_context(counting(running, redis_url))
        stack.enter_context(guarding(running, redis_url))
        stack.enter_context(learning(running, redis_url))
        workers = _workers(running, metrics, listener)
        stack.enter_context(_telling(url_of(running), workers, on_ready))
        workers.run()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C may cut the last drain short
        if any(process.exitcode == STARTUP_FAILURE for process in workers.processes):
            raise UnavailableError("server must start, got a worker that did not; the lines above say why")


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine while nobody would have to show a key.

    Raises:
        InvalidInputError: The address is not a loopback one and no key is in force.
    """
    if is_loopback(settings.host) or any(key.revoked_at is None for key in read_keys(settings.keys_path)):
        return
    raise InvalidInputError(
        f"host must be a loopback address while there is no API key, got {settings.host}; create a key first:"
        f" nextbest key create --name first --scope {Scope.DECIDE} --scope {Scope.OUTCOMES}"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A listening address; port 0 takes any free one.

    Raises:
        InvalidInputError: The address does not exist here, or the port is taken or not ours to take.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidInputError(f"host must be an address of this machine, got {host} ({error.strerror})") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise InvalidInputError(
                f"{host}:{port} must be free to listen on, got: {error.strerror}; choose another with --port"
            ) from error
        listener.set_inheritable(True)
        yield listener


def url_of(settings: Settings) -> str:
    """Where a server with these settings is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.port}"


def worker_app(settings: Settings, parent: int, metrics: Path | None) -> "FastAPI":
    """The application of a worker process, which ends when its parent does.

    Args:
        settings: With the URL of the Redis that the parent holds.
        parent: Process id of the parent.
        metrics: Folder in which workers add their numbers up; None for one worker.
    """
    from serving.http.app import create_app  # the parent has no use for it, and it takes a second
    from serving.logs import log_to_stderr

    log_to_stderr()
    threading.Thread(target=_end_with, args=(parent,), name="parent-watch", daemon=True).start()
    return create_app(settings, metrics_path=metrics, owns_process=True)


def _workers(settings: Settings, metrics: Path, listener: socket.socket) -> Multiprocess:
    shared = metrics if settings.workers > 1 else None
    if shared is not None:  # prometheus_client's own switch; it must be there before a worker imports it
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared)  # noqa: TID251
    config = uvicorn.Config(
        partial(worker_app, settings, os.getpid(), shared),
        factory=True,
        http="serving.http.whole_answers:WholeAnswers",
        workers=settings.workers,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_worker_healthcheck=START_S,
    )
    return Multiprocess(config, [listener])


@contextmanager
def _telling(url: str, workers: Multiprocess, on_ready: Callable[[str], None]) -> Iterator[None]:
    def wait() -> None:
        while not workers.should_exit.is_set():
            try:
                with urllib.request.urlopen(f"{url}/livez", timeout=GRACE_S):  # noqa: S310 - our own URL
                    on_ready(url)
                    return
            except (urllib.error.URLError, HTTPException, OSError):
                time.sleep(_READY_CHECK_S)

    teller = threading.Thread(target=wait, name="ready", daemon=True)
    teller.start()
    yield


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
