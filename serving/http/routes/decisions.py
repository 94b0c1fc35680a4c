"""Ask for decisions, one, flat, or many, and read one back."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from decisioning.errors import NextbestError
from serving.decisions.answer import Answer
from serving.decisions.ask import Ask, ask_of
from serving.forms import DecisionBody, PathId, validate
from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.bodies import BatchBody
from serving.http.documents import (
    BatchAnswer,
    DecisionAnswer,
    parameters,
    problems,
    request_body,
)
from serving.http.engine import Engine, engine_of
from serving.http.flat_answer import FlatAnswer, flat
from serving.http.lean import LeanRoute
from serving.http.problems import Problem, problem_of, request_id
from serving.http.requests import Idempotency, idempotency_of, json_response, query_of, read_body
from serving.in_force.policy_in_force import InForce

BATCH_SLICE = 20
"""Decisions of a batch that travel together; between slices other requests get their turn."""

CACHED_S = 300
"""How long a caller may keep a flat answer: a cached one passes no gate again, so no longer than a permit lasts."""

CONTEXT_PREFIX = "ctx."
_LIST_PARAMETERS = frozenset({"channels", "exclude_offers"})
_PARAMETERS = {
    "customer_id": "customer_id",
    "touchpoint": "touchpoint",
    "key": "dedupe_key",
    "stage": "stage",
    "channels": "channels",
    "exclude_offers": "exclude_offers",
}

router = APIRouter(tags=["decisions"], route_class=LeanRoute)
_DECIDE = [Depends(Needs(Scope.DECIDE))]


@router.post(
    "/v1/decisions",
    dependencies=_DECIDE,
    response_model=DecisionAnswer,
    responses=problems(400, 401, 403, 404, 413, 415, 422),
    openapi_extra=request_body(DecisionBody),
)
async def decide(request: Request) -> Response:
    """Decide the next message for a customer, or that silence is better.

    "Nothing to send" is an answer like any other: status 200 with `action` "hold". The same `dedupe_key` gets the
    same decision for as long as the touchpoint says; so does the same `Idempotency-Key` header.
    """
    engine = engine_of(request)
    body = await read_body(request, DecisionBody)
    in_force, idempotency = engine.refresher.current(), await idempotency_of(request)
    answer = await _answer(engine, _ask(body, in_force, idempotency), body.deadline_ms, route="decisions")
    return json_response(answer, headers={"Idempotency-Replayed": "true"} if answer["replayed"] else None)


@router.get(
    "/v1/decisions/next",
    dependencies=_DECIDE,
    response_model=FlatAnswer,
    responses=problems(401, 403, 404, 422),
    openapi_extra=parameters(
        {
            "customer_id": "Who",
            "touchpoint": "The touchpoint that asks, by its name in the catalogue",
            "key": "Identity of the request: the same key gets the same decision",
            "stage": "Journey stage, if the caller knows better",
            "channels": "Only these channels, separated by commas",
            "exclude_offers": "Offers that must not be chosen, separated by commas",
            "ctx.<field>": "A context field that the touchpoint declares",
        },
        required=("customer_id", "touchpoint"),
    ),
)
async def decide_flat(request: Request) -> Response:
    """The same decision as flat JSON for template languages (Liquid, Twig, AMPscript).

    Content fields stand beside `action`, `reason`, `offer_id` and the rest. With `key`, the answer may be cached for
    five minutes at most: on the next request its message passes the gates again.
    """
    engine = engine_of(request)
    in_force = engine.refresher.current()
    answer = await _answer(engine, ask_of(_body_of_query(request), in_force), None, route="decisions/next")
    lasting = f"private, max-age={min(answer['ttl_s'], CACHED_S)}" if answer["ttl_s"] else "no-store"
    return json_response(flat(answer), headers={"Cache-Control": lasting})


@router.post(
    "/v1/decisions/batch",
    dependencies=_DECIDE,
    response_model=BatchAnswer,
    responses=problems(400, 401, 403, 413, 415, 422),
    openapi_extra=request_body(BatchBody),
)
async def decide_batch(request: Request) -> Response:
    """Up to 500 decisions; each item is answered, or refused, as if it had been sent alone."""
    engine = engine_of(request)
    body = await read_body(request, BatchBody)
    idempotency = await idempotency_of(request)
    in_force = engine.refresher.current()
    asks = [_ask_or_problem(value, place, in_force, idempotency) for place, value in enumerate(body.requests)]
    results = [_refused(one, request) if isinstance(one, Problem) else None for one in asks]
    asked = [(place, one) for place, one in enumerate(asks) if isinstance(one, Ask)]
    for start in range(0, len(asked), BATCH_SLICE):
        part = asked[start : start + BATCH_SLICE]
        answers = await engine.decisions.answer_many(
            [ask for _, ask in part], now=engine.now, deadline_s=engine.settings.deadline_ms / 1000
        )
        for (place, _), answer in zip(part, answers, strict=True):
            results[place] = {"status": 200, "decision": answer}
        await asyncio.sleep(0)
    return json_response({"results": results})


@router.get(
    "/v1/decisions/{decision_id}",
    dependencies=[Depends(Needs(Scope.READ))],
    response_model=dict[str, Any],
    responses=problems(401, 403, 404, 409, 503),
)
async def read_decision(decision_id: PathId, request: Request) -> Response:
    """The record of a decision: candidates with their values, refusals with their reasons, everything it looked at.

    Positions of a slate share one record.
    """
    document = await engine_of(request).records.document(decision_id)
    return Response(document, media_type="application/json")


async def _answer(engine: Engine, ask: Ask, deadline_ms: int | None, *, route: str) -> Answer:
    started = time.perf_counter()
    limit = min(deadline_ms or engine.settings.deadline_ms, engine.settings.deadline_ms)
    [answer] = await engine.decisions.answer_many([ask], now=engine.now, deadline_s=limit / 1000)
    engine.metrics.latency.labels(route).observe(time.perf_counter() - started)
    return answer


def _ask_or_problem(value: Any, place: int, in_force: InForce, idempotency: Idempotency | None) -> Ask | Problem:
    try:
        return _ask(validate(DecisionBody, value), in_force, idempotency, place)
    except NextbestError as error:
        return problem_of(error)


def _ask(body: DecisionBody, in_force: InForce, idempotency: Idempotency | None, place: int | None = None) -> Ask:
    if idempotency is None:
        return ask_of(body, in_force)
    return ask_of(body, in_force, key=idempotency.dedupe_key(place), claim=idempotency.claim)


def _refused(problem: Problem, request: Request) -> dict[str, Any]:
    document = problem.document(instance=request.url.path, request_id=request_id(request))
    return {"status": problem.status, "problem": document}


def _body_of_query(request: Request) -> DecisionBody:
    """The body that a query string says.

    Raises:
        InvalidFormError: A parameter that is unknown, given twice, or not what it must be.
    """
    given = query_of(request, list(_PARAMETERS), open_prefix=CONTEXT_PREFIX).items()
    values: dict[str, Any] = {_PARAMETERS[name]: _listed(name, text) for name, text in given if name in _PARAMETERS}
    context = {name.removeprefix(CONTEXT_PREFIX): text for name, text in given if name.startswith(CONTEXT_PREFIX)}
    return validate(DecisionBody, {**values, "context": context})


def _listed(name: str, text: str) -> str | list[str]:
    return [part.strip() for part in text.split(",") if part.strip()] if name in _LIST_PARAMETERS else text
