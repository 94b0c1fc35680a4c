"""Bytes in, bytes out: how every route reads a body and writes an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import Fault, InvalidFormError
from serving.forms import Body, unknown_name, validate
from serving.http.bodies import MAX_BATCH, ListBody
from serving.http.problems import Problem
from serving.live.reader import Claim

MAX_IDEMPOTENCY_KEY = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """An `Idempotency-Key` header: the key, and the claim that binds it to its request."""

    key: str
    claim: Claim

    def dedupe_key(self, place: int | None = None) -> str:
        """Identity of the request's ask, or of its item at a place."""
        return f"idempotency:{self.key}{'' if place is None else f'#{place}'}"


async def read_body[T: Body](request: Request, model: type[T]) -> T:
    """The checked body of a request.

    Raises:
        InvalidFormError: With a pointer to every fault.
        Problem: 400, 413 or 415.
    """
    stated = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if stated != "application/json" and not stated.endswith("+json"):
        raise Problem(415, "unsupported_media_type", "Content-Type must be application/json, got another")
    body = await request.body()
    return right_at_once(model, body) or checked(model, body)


def right_at_once[T: Body](model: type[T], body: bytes) -> T | None:
    """The checked body in one step, from the bytes; None where it has to be looked at more closely."""
    if (
        b"NaN" in body or b"Infinity" in body
    ):  # parsed as numbers where any value is allowed, although they are not JSON
        return None
    try:
        if issubclass(model, ListBody):
            return model.with_checked(body)
        return model.model_validate_json(body)
    except ValidationError:
        return None


def checked[T: Body](model: type[T], body: bytes) -> T:
    """The checked body, step by step, so that everything that is wrong gets its name."""
    sent = parse_json(body)
    if issubclass(model, ListBody) and isinstance(sent, dict):
        items = sent.get(model.list_of[0])
        if isinstance(items, list) and len(items) > MAX_BATCH:
            raise Problem(413, "too_many_items", f"at most {MAX_BATCH} items fit in one request; send several")
    return validate(model, sent)


def query_of(
    request: Request, known: Sequence[str], *, required: str | None = None, open_prefix: str | None = None
) -> dict[str, str]:
    """The query parameters of a request, each given once; names that begin with `open_prefix` are free.

    Raises:
        InvalidFormError: A parameter that is unknown, given twice or missing.
    """
    pairs = request.query_params.multi_items()
    names, known = [name for name, _ in pairs], [*known, *([open_prefix] if open_prefix else [])]
    faults = [
        Fault(pointer=name, detail=unknown_name("parameter", name, known))
        for name in names
        if name not in known and not (open_prefix and name.startswith(open_prefix))
    ]
    faults += [Fault(pointer=name, detail="must be given once") for name in sorted(set(names)) if names.count(name) > 1]
    if required is not None and required not in names:
        faults.append(Fault(pointer=required, detail="must be given"))
    if faults:
        raise InvalidFormError(faults)
    return dict(pairs)


def parse_json(body: bytes) -> Any:
    """Values of a JSON text.

    Raises:
        Problem: 400, not JSON, or nested too deeply.
    """
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, "malformed_json", f"body must be JSON, got an error: {error}") from error


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


class _Json(Response):
    """An answer that is JSON already."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str] | None) -> None:
        self.body, self.status_code, self.background = body, status, None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        if headers is not None:
            self.raw_headers[:0] = [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return _Json(orjson.dumps(content), status, headers)
