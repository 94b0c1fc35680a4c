"""Tombstones of erased customers, which keep data about them from coming back.

A tombstone is HMAC-SHA256(key, customer id), in hex. Without the key nobody can tell whose it is, and with the key one
can only ask about an id that one knows already. Who signs up again is readmitted: the tombstone stays for what is older
than the moment of the new consent, and nothing of that comes back. Tombstones lie beside the log's tables, so whoever
appends to the log asks them; the key lies there too, for the owner's eyes only.

Appending and erasing must not overtake each other: who appends holds a shared lock from looking at the tombstones until
the rows are committed, who erases holds it alone while a tombstone is set and while rows are deleted.
"""

import hmac
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson

from decisioning.errors import InvalidInputError, LogUnavailableError
from features.durability import OWNER_ONLY, append_lines
from features.key_file import key_text
from features.locks import held
from features.settings import Settings

NO_TOKEN = ""
"""What stands for a token where no key can be had; no tombstone is like it."""

_LOCK_SECONDS = 600.0
_BUSY = "log must be free within ten minutes, got a lock; try again"


class Tombstones:
    """The tombstones of one log; every process looks at the file again when it has changed.

    Whoever asks gets `LogUnavailableError` where the file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is read or made yet."""
        self._folder = folder
        self._key: bytes | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: frozenset[str] = frozenset()
        self._readmitted: dict[str, datetime] = {}

    @property
    def path(self) -> Path:
        """File of the tombstones: a JSON object a line."""
        return self._folder / "tombstones.jsonl"

    def token(self, customer_id: str) -> str:
        """The keyed hash of a customer id; the key is made on first use, `NO_TOKEN` where that is not possible."""
        try:
            return self._token(customer_id)
        except OSError:
            return NO_TOKEN

    def __contains__(self, customer_id: str) -> bool:
        """Whether a customer was erased."""
        tokens = self.tokens()
        return bool(tokens) and self.token(customer_id) in tokens

    def among(self, customer_ids: Iterable[str]) -> frozenset[str]:
        """Those of some customers who were erased."""
        tokens = self.tokens()
        return frozenset(one for one in customer_ids if self.token(one) in tokens) if tokens else frozenset()

    def tokens(self) -> frozenset[str]:
        """Tombstones of everybody who was not readmitted."""
        self._look()
        return self._tokens

    def readmitted(self) -> dict[str, datetime]:
        """The time of readmission, by token."""
        self._look()
        return self._readmitted

    def refuses(self, customer_id: str, at: datetime) -> bool:
        """Whether what happened at a moment (aware) may not be kept: the customer was erased, or came back later."""
        if customer_id in self:
            return True
        since = self.readmitted().get(self.token(customer_id)) if self._readmitted else None
        return since is not None and at < since

    def _look(self) -> None:
        """Read the file where it has changed."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return
        stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        if stamp != self._stamp:
            try:
                self._read(self.path.read_bytes().splitlines())
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise LogUnavailableError(
                    f"tombstones must be readable, got {type(error).__name__} at {self.path}; repair the file"
                ) from error
            self._stamp = stamp

    def _read(self, lines: Iterable[bytes]) -> None:
        """The latest line of each token stands."""
        since: dict[str, datetime | None] = {}
        for line in map(orjson.loads, lines):
            moment = line.get("readmitted_at")
            since[line["token"]] = None if moment is None else datetime.fromisoformat(moment)
        self._tokens = frozenset(token for token, moment in since.items() if moment is None)
        self._readmitted = {token: moment for token, moment in since.items() if moment is not None}

    def readmit(self, customer_id: str, *, since: datetime) -> None:
        """Take a customer in again; what is older than `since` stays out.

        Raises:
            InvalidInputError: The customer was not erased, or was erased after that.
            LogUnavailableError: It cannot be written.
        """
        with self._writing():
            erased_at = self._erased_at(customer_id)
            if customer_id not in self or erased_at is None:
                raise InvalidInputError("customer must be one who was erased, got another; report consent as an event")
            if since <= erased_at:
                raise InvalidInputError(
                    f"new consent must be given after the erasure at {erased_at.isoformat()}, got an older one;"
                    " what was said before it was erased too"
                )
            line = {"token": self._token(customer_id), "readmitted_at": since.astimezone(UTC)}
            append_lines(self.path, [line], mode=OWNER_ONLY)

    def _erased_at(self, customer_id: str) -> datetime | None:
        """When the latest tombstone of a customer was set."""
        if not self.path.exists():
            return None
        token = self._token(customer_id)
        lines = map(orjson.loads, self.path.read_bytes().splitlines())
        found = [line["erased_at"] for line in lines if line["token"] == token and "erased_at" in line]
        return datetime.fromisoformat(found[-1]) if found else None

    def add(self, customer_id: str, *, now: datetime, reason: str) -> bool:
        """Set a tombstone; from its return on, no append takes rows of this customer; False where there was one.

        Raises:
            LogUnavailableError: It cannot be written.
        """
        with self._writing():
            if customer_id in self:
                return False
            line = {"token": self._token(customer_id), "erased_at": now.astimezone(UTC), "reason": reason}
            append_lines(self.path, [line], mode=OWNER_ONLY)
        return True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self.erasing():
                yield
        except OSError as error:
            raise LogUnavailableError(f"tombstones must be writable, got {error.strerror} at {self.path}") from error

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Hold for as long as rows are checked against the tombstones and appended; others may append meanwhile."""
        with held(self._folder / "lock", LogUnavailableError(_BUSY), shared=True, wait_seconds=_LOCK_SECONDS):
            yield

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Hold while rows are deleted: nobody appends meanwhile.

        Raises:
            LogUnavailableError: Somebody appended for ten minutes without a pause.
        """
        with held(self._folder / "lock", LogUnavailableError(_BUSY), wait_seconds=_LOCK_SECONDS):
            yield

    def _token(self, customer_id: str) -> str:
        if self._key is None:
            self._key = bytes.fromhex(key_text(self._folder / "key").decode("ascii"))
        return hmac.digest(self._key, customer_id.encode(), "sha256").hex()


def tombstones_of(settings: Settings) -> Tombstones:
    """The tombstones of a home."""
    return Tombstones(settings.log_path / "erased")
