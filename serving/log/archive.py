"""Decisions that Redis no longer holds, read back from the log; slow, so never on the decision path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.log.contracts import DECISIONS


def find_decisions(log_path: Path, decision_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows of the canonical table `decisions` by id; ids that the log does not have are absent.

    Raises:
        LogUnavailableError: The log cannot be read.
    """
    from features.log.event_log import EventLog

    return {row["decision_id"]: row for row in EventLog(log_path).find(DECISIONS, "decision_id", decision_ids)}
