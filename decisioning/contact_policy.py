"""How often a customer, and a household, may be contacted: sliding windows at many scopes at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from decisioning.message import MessageClass
from decisioning.message_classes import CapScope


class CapUnit(StrEnum):
    """Whose contacts a cap counts."""

    CUSTOMER = "customer"
    HOUSEHOLD = "household"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """At most `limit` contacts in any window of `window_seconds`.

    Attributes:
        cap_id: Name.
        scope: What is counted.
        of: The one department, goal, class, channel, offer or creative it is for; None counts each of them alone.
        limit: 0 means never. (No cap means no limit.)
        window_seconds: Length of the sliding window.
        unit: Per customer or per household.
    """

    cap_id: str
    scope: CapScope
    limit: int
    window_seconds: float
    of: str | None = None
    unit: CapUnit = CapUnit.CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureBudget:
    """Contacts weigh class weight x channel weight (1 where not named); their sum in the window is at most `limit`."""

    limit: float
    window_seconds: float
    class_weights: Mapping[MessageClass, float] = field(default_factory=dict[MessageClass, float])
    channel_weights: Mapping[str, float] = field(default_factory=dict[str, float])


class SuppressionScope(StrEnum):
    """What a customer is spared after an outcome, beginning with the narrowest."""

    CREATIVE = "creative"
    OFFER = "offer"
    GOAL = "goal"
    CHANNEL = "channel"
    CLASS = "class"
    DEPARTMENT = "department"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """After an outcome, messages that share `scope` with the message it answered rest for a while.

    Attributes:
        after: Outcome type: `declined`, `bounced`, `complained`, `unsubscribed`.
        cooldown_seconds: How long; None for ever.
    """

    after: str
    scope: SuppressionScope
    cooldown_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fatigue:
    """What one more contact costs in goodwill: `cost_minor` x weighted contacts so far, each fading by half-life."""

    cost_minor: float
    half_life_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPolicy:
    """All limits on contact.

    Attributes:
        look_ahead_seconds: Messages due within this and heavier than a candidate keep their room from it; 0 for none.
    """

    caps: tuple[Cap, ...] = ()
    pressure: PressureBudget | None = None
    suppressions: tuple[Suppression, ...] = ()
    look_ahead_seconds: float = 0.0
    fatigue: Fatigue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """What of a message the contact policy looks at."""

    message_class: MessageClass
    department: str
    goal_id: str
    channel_id: str
    offer_id: str
    creative_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A contact in a customer's book.

    It counts when it was confirmed; or, until `reserved_until`, while it is reserved and was not released. A contact
    confirmed and released was sent: what reached a customer cannot be taken back.

    Attributes:
        contact_id: Decision id, with `-2`, `-3` ... for the further positions of a slate.
        at: When it was decided, or sent where that is known (aware, UTC).
        reserved_until: End of the reservation; None where there is none.
        is_ghost: What a held-out customer would have got: counts among ghosts only.
    """

    contact_id: str
    touch: Touch
    at: datetime
    reserved_until: datetime | None = None
    is_confirmed: bool = False
    is_released: bool = False
    is_ghost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A message that is already planned, such as a boarding pass tomorrow."""

    due_id: str
    due_at: datetime
    touch: Touch


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The latest outcome of one type to one message."""

    outcome: str
    touch: Touch
    at: datetime
