"""The log as of one moment: whoever commits meanwhile, every read gives the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import EventLog

_OPENED = (OUTCOMES, EVENTS, DECISIONS, CUSTOMERS)
"""What refers to other rows comes first, so that these are there, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSnapshot:
    """One version of each table of a log.

    Attributes:
        versions: Number of the Delta version by name of the table; None where nobody had written the table yet.
    """

    log: EventLog
    versions: Mapping[str, int | None]

    @classmethod
    def of(cls, log: EventLog) -> "LogSnapshot":
        """The newest version of every table.

        Raises:
            LogUnavailableError: A table could not be opened.
        """
        return cls(log=log, versions={table.name: log.version_number(table) for table in _OPENED})

    def scan(self, table: Table) -> pl.LazyFrame:
        """A table as a lazy frame with the canonical columns.

        Raises:
            LogUnavailableError: It could not be opened.
        """
        version = self.versions[table.name]
        return pl.LazyFrame(schema=table.schema) if version is None else self.log.scan(table, version=version)

    def read(self, table: Table, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows of a table, unordered, of these columns or of all.

        Raises:
            LogUnavailableError: It could not be read, or its files are gone: an erasure deletes them at once.
        """
        frame = self.scan(table)
        return self.log.collect(table, frame if columns is None else frame.select(columns))
