"""Bytes in, bytes out: how every route reads a body and writes an answer."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.bodies import Body, parse_json, validate
from serving.decisions.tickets import Idempotency
from serving.live.reader import Claim
from serving.problems import Problem

MAX_IDEMPOTENCY_KEY = 255


async def read_body[T: Body](request: Request, model: type[T]) -> T:
    """The checked body of a request.

    Raises:
        Problem: 400, 413, 415 or 422.
    """
    stated = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if stated != "application/json" and not stated.endswith("+json"):
        raise Problem(415, "unsupported_media_type", "Content-Type must be application/json, got another")
    return validate(model, parse_json(await request.body()))


async def idempotency_of(request: Request) -> Idempotency | None:
    """The `Idempotency-Key` of a request, bound to its path and body; None without one.

    Raises:
        Problem: 422, not a usable key.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not key.strip() or len(key) > MAX_IDEMPOTENCY_KEY or not key.isprintable():
        rule = f"Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY} printable characters, got {len(key)}"
        raise Problem(422, "validation_error", rule)
    caller = getattr(request.state, "key", None)
    owner = caller.key_id if caller is not None else ""
    fingerprint = sha256(request.url.path.encode() + b"\0" + await request.body()).hexdigest()
    return Idempotency(key=key, claim=Claim(key=f"{owner}\0{key}", fingerprint=fingerprint))


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(content), status, headers, "application/json")
