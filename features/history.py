"""What is known about customers, as four frames: the input of features, training and evaluation."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from features.computing.sources import Tables
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog, LogSnapshot
from features.log.reported import settled_events, settled_outcomes
from features.log.said import opted_out_of_profiling, said_by

BULKY_COLUMN = "record"
"""The full decision record: kilobytes a row that no feature reads, so a history leaves it in the log."""

_WITHOUT_RECORD = [name for name in DECISIONS.schema if name != BULKY_COLUMN]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Canonical frames without the decisions' `record`, one row per key, in no particular order.

    Attributes:
        customers: Every version of every customer; the newest `updated_at` wins.
    """

    customers: pl.DataFrame
    events: pl.DataFrame
    decisions: pl.DataFrame
    outcomes: pl.DataFrame

    def not_profiled(self) -> frozenset[str]:
        """Customers who opted out of profiling, as far as these tables know: no feature and no model is about them."""
        return frozenset(opted_out_of_profiling(self.customers, said_by(self.events)))

    @classmethod
    def of(cls, tables: Tables) -> "History":
        """The same tables, in which every moment is one that can be: see `features.log.reported`."""
        return cls._settled(tables.customers, tables.events, tables.decisions, tables.outcomes)

    @classmethod
    def from_log(cls, log: EventLog | LogSnapshot) -> "History":
        """Read each log table, as of a snapshot or of now: what is committed meanwhile is not in it.

        Raises:
            LogUnavailableError: A table could not be read.
        """
        of = log if isinstance(log, LogSnapshot) else LogSnapshot.of(log)
        decisions = of.read(DECISIONS, columns=_WITHOUT_RECORD)
        return cls._settled(of.read(CUSTOMERS), of.read(EVENTS), decisions, of.read(OUTCOMES))

    @classmethod
    def from_folder(cls, folder: Path, *, now: datetime | None = None) -> "History":
        """Read and check a folder of canonical files without importing it; a table without a file is empty.

        Args:
            folder: Holds customers, events, decisions and outcomes as `.parquet` or `.csv`, any subset.
            now: Times later than this are refused; None to allow them.

        Raises:
            InvalidInputError: A file cannot be read, or a row breaks a rule: nothing is left out of an evaluation.
        """
        return cls.with_records(folder, now=now)[0]

    @classmethod
    def with_records(cls, folder: Path, *, now: datetime | None = None) -> "tuple[History, pl.DataFrame]":
        """As `from_folder`, and beside it the canonical rows of decisions that have a record.

        Raises:
            InvalidInputError: As `from_folder`.
        """
        from features.importing.folder import read_clean_folder  # it writes the log, which a history seldom needs

        customers, events, decisions, outcomes = read_clean_folder(folder, now=now).values()
        recorded = decisions.filter(pl.col(BULKY_COLUMN).is_not_null())
        return cls._settled(customers, events, decisions.select(_WITHOUT_RECORD), outcomes), recorded

    @classmethod
    def _settled(
        cls, customers: pl.DataFrame, events: pl.DataFrame, decisions: pl.DataFrame, outcomes: pl.DataFrame
    ) -> "History":
        return cls(
            customers=customers,
            events=settled_events(events),
            decisions=decisions,
            outcomes=settled_outcomes(outcomes, decisions),
        )
