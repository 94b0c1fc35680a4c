"""Where the decisions of a training set come from: the engine's own, or imported history."""

from dataclasses import dataclass

import polars as pl

from features.history import BULKY_COLUMN
from features.log.contracts import DECISIONS
from features.log.event_log import LogSnapshot

_BATCH = 50_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowsBySource:
    """Decisions that a model learns from, of those in the log; the engine's own are those with a record.

    Attributes:
        own_ids: Of the engine's own that are learned from.
        own_logged: The engine's own in the log.
        imported: Imported ones that are learned from.
        imported_logged: Imported ones in the log.
        as_logged: Own ones all of whose features are those that they looked at.
        partly_logged: Own ones some of whose features are computed, since they meant something else by then.
    """

    own_ids: pl.Series
    own_logged: int
    imported: int
    imported_logged: int
    as_logged: int = 0
    partly_logged: int = 0

    @property
    def own(self) -> int:
        """The engine's own that are learned from."""
        return len(self.own_ids)


def rows_by_source(log: LogSnapshot, decisions: pl.DataFrame) -> RowsBySource:
    """Tell decisions that are learned from, and those of the log that they were read from, apart by source.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    asked = log.scan(DECISIONS).select("decision_id", is_own=pl.col(BULKY_COLUMN).is_not_null())
    used = decisions.select("decision_id")
    own = [used.clear()]
    own_logged = logged = 0
    for part in log.log.batches(DECISIONS, asked, size=_BATCH):
        engine_made = part.filter("is_own")
        own.append(engine_made.join(used, on="decision_id", how="semi").select("decision_id"))
        own_logged += engine_made.height
        logged += part.height
    own_ids = pl.concat(own)["decision_id"]
    return RowsBySource(
        own_ids=own_ids,
        own_logged=own_logged,
        imported=decisions.height - len(own_ids),
        imported_logged=logged - own_logged,
    )
