"""A customer's data rights over HTTP: access, correction, erasure, readmission."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from decisioning.errors import InvalidInputError
from serving.forms import PathId
from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.bodies import CorrectionBody, ReadmissionBody
from serving.http.documents import AnswerDocument, problems, request_body
from serving.http.engine import engine_of
from serving.http.problems import Problem
from serving.http.requests import json_response, read_body
from serving.live.redis_address import redis_url_of

router = APIRouter(tags=["customers"])

# What these routes do is slow and rare, and brings the libraries of the log along: it is imported when it is asked for.
_RIGHTS = Depends(Needs(Scope.PRIVACY))


class HoldingDocument(AnswerDocument):
    """What one place stores."""

    where: str = Field(description="Such as log/events or redis/profile")
    source: str = Field(description="Where it came from")
    purpose: str = Field(description="What it is for")
    kept: str = Field(description="How long it is kept")
    rows: list[Any]


class ShownAnswer(AnswerDocument):
    """Everything stored about a customer."""

    customer_id: str
    as_of: str
    is_known: bool
    held: list[HoldingDocument]


class CorrectedAnswer(AnswerDocument):
    """What was corrected."""

    customer_id: str
    corrected: list[str]


class ReadmittedAnswer(AnswerDocument):
    """An erased customer was readmitted."""

    customer_id: str
    readmitted_since: str = Field(description="Nothing older comes back")


class ErasedAnswer(AnswerDocument):
    """What was erased."""

    was_erased: bool = Field(description="The customer had been erased before")
    log_rows: dict[str, int]
    redis_keys: int
    history_rows: int
    file_rows: dict[str, int]
    append_only_file: str = Field(description="rewritten, no append-only file, or refused: then rewrite it in Redis")
    left: list[str] = Field(description="Files below home that still contain the id")
    was_scanned: bool


@router.get(
    "/v1/customers/{customer_id}",
    dependencies=[_RIGHTS],
    response_model=ShownAnswer,
    responses=problems(401, 403, 404, 503),
)
async def show(customer_id: PathId, request: Request) -> Response:
    """Everything stored about a customer, in plain form: each place with its source, purpose and retention.

    It scans all of Redis and reads the log, which takes seconds: use it for data subject requests, not for page loads.
    """
    from serving.privacy.subject_access import show_customer

    shown = await _done(request, show_customer, engine_of(request).refresher.current().catalogue, customer_id)
    if not shown["is_known"]:
        raise _unknown()
    return json_response(shown)


@router.patch(
    "/v1/customers/{customer_id}",
    dependencies=[_RIGHTS],
    response_model=CorrectedAnswer,
    responses=problems(400, 401, 403, 404, 413, 415, 422, 503),
    openapi_extra=request_body(CorrectionBody),
)
async def correct(customer_id: PathId, request: Request) -> Response:
    """Correct data about a customer; the next decision uses it.

    Changes of consent, profiling and protection are not corrections: report them as events.
    """
    from serving.privacy.correction import correct_customer, is_known

    engine = engine_of(request)
    body = await read_body(request, CorrectionBody)
    if not await asyncio.to_thread(is_known, engine.settings, customer_id):
        raise _unknown()
    catalogue = engine.refresher.current().catalogue
    corrected = await _done(request, correct_customer, catalogue, customer_id, body.values)
    return json_response({"customer_id": customer_id, "corrected": corrected})


@router.delete(
    "/v1/customers/{customer_id}",
    dependencies=[_RIGHTS],
    response_model=ErasedAnswer,
    responses=problems(401, 403, 404, 503),
)
async def erase(customer_id: PathId, request: Request) -> Response:
    """Erase a customer everywhere, permanently, while the server keeps running.

    From the answer on, the customer is unknown on every path and stays so: imports, events and decisions about them are
    ignored. It takes seconds to minutes, depending on the size of the log; if the answer is lost or is 503, repeat the
    request and it continues where it stopped. Readouts of experiments stay: they hold totals and no names.
    """
    from serving.privacy.erasure import erase_customer

    try:
        done = await _done(request, erase_customer, customer_id)
    except InvalidInputError as error:
        raise _unknown() from error
    return json_response(asdict(done))


@router.post(
    "/v1/customers/{customer_id}/readmission",
    dependencies=[_RIGHTS],
    response_model=ReadmittedAnswer,
    responses=problems(400, 401, 403, 404, 413, 415, 422, 503),
    openapi_extra=request_body(ReadmissionBody),
)
async def readmit(customer_id: PathId, request: Request) -> Response:
    """Readmit an erased customer who signed up again, with a new consent given after the erasure.

    The tombstone keeps blocking everything older, so old rows do not come back.
    """
    from serving.privacy.readmission import readmit_customer, was_erased

    engine = engine_of(request)
    body = await read_body(request, ReadmissionBody)
    if not await asyncio.to_thread(was_erased, engine.settings, customer_id):
        raise Problem(404, "unknown_customer", "customer must be one who was erased, got another")
    catalogue, consents = engine.refresher.current().catalogue, [(one.channel, one.purpose) for one in body.consents]
    await _done(request, readmit_customer, catalogue, customer_id, consents, given_at=body.given_at)
    return json_response({"customer_id": customer_id, "readmitted_since": body.given_at.isoformat()})


async def _done[T](request: Request, act: Callable[..., T], *what: Any, **further: Any) -> T:
    """What an act on a customer's data gives, done beside the event loop in the name of who asks."""
    settings, key = engine_of(request).settings, request.state.key
    further |= {"now": engine_of(request).now(), "by": "open door" if key is None else f"key {key.name}"}
    return await asyncio.to_thread(act, settings, redis_url_of(settings), *what, **further)


def _unknown() -> Problem:
    return Problem(404, "unknown_customer", "customer must be one whose data is stored, got an unknown id")
