"""A visitor who turned out to be a customer: what protects them, joined into the customer's live state.

Contacts count against the customer's caps from then on, open cases pause their marketing, and what either id refused
stays refused. A refusal of the visitor counts from the moment we learned who they are, so that no older consent of the
customer lifts it. A consent stays with the id that it was given for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from decisioning.catalogue.catalogue import Catalogue
from decisioning.consent import latest_answers
from decisioning.customer import PROFILING, Customer
from decisioning.errors import FeatureUnavailableError
from features.online.profiles import decode_profile
from serving.live import live_hash
from serving.live.book import contact_text
from serving.live.changes import Changes, opening_of
from serving.live.live_hash import Word
from serving.live.reader import Known

JOINING = "identities"
"""The identity of reports passed on between the ids of one person; they are accepted every time they are reported."""

type _Words = Iterator[Word]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A visitor who turned out to be a customer, and what Redis holds of them."""

    visitor_id: str
    known: Known


def joined(changes: Changes, who: Visitor, catalogue: Catalogue, now: datetime) -> Changes:
    """Changes of an event `identified`, with everything that is to be the customer's.

    What the visitor refused later than `now`, when we heard of it, counts as of then.
    """
    visitor = who.known
    return replace(
        changes,
        greatest=(
            live_hash.was(who.visitor_id, now),
            *changes.greatest,
            *_refusals(visitor, now),
            *_happenings(visitor, catalogue, now),
            *live_hash.joined_exposures(visitor.words),
        ),
        contacts=tuple((one.contact_id, contact_text(one)) for one in visitor.live.contacts),
    )


def _refusals(visitor: Known, now: datetime) -> _Words:
    """What the visitor refused, and what protects them."""
    customer, live = _profile(visitor), visitor.live
    given = (*(customer.consents if customer is not None else ()), *live.consents)
    for (channel, purpose), answer in sorted(latest_answers(given, now).items()):
        if not answer.is_granted:
            yield live_hash.consent(channel, purpose, max(now, answer.recorded_at or now), is_granted=False)
    for channel, left_at in sorted(visitor.unsubscribed_at.items()):
        yield live_hash.unsubscribed(channel, max(now, left_at))
    heard = live_hash.safeguards_in(visitor.words)
    protections = dict.fromkeys(customer.protections, True) if customer is not None else {}
    for name, holds in sorted({**protections, **live.protections}.items()):
        if holds:
            yield live_hash.protection(name, max(now, heard.get(name, now)), holds=True)
    word = live.has_opted_out_of_profiling
    if word or (word is None and customer is not None and customer.has_opted_out_of_profiling):
        yield live_hash.profiling(max(now, heard.get(PROFILING, now)), is_opted_out=True)


def _happenings(visitor: Known, catalogue: Catalogue, now: datetime) -> _Words:
    """Cases, answers to messages, and messages that are due; each as of its own time."""
    live = visitor.live
    for case in live.cases:
        kind = catalogue.care.kinds.get(case.kind)
        if kind is None or case.opened_at is None:
            continue
        told = {"severity": case.severity, "case_id": case.case_id}
        yield opening_of(kind, told, case.opened_at, case.channel_id)
        if case.resolved_at is not None:
            yield live_hash.resolved(case.kind, case.case_id, case.resolved_at)
    for response in live.responses:
        yield live_hash.response(response.outcome, response.touch, response.at)
    for due in live.due:
        yield live_hash.planned(due, now)


def forwarded(changes: Changes) -> Changes:
    """Of what a report about a visitor changes, what is the customer's too: all but yeses, which stay where they were.

    Who a visitor is stays with the visitor.
    """
    kept = tuple(word for word in changes.greatest if not live_hash.is_of_this_id_alone(word))
    return replace(changes, greatest=kept)


def told_who(customer_id: str, now: datetime) -> Changes:
    """What the visitor's live state keeps of an event `identified`: reports and asks go on to the customer."""
    return Changes(greatest=live_hash.person(customer_id, now))


def _profile(known: Known) -> Customer | None:
    try:
        return None if known.profile is None else decode_profile(known.profile)
    except FeatureUnavailableError:
        return None
