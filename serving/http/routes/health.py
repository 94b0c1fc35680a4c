"""Liveness, readiness and metrics."""

import asyncio
from typing import Any

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from decisioning.errors import UnavailableError
from features.zone_rules import rules_in_force
from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.documents import LiveAnswer, ReadyAnswer, problems
from serving.http.engine import Engine, engine_of
from serving.http.requests import json_response
from serving.in_force.policy_in_force import InForce
from serving.live.store import STATE_LOST, LiveStore

SCRAPE_TIMEOUT_S = 1.0

router = APIRouter(tags=["health"])


@router.get("/livez", response_model=LiveAnswer)
async def livez() -> Response:
    """The process is alive; restart it if this does not answer."""
    return json_response({"status": "alive"})


@router.get("/readyz", response_model=ReadyAnswer, responses={503: {"model": ReadyAnswer}})
async def readyz(request: Request) -> Response:
    """Whether catalogue, model and Redis are available, and if not, why.

    503 until all three have been available once; if no model was ever promoted, cold start counts as one. After that
    the server always answers, degraded if a component is down, so taking it out of service would not help: 200 with
    status "degraded" and the reasons.
    """
    engine = engine_of(request)
    checks = _checks(engine)
    is_whole = all(one["ok"] for one in checks.values())
    engine.was_ready = engine.was_ready or is_whole
    status = "ready" if is_whole else "degraded" if engine.was_ready else "not_ready"
    return json_response({"status": status, "checks": checks}, status=200 if engine.was_ready else 503)


@router.get(
    "/metrics",
    dependencies=[Depends(Needs(Scope.READ))],
    response_class=Response,
    responses=problems(401, 403) | {200: {"content": {"text/plain": {}}, "description": "Prometheus text"}},
)
async def metrics(request: Request) -> Response:
    """Numbers for Prometheus."""
    engine = engine_of(request)
    engine.metrics.set_redis_up(is_up=engine.state.is_up)
    try:
        async with asyncio.timeout(SCRAPE_TIMEOUT_S):
            engine.metrics.stream_length.set(await engine.state.stream_length())
    except (TimeoutError, UnavailableError):
        engine.metrics.stream_length.set(float("nan"))
    in_force = engine.refresher.in_force
    rules = rules_in_force()
    engine.metrics.zone_rules.labels(rules.version).set(1)
    engine.metrics.zone_rules_old.set(int(rules.problem(engine.now()) is not None))
    engine.metrics.in_force.waits_for = frozenset(need.waits_for for need in engine.refresher.needs)
    engine.metrics.in_force.model_version = in_force.model.version if in_force and in_force.model else ""
    return Response(engine.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _arm_problem(in_force: InForce | None) -> str | None:
    """What is wrong with the models of experiment arms; the server is ready without them, and their arms degrade."""
    problems = in_force.arm_problems if in_force is not None else {}
    return "; ".join(f"arm model {alias}: {problem}" for alias, problem in sorted(problems.items())) or None


def _redis_check(state: LiveStore) -> dict[str, Any]:
    """Redis answers, and holds the live state of this home."""
    if not state.is_up:
        return {"ok": False, "problem": state.problem}
    return {"ok": not state.is_lost, "problem": STATE_LOST if state.is_lost else None}


def _checks(engine: Engine) -> dict[str, dict[str, Any]]:
    refresher, in_force = engine.refresher, engine.refresher.in_force
    has_model = in_force is not None and in_force.model is not None
    is_cold_start = in_force is not None and in_force.is_cold_start
    return {
        "catalogue": {
            "ok": in_force is not None,
            "version": in_force.catalogue.version if in_force else None,
            "problem": refresher.catalogue_problem,
            "waits_for": [need.words for need in refresher.needs],
        },
        "model": {
            "ok": has_model or is_cold_start,
            "mode": "model" if has_model else "cold_start" if is_cold_start else None,
            "version": in_force.model.version if in_force and in_force.model else None,
            "problem": refresher.model_problem or _arm_problem(in_force),
        },
        "redis": _redis_check(engine.state),
        "zone_rules": _zone_check(engine),
    }


def _zone_check(engine: Engine) -> dict[str, Any]:
    """Old rules are a warning: the server is no less ready, and quiet hours may be wrong where rules have changed."""
    rules = rules_in_force()
    return {"ok": True, "version": rules.version, "problem": rules.problem(engine.now())}
