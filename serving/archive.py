"""Decisions that Redis no longer holds, read back from the log; slow, so never on the decision path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from decisioning.errors import LogUnavailableError
from features.contracts import DECISIONS


def find_decisions(log_path: Path, decision_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows of the canonical table `decisions` by id; ids that the log does not have are absent.

    Args:
        log_path: Folder of the Delta tables.
        decision_ids: What to look for.

    Raises:
        LogUnavailableError: The log cannot be read.
    """
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError
    from pyarrow import dataset

    try:
        table = DeltaTable(log_path / DECISIONS.name)
        found = table.to_pyarrow_dataset().to_table(filter=dataset.field("decision_id").isin(list(decision_ids)))
    except TableNotFoundError:
        return {}
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise LogUnavailableError(f"log table decisions must be readable, got {type(error).__name__}") from error
    return {row["decision_id"]: row for row in found.to_pylist()}
