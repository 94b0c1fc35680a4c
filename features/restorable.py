"""Rows of the log that live state is restored from, some thousand in memory at a time."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from features.contracts import DECISIONS, EVENTS, OUTCOMES, StateEventType, Table
from features.identities import identities
from features.log import EventLog

_TOGETHER = 5_000
_EVENT_COLUMNS = ("event_id", "customer_id", "type", "occurred_at", "recorded_at", "channel", "properties")
_OUTCOME_COLUMNS = ("outcome_id", "decision_id", "customer_id", "type", "occurred_at", "recorded_at", "properties")
_OF_DECISION = ("decision_id", "decided_at", "offer_id", "channel", "creative_id", "policy_version")

type Row = dict[str, Any]


def decisions_since(log: EventLog, since: datetime, columns: Sequence[str], *, or_sent: bool) -> Iterator[Row]:
    """Decisions after a moment, and older ones that sent something where `or_sent`.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    wanted = pl.col("decided_at") > pl.lit(since)
    if or_sent:
        wanted |= pl.col("offer_id").is_not_null()
    return _rows(log, DECISIONS, log.scan(DECISIONS).select(columns).filter(wanted))


def events_since(log: EventLog, since: datetime, *, or_types: Collection[str]) -> Iterator[Row]:
    """Events after a moment, and older ones of some types.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    wanted = (pl.col("occurred_at") > pl.lit(since)) | pl.col("type").is_in(sorted(or_types))
    return _rows(log, EVENTS, log.scan(EVENTS).select(_EVENT_COLUMNS).filter(wanted))


def outcomes_since(
    log: EventLog, since: datetime, *, types: Collection[str], or_types: Collection[str]
) -> Iterator[Row]:
    """Outcomes of some types after a moment, and of others whenever they came, with the message that they answer.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    is_late = pl.col("type").is_in(sorted(types)) & (pl.col("occurred_at") > pl.lit(since))
    told = log.scan(OUTCOMES).select(_OUTCOME_COLUMNS).filter(is_late | pl.col("type").is_in(sorted(or_types)))
    decided = log.scan(DECISIONS).select(_OF_DECISION)
    return _rows(log, OUTCOMES, told.join(decided, on="decision_id", how="left"))


def identities_in(log: EventLog) -> Iterator[tuple[str, str, datetime]]:
    """Visitor, customer and since when we know, of every visitor who turned out to be a customer.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    told = log.scan(EVENTS).filter(pl.col("type") == StateEventType.IDENTIFIED.value)
    known = identities(log.collect(EVENTS, told)).sort("since", "visitor")
    yield from known.select("visitor", "customer_id", "since").iter_rows()


def _rows(log: EventLog, table: Table, query: pl.LazyFrame) -> Iterator[Row]:
    for frame in log.batches(table, query, size=_TOGETHER):
        yield from frame.iter_rows(named=True)
