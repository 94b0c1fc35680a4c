"""Features of contacts and responses: engagement per channel, response per kind of offer, contact pressure."""

from collections.abc import Iterable, Iterator

import narwhals as nw

from decisioning.catalogue.measure import Engagement
from features.computing.definition import (
    Definition,
    Group,
    Source,
    counted,
    days_since,
    known,
    share,
    weighed,
    within,
    word,
)
from features.computing.machines import told_apart
from features.computing.windows import CONTACT_WINDOWS

_CONTACTS = Source.CONTACTS


def engagement(channels: Iterable[str], rules: Engagement) -> Iterator[Definition]:
    """What arrived, was viewed and was clicked, per channel and over all; machines count as the catalogue says."""
    for channel_id in channels:
        rows = (nw.col("channel") == channel_id) & nw.col("is_message")
        yield from _engagement_on(word(channel_id), rows, rules, about=channel_id, on=frozenset({channel_id}))
    yield from _engagement_on("message", nw.col("is_message"), rules, about="", on=rules.scanned_channels)
    meaning = "Days since the customer last clicked a message."
    clicked, about = known("clicked_by_person"), _by_whom("", rules, rules.scanned_channels)
    column = "clicked_by_person_us"
    yield days_since(Group.ENGAGEMENT, "click_recency_days", meaning, _CONTACTS, clicked, about, column=column)


def _engagement_on(
    noun: str, rows: nw.Expr, rules: Engagement, *, about: str, on: frozenset[str]
) -> Iterator[Definition]:
    recent, group = rows & within(90), Group.ENGAGEMENT
    arrived = recent & known("delivered", "viewed", "clicked", "accepted")
    meaning = "Messages of the last 90 days that arrived: delivered, or reacted to."
    yield counted(group, f"{noun}_delivered_count_90d", meaning, _CONTACTS, arrived, about)
    for reaction in ("viewed", "clicked"):
        meaning = f"Share {reaction} of the messages of the last 90 days that arrived."
        weight = weighed(reaction, rules.machine_weight)
        by_whom = _by_whom(about, rules, on)
        yield share(group, f"{noun}_{reaction}_rate_90d", meaning, weight, arrived, by_whom)


def _by_whom(about: str, rules: Engagement, on: frozenset[str]) -> str:
    """What a feature depends on that tells people from machines on some channels."""
    apart = told_apart(rules, on)
    return repr((about, *apart)) if apart else about


def response(offer_kinds: Iterable[str], rules: Engagement) -> Iterator[Definition]:
    """What became of past offers, per kind and over all."""
    for kind in offer_kinds:
        yield from _response_to(kind, rules)
    group, accepted = Group.RESPONSE, known("accepted")
    meaning = "Messages of the last 90 days that were accepted or converted."
    yield counted(group, "accepted_count_90d", meaning, _CONTACTS, within(90) & accepted)
    meaning = "Days since an offer was last accepted or converted."
    yield days_since(group, "accepted_recency_days", meaning, _CONTACTS, accepted, column="accepted_us")


def _response_to(kind: str, rules: Engagement) -> Iterator[Definition]:
    rows, group, noun = (nw.col("kind") == kind) & nw.col("is_message"), Group.RESPONSE, word(kind)
    meaning = f"Messages with an offer of kind {kind} in the last 30 days."
    yield counted(group, f"{noun}_message_count_30d", meaning, _CONTACTS, rows & within(30), kind)
    sent = rows & within(180)
    viewed, accepted = weighed("viewed", rules.machine_weight), nw.when(known("accepted")).then(nw.lit(1.0))
    by_whom = _by_whom(kind, rules, rules.scanned_channels)
    for reaction, weight, about in (("viewed", viewed, by_whom), ("accepted", accepted, kind)):
        meaning = f"Share {reaction} of the offers of kind {kind} sent in the last 180 days."
        yield share(group, f"{noun}_{reaction}_rate_180d", meaning, weight, sent, about)
    meaning = f"Days since the last message with an offer of kind {kind}."
    yield days_since(group, f"{noun}_message_recency_days", meaning, _CONTACTS, rows, kind)


def contacts() -> Iterator[Definition]:
    """Contact pressure, and what customers thought of it."""
    sent, group = nw.col("is_message"), Group.CONTACT
    for days in CONTACT_WINDOWS:
        meaning = f"Messages sent in the last {days} days."
        yield counted(group, f"message_count_{days}d", meaning, _CONTACTS, sent & within(days))
    yield days_since(group, "message_recency_days", "Days since the last message.", _CONTACTS, sent)
    meaning = "Decisions of the last 30 days to send nothing."
    yield counted(group, "silence_count_30d", meaning, _CONTACTS, ~sent & within(30))
    for reaction, deed in (("unsubscribed", "unsubscribe"), ("complained", "complain")):
        name = f"message_{reaction}_count_365d"
        meaning = f"Messages of the last 365 days that made the customer {deed}."
        yield counted(group, name, meaning, _CONTACTS, sent & within(365) & known(reaction))
