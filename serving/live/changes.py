"""What a report changes in live state: fields whose greatest value stands, recent behaviour, and a contact's flags.

Nothing here depends on what was reported before, and every change is a maximum or a union; so reports that come twice,
late or in another order end in the same state. Each counts as of the moment that `features.log.reported` gives it, so
that no clock of a sender makes a refusal ineffective.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from decisioning.catalogue.care import CaseKind
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import CONFIRMING_OUTCOMES, RELEASING_OUTCOMES, Due, Touch
from decisioning.catalogue.conversation import SEEN_OUTCOMES
from decisioning.catalogue.message import MessageParts
from decisioning.customer import PROFILING
from features.declared import Declared, UndeclaredError, rule_of_names
from features.log.declared_events import FITTED, fit_event, may_mean_profiling
from features.log.event_types import StateEventType
from features.log.heard import heard_case
from features.log.identities import ANONYMOUS_ID
from features.log.outcome_types import OutcomeType
from features.log.reported import counts_at
from features.log.said import told_by
from features.moments import ISO_RULE, moment_in_text
from serving.errors import Fault
from serving.forms import EventItem, OutcomeItem
from serving.live import live_hash
from serving.live.encoding import EPOCH, time_text
from serving.live.live_hash import Word
from serving.live.recent_events import MOST_EVENTS, event_text

COMPLAINT = "complaint"
"""Kind of case that the outcome `complained` opens."""

REMEMBERED = frozenset({"declined", "bounced", "complained", "unsubscribed"})
"""Outcomes that are remembered even where no suppression asks for them yet."""

SEEN = OutcomeType.VIEWED.value
"""What is remembered of everything that shows that a message was seen: one word, so that live state stays small."""

_PURPOSES = frozenset({"marketing", "service"})
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What one report changes.

    Attributes:
        greatest: Fields of the live hash with values of which the greatest stands.
        event: Time and name of an event of recent behaviour.
        keeps: How many events of its type are kept, the newest.
        contacts: Id and text of contacts that are the customer's too.
        contact: Contact id, `confirm` or `release`, and when it was delivered, where it says so.
    """

    greatest: tuple[Word, ...] = ()
    event: tuple[str, str] | None = None
    keeps: int = MOST_EVENTS
    contacts: tuple[tuple[str, str], ...] = ()
    contact: tuple[str, str, str | None] | None = None

    def to_json(self) -> bytes:
        """As the script `TAKE_IN` reads it; what is not there is left out."""
        document: dict[str, Any] = {"greatest": self.greatest}
        if self.event is not None:
            document |= {"event": self.event, "keeps": self.keeps}
        if self.contacts:
            document["contacts"] = [{"id": ident, "value": value} for ident, value in self.contacts]
        if self.contact is not None:
            document["contact"] = [word for word in self.contact if word is not None]
        return orjson.dumps(document)


def touch_in_catalogue(catalogue: Catalogue, offer_id: str, channel_id: str, creative_id: str) -> Touch | None:
    """What the contact policy looks at in a message; None where the catalogue no longer has the offer."""
    known = offer_id in catalogue.offers
    return catalogue.touch(MessageParts(offer_id, channel_id, creative_id)) if known else None


def changes_of_outcome(
    item: OutcomeItem,
    catalogue: Catalogue,
    *,
    touch: Touch | None,
    channel_id: str | None,
    arrived_at: datetime | None = None,
    decided_at: datetime | None = None,
) -> Changes:
    """What an outcome changes.

    Args:
        item: The outcome, in UTC.
        catalogue: Says which outcomes suppress, and how complaints are treated.
        touch: The message it answers; None for silence, and where nobody knows any more.
        channel_id: Its channel; None likewise. Who leaves an unknown channel leaves every one.
        arrived_at: When it became known (aware, UTC); None where that was as it happened.
        decided_at: When the decision was made that it answers: it did not happen before; None where nobody knows.
    """
    kind = item.type.value
    at = _counts_at(kind, item.occurred_at, arrived_at)
    at = at if decided_at is None else max(at, decided_at)
    found: list[Word] = []
    if touch is not None and kind in REMEMBERED | {one.after for one in catalogue.contact_policy.suppressions}:
        found.append(live_hash.response(kind, touch, at))
    if touch is not None and kind in SEEN_OUTCOMES and catalogue.conversation is not None:
        found.append(live_hash.response(SEEN, touch, at))
    if item.type is OutcomeType.UNSUBSCRIBED:
        channels = [channel_id] if channel_id is not None else sorted(catalogue.channels)
        found += [live_hash.unsubscribed(channel, at) for channel in channels]
    if item.type is OutcomeType.COMPLAINED and COMPLAINT in catalogue.care.kinds:
        found.append(opening_of(catalogue.care.kinds[COMPLAINT], item.properties, at, channel_id))
    delivered = time_text(at) if item.type is OutcomeType.DELIVERED else None
    word = "release" if kind in RELEASING_OUTCOMES else "confirm" if kind in CONFIRMING_OUTCOMES else None
    return Changes(greatest=tuple(found), contact=None if word is None else (item.decision_id, word, delivered))


def changes_of_event(
    item: EventItem, catalogue: Catalogue, *, arrived_at: datetime | None = None, keeps: int = MOST_EVENTS
) -> Changes | Fault:
    """What an event changes, or what is wrong with its properties where it exists to change state.

    Args:
        item: The event, in UTC.
        catalogue: Names what the event may name.
        arrived_at: When it became known (aware, UTC); None where that was as it happened.
        keeps: How many events of its type recent behaviour keeps.
    """
    fitted = fitted_event(item, catalogue)
    if isinstance(fitted, Fault):
        return fitted
    item = fitted.model_copy(update={"occurred_at": _counts_at(item.type, item.occurred_at, arrived_at)})
    if item.type in _STATE_EVENTS:
        found = _STATE_EVENTS[StateEventType(item.type)](item, catalogue)
        return found if isinstance(found, Fault) else Changes(greatest=tuple(found))
    behaviour = time_text(item.occurred_at), event_text(item.type, item.message_id)
    return Changes(greatest=tuple(_cases_by(item, catalogue)), event=behaviour, keeps=keeps)


def fitted_event(item: EventItem, catalogue: Catalogue) -> EventItem | Fault:
    """The event with what it names in the catalogue's spelling, or what does not fit."""
    if item.type not in FITTED:
        return item
    try:
        properties = dict(fit_event(item.type, item.properties, Declared(catalogue)))
    except UndeclaredError as error:
        return Fault(pointer=f"/properties/{error.name}", detail=f"must be {error}")
    return item.model_copy(update={"properties": properties})


def _counts_at(kind: str, occurred_at: datetime, arrived_at: datetime | None) -> datetime:
    """The moment as of which a report counts; a yes from a wrong clock is older than any other word."""
    return counts_at(kind, occurred_at, arrived_at or occurred_at) or EPOCH


type _Words = list[Word]


def _cases_by(item: EventItem, catalogue: Catalogue) -> Iterable[Word]:
    heard = heard_case(item.type, item.properties)
    for kind in catalogue.care.kinds.values():
        if heard is not None and heard[0] == kind.kind:
            yield opening_of(kind, {**item.properties, "case_id": heard[1]}, item.occurred_at, item.channel)
        if item.type in kind.opened_by:
            yield opening_of(kind, item.properties, item.occurred_at, item.channel)
        if item.type in kind.resolved_by:
            yield live_hash.resolved(kind.kind, _case_id(item.properties, kind.kind), item.occurred_at)


def opening_of(kind: CaseKind, properties: Mapping[str, Any], at: datetime, channel: str | None) -> Word:
    """A case that is open, of the default severity where that is unknown."""
    severity = properties.get("severity")
    if not isinstance(severity, str) or severity not in kind.cooldown_seconds:
        severity = kind.default_severity
    rest_s = kind.cooldown_seconds.get(severity, 0.0)
    case_id = _case_id(properties, kind.kind)
    return live_hash.opened(kind.kind, case_id, at, severity=severity, channel_id=channel, rest_s=rest_s)


def _case_id(properties: Mapping[str, Any], kind: str) -> str:
    """Where nobody names the case there is one of each kind."""
    named = properties.get("case_id")
    return named if isinstance(named, str) and 0 < len(named) <= _MOST_TEXT else kind


def _case_opened(item: EventItem, catalogue: Catalogue) -> _Words | Fault:
    name, kinds = item.properties.get("kind"), catalogue.care.kinds
    if not isinstance(name, str) or name not in kinds:
        return _unknown("kind", "a kind of case", name, kinds)
    severity, known = item.properties.get("severity"), kinds[name].cooldown_seconds
    is_known = severity in (None, kinds[name].default_severity) or (isinstance(severity, str) and severity in known)
    if not is_known:
        return _unknown("severity", f"a severity of {name}, or left out", severity, known)
    fault = _fault_of_text(item, "case_id", is_needed=False)
    return fault or [opening_of(kinds[name], item.properties, item.occurred_at, item.channel)]


def _case_resolved(item: EventItem, catalogue: Catalogue) -> _Words | Fault:
    name, case_id = item.properties.get("kind"), item.properties.get("case_id")
    if name is None and case_id is None:
        return Fault(pointer="/properties/case_id", detail="must name the case, or kind its kind")
    if name is not None and (not isinstance(name, str) or name not in catalogue.care.kinds):
        return _unknown("kind", "a kind of case", name, catalogue.care.kinds)
    fault = _fault_of_text(item, "case_id", is_needed=False)
    kind = name if isinstance(name, str) else ""
    return fault or [live_hash.resolved(kind, _case_id(item.properties, kind), item.occurred_at)]


def _consent_given(item: EventItem, _catalogue: Catalogue) -> _Words:
    """A yes must say for what it is; one for profiling needs no channel."""
    at, purpose = item.occurred_at, item.properties["purpose"]
    if purpose == PROFILING:
        return [live_hash.profiling(at, is_opted_out=False)]
    return [live_hash.consent(item.properties["channel"], purpose, at, is_granted=True)]


def _consent_withdrawn(item: EventItem, catalogue: Catalogue) -> _Words:
    """A no that names no channel or no purpose is for all of them."""
    at = item.occurred_at
    opt_out = live_hash.profiling(at, is_opted_out=True)
    if item.properties.get("purpose") == PROFILING:
        return [opt_out]
    channel, purpose = item.properties.get("channel"), item.properties.get("purpose")
    refused = [
        live_hash.consent(one, what, at, is_granted=False)
        for one in ([channel] if channel is not None else sorted(catalogue.channels))
        for what in ([purpose] if purpose is not None else sorted(purposes_of(catalogue)))
    ]
    return [*refused, opt_out] if may_mean_profiling(item.properties) else refused


def purposes_of(catalogue: Catalogue) -> frozenset[str]:
    """What consent can be for."""
    return _PURPOSES | {offer.purpose for offer in catalogue.offers.values() if offer.purpose is not None}


def _protection(item: EventItem, *, holds: bool) -> _Words:
    return [live_hash.protection(item.properties["protection"], item.occurred_at, holds=holds)]


def _attribute_told(item: EventItem, _catalogue: Catalogue) -> _Words | Fault:
    """What the customer told us about an attribute that the catalogue declares."""
    found = told_by(item.properties, item.occurred_at)
    assert found is not None, "name and value were fitted"  # noqa: S101
    name, told, value = found
    word = live_hash.told(name, value, told.source, item.occurred_at)
    return _fault_of_text(item, "source", is_needed=False) or [word]


def _stage_entered(item: EventItem, catalogue: Catalogue) -> _Words | Fault:
    stage, known = item.properties.get("stage"), [one.stage_id for one in catalogue.stages]
    if not isinstance(stage, str) or stage not in known:
        return _unknown("stage", "a stage of the catalogue", stage, known)
    return [live_hash.stage(stage, item.occurred_at)]


def _message_due(item: EventItem, catalogue: Catalogue) -> _Words | Fault:
    fault = _fault_of_text(item, "due_id", is_needed=True)
    if fault is not None:
        return fault
    touch = _touch_of_due(item.properties, catalogue)
    if isinstance(touch, Fault):
        return touch
    due_at = moment_in_text(item.properties.get("due_at"))
    if due_at is None:
        return Fault(pointer="/properties/due_at", detail=f"must be {ISO_RULE}")
    due = Due(due_id=item.properties["due_id"], due_at=due_at, touch=touch)
    return [live_hash.planned(due, item.occurred_at)]


def _touch_of_due(properties: Mapping[str, Any], catalogue: Catalogue) -> Touch | Fault:
    """The message that is due; where no creative is named, the first that the offer has on the channel."""
    offer, channel, creative = (properties.get(name) for name in ("offer_id", "channel", "creative"))
    if not isinstance(offer, str) or offer not in catalogue.offers:
        return _unknown("offer_id", "an offer of the catalogue", offer, catalogue.offers)
    if not isinstance(channel, str) or channel not in catalogue.channels:
        return _unknown("channel", "a channel of the catalogue", channel, catalogue.channels)
    known = sorted(one.creative_id for one in catalogue.creatives if (one.offer_id, one.channel_id) == (offer, channel))
    if not known:
        detail = f"must be a channel on which {offer} has a creative"
        return Fault(pointer="/properties/channel", detail=detail)
    if creative is not None and (not isinstance(creative, str) or creative not in known):
        return _unknown("creative", f"a creative of {offer} on {channel}, or left out", creative, known)
    touch = touch_in_catalogue(catalogue, offer, channel, creative or known[0])
    assert touch is not None, "the offer was looked up above"  # noqa: S101
    return touch


def _message_due_cancelled(item: EventItem, _catalogue: Catalogue) -> _Words | Fault:
    fault = _fault_of_text(item, "due_id", is_needed=True)
    return fault or [live_hash.cancelled(item.properties["due_id"], item.occurred_at)]


def _identified(item: EventItem, _catalogue: Catalogue) -> _Words | Fault:
    """What the visitor brings along is read when the event is accepted, see `serving.live.join`."""
    fault = _fault_of_text(item, ANONYMOUS_ID, is_needed=True)
    if fault is None and item.properties[ANONYMOUS_ID] == item.customer_id:
        fault = Fault(pointer=f"/properties/{ANONYMOUS_ID}", detail="must be another id than customer_id")
    return fault or []


_STATE_EVENTS = {
    StateEventType.IDENTIFIED: _identified,
    StateEventType.CASE_OPENED: _case_opened,
    StateEventType.CASE_RESOLVED: _case_resolved,
    StateEventType.CASE_ASSIGNED: lambda item, _catalogue: _fault_of_text(item, "case_id", is_needed=True) or [],
    StateEventType.CASE_ANSWERED: lambda item, _catalogue: _fault_of_text(item, "case_id", is_needed=True) or [],
    StateEventType.CONSENT_GIVEN: _consent_given,
    StateEventType.CONSENT_WITHDRAWN: _consent_withdrawn,
    StateEventType.PROFILING_OPTED_OUT: lambda item, _catalogue: [
        live_hash.profiling(item.occurred_at, is_opted_out=True)
    ],
    StateEventType.PROFILING_OPTED_IN: lambda item, _catalogue: [
        live_hash.profiling(item.occurred_at, is_opted_out=False)
    ],
    StateEventType.PROTECTED: lambda item, _catalogue: _protection(item, holds=True),
    StateEventType.UNPROTECTED: lambda item, _catalogue: _protection(item, holds=False),
    StateEventType.ATTRIBUTE_TOLD: _attribute_told,
    StateEventType.STAGE_ENTERED: _stage_entered,
    StateEventType.MESSAGE_DUE: _message_due,
    StateEventType.MESSAGE_DUE_CANCELLED: _message_due_cancelled,
}


def in_utc[T: EventItem | OutcomeItem](item: T) -> T:
    """The same report with its time in UTC."""
    return item.model_copy(update={"occurred_at": item.occurred_at.astimezone(UTC)})


def _fault_of_text(item: EventItem, name: str, *, is_needed: bool) -> Fault | None:
    value = item.properties.get(name)
    if value is None and not is_needed:
        return None
    is_text = isinstance(value, str) and 0 < len(value) <= _MOST_TEXT and value.isprintable()
    if is_text:
        return None
    return Fault(pointer=f"/properties/{name}", detail=f"must be text of 1 to {_MOST_TEXT} characters")


def _unknown(name: str, what: str, value: object, known: Iterable[str]) -> Fault:
    return Fault(pointer=f"/properties/{name}", detail=f"must be {rule_of_names(what, value, known)}")
