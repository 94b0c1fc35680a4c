"""Types of events that every installation knows."""

from enum import StrEnum


class EventType(StrEnum):
    """Event types every installation knows; a catalogue may declare more."""

    BROWSE = "browse"
    PURCHASE = "purchase"
    DELIVERY = "delivery"
    COMPLAINT = "complaint"
    REVIEW = "review"
    SERVICE_TICKET = "service_ticket"
    RETURN = "return"
    SOCIAL_POST = "social_post"
    SURVEY_ANSWER = "survey_answer"  # properties: survey (nps, csat, effort), score
    CALL_NOTE = "call_note"


class StateEventType(StrEnum):
    """Events that change a customer's live state and nothing else: no feature or measure counts them."""

    CASE_OPENED = "case_opened"  # properties: case_id, kind, severity
    CASE_RESOLVED = "case_resolved"  # properties: case_id
    CASE_ASSIGNED = "case_assigned"  # properties: case_id, owner
    CASE_ANSWERED = "case_answered"  # properties: case_id; somebody wrote or called back
    CONSENT_GIVEN = "consent_given"  # properties: channel, purpose
    CONSENT_WITHDRAWN = "consent_withdrawn"  # properties: channel, purpose
    PROFILING_OPTED_OUT = "profiling_opted_out"
    PROFILING_OPTED_IN = "profiling_opted_in"
    PROTECTED = "protected"  # property: protection
    UNPROTECTED = "unprotected"  # property: protection
    ATTRIBUTE_TOLD = "attribute_told"  # properties: name, value, optionally source: the customer said so
    STAGE_ENTERED = "stage_entered"  # property: stage
    MESSAGE_DUE = "message_due"  # properties: due_id, offer_id, channel, creative, due_at
    IDENTIFIED = "identified"  # property: anonymous_id, the visitor who turned out to be this customer
    MESSAGE_DUE_CANCELLED = "message_due_cancelled"  # property: due_id
