"""A visitor who turned out to be a customer: what protects them, joined into the customer's live state.

Contacts count against the customer's caps from then on, open cases pause their marketing, and what either refused is
refused. A refusal of the visitor counts as of the moment we heard who they are, so that no older yes of the customer
lifts it. A yes stays with the id that it was given for.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import orjson

from decisioning.catalogue import Catalogue
from decisioning.consent import latest_answers
from decisioning.contact_policy import touch_words
from decisioning.customer import Customer
from decisioning.errors import FeatureUnavailableError
from features.online.profiles import decode_profile
from features.online.record import microseconds
from serving.live_changes import Changes, field_of, opening_of, resolution_of
from serving.live_encoding import contact_text, time_text
from serving.live_reading import Known

type _Fields = Iterator[tuple[str, str]]


def joined(changes: Changes, visitor: Known, catalogue: Catalogue, now: datetime) -> Changes:
    """Changes of an event `identified`, with everything that is to be the customer's.

    Args:
        changes: What the event changes by itself.
        visitor: What Redis holds of the visitor.
        catalogue: Declares the kinds of cases.
        now: When we heard of it (aware, UTC).
    """
    return replace(
        changes,
        greatest=(*changes.greatest, *_refusals(visitor, now), *_happenings(visitor, catalogue, now)),
        contacts=tuple((one.contact_id, contact_text(one)) for one in visitor.live.contacts),
    )


def _refusals(visitor: Known, now: datetime) -> _Fields:
    """What the visitor refused, and what protects them."""
    customer, live, at = _profile(visitor), visitor.live, time_text(now)
    given = (*(customer.consents if customer is not None else ()), *live.consents)
    for (channel, purpose), answer in sorted(latest_answers(given, now).items()):
        if not answer.is_granted:
            yield field_of("consent", [channel, purpose]), f"{at}1"
    for channel in sorted(visitor.unsubscribed_at):
        yield f"unsubscribed:{channel}", at
    protections = dict.fromkeys(customer.protections, True) if customer is not None else {}
    for name, holds in sorted({**protections, **live.protections}.items()):
        if holds:
            yield f"protection:{name}", f"{at}1"
    word = live.has_opted_out_of_profiling
    if word or (word is None and customer is not None and customer.has_opted_out_of_profiling):
        yield "profiling", f"{at}1"


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


def _profile(known: Known) -> Customer | None:
    try:
        return None if known.profile is None else decode_profile(known.profile)
    except FeatureUnavailableError:
        return None
