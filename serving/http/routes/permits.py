"""Permits: ask whether a decided message may be sent now."""

import time

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from serving.decisions.permits import PermitAnswer
from serving.forms import PathId
from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.bodies import PermitBody
from serving.http.documents import problems, request_body
from serving.http.engine import engine_of
from serving.http.lean import LeanRoute
from serving.http.requests import json_response, read_body

router = APIRouter(tags=["permits"], route_class=LeanRoute)


@router.post(
    "/v1/decisions/{decision_id}/permit",
    dependencies=[Depends(Needs(Scope.DECIDE))],
    response_model=PermitAnswer,
    responses=problems(400, 401, 403, 404, 413, 415, 422),
    openapi_extra=request_body(PermitBody, is_required=False),
)
async def ask_permit(decision_id: PathId, request: Request) -> Response:
    """Whether the message of a decision, or of a position of a slate, may be sent now.

    Consent, protection, open cases, caps, quiet hours, capacity and validity are checked again, as they are now.
    "Denied" is an answer like any other: status 200 with the reasons, and what the decision had reserved is released.
    While Redis is down nothing can be checked, so the permit is denied. Repeats get the same answer until it expires.
    """
    engine = engine_of(request)
    body = await read_body(request, PermitBody) if await request.body() else PermitBody()
    started = time.perf_counter()
    limit_ms = min(body.deadline_ms or engine.settings.deadline_ms, engine.settings.deadline_ms)
    answer = await engine.permits.answer(decision_id, deadline_s=limit_ms / 1000)
    engine.metrics.latency.labels("permit").observe(time.perf_counter() - started)
    return json_response(answer)
