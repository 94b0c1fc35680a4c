"""A server started by its own command, for as long as a block runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import orjson
from rich.console import Console

from decisioning.errors import UnavailableError
from features.settings import Settings
from pipelines.options import say

STOP_SECONDS = 20.0
READY_SECONDS = 60.0
POLL_SECONDS = 0.2


@contextmanager
def running_server(settings: Settings) -> Iterator[str]:
    """URL of `nextbest serve` in a process of its own; it is stopped, with all it started, when the block ends.

    It takes its deadline and a rehearsal's clock from these settings, and all else from the environment, as this
    process did.

    Raises:
        UnavailableError: The server ended before it answered; its own message is on stderr.
    """
    command = [sys.executable, "-m", "pipelines", "serve", "--json", "--home", str(settings.home)]
    command += ["--host", settings.host, "--port", str(settings.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment(settings)) as process:  # noqa: S603 - ours
        try:
            yield _url(process)
        finally:
            _stop(process)


def _environment(settings: Settings) -> dict[str, str]:
    own = {"NEXTBEST_DEADLINE_MS": str(settings.deadline_ms)}
    if settings.rehearsal_clock is not None:
        own["NEXTBEST_REHEARSAL_CLOCK"] = str(settings.rehearsal_clock.resolve())
    return {**os.environ, **own}  # noqa: TID251 - what a child process inherits


def _url(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for
    line = process.stdout.readline()
    if not line:
        raise UnavailableError(f"server must keep running, got exit code {process.wait()}; its message is above")
    return orjson.loads(line)["url"]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask once, wait, insist. Ctrl-C has reached the server already when a person stopped us both."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def wait_until_ready(client: httpx.Client) -> None:
    """Wait for catalogue, model and Redis to be there.

    Raises:
        UnavailableError: They were not there in time; the message is the server's own.
    """
    end = time.monotonic() + READY_SECONDS
    while (answer := client.get("/readyz")).status_code != httpx.codes.OK:
        if time.monotonic() > end:
            raise UnavailableError(f"server must become ready within {READY_SECONDS:.0f} s, got {answer.text}")
        time.sleep(POLL_SECONDS)


def stay_up(console: Console) -> None:
    """Wait for Ctrl-C."""
    console.print("\nthe server is up; Ctrl-C stops everything")
    try:
        signal.pause()
    except KeyboardInterrupt:
        say("stopped")
