"""The hard rules: each gate checks one message, and passes it or gives a reason.

Every gate is asked about every message on every path, so a record always holds all the reasons, and no arm, outage or
shortage of knowledge opens anything. Only a message class passes gates unasked, and only the layers that the matrix of
classes gives it. What cannot be checked does not pass: without a profile nothing counts as reachable or agreed to, and
without features no rule over features holds, whichever way it points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from decisioning.catalogue.contact_policy import limits_contacts
from decisioning.catalogue.message_classes import Layer
from decisioning.catalogue.quiet_hours import NEVER
from decisioning.decision import Excluded
from decisioning.gates.candidate import Candidate
from decisioning.gates.checks import (
    applicability_gate,
    arm_gate,
    caller_gate,
    capacity_gate,
    care_gate,
    channel_gate,
    company_gate,
    consent_gate,
    contact_gate,
    creative_gate,
    eligibility_gate,
    follow_gate,
    holdout_gate,
    holds,
    known_gate,
    order_gate,
    programme_gate,
    protection_gate,
    purpose_gate,
    quiet_gate,
    reach_gate,
    score_gate,
    seen_gate,
    slate_gate,
    stage_gate,
    state_gate,
    subscription_gate,
    suitability_gate,
    suppression_gate,
    validity_gate,
)
from decisioning.gates.contact_ledger import BookRefusal
from decisioning.gates.situation import Situation

__all__ = [
    "ALL_LAYERS",
    "GATES",
    "Board",
    "Gate",
    "LayerRefusal",
    "Screening",
    "allowed_at",
    "holds",
    "screen",
    "screen_again",
]

type LayerRefusal = tuple[Layer, BookRefusal]
"""What a gate of a layer said."""


def _always(_: Situation) -> bool:
    return True


def _has_company(situation: Situation) -> bool:
    return bool(situation.sent or situation.slate)


def _has_caps(situation: Situation) -> bool:
    return limits_contacts(situation.catalogue.contact_policy)


def _has_responses(situation: Situation) -> bool:
    return bool(situation.catalogue.contact_policy.suppressions and situation.inputs.live.responses)


def _has_purposes(situation: Situation) -> bool:
    return any(channel.purposes is not None for channel in situation.catalogue.channels.values())


def _has_limits(situation: Situation) -> bool:
    return bool(situation.catalogue.limits or situation.catalogue.shares)


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate and its layer.

    Attributes:
        can_refuse: False in situations in which it passes every message, so that asking is idle.
    """

    layer: Layer
    ask: Callable[[Candidate, Situation], BookRefusal | None]
    can_refuse: Callable[[Situation], bool] = _always


GATES: tuple[Gate, ...] = (
    Gate(Layer.REQUEST, channel_gate, lambda situation: situation.channels is not None),
    Gate(Layer.REQUEST, caller_gate, lambda situation: bool(situation.request.excluded_offers)),
    Gate(Layer.REQUEST, slate_gate, lambda situation: bool(situation.slate)),
    Gate(Layer.PROTECTION, protection_gate, lambda situation: bool(situation.protections)),
    Gate(Layer.CONSENT, consent_gate),
    Gate(Layer.CONSENT, subscription_gate, lambda situation: bool(situation.unsubscribed)),
    Gate(Layer.REACHABILITY, reach_gate),
    Gate(Layer.VALIDITY, validity_gate),
    Gate(Layer.STAGE, stage_gate),
    Gate(Layer.PURPOSE, purpose_gate, _has_purposes),
    Gate(Layer.ELIGIBILITY, eligibility_gate),
    Gate(Layer.APPLICABILITY, applicability_gate),
    Gate(Layer.APPLICABILITY, known_gate),
    Gate(Layer.APPLICABILITY, follow_gate, lambda situation: situation.catalogue.conversation is not None),
    Gate(Layer.SUITABILITY, suitability_gate),
    Gate(Layer.COMPATIBILITY, company_gate, _has_company),
    Gate(Layer.COMPATIBILITY, order_gate, _has_company),
    Gate(Layer.CARE, care_gate, lambda situation: bool(situation.paused)),
    Gate(Layer.CONTACT_POLICY, state_gate, lambda situation: situation.inputs.live.is_lost),
    Gate(Layer.CONTACT_POLICY, contact_gate, _has_caps),
    Gate(Layer.SUPPRESSION, suppression_gate, _has_responses),
    Gate(Layer.CONVERSATION, seen_gate, lambda situation: bool(situation.seen.offers)),
    Gate(Layer.QUIET_HOURS, quiet_gate, lambda situation: bool(situation.catalogue.quiet_hours.rules)),
    Gate(Layer.CAPACITY, capacity_gate, _has_limits),
    Gate(Layer.CREATIVE, creative_gate, lambda situation: bool(situation.unfit)),
    Gate(Layer.TEST, holdout_gate, lambda situation: situation.is_held_out),
    Gate(Layer.TEST, programme_gate, lambda situation: bool(situation.programmes)),
    Gate(Layer.TEST, arm_gate, lambda situation: situation.is_silent_arm),
    Gate(Layer.SCORE, score_gate, lambda situation: not situation.is_rankable),
)
"""In the order in which reasons are reported, which is that of the layers."""

ALL_LAYERS = frozenset(Layer)


class Board:
    """The gates that can refuse anything in one situation, laid out once per set of bypassed layers."""

    __slots__ = ("_by_bypassed", "_gates", "_situation")

    def __init__(self, situation: Situation, layers: frozenset[Layer] = ALL_LAYERS) -> None:
        """Lay out the gates of some layers for a situation."""
        self._situation = situation
        self._gates = tuple([gate for gate in GATES if gate.layer in layers and gate.can_refuse(situation)])
        self._by_bypassed: dict[frozenset[Layer], tuple[Gate, ...]] = {}

    def ask(self, candidate: Candidate) -> tuple[LayerRefusal, ...]:
        """What the gates say against a message; those of layers that its class bypasses are not asked."""
        bypassed, situation = candidate.bypasses, self._situation
        gates = self._by_bypassed.get(bypassed)
        if gates is None:
            gates = tuple([gate for gate in self._gates if gate.layer not in bypassed])
            self._by_bypassed[bypassed] = gates
        found: list[LayerRefusal] = []
        for gate in gates:
            refusal = gate.ask(candidate, situation)
            if refusal is not None:
                found.append((gate.layer, refusal))
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What the gates left.

    Attributes:
        permitted: Indexes of permitted candidates, in candidate order.
        excluded: The rest with every reason, in candidate order.
        refusals: Per candidate what each layer that refused said; k entries, empty for permitted ones.
    """

    permitted: tuple[int, ...]
    excluded: tuple[Excluded, ...]
    refusals: tuple[tuple[LayerRefusal, ...], ...]


def screen(candidates: Sequence[Candidate], situation: Situation) -> Screening:
    """Ask every gate about every candidate.

    Returns:
        Which candidates may be sent, and every reason against each of the others.
    """
    board = Board(situation)
    return _screening(candidates, [board.ask(one) for one in candidates], situation)


def screen_again(
    candidates: Sequence[Candidate], former: Screening, situation: Situation, layers: frozenset[Layer]
) -> Screening:
    """Ask only some layers again, in a situation that differs from that of `former` in nothing else.

    Args:
        candidates: As for `former`.
        former: What a screening of all layers found.
        situation: From `situation.in_slate` with `SLATE_LAYERS`, or `situation.freed` with `FREED_LAYERS`.
        layers: Layers whose answers may be others now.
    """
    board, refusals = Board(situation, layers), list[tuple[LayerRefusal, ...]]()
    for candidate, before in zip(candidates, former.refusals, strict=True):
        kept = tuple([one for one in before if one[0] not in layers]) if before else ()
        asked = board.ask(candidate)
        refusals.append(tuple(sorted(kept + asked, key=_place)) if kept and asked else kept or asked)
    return _screening(candidates, refusals, situation)


def allowed_at(candidate: Candidate, refusals: Sequence[LayerRefusal], situation: Situation) -> datetime | None:
    """The first moment at which the gates would let a message pass, where nothing but time stands in its way.

    It is the latest of the refusals' own moments, moved on where the channel rests just then; None where one of them
    has no such moment, or where the offer would arrive too late.
    """
    latest: datetime | None = None
    for _, (_, _, moment) in refusals:
        if moment is None or moment >= NEVER:
            return None
        if latest is None or moment > latest:
            latest = moment
    if latest is None:
        return None
    if Layer.QUIET_HOURS not in candidate.bypasses:
        latest = situation.times.quiet_until(candidate.channel_id, latest) or latest
    until = candidate.valid_until
    is_late = latest >= NEVER or (
        until is not None and situation.times.arrival(candidate.message.channel, latest) >= until
    )
    return None if is_late else latest


def _screening(
    candidates: Sequence[Candidate], refusals: Sequence[tuple[LayerRefusal, ...]], situation: Situation
) -> Screening:
    permitted = tuple(index for index, found in enumerate(refusals) if not found)
    excluded = tuple(
        _excluded(candidate, found, situation) for candidate, found in zip(candidates, refusals, strict=True) if found
    )
    return Screening(permitted=permitted, excluded=excluded, refusals=tuple(refusals))


def _excluded(candidate: Candidate, refusals: tuple[LayerRefusal, ...], situation: Situation) -> Excluded:
    return Excluded(
        message_key=candidate.key,
        reasons=tuple([reason for _, (reason, _, _) in refusals]),
        details=tuple([detail for _, (_, detail, _) in refusals]),
        allowed_at=allowed_at(candidate, refusals, situation),
    )


_PLACES = {layer: place for place, layer in enumerate(Layer)}


def _place(refusal: LayerRefusal) -> int:
    return _PLACES[refusal[0]]
