"""Who may do what: the key of a request, its scopes, and open access to a fresh installation on loopback."""

import base64
import binascii
import ipaddress
from functools import lru_cache

from starlette.requests import HTTPConnection, Request

from serving.http.api_keys import ApiKey, Scope
from serving.http.engine import engine_of
from serving.http.problems import Problem

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="nextbest", Basic realm="nextbest"'}


class Needs:
    """A dependency that lets a request pass whose key has one of the scopes; without scopes, any key.

    The key, or None where no key was ever made, is put at `request.state.key`.
    """

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    async def __call__(self, request: Request) -> None:
        """Check the key of a request.

        Raises:
            Problem: 401 or 403.
        """
        request.state.key = admit(request, self._scopes)


def admit(connection: HTTPConnection, scopes: tuple[Scope, ...]) -> ApiKey | None:
    """The key of a request; None where the server needs none.

    Raises:
        Problem: 401 without a key in force, 403 where it has none of the scopes.
    """
    keys = engine_of(connection).keys
    secret = presented_key(connection)
    if keys.is_open:
        if not _is_local(connection):
            raise Problem(
                401, "key_required", "a key is needed from other machines; make one with `nextbest key create`",
                headers=_CHALLENGE,
            )  # fmt: skip
        return None
    key = keys.find(secret) if secret else None
    if key is None:
        detail = "key must be one in force, got another" if secret else "a key must be given as a Bearer token"
        raise Problem(401, "invalid_key", detail, headers=_CHALLENGE)
    if scopes and not any(key.allows(scope) for scope in scopes):
        wanted = " or ".join(scopes)
        raise Problem(403, "missing_scope", f"key must have the scope {wanted}, got one without it")
    return key


def presented_key(connection: HTTPConnection) -> str | None:
    """The key that a request carries: a Bearer token, the password of Basic, or `X-API-Key`."""
    scheme, _, rest = connection.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip() or None
        case "basic":
            return _password(rest.strip())
        case _:
            return connection.headers.get("x-api-key")


def _password(encoded: str) -> str | None:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_local(connection: HTTPConnection) -> bool:
    """The peer is on this machine; one without an IP address came through a unix socket or this very process."""
    client = connection.scope.get("client")
    return client is None or _is_loopback(client[0])


@lru_cache(maxsize=1_024)
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
