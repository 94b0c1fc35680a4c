"""Rows of the log that live state is restored from, some thousand in memory at a time.

Whoever reads them gets `LogUnavailableError` where the log could not be read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from decisioning.gates.assignment import HOLDOUT_TEST, IN, OUT, experiment_test, programme_test
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import EventLog
from features.log.event_types import StateEventType
from features.log.identities import identities

_TOGETHER = 5_000
_EVENT_COLUMNS = ("event_id", "customer_id", "type", "occurred_at", "recorded_at", "channel", "properties")
_OUTCOME_COLUMNS = ("outcome_id", "decision_id", "customer_id", "type", "occurred_at", "recorded_at", "properties")
_OF_DECISION = ("decision_id", "decided_at", "offer_id", "channel", "creative_id", "policy_version")

type StoredRow = Mapping[str, Any]


def decisions_since(log: EventLog, since: datetime, columns: Sequence[str], *, or_sent: bool) -> Iterator[StoredRow]:
    """Decisions after a moment, and older ones that sent something where `or_sent`."""
    wanted = pl.col("decided_at") > pl.lit(since)
    if or_sent:
        wanted |= pl.col("offer_id").is_not_null()
    return _rows(log, DECISIONS, log.scan(DECISIONS).select(columns).filter(wanted))


def events_since(log: EventLog, since: datetime, *, or_types: Collection[str]) -> Iterator[StoredRow]:
    """Events after a moment, and older ones of some types."""
    wanted = (pl.col("occurred_at") > pl.lit(since)) | pl.col("type").is_in(sorted(or_types))
    return _rows(log, EVENTS, log.scan(EVENTS).select(_EVENT_COLUMNS).filter(wanted))


def outcomes_since(
    log: EventLog, since: datetime, *, types: Collection[str], or_types: Collection[str]
) -> Iterator[StoredRow]:
    """Outcomes of some types after a moment, and of others whenever they came, with the message that they answer."""
    is_late = pl.col("type").is_in(sorted(types)) & (pl.col("occurred_at") > pl.lit(since))
    told = log.scan(OUTCOMES).select(_OUTCOME_COLUMNS).filter(is_late | pl.col("type").is_in(sorted(or_types)))
    decided = log.scan(DECISIONS).select(_OF_DECISION)
    return _rows(log, OUTCOMES, told.join(decided, on="decision_id", how="left"))


def identities_in(log: EventLog) -> Iterator[tuple[str, str, datetime]]:
    """Visitor, customer and since when we know, of every visitor who turned out to be a customer."""
    told = log.scan(EVENTS).filter(pl.col("type") == StateEventType.IDENTIFIED.value)
    known = identities(log.collect(EVENTS, told)).sort("since", "visitor")
    yield from known.select("visitor", "customer_id", "since").iter_rows()


def has_chains(log: EventLog) -> bool:
    """Whether a customer whom a visitor turned out to be turned out to be another customer."""
    pairs = list(identities_in(log))
    return not {visitor for visitor, _, _ in pairs}.isdisjoint(customer for _, customer, _ in pairs)


def first_exposures(log: EventLog, programmes: Collection[str]) -> Iterator[StoredRow]:
    """The first decision of each customer in each experiment, in the universal holdout, and in each of the programmes.

    Yields:
        `customer_id`, `test` and `value` as `decisioning.gates.assignment.Who.kept` has them, and `decided_at`.
    """
    decisions = log.scan(DECISIONS).select("customer_id", "decided_at", "arms", "is_held_out", "record")
    held_out = decisions.filter(pl.col("is_held_out").is_not_null()).select(
        "customer_id", "decided_at", test=pl.lit(HOLDOUT_TEST), value=_in_or_out(pl.col("is_held_out"))
    )
    kept_back = pl.col("record").str.json_path_match("$.programme_holdouts").fill_null("[]")
    engine_made = decisions.filter(pl.col("record").is_not_null())
    found = [held_out] + [
        engine_made.select(
            "customer_id",
            "decided_at",
            test=pl.lit(programme_test(name)),
            value=_in_or_out(kept_back.str.contains(orjson.dumps(name).decode(), literal=True)),
        )
        for name in sorted(programmes)
    ]
    for query in (*found, _arms(log)):
        first = pl.all().sort_by("decided_at").first()
        for frame in log.batches(DECISIONS, query.group_by("customer_id", "test").agg(first), size=_TOGETHER):
            yield from frame.select("customer_id", "test", "value", "decided_at").iter_rows(named=True)


def _arms(log: EventLog) -> pl.LazyFrame:
    """Every decision in every experiment that it was in."""
    told = log.scan(DECISIONS).filter(pl.col("arms").is_not_null()).select("customer_id", "decided_at", "arms")
    schema = {"customer_id": pl.String, "decided_at": pl.Datetime("us", "UTC"), "test": pl.String, "value": pl.String}
    rows = [
        {"customer_id": who, "decided_at": at, "test": experiment_test(name), "value": arm}
        for who, at, arms in log.collect(DECISIONS, told).iter_rows()
        for name, arm in orjson.loads(arms).items()
    ]
    return pl.LazyFrame(rows, schema=schema)


def _in_or_out(is_in: pl.Expr) -> pl.Expr:
    return pl.when(is_in).then(pl.lit(IN)).otherwise(pl.lit(OUT))


def _rows(log: EventLog, table: Table, query: pl.LazyFrame) -> Iterator[StoredRow]:
    for frame in log.batches(table, query, size=_TOGETHER):
        yield from frame.iter_rows(named=True)
