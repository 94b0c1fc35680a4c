"""Decisions that Redis no longer holds, read back from the log; slow, so never on the decision path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.contracts import DECISIONS


def find_decisions(log_path: Path, decision_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows of the canonical table `decisions` by id; ids that the log does not have are absent.

    Args:
        log_path: Folder of the Delta tables.
        decision_ids: What to look for.

    Raises:
        LogUnavailableError: The log cannot be read.
    """
    import polars as pl

    from features.log import EventLog

    log = EventLog(log_path)
    found = log.collect(DECISIONS, log.scan(DECISIONS).filter(pl.col("decision_id").is_in(list(decision_ids))))
    return {row["decision_id"]: row for row in found.iter_rows(named=True)}
