"""Features of contacts and responses: engagement per channel, response per kind of offer, contact pressure."""

from collections.abc import Iterable, Iterator

import narwhals as nw

from features.computing.definition import Definition, Group, Source, count, known, recency, within, word

CONTACT_WINDOWS = (1, 7, 30, 90)


def engagement(channels: Iterable[str]) -> Iterator[Definition]:
    """What arrived, was viewed and was clicked, per channel and over all."""
    for channel_id in channels:
        rows = (nw.col("channel") == channel_id) & nw.col("is_message")
        yield from _engagement_on(word(channel_id), rows, about=channel_id)
    yield from _engagement_on("message", nw.col("is_message"), about="")
    yield Definition(
        name="click_recency_days",
        group=Group.ENGAGEMENT,
        meaning="Days since the customer last clicked a message.",
        term=recency(Source.CONTACTS, known("clicked"), "clicked_us"),
    )


def _engagement_on(noun: str, rows: nw.Expr, *, about: str) -> Iterator[Definition]:
    recent = rows & within(90)
    arrived = count(Source.CONTACTS, recent & known("delivered", "viewed", "clicked", "accepted"))
    yield Definition(
        name=f"{noun}_delivered_count_90d",
        group=Group.ENGAGEMENT,
        meaning="Messages of the last 90 days that arrived: delivered, or reacted to.",
        term=arrived,
        is_count=True,
        about=about,
    )
    for reaction in ("viewed", "clicked"):
        yield Definition(
            name=f"{noun}_{reaction}_rate_90d",
            group=Group.ENGAGEMENT,
            meaning=f"Share {reaction} of the messages of the last 90 days that arrived.",
            term=count(Source.CONTACTS, recent & known(reaction)),
            divisor=arrived,
            about=about,
        )


def response(offer_kinds: Iterable[str]) -> Iterator[Definition]:
    """What became of past offers, per kind and over all."""
    for kind in offer_kinds:
        yield from _response_to(kind)
    yield Definition(
        name="accepted_count_90d",
        group=Group.RESPONSE,
        meaning="Messages of the last 90 days that were accepted or converted.",
        term=count(Source.CONTACTS, within(90) & known("accepted")),
        is_count=True,
    )
    yield Definition(
        name="accepted_recency_days",
        group=Group.RESPONSE,
        meaning="Days since an offer was last accepted or converted.",
        term=recency(Source.CONTACTS, known("accepted"), "accepted_us"),
    )


def _response_to(kind: str) -> Iterator[Definition]:
    rows = (nw.col("kind") == kind) & nw.col("is_message")
    sent = count(Source.CONTACTS, rows & within(180))
    yield Definition(
        name=f"{word(kind)}_message_count_30d",
        group=Group.RESPONSE,
        meaning=f"Messages with an offer of kind {kind} in the last 30 days.",
        term=count(Source.CONTACTS, rows & within(30)),
        is_count=True,
        about=kind,
    )
    for reaction in ("viewed", "accepted"):
        yield Definition(
            name=f"{word(kind)}_{reaction}_rate_180d",
            group=Group.RESPONSE,
            meaning=f"Share {reaction} of the offers of kind {kind} sent in the last 180 days.",
            term=count(Source.CONTACTS, rows & within(180) & known(reaction)),
            divisor=sent,
            about=kind,
        )
    yield Definition(
        name=f"{word(kind)}_message_recency_days",
        group=Group.RESPONSE,
        meaning=f"Days since the last message with an offer of kind {kind}.",
        term=recency(Source.CONTACTS, rows),
        about=kind,
    )


def contacts() -> Iterator[Definition]:
    """Contact pressure, and what customers thought of it."""
    sent = nw.col("is_message")
    for days in CONTACT_WINDOWS:
        yield Definition(
            name=f"message_count_{days}d",
            group=Group.CONTACT,
            meaning=f"Messages sent in the last {days} days.",
            term=count(Source.CONTACTS, sent & within(days)),
            is_count=True,
        )
    yield Definition(
        name="message_recency_days",
        group=Group.CONTACT,
        meaning="Days since the last message.",
        term=recency(Source.CONTACTS, sent),
    )
    yield Definition(
        name="silence_count_30d",
        group=Group.CONTACT,
        meaning="Decisions of the last 30 days to send nothing.",
        term=count(Source.CONTACTS, ~sent & within(30)),
        is_count=True,
    )
    for reaction, deed in (("unsubscribed", "unsubscribe"), ("complained", "complain")):
        yield Definition(
            name=f"message_{reaction}_count_365d",
            group=Group.CONTACT,
            meaning=f"Messages of the last 365 days that made the customer {deed}.",
            term=count(Source.CONTACTS, sent & within(365) & known(reaction)),
            is_count=True,
        )
