"""Errors as HTTP: RFC 9457 problem documents with a stable code, pointers to what is wrong, and the request's id.

The one place where an error becomes a status: services raise errors with codes and know no status. A problem repeats
nothing that a caller sent, except a misspelt name.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from decisioning.errors import (
    InsufficientDataError,
    InvalidInputError,
    NextbestError,
    UnavailableError,
    UnknownNameError,
)
from serving.errors import Fault, InvalidFormError, NoRecordError, NotReadyError, UnknownDecisionError

MEDIA_TYPE = "application/problem+json"
_LOG = structlog.get_logger("nextbest.serving")

_CODES = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.UNAUTHORIZED: "invalid_key",
    HTTPStatus.FORBIDDEN: "missing_scope",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}
_STATUSES = (
    (UnknownNameError, HTTPStatus.NOT_FOUND),
    (UnknownDecisionError, HTTPStatus.NOT_FOUND),
    (NoRecordError, HTTPStatus.CONFLICT),
    (InvalidInputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InsufficientDataError, HTTPStatus.CONFLICT),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (NextbestError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
"""Status of each kind of error; the first that fits counts."""


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """An answer that is a problem document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        nearest: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.faults = tuple(faults)
        self.nearest = tuple(nearest)
        self.headers = dict(headers or {})

    def document(self, *, instance: str, request_id: str) -> dict[str, Any]:
        """The problem document of a request; its id is also in the server's log."""
        document: dict[str, Any] = {
            "type": f"urn:nextbest:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in self.faults],
        }
        if self.nearest:
            document["nearest"] = list(self.nearest)
        return document


def problem_of(error: NextbestError) -> Problem:
    """The problem that a foreseen error is."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    return Problem(
        status,
        f"unknown_{error.kind.replace(' ', '_')}" if isinstance(error, UnknownNameError) else error.code,
        str(error),
        faults=error.faults if isinstance(error, InvalidFormError) else (),
        nearest=error.nearest if isinstance(error, UnknownNameError) else (),
        headers=_headers_of(error),
    )


def _headers_of(error: NextbestError) -> dict[str, str]:
    """When to ask again, where that helps; a catalogue takes longer to come than a Redis."""
    if isinstance(error, UnavailableError):
        return {"Retry-After": "5" if isinstance(error, NotReadyError) else "1"}
    return {}


def problem_response(problem: Problem, request: Request) -> Response:
    """A problem as the answer to a request."""
    document = problem.document(instance=request.url.path, request_id=request_id(request))
    headers = {**problem.headers, "X-Request-Id": request_id(request)}  # the edge does not see an unexpected error
    return Response(orjson.dumps(document), problem.status, headers, MEDIA_TYPE)


def request_id(request: Request) -> str:
    """Id that the edge gave the request; empty where no edge stands before the app."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def install(app: Starlette) -> None:
    """Answer every error of an app with a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(NextbestError, _on_nextbest_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for it
    return problem_response(error, request)


async def _on_nextbest_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, NextbestError)  # noqa: S101 - registered for it
    return problem_response(problem_of(error), request)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: an unknown path, a method that a path does not have."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    detail = {
        HTTPStatus.NOT_FOUND: f"path must be one of the API, got {request.url.path!r}; see /docs",
        HTTPStatus.METHOD_NOT_ALLOWED: f"method must be {headers.get('Allow', 'another')}, got {request.method}",
    }.get(status, str(error.detail))
    return problem_response(Problem(status, _CODES.get(status, "http_error"), detail, headers=headers), request)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    """A bug: the caller gets an id to report, the log gets the traceback."""
    _LOG.error("unexpected_error", request_id=request_id(request), path=request.url.path, exc_info=error)
    detail = "something went wrong on our side; report the request id"
    return problem_response(Problem(500, "internal_error", detail), request)
