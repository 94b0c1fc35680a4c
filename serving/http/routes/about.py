"""What a caller can find out before it asks: who it is, and which touchpoints there are."""

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.bodies import MAX_BATCH
from serving.http.documents import MeAnswer, TouchpointsAnswer, problems
from serving.http.engine import engine_of
from serving.http.middleware import MAX_BODY_BYTES
from serving.http.requests import json_response

router = APIRouter(tags=["about"])


@router.get("/v1/me", dependencies=[Depends(Needs())], response_model=MeAnswer, responses=problems(401))
async def me(request: Request) -> Response:
    """A smoke test for integrations: the key's name and scopes, the limits, and what decisions are made with."""
    engine = engine_of(request)
    key = request.state.key
    in_force = engine.refresher.in_force
    return json_response(
        {
            "key": None if key is None else {"id": key.key_id, "name": key.name, "expires_at": key.expires_at},
            "scopes": sorted(Scope if key is None else key.scopes),
            "limits": {
                "items": MAX_BATCH,
                "body_bytes": MAX_BODY_BYTES,
                "deadline_ms": engine.settings.deadline_ms,
            },
            "policy_version": in_force.policy.version if in_force else None,
            "model_version": in_force.model.version if in_force and in_force.model else None,
        }
    )


@router.get(
    "/v1/touchpoints",
    dependencies=[Depends(Needs(Scope.DECIDE, Scope.READ))],
    response_model=TouchpointsAnswer,
    responses=problems(401, 403, 503),
)
async def touchpoints(request: Request) -> Response:
    """Touchpoints with their channels, the context they take and the messages they can send."""
    in_force = engine_of(request).refresher.current()
    found = [
        {
            "touchpoint": name,
            "channels": sorted(touchpoint.channels),
            "context": dict(touchpoint.context),
            "sticky_seconds": touchpoint.sticky_seconds,
            "messages": [message.key for message in in_force.policy.candidates(name)],
        }
        for name, touchpoint in sorted(in_force.catalogue.touchpoints.items())
    ]
    return json_response({"touchpoints": found})
