"""The outermost layer: a request id, a limit on bodies, and security headers for browsers."""

from os import urandom

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.lean import LeanRequest, LeanRoutes, QuickHeaders
from serving.http.problems import MEDIA_TYPE, Problem

MAX_BODY_BYTES = 1_048_576
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


_SEALS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"cache-control", b"no-store"),
)
type _RawHeaders = list[tuple[bytes, bytes]]


class Edge:
    """ASGI middleware around the whole app; requests for lean routes go no further."""

    def __init__(self, app: ASGIApp, lean: LeanRoutes) -> None:
        self._app = app
        self._lean = lean

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back, with what belongs to every one of them."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, headers = f"req_{urandom(16).hex()}", QuickHeaders(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        if _stated_length(headers) > MAX_BODY_BYTES:
            await _send(_refusal(scope, request_id), request_id, send)
        elif (found := self._lean.find(scope)) is not None:
            route, path_id = found
            answer = await route.answer(LeanRequest(scope, _limited(receive), headers), path_id)
            await _send(answer, request_id, send)
        else:
            await self._app(scope, _limited(receive), _sealing(send, request_id))


def too_large() -> Problem:
    """The problem of a body past the limit."""
    return Problem(413, "body_too_large", f"body must be at most {MAX_BODY_BYTES} bytes; send several requests")


def _sealed(headers: _RawHeaders, request_id: str) -> _RawHeaders:
    """The headers of an answer with those that belong to every one of them."""
    given = {name for name, _ in headers}
    own = ((b"x-request-id", request_id.encode()), *_SEALS)
    return [*headers, *(one for one in own if one[0] not in given)]


def _sealing(send: Send, request_id: str) -> Send:
    async def send_sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = _sealed(list(message.get("headers", ())), request_id)
        await send(message)

    return send_sealed


async def _send(answer: Response, request_id: str, send: Send) -> None:
    headers = _sealed(answer.raw_headers, request_id)
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _stated_length(headers: QuickHeaders) -> int:
    stated = headers.get("content-length", "0")
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


def _refusal(scope: Scope, request_id: str) -> Response:
    """The answer to a body that is too large to be read."""
    problem = too_large()
    document = orjson.dumps(problem.document(instance=scope["path"], request_id=request_id))
    return Response(document, problem.status, {"connection": "close"}, MEDIA_TYPE)
