"""Keeps one Redis server alive for as long as anybody uses it; run as a script, with the standard library only.

    python redis_launcher.py USERS_LOCK SERVER_LOCK_FD BINARY CONFIG [SOCKET_FOLDER]

Everyone who uses the server holds a shared lock on USERS_LOCK, and the kernel drops a lock with the process that held
it, however that process ended. So the exclusive lock that this one waits for is granted the moment the last user is
gone, and then it stops the server. Should this process itself be killed, the kernel ends the server too (Linux).

SERVER_LOCK_FD is a lock that the starter took and the server inherits: while somebody holds it, a server lives.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 20.0

SHORTEST_LIFE_SECONDS = 1.0
"""A server that ends sooner than this cannot start; trying again would not help."""


class _StopError(Exception):
    """A signal that ends the wait."""


class _ServerEndedError(_StopError):
    """The signal said that the server has ended."""


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _ServerEndedError if number == signal.SIGCHLD else _StopError


def _ending_with(parent: int) -> Callable[[], None]:
    """What the forked child runs before it becomes the server: it asks for a SIGTERM when `parent` dies.

    The kernel ties that wish to the thread that forked; this process has only one.
    """
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def ask() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def _wait_for_last_user(users_lock: str) -> int:
    """Return when nobody holds the shared lock, holding it exclusively: newcomers then wait until this process ends."""
    handle = os.open(users_lock, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Stop the server cleanly, by force if it will not."""
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def serve(users_lock: str, server_lock: int, command: list[str]) -> None:
    """Run the server until its last user left or a SIGTERM came; start it again when it crashes."""
    while _has_crashed(users_lock, server_lock, command):
        pass


def _has_crashed(users_lock: str, server_lock: int, command: list[str]) -> bool:
    """Run the server once; true where it ended by itself, though it could start."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server inherits what is ignored
    started = time.monotonic()
    server = subprocess.Popen(  # noqa: S603 - a binary and a configuration of our own
        command,
        preexec_fn=_ending_with(os.getpid()),  # noqa: PLW1509 - this process has no second thread
        pass_fds=(server_lock,),
    )
    try:
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, _stop)
        if server.poll() is None:
            _wait_for_last_user(users_lock)
    except _ServerEndedError:
        return time.monotonic() - started > SHORTEST_LIFE_SECONDS
    except _StopError:
        return False
    finally:
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN if number == signal.SIGTERM else signal.SIG_DFL)
        _end(server)
    return False


def main(arguments: list[str]) -> None:
    """Leave the starter's process tree, serve, tidy up."""
    users_lock, server_lock, binary, config, *socket_folder = arguments
    if os.fork():
        os._exit(0)
    serve(users_lock, int(server_lock), [binary, config])
    for folder in socket_folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
