"""The result of a batch: a row for each answer, in Parquet."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import orjson
import pyarrow as pa
from pyarrow import parquet

from decisioning.errors import UnavailableError
from pipelines.batch.audience import CUSTOMER, KEY
from serving.decisions.answer import Answer

ROW_GROUP = 16_384
"""Rows that are written together, and so kept in memory."""

SCHEMA = pa.schema(
    [
        (CUSTOMER, pa.string()), (KEY, pa.string()), ("touchpoint", pa.string()), ("decision_id", pa.string()),
        ("decided_at", pa.string()), ("action", pa.string()), ("reason", pa.string()), ("offer_id", pa.string()),
        ("channel", pa.string()), ("creative", pa.string()), ("content", pa.string()),
        ("action_probability", pa.float64()), ("expected_value", pa.float64()), ("uplift", pa.float64()),
        ("currency", pa.string()), ("stage", pa.string()), ("experiments", pa.string()), ("held_out", pa.bool_()),
        ("degraded_reasons", pa.string()), ("withheld", pa.string()), ("model_version", pa.string()),
        ("policy_version", pa.string()), ("features_as_of", pa.string()), ("replayed", pa.bool_()),
        ("retry_at", pa.string()),
    ]
)  # fmt: skip
"""Columns of the result; amounts in major units, `content` and the like as JSON text."""

type ResultRow = dict[str, object]


def counted(rows: Sequence[ResultRow]) -> Counter[str]:
    """How many rows there are, how many of each action, replayed and degraded."""
    counts = Counter(decided=len(rows))
    for row in rows:
        counts[str(row["action"])] += 1
        counts["replayed"] += row["replayed"] is True
        counts["degraded"] += row["degraded_reasons"] != "[]"
    return counts


def result_row(key: str | None, answer: Answer) -> ResultRow:
    """The row of an answer to an ask with this key."""
    selected = answer["selected"] or {}
    value, uplift = selected.get("expected_value"), selected.get("uplift")
    return {
        CUSTOMER: answer["customer_id"],
        KEY: key,
        "touchpoint": answer["touchpoint"],
        "decision_id": answer["decision_id"],
        "decided_at": answer["decided_at"],
        "action": answer["action"],
        "reason": answer["reason"],
        "offer_id": selected.get("offer_id"),
        "channel": selected.get("channel"),
        "creative": selected.get("creative"),
        "content": orjson.dumps(selected["content"]).decode() if selected else None,
        "action_probability": answer["action_probability"],
        "expected_value": value["amount"] if value else None,
        "uplift": uplift["amount"] if uplift else None,
        "currency": value["currency"] if value else None,
        "stage": answer["stage"],
        "experiments": orjson.dumps({one["experiment"]: one["arm"] for one in answer["experiments"]}).decode(),
        "held_out": answer["held_out"],
        "degraded_reasons": orjson.dumps(answer["degraded_reasons"]).decode(),
        "withheld": orjson.dumps(answer["withheld"]).decode(),
        "model_version": answer["model"]["version"] if answer["model"] else None,
        "policy_version": answer["policy_version"],
        "features_as_of": answer["features_as_of"],
        "replayed": answer["replayed"],
        "retry_at": answer["retry_at"],
    }


def write_results(out: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the result beside its place, some rows at a time, and move it there when it is whole.

    Raises:
        UnavailableError: The file cannot be written.
    """
    partial_file = out.with_name(f".{out.name}.{uuid4().hex[:8]}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(partial_file, SCHEMA, compression="zstd") as writer:
            for table in _grouped(batches):
                writer.write_table(table)
        partial_file.replace(out)
    except OSError as error:
        raise UnavailableError(f"out must be writable, got {out} ({error.strerror})") from error
    finally:
        partial_file.unlink(missing_ok=True)


def _grouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= ROW_GROUP:
            yield pa.Table.from_batches(waiting, SCHEMA)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, SCHEMA)
