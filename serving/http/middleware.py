"""The outermost layer: a request id, a limit on bodies, and security headers for browsers."""

from uuid import uuid4

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.problems import MEDIA_TYPE, Problem

MAX_BODY_BYTES = 1_048_576
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


class Edge:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back, with what belongs to every one of them."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), request_id)
            await send(message)

        if _stated_length(scope) > MAX_BODY_BYTES:
            await _refuse(scope, send_with_headers, request_id)
        else:
            await self._app(scope, _limited(receive), send_with_headers)


def too_large() -> Problem:
    """The problem of a body past the limit."""
    return Problem(413, "body_too_large", f"body must be at most {MAX_BODY_BYTES} bytes; send several requests")


def _add_headers(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-Id"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    headers.setdefault("Cache-Control", "no-store")


def _stated_length(scope: Scope) -> int:
    stated = Headers(scope=scope).get("content-length", "0")
    return int(stated) if stated.isdecimal() else 0


def _limited(receive: Receive) -> Receive:
    """Count what arrives: a body may not state its length, or state it wrongly."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY_BYTES:
            raise too_large()
        return message

    return counted


async def _refuse(scope: Scope, send: Send, request_id: str) -> None:
    """Answer without reading the body."""
    problem = too_large()
    body = orjson.dumps(problem.document(instance=scope["path"], request_id=request_id))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
