"""A visitor who turned out to be a customer: what protects them, joined into the customer's live state.

Contacts count against the customer's caps from then on, open cases pause their marketing, and what either refused is
refused. A refusal of the visitor counts as of the moment we heard who they are, so that no older yes of the customer
lifts it. A yes stays with the id that it was given for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import touch_words
from decisioning.consent import latest_answers
from decisioning.customer import PROFILING, Customer
from decisioning.errors import FeatureUnavailableError
from features.online.profiles import decode_profile
from features.online.record import microseconds
from serving.live.changes import Changes, field_of, opening_of, resolution_of
from serving.live.encoding import JOINED, TIME_DIGITS, contact_text, time_text
from serving.live.reader import KEPT_ARM, PERSON, Known, pairs_of

JOINING = "identities"
"""Stands as the identity of what is passed on between the ids of one person; it is taken as often as it is told."""

WAS, IS = "was", "is"
"""Kinds of fields that name the other id of a pair, so that erasing either finds it."""

type _Fields = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A visitor who turned out to be a customer, and what Redis holds of them."""

    visitor_id: str
    known: Known


def joined(changes: Changes, who: Visitor, catalogue: Catalogue, now: datetime) -> Changes:
    """Changes of an event `identified`, with everything that is to be the customer's.

    Args:
        changes: What the event changes by itself.
        who: The visitor.
        catalogue: Declares the kinds of cases.
        now: When we heard of it (aware, UTC); what the visitor refused later counts as of then.
    """
    visitor = who.known
    return replace(
        changes,
        greatest=(
            (f"{WAS}:{who.visitor_id}", time_text(now)),
            *changes.greatest,
            *_refusals(visitor, now),
            *_happenings(visitor, catalogue, now),
            *_exposures(visitor),
        ),
        contacts=tuple((one.contact_id, contact_text(one)) for one in visitor.live.contacts),
    )


def _refusals(visitor: Known, now: datetime) -> _Fields:
    """What the visitor refused, and what protects them."""
    customer, live, at = _profile(visitor), visitor.live, time_text(now)
    given = (*(customer.consents if customer is not None else ()), *live.consents)
    for (channel, purpose), answer in sorted(latest_answers(given, now).items()):
        if not answer.is_granted:
            since = max(at, time_text(answer.recorded_at)) if answer.recorded_at is not None else at
            yield field_of("consent", [channel, purpose]), f"{since}1"
    for channel, left_at in sorted(visitor.unsubscribed_at.items()):
        yield f"unsubscribed:{channel}", max(at, time_text(left_at))
    heard = {
        name.decode(): value[:TIME_DIGITS].decode()
        for name, value in pairs_of(visitor.words)
        if name == PROFILING.encode() or name.startswith(b"protection:")
    }
    protections = dict.fromkeys(customer.protections, True) if customer is not None else {}
    for name, holds in sorted({**protections, **live.protections}.items()):
        if holds:
            yield f"protection:{name}", f"{max(at, heard.get(f'protection:{name}', at))}1"
    word = live.has_opted_out_of_profiling
    if word or (word is None and customer is not None and customer.has_opted_out_of_profiling):
        yield PROFILING, f"{max(at, heard.get(PROFILING, at))}1"


def _happenings(visitor: Known, catalogue: Catalogue, now: datetime) -> _Fields:
    """Cases, answers to messages, and messages that are due; each as of its own time."""
    live = visitor.live
    for case in live.cases:
        kind = catalogue.care.kinds.get(case.kind)
        if kind is None or case.opened_at is None:
            continue
        told = {"severity": case.severity, "case_id": case.case_id}
        yield opening_of(kind, told, case.opened_at, case.channel_id)
        if case.resolved_at is not None:
            yield resolution_of(case.kind, case.case_id, case.resolved_at)
    for response in live.responses:
        yield field_of("response", [response.outcome, *touch_words(response.touch)]), time_text(response.at)
    for due in live.due:
        word = orjson.dumps([microseconds(due.due_at), *touch_words(due.touch)]).decode()
        yield f"due:{due.due_id}", f"{time_text(now)}1{word}"


def _exposures(visitor: Known) -> _Fields:
    """First exposures of the visitor, which the customer keeps where they came before their own."""
    for name, value in pairs_of(visitor.words):
        if name.startswith(f"{KEPT_ARM}:".encode()):
            yield name.decode(), f"{value[:TIME_DIGITS].decode()}{JOINED}{value[TIME_DIGITS + 1 :].decode()}"


def forwarded(changes: Changes) -> Changes:
    """Of what a report about a visitor changes, what is the customer's too: all but yeses, which stay where they were.

    Who a visitor is stays with the visitor.
    """
    kept = tuple((name, value) for name, value in changes.greatest if not _is_own(name, value))
    return replace(changes, greatest=kept)


def _is_own(name: str, value: str) -> bool:
    kind = name.partition(":")[0]
    is_yes = kind in {"consent", "protection", PROFILING} and value[TIME_DIGITS:] == "0"
    return is_yes or kind in {PERSON, WAS, IS}


def told_who(customer_id: str, now: datetime) -> Changes:
    """What the visitor's live state keeps of an event `identified`: reports and asks go on to the customer."""
    at = time_text(now)
    return Changes(greatest=((PERSON, f"{at}{customer_id}"), (f"{IS}:{customer_id}", at)))


def _profile(known: Known) -> Customer | None:
    try:
        return None if known.profile is None else decode_profile(known.profile)
    except FeatureUnavailableError:
        return None
