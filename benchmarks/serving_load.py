"""Servers in their own processes, and callers with persistent connections: for `serve.py` and `soak.py`."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from pipelines.server.redis_binary import find_binary

HERE = Path(__file__).resolve().parent
START_S = 180.0


class Connection(asyncio.Protocol):
    """A persistent connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[bytes]
        self._buffer = b""

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """Connect to a port of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self._buffer = b""
        if head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
            self._answer.set_result(body)
        else:
            self._answer.set_exception(AssertionError(self._buffer or head + body))

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_answer") and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    def post(self, path: str, body: bytes) -> asyncio.Future[bytes]:
        """The body of the answer to a request."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(
            b"POST %s HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (path.encode(), len(body), body)
        )
        return self._answer

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


type Asking = Callable[[Sequence[Connection], int], Awaitable[None]]
"""Asks once for the customer of a number, on connections to every port of the target."""


@dataclass(kw_only=True)
class Target:
    """The server to ask, and how."""

    ports: tuple[int, ...]
    ask: Asking
    processes: tuple[int, ...] = ()


async def ask_nextbest(connections: Sequence[Connection], customer: int) -> None:
    """One decision of Nextbest, or of a server that accepts the same body."""
    answer = await connections[0].post("/v1/decisions", b'{"customer_id":"C-%d","touchpoint":"mail"}' % customer)
    assert b'"degraded":true' not in answer, answer


async def load(
    target: Target, customers: Iterator[int], *, callers: int, seconds: float = 1e9
) -> tuple[list[float], float]:
    """Let callers ask until the time is up or every customer was asked about.

    Returns:
        The time of every request, in seconds, and how long all of it took.
    """
    connections = [[await Connection.to(port) for port in target.ports] for _ in range(callers)]
    times: list[float] = []
    started = time.perf_counter()

    async def call(mine: Sequence[Connection]) -> None:
        while time.perf_counter() - started < seconds and (customer := next(customers, None)) is not None:
            asked = time.perf_counter()
            await target.ask(mine, customer)
            times.append(time.perf_counter() - asked)

    await asyncio.gather(*map(call, connections))
    took = time.perf_counter() - started
    for connection in (one for mine in connections for one in mine):
        connection.close()
    return times, took


def free_port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """A Redis with an append-only file; yields its port."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [find_binary(), "--port", str(port), "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "everysec"]
    with running(command, os.environ) as process:
        _wait_for(port, process)
        yield port


@contextmanager
def uvicorn_server(app: str, environment: Mapping[str, str], *, protocol: str = "auto") -> Iterator[tuple[int, int]]:
    """One process that serves the app of a factory; yields its port and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", app, "--app-dir", str(HERE)]
    command += ["--port", str(port), "--http", protocol, "--log-level", "warning", "--no-access-log"]
    with running(command, environment) as process:
        _wait_for(port, process)
        yield port, process.pid


@contextmanager
def command_server(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """A command of this environment that serves on a port; programs it calls come from this environment too."""
    program = str(Path(sys.executable).with_name(command[0]))
    environment = environment | {"PATH": f"{Path(program).parent}:{environment.get('PATH', '')}"}
    with running([program, *command[1:]], environment, start_new_session=True) as process:
        _wait_for(port, process)
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # and the processes it started


@contextmanager
def nextbest_server(environment: dict[str, str], *, workers: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """`nextbest serve`, with its drain; yields its port and the process ids of its workers."""
    command = [sys.executable, "-m", "pipelines", "serve", "--json", "--port", "0", "--workers", str(workers)]
    with running(command, environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        yield int(url.rpartition(":")[2]), tuple(sorted(_children(process.pid), key=resident_mb)[-workers:])


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: int = subprocess.DEVNULL,
    start_new_session: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    process = subprocess.Popen(command, env=environment, stdout=stdout, start_new_session=start_new_session)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def resident_mb(process: int) -> float:
    """Resident memory of a process, in megabytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def processor_s(process: int) -> float:
    """Processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, process.args
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(process.args)


def run[T](work: Awaitable[T]) -> T:
    """Run callers on the fast event loop."""
    import uvloop

    async def wrapped() -> T:
        return await work

    return uvloop.run(wrapped())


def redis_of(port: int) -> redis.Redis:
    """A client."""
    return redis.Redis(port=port)
