"""What a customer already told us, so that no form asks for it again."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from decisioning.catalogue.catalogue import Catalogue
from decisioning.customer import Customer
from features.online.profiles import decode_profile
from serving.decisions.known import with_told
from serving.errors import Fault, InvalidFormError
from serving.forms import PathId, unknown_name
from serving.http.access import Needs
from serving.http.api_keys import Scope
from serving.http.documents import KnownAnswer, problems
from serving.http.engine import engine_of
from serving.http.problems import Problem
from serving.http.requests import json_response
from serving.live.reader import Lookup

IMPORTED = "import"
"""Source of attributes that came with the customer's row."""

router = APIRouter(tags=["customers"])


@router.get(
    "/v1/customers/{customer_id}/known",
    dependencies=[Depends(Needs(Scope.DECIDE, Scope.READ))],
    response_model=KnownAnswer,
    responses=problems(401, 403, 404, 422, 503),
)
async def known(request: Request, customer_id: PathId, fields: str | None = None) -> Response:
    """What the customer told us, to pre-fill a form, and what is left to ask.

    `fields` are attributes of the catalogue, separated by commas; without it, all of them. Report an answer from the
    form as the event `attribute_told`; it is known from then on.
    """
    engine = engine_of(request)
    wanted = _wanted(fields, engine.refresher.current().catalogue)
    found = await engine.state.read(Lookup(customer_id=customer_id, touchpoint_id=""))
    if found.profile is None:
        raise Problem(404, "unknown_customer", "customer_id must be a known customer, got an unknown one")
    return json_response(_document(with_told(decode_profile(found.profile), found.told), wanted))


def _wanted(fields: str | None, catalogue: Catalogue) -> Sequence[str]:
    declared = [attribute.name for attribute in catalogue.customer_attributes]
    if fields is None:
        return declared
    wanted = list(dict.fromkeys(part.strip() for part in fields.split(",") if part.strip()))
    unknown = [name for name in wanted if name not in declared]
    if unknown:
        told = [unknown_name("attribute", one, declared) for one in unknown]
        raise InvalidFormError([Fault(pointer="fields", detail=one) for one in told])
    return wanted


def _document(customer: Customer, wanted: Sequence[str]) -> dict[str, Any]:
    has = [name for name in wanted if customer.attributes.get(name) is not None]
    return {
        "customer_id": customer.customer_id,
        "known": [_known(customer, name) for name in has],
        "ask": [name for name in wanted if name not in has],
    }


def _known(customer: Customer, name: str) -> dict[str, Any]:
    told = customer.told.get(name)
    at = customer.known_at if told is None else told.at
    return {
        "name": name,
        "value": customer.attributes[name],
        "source": IMPORTED if told is None else told.source,
        "known_since": None if at is None else at.isoformat(),
    }
