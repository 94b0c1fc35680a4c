"""Permits: may a decided message be sent now? Everything that may have changed is checked again."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from decisioning.catalogue.message import SILENCE
from decisioning.catalogue.message_classes import Layer
from decisioning.decision import Decision, Exclusion, Inputs, Request
from decisioning.errors import InvalidInputError
from decisioning.gates.candidate import Candidate
from decisioning.gates.reservation import position_id
from decisioning.gates.screening import ALL_LAYERS, allowed_at, refusals
from decisioning.policy import Policy

PERMIT_LAYERS = ALL_LAYERS - {
    Layer.REQUEST, Layer.STAGE, Layer.PURPOSE, Layer.APPLICABILITY, Layer.TEST, Layer.SCORE
}  # fmt: skip
"""Layers that a permit asks again."""

REPEAT_LAYERS = PERMIT_LAYERS - {Layer.CAPACITY, Layer.CONVERSATION}
"""Layers that the message of a repeated answer has to pass: it holds its share of capacity already, and that it was
seen meanwhile does not take it away."""

WITHDRAWN = "no longer in the catalogue"
"""What `EXPIRED` means where the message itself is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitVerdict:
    """Whether a decided message may be sent now.

    Attributes:
        reasons: Why not, in the order of the gates; empty where it may.
        details: What each reason means here, one per reason.
        retry_at: If only time prevents it, the first moment at which asking again helps.
    """

    is_allowed: bool
    reasons: tuple[Exclusion, ...] = ()
    details: tuple[str, ...] = ()
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedMessage:
    """A message that was decided for: what a permit is asked about.

    Attributes:
        decision_id: Id of the decision, or of the position of its slate; its contact has the same.
        request: What was asked.
    """

    decision_id: str
    request: Request
    message_key: str


def decided_of(decision: Decision, position: int = 1) -> DecidedMessage:
    """What was decided at a position of the slate, 1 for the decision proper.

    Raises:
        InvalidInputError: The decision has no such position, or silence there.
    """
    keys = (decision.message_key, *(one.message_key for one in decision.further))
    if not 1 <= position <= len(keys):
        raise InvalidInputError(f"position must be in [1, {len(keys)}], got {position}; ask for one that was decided")
    if keys[position - 1] == SILENCE:
        raise InvalidInputError("decision must have a message to permit, got silence; there is nothing to send")
    return DecidedMessage(
        decision_id=position_id(decision.decision_id, position),
        request=decision.inputs.request,
        message_key=keys[position - 1],
    )


def permit(policy: Policy, decided: DecidedMessage, inputs_now: Inputs) -> PermitVerdict:
    """Hold exactly the decided message against the gates, with everything as it is now.

    Asked again is all that protects the customer or that others share, since it may have changed: protection, consent
    and subscription, the address, validity until arrival, eligibility and suitability, other offers in the book, open
    cases, caps and pressure, suppression, what the customer has seen since, quiet hours, capacity, and what the channel
    can carry. The message's own contact is taken out of the book first, or every message would stand in its own way.

    Not asked again is what was settled by choosing: what the caller wanted (channels, excluded offers, other positions
    of the slate), the stage with what its channel is for there and the applicability rules that the choice was made on,
    experiment arms and holdouts (whoever is held out has no message to ask about), and the score. The class of the
    message bypasses what it bypassed then. A message that has left the catalogue is denied: so that taking an offer out
    stops it at once.

    Args:
        policy: The policy in force now.
        decided: The message.
        inputs_now: What is known now, with `supply` less what the decision itself still holds of it (only who keeps the
            counters knows: a reservation that ran out holds nothing). Its request is ignored, that of the decision
            counts.
    """
    asked, stages = decided.request, {stage.stage_id for stage in policy.catalogue.stages}
    request = replace(asked, stage_id=asked.stage_id if asked.stage_id in stages else None)
    return hold_against_gates(
        policy,
        replace(inputs_now, request=request),
        decided.message_key,
        own={decided.decision_id},
        layers=PERMIT_LAYERS,
    )


def hold_against_gates(
    policy: Policy, inputs: Inputs, message_key: str, *, own: Collection[str], layers: frozenset[Layer]
) -> PermitVerdict:
    """Ask the gates of some layers about one message that was decided before.

    Args:
        policy: The policy in force now.
        inputs: What is known now, with the ask.
        message_key: The message; one that the touchpoint no longer has is denied.
        own: Contacts that were made by deciding it; they are taken out of the book.
        layers: What to ask.
    """
    candidate = _find(policy, inputs.request.touchpoint_id, message_key)
    if candidate is None:
        return PermitVerdict(is_allowed=False, reasons=(Exclusion.EXPIRED,), details=(WITHDRAWN,))
    inputs = _without_contacts(inputs, own)
    assignment = policy.assignment(inputs.request, inputs.customer, inputs.now, inputs.live.kept)
    situation = policy.situation(inputs, assignment)
    refused = refusals(candidate, situation, layers)
    return PermitVerdict(
        is_allowed=not refused,
        reasons=tuple(reason for _, (reason, _, _) in refused),
        details=tuple(detail for _, (_, detail, _) in refused),
        retry_at=allowed_at(candidate, refused, situation),
    )


def _find(policy: Policy, touchpoint_id: str, key: str) -> Candidate | None:
    if touchpoint_id not in policy.catalogue.touchpoints:
        return None
    lineup = policy.board(touchpoint_id).lineup
    place = lineup.place_of.get(key)
    return None if place is None else lineup.candidates[place]


def _without_contacts(inputs: Inputs, own: Collection[str]) -> Inputs:
    live = inputs.live
    contacts = tuple(one for one in live.contacts if one.contact_id not in own)
    household = tuple(one for one in live.household_contacts if one.contact_id not in own)
    return replace(inputs, live=replace(live, contacts=contacts, household_contacts=household))
