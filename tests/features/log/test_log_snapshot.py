"""Reading a log as of one moment while others write it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog, LogSnapshot

AT = datetime(2026, 10, 1, tzinfo=UTC)


def decision(name: str) -> pl.DataFrame:
    return pl.DataFrame({"decision_id": [name], "customer_id": ["C-1"], "decided_at": [AT]})


def outcome(name: str, of: str) -> pl.DataFrame:
    row = {"outcome_id": name, "decision_id": of, "customer_id": "C-1", "type": "clicked"}
    return pl.DataFrame([{**row, "occurred_at": AT + timedelta(hours=1)}])


class BusyLog(EventLog):
    """A log in which somebody commits as soon as the first table is read."""

    def __init__(self, path: Path, commit: Callable[[], None]) -> None:
        super().__init__(path)
        self.commit: Callable[[], None] | None = commit

    def collect(self, table, frame):
        rows = super().collect(table, frame)
        if self.commit is not None:
            commit, self.commit = self.commit, None
            commit()
        return rows


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    log = EventLog(tmp_path / "log")
    log.append(DECISIONS, decision("D-1"))
    log.append(OUTCOMES, outcome("O-1", "D-1"))
    return log


def write_more(log: EventLog) -> None:
    log.append(DECISIONS, decision("D-2"))
    log.append(OUTCOMES, outcome("O-2", "D-1"))
    log.append(EVENTS, pl.DataFrame([{"event_id": "E-1", "customer_id": "C-1", "type": "visit", "occurred_at": AT}]))


def test_a_snapshot_gives_the_same_rows_after_others_have_written_and_compacted(log: EventLog):
    snapshot = LogSnapshot.of(log)
    write_more(log)
    log.compact(DECISIONS)
    assert snapshot.read(DECISIONS, columns=["decision_id"])["decision_id"].to_list() == ["D-1"]
    assert snapshot.read(OUTCOMES)["outcome_id"].to_list() == ["O-1"]
    assert snapshot.read(EVENTS).is_empty()  # nobody had written it yet
    assert snapshot.versions == {"decisions": 1, "outcomes": 1, "events": None, "customers": None}
    assert LogSnapshot.of(log).read(EVENTS).height == 1


def test_a_history_has_nothing_of_a_commit_that_lands_while_it_is_read(log: EventLog):
    history = History.from_log(BusyLog(log.path, lambda: write_more(log)))
    assert history.decisions["decision_id"].to_list() == ["D-1"]
    assert history.outcomes["outcome_id"].to_list() == ["O-1"]
    assert history.events.is_empty()
    assert log.read(EVENTS).height == 1


def test_an_empty_log_is_an_empty_snapshot(tmp_path: Path):
    snapshot = LogSnapshot.of(EventLog(tmp_path / "log"))
    assert snapshot.read(CUSTOMERS).is_empty()
    assert snapshot.read(CUSTOMERS).columns == list(CUSTOMERS.schema)
