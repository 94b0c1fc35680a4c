"""Replay of logged decisions with the policy of their time, compared bit for bit."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

from decisioning.catalogue.message import SILENCE, message_key
from decisioning.errors import InvalidInputError, ModelUnavailableError, UnknownNameError
from decisioning.policy import decide
from decisioning.record.difference import ABSENT, Difference, differences
from decisioning.record.document import decision_to_record
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models.logged_decisions import LoggedDecisions
from features.models.policy_archive import Absence
from features.progress import OnProgress

BATCH_ROWS = 1_000
UNREADABLE = "record"
"""Field of a difference that is the whole record: it could not be read, or deciding again failed."""

_COLUMNS = {
    "decision_id": "decision_id",
    "customer_id": "customer_id",
    "touchpoint": "touchpoint_id",
    "offer_id": "offer_id",
    "channel": "channel_id",
    "creative_id": "creative_id",
    "action_probability": "action_probability",
    "stage": "stage_id",
    "policy_version": "policy_version",
    "model_version": "model_version",
}
"""Columns of the log that repeat a field of the record: reports and learning look at them, so they must agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """Which decisions to replay; None means all.

    Attributes:
        since: Only those decided at or after this moment.
        limit: At most so many, newest first.
        decision_id: Only this one.
    """

    since: datetime | None = None
    limit: int | None = None
    decision_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedAnswer:
    """A decision that does not come out as it was logged."""

    decision_id: str
    differences: tuple[Difference, ...]


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What replaying found.

    Attributes:
        same: Decisions that came out bit for bit as logged.
        positions: Rows of further positions of slates that say what their decision's record says.
        imported: Rows without a record: other systems decided.
        absent: Decisions whose policy cannot be built, by reason.
        changed: Decisions that came out otherwise.
    """

    same: int = 0
    positions: int = 0
    imported: int = 0
    absent: Counter[str] = field(default_factory=Counter[str])
    changed: list[ChangedAnswer] = field(default_factory=list[ChangedAnswer])
    seconds: float = 0.0

    @property
    def replayed(self) -> int:
        """Decisions that could be decided again."""
        return self.same + len(self.changed)

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "is_same": not self.changed,
            "replayed": self.replayed,
            "same": self.same,
            "changed": [asdict(one) for one in self.changed],
            "positions": self.positions,
            "imported": self.imported,
            "policy_absent": dict(self.absent),
            "seconds": round(self.seconds, 3),
            "decisions_per_second": round(self.replayed / self.seconds, 1) if self.seconds else None,
        }


def replay_log(
    log: EventLog, logged: LoggedDecisions, plan: ReplayPlan, *, on_progress: OnProgress | None = None
) -> ReplayReport:
    """Replay the decisions of a log.

    Raises:
        UnknownNameError: The log has no such decision.
        LogUnavailableError: The log could not be read.
    """
    rows, report, started = _rows(log, plan), ReplayReport(), time.perf_counter()
    total, done = log.collect(DECISIONS, rows.select(pl.len())).item(), 0
    if not total and plan.decision_id is not None:
        raise UnknownNameError("decision", plan.decision_id, [])
    slates = _Slates()
    for batch in log.batches(DECISIONS, rows, size=BATCH_ROWS):
        for row in batch.iter_rows(named=True):
            _replay_row(row, logged, report, slates)
        done += batch.height
        if on_progress is not None:
            on_progress(done, total)
    slates.compare(report)
    report.seconds = time.perf_counter() - started
    return report


def replayed_differences(row: Mapping[str, Any], logged_decisions: LoggedDecisions) -> Absence | list[Difference]:
    """Where deciding again differs from what was logged; or why it cannot be decided again."""
    try:
        logged, record = logged_decisions.decision(row), logged_decisions.document(row)
    except InvalidInputError as error:
        return [Difference(field=UNREADABLE, logged=f"unreadable: {error}", replayed=ABSENT)]
    policy = logged_decisions.archive.policy(logged.policy_version)
    if isinstance(policy, Absence):
        return policy
    try:
        again = decision_to_record(decide(policy, logged.inputs, logged.decision_id))
    except (InvalidInputError, ModelUnavailableError) as error:
        return [Difference(field=UNREADABLE, logged="decided", replayed=f"cannot be decided: {error}")]
    found = [] if orjson.dumps(again) == orjson.dumps(record) else list(differences(record, again))
    return found + _unlike_columns(row, record)


def _rows(log: EventLog, plan: ReplayPlan) -> pl.LazyFrame:
    rows = log.scan(DECISIONS)
    if plan.decision_id is not None:
        rows = rows.filter(pl.col("decision_id") == plan.decision_id)
    if plan.since is not None:
        rows = rows.filter(pl.col("decided_at") >= plan.since)
    if plan.limit is not None:
        rows = rows.filter(pl.col("record").is_not_null()).top_k(plan.limit, by="decided_at")
    return rows


def _replay_row(row: Mapping[str, Any], logged: LoggedDecisions, report: ReplayReport, slates: "_Slates") -> None:
    if row["record"] is None:
        if row["commitment"] is None or not slates.add_position(row):
            report.imported += 1
        return
    found = replayed_differences(row, logged)
    if isinstance(found, Absence):
        report.absent[found.value] += 1
    elif found:
        report.changed.append(ChangedAnswer(decision_id=row["decision_id"], differences=tuple(found)))
    else:
        report.same += 1
        if row["placement"] is not None:
            slates.add_decision(logged.document(row))


def _unlike_columns(row: Mapping[str, Any], record: Mapping[str, Any]) -> list[Difference]:
    """Columns that do not say what the record says; one that an older release did not write says nothing."""
    decided_at = datetime.fromisoformat(record["decided_at"]).astimezone(UTC)
    said = {name: (row[name], record[name_there]) for name, name_there in _COLUMNS.items()} | {
        "decided_at": (row["decided_at"].astimezone(UTC).isoformat(), decided_at.isoformat()),
        "arms": (orjson.loads(row["arms"] or "{}"), record["arms"]),
    }
    if row["is_held_out"] is not None:
        said["is_held_out"] = (row["is_held_out"], record["is_held_out"])
    return [
        Difference(field=f"column {name}", logged=logged, replayed=replayed)
        for name, (logged, replayed) in said.items()
        if logged != replayed
    ]


class _Slates:
    """Rows of further positions, and what the records of their decisions say of them."""

    def __init__(self) -> None:
        self._logged: dict[str, tuple[str, float]] = {}
        self._recorded: dict[str, tuple[str, float]] = {}

    def add_position(self, row: Mapping[str, Any]) -> bool:
        """Note a row; False where it is no position of a slate."""
        if row["placement"] is None:
            return False
        parts = (row["offer_id"], row["channel"], row["creative_id"])
        key = SILENCE if parts[0] is None else message_key(*map(str, parts))
        self._logged[row["decision_id"]] = (key, row["action_probability"])
        return True

    def add_decision(self, record: Mapping[str, Any]) -> None:
        """Note what a record says of its further positions."""
        for number, position in enumerate(record.get("further", ()), start=2):
            said = (position["message_key"], position["action_probability"])
            self._recorded[f"{record['decision_id']}-{number}"] = said

    def compare(self, report: ReplayReport) -> None:
        """Count the rows that agree, and report those that do not."""
        for decision_id, said in self._recorded.items():
            logged = self._logged.get(decision_id)
            if logged == said:
                report.positions += 1
            elif logged is not None:
                found = differences(list(logged), list(said))
                report.changed.append(ChangedAnswer(decision_id=decision_id, differences=found))
