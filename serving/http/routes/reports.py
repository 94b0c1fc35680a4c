"""Take in what happened: outcomes of decisions, and events of customers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from decisioning.errors import UnavailableError
from serving.http.access import needs
from serving.http.api_keys import Scope
from serving.http.bodies import EventsBody, OutcomesBody
from serving.http.documents import ReportAnswer, problems, request_body
from serving.http.engine import Engine, engine_of
from serving.http.requests import json_response, read_body
from serving.reports.intake import Report

INTAKE_DEADLINE_S = 5.0
"""Reports may take longer than decisions: nobody waits for them with a page half drawn."""

router = APIRouter(tags=["reports"])


@router.post(
    "/v1/outcomes",
    status_code=202,
    dependencies=[Depends(needs(Scope.OUTCOMES))],
    response_model=ReportAnswer,
    responses=problems(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=request_body(OutcomesBody),
)
async def report_outcomes(request: Request) -> Response:
    """Report what became of decisions, 1 to 500 at once; each item is taken in once, by its `message_id`.

    `unsubscribed` counts at once: the next decision no longer uses that channel for anything that needs consent.
    """
    engine = engine_of(request)
    body = await read_body(request, OutcomesBody)
    async with _in_time(engine):
        report = await engine.intake.outcomes(body.outcomes, engine.refresher.current())
    return _answer(engine, report, "outcomes")


@router.post(
    "/v1/events",
    status_code=202,
    dependencies=[Depends(needs(Scope.EVENTS))],
    response_model=ReportAnswer,
    responses=problems(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=request_body(EventsBody),
)
async def report_events(request: Request) -> Response:
    """Report what customers did or suffered, 1 to 500 at once; each item is taken in once, by its `message_id`."""
    engine = engine_of(request)
    body = await read_body(request, EventsBody)
    async with _in_time(engine):
        report = await engine.intake.events(body.events, engine.refresher.current())
    return _answer(engine, report, "events")


@asynccontextmanager
async def _in_time(engine: Engine) -> AsyncIterator[None]:
    """Redis that does not answer in time is Redis that is away."""
    try:
        async with asyncio.timeout(INTAKE_DEADLINE_S):
            yield
    except TimeoutError as error:
        engine.state.doubt()
        raise UnavailableError("Redis must answer in time, got nothing; repeat the request") from error


def _answer(engine: Engine, report: Report, kind: str) -> Response:
    for status, count in (
        ("accepted", len(report.accepted)), ("duplicate", len(report.duplicate)), ("rejected", len(report.rejected))
    ):  # fmt: skip
        engine.metrics.reports.labels(kind, status).inc(count)
    return json_response(report.document(), status=202)
