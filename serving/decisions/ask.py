"""From a checked body to a ticket: names resolved against the catalogue, context typed, identity of the ask settled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from decisioning.decision import ONE_PLACEMENT, Placement, Request
from decisioning.errors import UnknownNameError
from serving.decisions.draft import Ticket
from serving.errors import Fault, InvalidFormError
from serving.forms import DecisionBody, check_context, unknown_name
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """An `Idempotency-Key` header: the key, and the claim that binds it to its request.

    Attributes:
        suffix: Tells the items of one batch apart.
        claim: Carried by the first ticket of a request.
    """

    key: str
    suffix: str = ""
    claim: Claim | None = None


def ticket_of(body: DecisionBody, in_force: InForce, idempotency: Idempotency | None = None) -> Ticket:
    """Check a body against the catalogue.

    Raises:
        UnknownNameError: No such touchpoint.
        InvalidFormError: With a pointer to every other fault.
    """
    catalogue = in_force.catalogue
    touchpoint = catalogue.touchpoints.get(body.touchpoint)
    if touchpoint is None:
        raise UnknownNameError("touchpoint", body.touchpoint, catalogue.touchpoints)
    _check_names(body, in_force)
    context = check_context(body.context, touchpoint.context)
    key = body.dedupe_key
    if key is None and idempotency is not None:
        key = f"idempotency:{idempotency.key}{idempotency.suffix}"
    request = Request(
        customer_id=body.customer_id,
        touchpoint_id=body.touchpoint,
        request_key=key if key is not None else uuid4().hex,
        context=context,
        channels=None if body.channels is None else frozenset(body.channels),
        excluded_offers=frozenset(body.exclude_offers),
        stage_id=body.stage,
        placements=_placements(body),
    )
    return Ticket(
        request=request,
        dedupe_key=key,
        claim=idempotency.claim if idempotency is not None else None,
        is_dry_run=body.dry_run,
        wants_explanation=body.explain,
    )


def _placements(body: DecisionBody) -> tuple[Placement, ...]:
    if body.placements is not None:
        return tuple(
            Placement(placement_id=one.placement, channels=None if one.channels is None else frozenset(one.channels))
            for one in body.placements
        )
    if body.limit == 1:
        return ONE_PLACEMENT
    return tuple(Placement(placement_id=str(place)) for place in range(1, body.limit + 1))


def _check_names(body: DecisionBody, in_force: InForce) -> None:
    catalogue = in_force.catalogue
    channels = catalogue.touchpoints[body.touchpoint].channels
    faults = [
        *_unknown("channel", "/channels", body.channels or (), channels),
        *_unknown("offer", "/exclude_offers", body.exclude_offers, catalogue.offers),
    ]
    for place, one in enumerate(body.placements or ()):
        faults += _unknown("channel", f"/placements/{place}/channels", one.channels or (), channels)
    if body.placements is not None and body.limit != 1:
        faults.append(Fault(pointer="/limit", detail="must be left out where placements are given"))
    stages = [stage.stage_id for stage in catalogue.stages]
    if body.stage is not None and body.stage not in stages:
        faults.append(Fault(pointer="/stage", detail=unknown_name("stage", body.stage, stages)))
    if faults:
        raise InvalidFormError(faults)


def _unknown(kind: str, pointer: str, names: Sequence[str], known: Mapping[str, Any] | frozenset[str]) -> list[Fault]:
    return [
        Fault(pointer=f"{pointer}/{place}", detail=unknown_name(kind, name, sorted(known)))
        for place, name in enumerate(names)
        if name not in known
    ]
