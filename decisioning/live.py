"""What happened to a customer since the profile was written: the live state that every decision sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from decisioning.care import Case
from decisioning.contact_policy import Contact, Due, Response
from decisioning.customer import Consent


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentEvent:
    """Something the customer did or suffered in the last day."""

    event_type: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMove:
    """A stage that an event named; it holds until features know better."""

    stage_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """Everything live about one customer.

    Attributes:
        version: Of the customer's book of contacts: a commit is refused where it moved on.
        household_version: The same of the household's book.
        contacts: The customer's contacts within the longest window.
        household_contacts: The household's, its members' all together; empty without a household.
        due: Messages that are planned.
        responses: Latest outcome per type and message.
        cases: Open and recent cases.
        consents: Answers given since the profile was written; they count by their time like all others.
        protections: On or off, by name, since the profile was written.
        has_opted_out_of_profiling: The latest live word; None where there is none.
        stage: The latest stage an event named.
        events: Recent behaviour, oldest first.
    """

    version: int = 0
    household_version: int = 0
    contacts: tuple[Contact, ...] = ()
    household_contacts: tuple[Contact, ...] = ()
    due: tuple[Due, ...] = ()
    responses: tuple[Response, ...] = ()
    cases: tuple[Case, ...] = ()
    consents: tuple[Consent, ...] = ()
    protections: Mapping[str, bool] = field(default_factory=dict[str, bool])
    has_opted_out_of_profiling: bool | None = None
    stage: StageMove | None = None
    events: tuple[RecentEvent, ...] = ()
