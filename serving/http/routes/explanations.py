"""Why a decision came out as it did, and what would have let another message win; asking changes nothing."""

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from decisioning.explanation.explanation import Reader
from features.models.policy_archive import PolicyArchive
from serving.decisions.explanations import ExplainedAnswer, WhyNotAnswer, explanation_for, why_not_answer
from serving.errors import Fault, InvalidFormError
from serving.forms import PathId, unknown_name
from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.documents import parameters, problems
from serving.http.engine import engine_of
from serving.http.requests import json_response, query_of

router = APIRouter(tags=["explanations"])
_READ = [Depends(Needs(Scope.READ))]
_FOR = {"for": "Reader: customer, agent or auditor", "locale": "BCP 47 tag; default the customer's locale"}
_WHY_NOT = {"offer": "The offer that was expected; a name of the catalogue", "channel": "Only on this channel"}


@router.get(
    "/v1/decisions/{decision_id}/explanation",
    dependencies=_READ,
    response_model=ExplainedAnswer,
    responses=problems(401, 403, 404, 409, 422, 503),
    openapi_extra=parameters(_FOR, required=("for",)),
)
async def explain(decision_id: PathId, request: Request) -> Response:
    """A decision in plain sentences, from its record alone, for the customer, the call agent or the auditor.

    The customer's version may be passed on: what was decided, by what logic, which data mattered, what they can do. The
    other two contain personal data.
    """
    engine = engine_of(request)
    given = query_of(request, list(_FOR), required="for")
    if given["for"] not in list(Reader):
        raise InvalidFormError([Fault(pointer="for", detail=unknown_name("reader", given["for"], list(Reader)))])
    decision = await engine.records.decision(decision_id)
    return json_response(explanation_for(decision, Reader(given["for"]), given.get("locale")))


@router.get(
    "/v1/decisions/{decision_id}/why-not",
    dependencies=_READ,
    response_model=WhyNotAnswer,
    responses=problems(401, 403, 404, 409, 422, 503),
    openapi_extra=parameters(_WHY_NOT, required=("offer",)),
)
async def why_not(decision_id: PathId, request: Request) -> Response:
    """Why an offer was not chosen then, why it would not be now, and the nearest change that would have let it win.

    Nothing is sent, reserved, logged or stored.
    """
    engine = engine_of(request)
    given = query_of(request, list(_WHY_NOT), required="offer")
    decision = await engine.records.decision(decision_id)
    answer = await why_not_answer(
        engine.state,
        engine.refresher.current(),
        PolicyArchive(engine.settings.catalogues_path),
        decision,
        offer_id=given["offer"],
        channel_id=given.get("channel"),
        now=engine.now(),
        within_s=engine.settings.deadline_ms / 1000,
    )
    return json_response(answer)
