"""Features of contacts and responses: engagement per channel, response per kind of offer, contact pressure."""

from collections.abc import Iterable, Iterator

import narwhals as nw

from features.computing.definition import Definition, Group, Source, counted, days_since, known, share, within, word
from features.computing.windows import CONTACT_WINDOWS

_CONTACTS = Source.CONTACTS


def engagement(channels: Iterable[str]) -> Iterator[Definition]:
    """What arrived, was viewed and was clicked, per channel and over all."""
    for channel_id in channels:
        rows = (nw.col("channel") == channel_id) & nw.col("is_message")
        yield from _engagement_on(word(channel_id), rows, about=channel_id)
    yield from _engagement_on("message", nw.col("is_message"), about="")
    meaning = "Days since the customer last clicked a message."
    clicked = known("clicked")
    yield days_since(Group.ENGAGEMENT, "click_recency_days", meaning, _CONTACTS, clicked, column="clicked_us")


def _engagement_on(noun: str, rows: nw.Expr, *, about: str) -> Iterator[Definition]:
    recent, group = rows & within(90), Group.ENGAGEMENT
    arrived = recent & known("delivered", "viewed", "clicked", "accepted")
    meaning = "Messages of the last 90 days that arrived: delivered, or reacted to."
    yield counted(group, f"{noun}_delivered_count_90d", meaning, _CONTACTS, arrived, about)
    for reaction in ("viewed", "clicked"):
        meaning = f"Share {reaction} of the messages of the last 90 days that arrived."
        yield share(group, f"{noun}_{reaction}_rate_90d", meaning, recent & known(reaction), arrived, about)


def response(offer_kinds: Iterable[str]) -> Iterator[Definition]:
    """What became of past offers, per kind and over all."""
    for kind in offer_kinds:
        yield from _response_to(kind)
    group, accepted = Group.RESPONSE, known("accepted")
    meaning = "Messages of the last 90 days that were accepted or converted."
    yield counted(group, "accepted_count_90d", meaning, _CONTACTS, within(90) & accepted)
    meaning = "Days since an offer was last accepted or converted."
    yield days_since(group, "accepted_recency_days", meaning, _CONTACTS, accepted, column="accepted_us")


def _response_to(kind: str) -> Iterator[Definition]:
    rows, group, noun = (nw.col("kind") == kind) & nw.col("is_message"), Group.RESPONSE, word(kind)
    meaning = f"Messages with an offer of kind {kind} in the last 30 days."
    yield counted(group, f"{noun}_message_count_30d", meaning, _CONTACTS, rows & within(30), kind)
    sent = rows & within(180)
    for reaction in ("viewed", "accepted"):
        meaning = f"Share {reaction} of the offers of kind {kind} sent in the last 180 days."
        yield share(group, f"{noun}_{reaction}_rate_180d", meaning, sent & known(reaction), sent, kind)
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
