"""Reports of what happened: outcomes of decisions, and events of customers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from decisioning.errors import UnavailableError
from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.bodies import EventsBody, ListBody, OutcomesBody
from serving.http.documents import ReportAnswer, problems, request_body
from serving.http.engine import engine_of
from serving.http.lean import LeanRoute
from serving.http.requests import json_response, read_body
from serving.in_force.policy_in_force import InForce
from serving.reports.intake import Intake, Report

INTAKE_DEADLINE_S = 5.0
"""Reports may take longer than decisions: no page load waits for them."""

router = APIRouter(tags=["reports"], route_class=LeanRoute)


@router.post(
    "/v1/outcomes",
    status_code=202,
    dependencies=[Depends(Needs(Scope.OUTCOMES))],
    response_model=ReportAnswer,
    responses=problems(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=request_body(OutcomesBody),
)
async def report_outcomes(request: Request) -> Response:
    """Report outcomes of decisions, 1 to 500 at once; each counts once, by its `message_id`.

    `unsubscribed` counts at once: the next decision no longer uses that channel for anything that needs consent.
    """
    return await _taken(request, OutcomesBody, Intake.outcomes)


@router.post(
    "/v1/events",
    status_code=202,
    dependencies=[Depends(Needs(Scope.EVENTS))],
    response_model=ReportAnswer,
    responses=problems(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=request_body(EventsBody),
)
async def report_events(request: Request) -> Response:
    """Report what customers did or experienced, 1 to 500 events at once; each counts once, by its `message_id`."""
    return await _taken(request, EventsBody, Intake.events)


async def _taken(
    request: Request, form: type[ListBody], take_in: Callable[[Intake, Sequence[Any], InForce], Awaitable[Report]]
) -> Response:
    engine, kind = engine_of(request), form.list_of[0]
    values = getattr(await read_body(request, form), kind)
    try:
        async with asyncio.timeout(INTAKE_DEADLINE_S):
            report = await take_in(engine.intake, values, engine.refresher.current())
    except TimeoutError as error:  # Redis that does not answer in time is Redis that is away
        engine.state.doubt()
        raise UnavailableError("Redis must answer in time, got nothing; repeat the request") from error
    for status in ("accepted", "duplicate", "rejected"):
        engine.metrics.reports.labels(kind, status).inc(len(getattr(report, status)))
    return json_response(report.document(), status=202)
