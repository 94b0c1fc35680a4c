"""The embedded Redis: a server below the home folder that runs as long as a process uses it.

The first process that needs it starts it, others with the same home join, and it stops when the last one has ended,
however it ended (`redis_launcher` says how). It listens on a unix socket only, keeps an append-only file, and by
default flushes it before it answers: a decision that was answered is on the disk.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from decisioning.errors import InvalidInputError, UnavailableError
from features.settings import Settings
from pipelines.server.redis_binary import find_binary

SOCKET_PATH_LIMIT = 100
"""Longest socket path in bytes: the kernel takes 107 on Linux and 103 on macOS."""

START_SECONDS = 120.0
"""How long a server may take to load its file; a gigabyte takes about ten seconds."""

STOP_SECONDS = 5.0
"""How long the last user waits to see the server stop, which it does anyway."""

POLL_SECONDS = 0.01
_NO_RETRY = Retry(NoBackoff(), 0)
_LAUNCHER = Path(__file__).with_name("redis_launcher.py")


@contextmanager
def redis_for(settings: Settings) -> Iterator[str]:
    """URL of the Redis in force: the one that `NEXTBEST_REDIS_URL` names, or the embedded one of this home.

    Raises:
        UnavailableError: The embedded server could not be started, or the named one does not answer.
    """
    if settings.redis_url is None:
        with embedded_redis(settings) as url:
            yield url
        return
    _check_answers(settings.redis_url)
    yield settings.redis_url


@contextmanager
def embedded_redis(settings: Settings, *, binary: Path | None = None) -> Iterator[str]:
    """URL of the embedded server, started if nobody has yet; stopped at the end if nobody else uses it.

    Raises:
        InvalidInputError: Home cannot be written.
        UnavailableError: There is no supported server, or it does not start; the message has the end of its log.
    """
    folder = settings.redis_path.resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"home must be a folder that can be written, got {settings.home} ({error.strerror})"
        ) from error
    deadline = time.monotonic() + START_SECONDS
    with _holding(folder / "start.lock", fcntl.LOCK_EX, deadline):
        users = _lock(folder / "users.lock", fcntl.LOCK_SH, deadline)
        try:
            socket = _running_socket(folder, deadline)
            if socket is None:
                socket = _start(settings, folder, binary or find_binary(folder), deadline)
        except BaseException:
            os.close(users)
            raise
    try:
        yield f"unix://{quote(str(socket))}"
    finally:
        _leave(users, folder)


def _lock(path: Path, kind: int, deadline: float) -> int:
    """Lock a file; the descriptor holds the lock until it is closed, at the latest by the end of this process."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                raise UnavailableError(
                    f"embedded Redis must start within {START_SECONDS:.0f} s, but {path} stayed locked"
                ) from None
            time.sleep(POLL_SECONDS)
        else:
            return handle


@contextmanager
def _holding(path: Path, kind: int, deadline: float) -> Iterator[int]:
    handle = _lock(path, kind, deadline)
    try:
        yield handle
    finally:
        os.close(handle)


def _is_held(path: Path) -> bool:
    try:
        with _holding(path, fcntl.LOCK_EX, deadline=0.0):
            return False
    except UnavailableError:
        return True


def _running_socket(folder: Path, deadline: float) -> Path | None:
    """Socket of the server that runs on this folder; None once there is none."""
    while _is_held(folder / "server.lock"):
        socket = _socket_in_force(folder)
        if socket and _answers(socket):
            return socket
        if time.monotonic() > deadline:
            raise UnavailableError(f"embedded Redis in {folder} must answer, but hangs; {_end_of_log(folder)}")
        time.sleep(POLL_SECONDS)
    return None


def _start(settings: Settings, folder: Path, binary: Path, deadline: float) -> Path:
    private_folder, socket = _place_socket(folder)
    (folder / "redis.conf").write_text(_configuration(settings, folder, socket))
    (folder / "socket").write_text(str(socket))
    with _holding(folder / "server.lock", fcntl.LOCK_EX, deadline) as server_lock:
        arguments = [str(folder / "users.lock"), str(server_lock), str(binary), str(folder / "redis.conf")]
        arguments += [str(private_folder)] if private_folder else []
        with (folder / "launcher.log").open("wb") as output:
            subprocess.run(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", str(_LAUNCHER), *arguments],
                pass_fds=(server_lock,),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C must not reach it before those who use it
                check=True,
            )
    if _running_socket(folder, deadline) is None:
        raise UnavailableError(f"embedded Redis did not start in {folder}; {_end_of_log(folder)}")
    return socket


def _place_socket(folder: Path) -> tuple[Path | None, Path]:
    """Where the socket goes: below home, or in a private folder with a short name where that path is too long."""
    socket = folder / "redis.sock"
    if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT:
        return None, socket
    private_folder = Path(tempfile.mkdtemp(prefix="nextbest-"))
    return private_folder, private_folder / "redis.sock"


def _socket_in_force(folder: Path) -> Path | None:
    with suppress(FileNotFoundError):
        return Path((folder / "socket").read_text())
    return None


def _configuration(settings: Settings, folder: Path, socket: Path) -> str:
    """The server's whole configuration; the newest state survives a torn last entry of the append-only file."""
    return f"""port 0
unixsocket {_quoted(socket)}
unixsocketperm 700
dir {_quoted(folder)}
logfile {_quoted(folder / "redis.log")}
daemonize no
save ""
appendonly yes
appendfsync {settings.redis_fsync}
aof-load-truncated yes
maxmemory-policy noeviction
"""


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _answers(socket: Path) -> bool:
    """Whether the server answers and has loaded its data."""
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=5, retry=_NO_RETRY)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _check_answers(url: str) -> None:
    """Refuse a Redis that is away; the message leaves out the address, which may hold a password."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=_NO_RETRY)
        client.ping()
        client.close()
    except (redis.RedisError, ValueError) as error:
        raise UnavailableError(
            f"NEXTBEST_REDIS_URL must name a Redis that answers, got {type(error).__name__}; start it "
            "or unset the variable"
        ) from error


def _end_of_log(folder: Path) -> str:
    words: list[str] = []
    for name in ("redis.log", "launcher.log"):
        with suppress(FileNotFoundError):
            words += (folder / name).read_text(errors="replace").splitlines()[-5:]
    return "the end of its log says: " + " | ".join(words) if words else "it left no log"


def _leave(users: int, folder: Path) -> None:
    """Stop using the server, and see it stop if nobody else does."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_last = True
    except BlockingIOError:
        is_last = False
    os.close(users)
    deadline = time.monotonic() + STOP_SECONDS
    while is_last and time.monotonic() < deadline and _is_held(folder / "server.lock"):
        time.sleep(POLL_SECONDS)
