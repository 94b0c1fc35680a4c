"""Data past its retention period is deleted for good; answers about consent never expire."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from features.catalogue.forms.privacy_form import RetentionFile
from features.chain.audit_chain import ChainedLog, open_log
from features.chain.chain_verification import verify_log
from features.chain.decision_seal import sealed
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.rows import frame_of, row_of
from features.privacy.purposes import DataRules, data_rules
from features.privacy.retention import Retained, retain
from features.privacy.scan import traces_below
from features.settings import Settings

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def at(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def put(log: ChainedLog, table: Table, *rows: dict[str, object]) -> None:
    log.append(table, frame_of(table, [row_of(table, row) for row in rows]))


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def log(home: Settings) -> ChainedLog:
    return open_log(home)


def run(home: Settings, log: ChainedLog, *, is_dry_run: bool = False, **days: int) -> dict[str, Retained]:
    rules = DataRules(retention=RetentionFile(**days))
    return {one.place: one for one in retain(home, log, rules, now=NOW, is_dry_run=is_dry_run)}


def test_old_events_are_deleted_to_the_last_byte_and_consent_events_stay(home: Settings, log: ChainedLog) -> None:
    for place, days in enumerate((10, 20, 40, 50)):
        put(log, EVENTS, {"event_id": f"old-{days}" if days > 30 else f"new-{place}", "customer_id": "C-1",
                          "type": "browse", "occurred_at": at(days)})  # fmt: skip
    put(log, EVENTS, {"event_id": "no", "customer_id": "C-1", "type": "consent_withdrawn", "occurred_at": at(900)})
    assert run(home, log, is_dry_run=True, events=30)["events"].deleted == 2
    assert log.read(EVENTS).height == 5
    assert run(home, log, events=30)["events"].deleted == 2
    assert sorted(log.read(EVENTS)["event_id"]) == ["new-0", "new-1", "no"]
    assert traces_below(log.path, ["old-40", "old-50"]) == []
    assert run(home, log, events=30)["events"].deleted == 0


def test_old_decisions_are_chained_as_erased_and_the_log_verifies(home: Settings, log: ChainedLog) -> None:
    for place in range(4):
        row = {"decision_id": f"D-{place}", "customer_id": "C-1", "decided_at": at(10 + 20 * place), "record": "{}"}
        log.append(DECISIONS, frame_of(DECISIONS, [sealed(row_of(DECISIONS, row))]))
    left = {"outcome_id": "O-3", "decision_id": "D-3", "customer_id": "C-1", "type": "unsubscribed",
            "occurred_at": at(60)}  # fmt: skip
    put(log, OUTCOMES, left)
    done = run(home, log, decisions=40, outcomes=40)
    assert (done["decisions"].deleted, done["outcomes"].deleted) == (1, 0)
    assert sorted(log.read(DECISIONS)["decision_id"]) == ["D-0", "D-1", "D-3"], (
        "kept: it names the channel that was unsubscribed"
    )
    found = verify_log(log, settle_seconds=0.01)
    assert (found.faults, found.erased) == ((), 1)


def test_a_replaced_profile_row_is_deleted_unless_it_holds_answers_that_still_count(
    home: Settings, log: ChainedLog
) -> None:
    def row(days: int, **more: object) -> dict[str, object]:
        return {"customer_id": "C-1", "updated_at": at(days), "locale": f"l{days}", **more}

    opted_out = orjson.dumps([{"channel": "", "purpose": "profiling", "granted": False}]).decode()
    put(log, CUSTOMERS, row(400, protections='["minor"]'), row(300, consents=opted_out), row(200), row(100))
    put(log, CUSTOMERS, {"customer_id": "C-2", "updated_at": at(900)})
    assert run(home, log, customers=30)["customers"].deleted == 1
    kept = log.read(CUSTOMERS).filter(pl.col("customer_id") == "C-1")
    assert sorted(kept["locale"].to_list()) == ["l100", "l300", "l400"]


def test_rejects_dead_letters_and_handoff_lists_are_deleted_by_age(home: Settings, log: ChainedLog) -> None:
    for folder in ("rejects/a", "rejects/b", "handoffs"):
        (home.home / folder).mkdir(parents=True)
    for name in ("handoffs/1.0", "handoffs/1.json", "rejects/a", "handoffs/2.0"):
        path = home.home / name
        if not path.exists():
            path.write_text("x")
        if not name.startswith("handoffs/2"):
            os.utime(path, (NOW.timestamp() - 40 * 86_400,) * 2)
    letters = home.spool_path / "dead" / "letters.jsonl"
    letters.parent.mkdir(parents=True)
    old, new = (int((NOW - timedelta(days=days)).timestamp() * 1_000) for days in (40, 1))
    letters.write_text("".join(f'{{"entry_id":"{one}-1"}}\n' for one in (old, new)))
    rules = DataRules(retention=RetentionFile(rejects=30, handoffs=30, dead_letters=30))
    done = {one.place: one.deleted for one in retain(home, log, rules, now=_real_now(home), is_dry_run=False)}
    assert (done["rejects"], done["handoffs"], done["dead_letters"]) == (1, 1, 1)
    assert letters.read_text().count("\n") == 1
    assert sorted(path.name for path in (home.home / "handoffs").iterdir()) == ["1.json", "2.0"]


def _real_now(home: Settings) -> datetime:
    """The real time, because the age of files comes from the disk."""
    for path in (home.home / "handoffs" / "2.0", home.home / "rejects" / "b"):
        os.utime(path, (NOW.timestamp(),) * 2)
    return NOW


def test_tables_without_a_retention_period_are_kept(home: Settings, log: ChainedLog) -> None:
    put(log, EVENTS, {"event_id": "e", "customer_id": "C-1", "type": "browse", "occurred_at": at(9_000)})
    done = run(home, log)
    assert all(one.days is None and one.deleted == 0 for one in done.values())
    assert log.read(EVENTS).height == 1


def test_the_catalogue_declares_retention_and_an_unknown_table_is_refused(tmp_path: Path) -> None:
    from decisioning.errors import InvalidPolicyError

    (tmp_path / "privacy.yaml").write_text("retention: {events: 730}\ndata_purposes: {events.browse: find out}\n")
    rules = data_rules(tmp_path)
    assert (rules.retention.events, rules.retention.decisions) == (730, None)
    assert rules.purpose_of("events.browse.page") == "find out"
    assert rules.purpose_of("events.purchase").startswith("know where")
    (tmp_path / "privacy.yaml").write_text("retention: {event: 730}\n")
    with pytest.raises(InvalidPolicyError, match="did you mean 'events'"):
        data_rules(tmp_path)
