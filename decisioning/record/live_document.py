"""Live state as plain values and back; part of a decision's record, so compact: what is empty is not written.

What a message touches is a list of six words (class, department, goal, channel, offer, creative), since a book of
contacts repeats it often.
"""

from collections.abc import Mapping
from datetime import datetime
from math import inf, isinf
from typing import Any

import numpy as np

from decisioning.catalogue.care import Case
from decisioning.catalogue.contact_policy import Contact, Due, Response, touch_of_words, touch_words
from decisioning.catalogue.limits import Supply
from decisioning.customer import Consent
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.residuals import Residuals

type Plain = dict[str, Any]


def live_to_plain(live: LiveState) -> Plain:
    """Live state without what is empty; {} where nothing is known."""
    stage, events = live.stage, live.events
    plain: Plain = {
        "version": live.version,
        "household_version": live.household_version,
        "contacts": [_contact_to_plain(contact) for contact in live.contacts],
        "household_contacts": [_contact_to_plain(contact) for contact in live.household_contacts],
        "due": [
            {"due_id": due.due_id, "due_at": due.due_at.isoformat(), "touch": touch_words(due.touch)}
            for due in live.due
        ],
        "responses": [
            {"outcome": one.outcome, "touch": touch_words(one.touch), "at": one.at.isoformat()}
            for one in live.responses
        ],
        "cases": [_case_to_plain(case) for case in live.cases],
        "consents": [consent_to_plain(consent) for consent in live.consents],
        "protections": dict(live.protections),
        "stage": None if stage is None else {"stage_id": stage.stage_id, "at": stage.at.isoformat()},
        "events": [[event.event_type, event.at.isoformat()] for event in events],
        "kept": dict(live.kept),
        "is_lost": live.is_lost,
    }
    plain = {name: value for name, value in plain.items() if value}
    if live.has_opted_out_of_profiling is not None:
        plain["has_opted_out_of_profiling"] = live.has_opted_out_of_profiling
    return plain


def live_from_plain(plain: Mapping[str, Any]) -> LiveState:
    """The live state that `live_to_plain` wrote.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: It is damaged; `document` says so.
    """
    stage = plain.get("stage")
    return LiveState(
        version=plain.get("version", 0),
        household_version=plain.get("household_version", 0),
        contacts=tuple(map(_read_contact, plain.get("contacts", ()))),
        household_contacts=tuple(map(_read_contact, plain.get("household_contacts", ()))),
        due=tuple(
            Due(due_id=one["due_id"], due_at=_moment(one["due_at"]), touch=touch_of_words(one["touch"]))
            for one in plain.get("due", ())
        ),
        responses=tuple(
            Response(outcome=one["outcome"], touch=touch_of_words(one["touch"]), at=_moment(one["at"]))
            for one in plain.get("responses", ())
        ),
        cases=tuple(map(_read_case, plain.get("cases", ()))),
        consents=tuple(map(consent_from_plain, plain.get("consents", ()))),
        protections=dict(plain.get("protections", {})),
        has_opted_out_of_profiling=plain.get("has_opted_out_of_profiling"),
        stage=None if stage is None else StageMove(stage_id=stage["stage_id"], at=_moment(stage["at"])),
        events=tuple(RecentEvent(event_type=name, at=_moment(at)) for name, at in plain.get("events", ())),
        kept=dict(plain.get("kept", {})),
        is_lost=plain.get("is_lost", False),
    )


def supply_to_plain(supply: Supply) -> Plain:
    """What all customers share, without what is empty."""
    plain = {
        "used": dict(supply.used),
        "prices_minor": dict(supply.prices_minor),
        "evidence": dict(supply.evidence),
    }
    return {name: value for name, value in plain.items() if value}


def supply_from_plain(plain: Mapping[str, Any]) -> Supply:
    """What `supply_to_plain` wrote."""
    return Supply(
        used=dict(plain.get("used", {})),
        prices_minor=dict(plain.get("prices_minor", {})),
        evidence=dict(plain.get("evidence", {})),
    )


def residuals_to_plain(residuals: Residuals) -> Plain:
    """Prior, evidence and contribution of silence and the candidates, in the order of `expected_values`.

    The standard error is None where there is no evidence. The contribution follows from the rest, and is not read back.
    """
    errors = residuals.standard_error.tolist()
    return {
        "prior_deviation": residuals.prior_deviation.tolist(),
        "estimate": residuals.estimate.tolist(),
        "standard_error": [None if isinf(error) else error for error in errors],
        "customers": residuals.customers.tolist(),
        "contribution": residuals.contribution.tolist(),
    }


def residuals_from_plain(plain: Mapping[str, Any]) -> Residuals:
    """What `residuals_to_plain` wrote."""
    errors = [inf if error is None else error for error in plain["standard_error"]]
    columns = (plain["prior_deviation"], plain["estimate"], errors, plain["customers"])
    return Residuals(*(np.array(column, dtype=np.float64) for column in columns))


def consent_to_plain(consent: Consent) -> Plain:
    """One answer."""
    return {
        "channel_id": consent.channel_id,
        "purpose": consent.purpose,
        "is_granted": consent.is_granted,
        "recorded_at": None if consent.recorded_at is None else consent.recorded_at.isoformat(),
        "source": consent.source,
    }


def consent_from_plain(plain: Mapping[str, Any]) -> Consent:
    """The answer that `consent_to_plain` wrote."""
    return Consent(
        channel_id=plain["channel_id"],
        purpose=plain["purpose"],
        is_granted=plain["is_granted"],
        recorded_at=_optional_moment(plain["recorded_at"]),
        source=plain["source"],
    )


def _contact_to_plain(contact: Contact) -> Plain:
    plain: Plain = {"contact_id": contact.contact_id, "touch": touch_words(contact.touch), "at": contact.at.isoformat()}
    if contact.reserved_until is not None:
        plain["reserved_until"] = contact.reserved_until.isoformat()
    for name in ("is_confirmed", "is_released", "is_ghost"):
        if getattr(contact, name):
            plain[name] = True
    return plain


def _read_contact(plain: Mapping[str, Any]) -> Contact:
    return Contact(
        contact_id=plain["contact_id"],
        touch=touch_of_words(plain["touch"]),
        at=_moment(plain["at"]),
        reserved_until=_optional_moment(plain.get("reserved_until")),
        is_confirmed=plain.get("is_confirmed", False),
        is_released=plain.get("is_released", False),
        is_ghost=plain.get("is_ghost", False),
    )


def _case_to_plain(case: Case) -> Plain:
    plain = {
        "case_id": case.case_id,
        "kind": case.kind,
        "severity": case.severity,
        "opened_at": None if case.opened_at is None else case.opened_at.isoformat(),
        "resolved_at": None if case.resolved_at is None else case.resolved_at.isoformat(),
        "channel_id": case.channel_id,
    }
    return {name: value for name, value in plain.items() if value is not None}


def _read_case(plain: Mapping[str, Any]) -> Case:
    return Case(
        case_id=plain["case_id"],
        kind=plain["kind"],
        severity=plain["severity"],
        opened_at=_optional_moment(plain.get("opened_at")),
        resolved_at=_optional_moment(plain.get("resolved_at")),
        channel_id=plain.get("channel_id"),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _optional_moment(text: str | None) -> datetime | None:
    return None if text is None else _moment(text)
