"""What is asked, after names were resolved against the catalogue, context typed and the identity of the ask settled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from decisioning.customer import CustomerId
from decisioning.decision import ONE_PLACEMENT, Placement, Request
from decisioning.errors import UnknownNameError
from serving.errors import Fault, InvalidFormError
from serving.forms import DecisionBody, check_context, unknown_name
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Claim, Known, Lookup, SupplyQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One ask for a decision.

    Attributes:
        dedupe_key: None where it cannot be repeated.
        claim: Binds an idempotency key to this very request; None without one.
        allocated: Message key that a plan over all customers gave this one; None without a plan.
    """

    request: Request
    dedupe_key: str | None = None
    claim: Claim | None = None
    is_dry_run: bool = False
    wants_explanation: bool = False
    allocated: str | None = None

    def lookup(self, supply: SupplyQuery | None = None) -> Lookup:
        """What to read for it, with what all customers share where that is wanted."""
        return Lookup(
            customer_id=self.request.customer_id,
            touchpoint_id=self.request.touchpoint_id,
            dedupe_key=self.dedupe_key,
            claim=self.claim,
            supply=supply,
        )

    def about(self, known: Known) -> "Ask":
        """The ask, about the customer whom its visitor turned out to be."""
        if known.of is None:
            return self
        return replace(self, request=replace(self.request, customer_id=CustomerId(known.of)))


def ask_of(form: DecisionBody, in_force: InForce, *, key: str | None = None, claim: Claim | None = None) -> Ask:
    """Check what a caller filled in against the catalogue; `key` is the ask's identity where the form gives none.

    Raises:
        UnknownNameError: No such touchpoint.
        InvalidFormError: With a pointer to every other fault.
    """
    catalogue = in_force.catalogue
    touchpoint = catalogue.touchpoints.get(form.touchpoint)
    if touchpoint is None:
        raise UnknownNameError("touchpoint", form.touchpoint, catalogue.touchpoints)
    _check_names(form, in_force)
    context = check_context(form.context, touchpoint.context)
    dedupe_key = key if form.dedupe_key is None else form.dedupe_key
    request = Request(
        customer_id=form.customer_id,
        touchpoint_id=form.touchpoint,
        request_key=uuid4().hex if dedupe_key is None else dedupe_key,
        context=context,
        channels=None if form.channels is None else frozenset(form.channels),
        excluded_offers=frozenset(form.exclude_offers),
        stage_id=form.stage,
        placements=_placements(form),
    )
    return Ask(
        request=request,
        dedupe_key=dedupe_key,
        claim=claim,
        is_dry_run=form.dry_run,
        wants_explanation=form.explain,
    )


def _placements(form: DecisionBody) -> tuple[Placement, ...]:
    if form.placements is not None:
        return tuple(
            Placement(placement_id=one.placement, channels=None if one.channels is None else frozenset(one.channels))
            for one in form.placements
        )
    if form.limit == 1:
        return ONE_PLACEMENT
    return tuple(Placement(placement_id=str(place)) for place in range(1, form.limit + 1))


def _check_names(form: DecisionBody, in_force: InForce) -> None:
    catalogue = in_force.catalogue
    channels = catalogue.touchpoints[form.touchpoint].channels
    faults = [
        *_unknown("channel", "/channels", form.channels or (), channels),
        *_unknown("offer", "/exclude_offers", form.exclude_offers, catalogue.offers),
    ]
    for place, one in enumerate(form.placements or ()):
        faults += _unknown("channel", f"/placements/{place}/channels", one.channels or (), channels)
    if form.placements is not None and form.limit != 1:
        faults.append(Fault(pointer="/limit", detail="must be left out where placements are given"))
    stages = [stage.stage_id for stage in catalogue.stages]
    if form.stage is not None and form.stage not in stages:
        faults.append(Fault(pointer="/stage", detail=unknown_name("stage", form.stage, stages)))
    if faults:
        raise InvalidFormError(faults)


def _unknown(kind: str, pointer: str, names: Sequence[str], known: Mapping[str, Any] | frozenset[str]) -> list[Fault]:
    return [
        Fault(pointer=f"{pointer}/{place}", detail=unknown_name(kind, name, sorted(known)))
        for place, name in enumerate(names)
        if name not in known
    ]
