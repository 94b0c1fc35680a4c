"""What a decision reserves: contacts in books, units of shared limits, evidence for new offers.

It is computed here, from the decision alone, and committed in one atomic step with the decision's log entry.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import timedelta

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Contact, Touch
from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import Action, Decision, Inputs
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.gates.capacity import SharedUse
from decisioning.gates.contact_ledger import GHOST_SUFFIX
from decisioning.value_class import value_class


@value_class
class Reservation:
    """All that must be taken together, or not at all.

    Attributes:
        contacts: For the customer's book, and the household's: one per message sent, and one for a ghost.
        uses: Amount to add by counter name.
        ceilings: The most that a counter may stand at after adding; one that is not named has no bound.
        version: Of the customer's book as read: if it moved on, nothing is taken.
        household_version: The same of the household's.
        evidence: Decisions to add to what each offer's ramp counts.
        uses_by_contact: The part of `uses` that each contact gives back where it is released, by contact id.
    """

    contacts: tuple[Contact, ...] = ()
    uses: Mapping[str, float] = field(default_factory=dict[str, float])
    ceilings: Mapping[str, float] = field(default_factory=dict[str, float])
    version: int = 0
    household_version: int = 0
    evidence: Mapping[str, int] = field(default_factory=dict[str, int])
    uses_by_contact: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])

    @property
    def is_empty(self) -> bool:
        """True where nothing is taken, as by silence: such a decision conflicts with nothing."""
        return not (self.contacts or self.uses or self.evidence)


def position_id(decision_id: str, position: int) -> str:
    """Id of one position of a slate, which is the id of its contact and of its row in the log.

    Example:
        >>> position_id("d1", 1), position_id("d1", 2)
        ('d1', 'd1-2')
    """
    return decision_id if position == 1 else f"{decision_id}-{position}"


def touch_of(catalogue: Catalogue, message_key: str) -> Touch:
    """What of a message the contact policy looks at, by the message's key.

    Raises:
        InvalidInputError: A key that is not offer/channel/creative.
        UnknownNameError: An offer or a channel that the catalogue does not have.
    """
    parts = message_parts(message_key)
    if parts is None:
        raise InvalidInputError(f"message key must be offer/channel/creative, got {message_key!r}")
    touch = catalogue.touch(parts)
    if touch.channel_id not in catalogue.channels:
        raise UnknownNameError("channel", touch.channel_id, catalogue.channels)
    return touch


def reservation_of(catalogue: Catalogue, decision: Decision) -> Reservation:
    """What a decision takes; nothing for silence.

    A message that needs a permit is reserved until its touchpoint's `reserve_seconds` are over; any other counts from
    now on, until it is reported as not sent or bounced. Ghosts take a ghost contact and nothing that is shared.

    Raises:
        UnknownNameError: The decision was made with another catalogue.
    """
    taken = _reserved(catalogue, decision.inputs, list(_sent(decision)))
    if decision.ghost is None or decision.ghost.message_key == SILENCE:
        return taken
    ghost = Contact(
        contact_id=decision.decision_id + GHOST_SUFFIX,
        touch=touch_of(catalogue, decision.ghost.message_key),
        at=decision.decided_at,
        is_confirmed=True,
        is_ghost=True,
    )
    return replace(taken, contacts=(*taken.contacts, ghost))


def renewed_reservation(catalogue: Catalogue, contact_id: str, message_key: str, inputs: Inputs) -> Reservation:
    """What a message that was decided before takes now; it has counted as evidence already.

    Args:
        catalogue: In force now.
        contact_id: Id of its contact.
        message_key: The message.
        inputs: What is known now, with the ask of that time.

    Raises:
        UnknownNameError: The catalogue no longer has it.
    """
    return replace(_reserved(catalogue, inputs, [(contact_id, message_key)]), evidence={})


def _reserved(catalogue: Catalogue, inputs: Inputs, sent: Sequence[tuple[str, str]]) -> Reservation:
    """What messages take together, by contact id and message key."""
    contacts: list[Contact] = []
    used: dict[str, float] = {}
    parts: dict[str, Mapping[str, float]] = {}
    most: dict[str, float] = {}
    evidence: dict[str, int] = {}
    at = inputs.now
    for earlier, (contact_id, message_key) in enumerate(sent):
        touch = touch_of(catalogue, message_key)
        cost = catalogue.channels[touch.channel_id].cost_minor
        contacts.append(_contact(catalogue, inputs, contact_id, touch))
        evidence[touch.offer_id] = evidence.get(touch.offer_id, 0) + 1
        shared = SharedUse(catalogue, touch, cost)
        parts[contact_id] = shared.amounts(at)
        for counter, amount in parts[contact_id].items():
            used[counter] = used.get(counter, 0.0) + amount
        most |= shared.ceilings(inputs.supply, at, earlier=earlier)
    return Reservation(
        contacts=tuple(contacts),
        uses=used,
        ceilings=most,
        version=inputs.live.version,
        household_version=inputs.live.household_version,
        evidence=evidence,
        uses_by_contact=parts,
    )


def _sent(decision: Decision) -> Iterator[tuple[str, str]]:
    """Contact id and message key of every position that sends."""
    if decision.action is Action.SEND:
        yield position_id(decision.decision_id, 1), decision.message_key
    for position, further in enumerate(decision.further, start=2):
        if further.message_key != SILENCE:
            yield position_id(decision.decision_id, position), further.message_key


def _contact(catalogue: Catalogue, inputs: Inputs, contact_id: str, touch: Touch) -> Contact:
    touchpoint = catalogue.touchpoints.get(inputs.request.touchpoint_id)
    if touchpoint is None:
        raise UnknownNameError("touchpoint", inputs.request.touchpoint_id, catalogue.touchpoints)
    ends = inputs.now + timedelta(seconds=touchpoint.reserve_seconds)
    return Contact(
        contact_id=contact_id,
        touch=touch,
        at=inputs.now,
        reserved_until=ends if touchpoint.needs_permit else None,
    )
