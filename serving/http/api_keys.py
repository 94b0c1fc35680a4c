"""API keys: 256 random bits behind a prefix, hashed at rest, scoped, revocable.

A fast hash is right for these: nobody guesses 256 bits, with or without a slow one. The file is replaced as a whole,
so a reader sees the old or the new state; running servers look at it again within half a second.
"""

import fcntl
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from decisioning.errors import InvalidInputError, UnknownNameError
from features.durability import OWNER_ONLY, replace_file

KEY_PREFIX = "nb_"
_SHOWN_CHARACTERS = 8
_LOOK_AGAIN_S = 0.5


class Scope(StrEnum):
    """What a key may do."""

    DECIDE = "decide"
    OUTCOMES = "outcomes"
    EVENTS = "events"
    READ = "read"
    PRIVACY = "privacy"  # show, correct and erase data about a customer
    ADMIN = "admin"  # everything


class ApiKey(BaseModel):
    """A key as it is stored: never the key itself.

    Attributes:
        key_id: First characters of the key, to tell keys apart.
        digest: SHA-256 of the key, hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: str
    name: str
    scopes: frozenset[Scope]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def is_active(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def allows(self, scope: Scope) -> bool:
        """Whether the key has a scope; `admin` has them all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made; `secret` is shown once and stored nowhere."""

    secret: str
    key: ApiKey


def create_key(
    path: Path, *, name: str, scopes: frozenset[Scope], now: datetime, expires_at: datetime | None = None
) -> NewKey:
    """Make a key and store its hash.

    Raises:
        InvalidInputError: The name is taken or empty, there is no scope, or the key would be expired already.
    """
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        key_id=secret[: len(KEY_PREFIX) + _SHOWN_CHARACTERS],
        name=name,
        scopes=scopes,
        digest=_digest(secret),
        created_at=now,
        expires_at=expires_at,
    )
    with _locked(path):
        keys = read_keys(path)
        _check_new(keys, name, scopes, now, expires_at)
        _write(path, (*keys, key))
    return NewKey(secret=secret, key=key)


def revoke_key(path: Path, *, name: str, now: datetime) -> ApiKey:
    """Revoke the key of a name, for good.

    Raises:
        UnknownNameError: No key in force has that name.
    """
    with _locked(path):
        keys = read_keys(path)
        in_force = {key.name: key for key in keys if key.revoked_at is None}
        if name not in in_force:
            raise UnknownNameError("key", name, in_force)
        revoked = in_force[name].model_copy(update={"revoked_at": now})
        _write(path, tuple(revoked if key is in_force[name] else key for key in keys))
    return revoked


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """All keys, revoked ones too; none where there is no file.

    Raises:
        InvalidInputError: The file is not what we wrote.
    """
    try:
        return _KeyFile.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise InvalidInputError(
            f"key file must be readable and as `nextbest key` wrote it, got {path} ({type(error).__name__});"
            " restore it, or remove it and make new keys"
        ) from error


class KeyRing:
    """The keys of a running server; it fails closed, and never opens again once it has seen a key."""

    def __init__(
        self,
        path: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),  # noqa: TID251 - the clock of this edge
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._now = now
        self._by_digest: dict[str, ApiKey] = {}
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._has_seen_keys = False

    @property
    def is_open(self) -> bool:
        """No key was ever made: whoever reaches the server may use it."""
        self._look()
        return not self._has_seen_keys

    def find(self, secret: str) -> ApiKey | None:
        """The key in force that a secret is; None for any other text."""
        self._look()
        digest = _digest(secret)
        key = self._by_digest.get(digest)
        if key is None or not compare_digest(key.digest, digest) or not key.is_active(self._now()):
            return None
        return key

    def _look(self) -> None:
        moment = self._monotonic()
        if moment - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = moment
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._has_seen_keys = self._has_seen_keys or stamp is not None
        try:
            keys = read_keys(self._path)
        except InvalidInputError:
            keys = ()
        self._by_digest = {key.digest: key for key in keys}
        self._stamp = stamp


def _check_new(
    keys: tuple[ApiKey, ...], name: str, scopes: frozenset[Scope], now: datetime, expires_at: datetime | None
) -> None:
    if not name.strip() or not name.isprintable():
        raise InvalidInputError(f"key name must be printable and not empty, got {name!r}")
    if any(key.name == name and key.revoked_at is None for key in keys):
        raise InvalidInputError(f"key name must be new, got {name!r}; revoke that one first, or choose another name")
    if not scopes:
        raise InvalidInputError(f"a key must have a scope, got none; choose from {', '.join(Scope)}")
    if expires_at is not None and expires_at <= now:
        raise InvalidInputError(f"expiry must be in the future, got {expires_at.isoformat()}")


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None only where there is none, so that an unreadable one opens nothing."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change at a time, over all processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, keys: tuple[ApiKey, ...]) -> None:
    """Replace the file as a whole; nobody but the owner can read it at any moment."""
    content = orjson.dumps(_KeyFile(keys=keys).model_dump(mode="json"), option=orjson.OPT_INDENT_2)
    replace_file(path, content, mode=OWNER_ONLY, is_durable=True)
