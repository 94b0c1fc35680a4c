"""Rows are erased for good: no file, commit or older version of the log has a byte of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import DeltaError
from hypothesis import given, settings
from hypothesis import strategies as st

from features.chain.audit_chain import ChainedLog
from features.log.contracts import CUSTOMERS
from features.log.event_log import EventLog
from features.log.tombstones import Tombstones
from features.privacy.file_erasure import names
from features.privacy.log_erasure import erase_from_log
from features.privacy.scan import traces_below

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def rows(*ids: str, day: int = 0, note: str = "{}") -> pl.DataFrame:
    moment = NOW + timedelta(days=day)
    people = [{"customer_id": one, "updated_at": moment, "attributes": note} for one in ids]
    return pl.DataFrame(people, schema_overrides={"updated_at": CUSTOMERS.schema["updated_at"]})


@pytest.fixture
def log(tmp_path: Path) -> ChainedLog:
    return ChainedLog(tmp_path / "log", b"key")


def test_neither_files_nor_commits_nor_older_versions_keep_a_byte(log: ChainedLog) -> None:
    """The id contains quotes, which must not break the deletion."""
    who = 'O\'Brien "x" %_'
    for day in range(3):
        log.append(CUSTOMERS, rows("C-0", who, day=day, note='{"word":"zanzibar"}'))
    assert traces_below(log.path, [who, "zanzibar"]) != []
    log.append(CUSTOMERS, rows("C-9", day=9))
    log.erased.add(who, now=NOW, reason="request")

    assert erase_from_log(log, who)["customers"] == 3
    assert erase_from_log(log, who)["customers"] == 0
    log.append(CUSTOMERS, rows("C-10", day=10))

    assert traces_below(log.path, [who, "O'Brien"]) == []
    assert sorted(log.read(CUSTOMERS)["customer_id"].to_list()) == ["C-0"] * 3 + ["C-10", "C-9"]
    with pytest.raises(DeltaError, match="No files"):
        pl.read_delta(str(log.path / "customers"), version=2)


def test_the_log_accepts_no_row_of_an_erased_customer_whoever_appends(log: ChainedLog) -> None:
    log.append(CUSTOMERS, rows("C-0"))
    Tombstones(log.path / "erased").add("C-1", now=NOW, reason="request")
    done = log.append(CUSTOMERS, rows("C-0", "C-1", "C-2"))
    assert (done.inserted, done.duplicates, done.erased) == (1, 1, 1)
    assert EventLog(log.path).append(CUSTOMERS, rows("C-1")).erased == 1


def test_erasing_a_customer_twice_adds_no_second_tombstone(log: ChainedLog) -> None:
    assert log.erased.add("C-1", now=NOW, reason="request")
    assert not log.erased.add("C-1", now=NOW, reason="request")
    assert len(log.erased.tokens()) == 1
    assert (log.path / "erased" / "key").stat().st_mode & 0o077 == 0
    assert log.erased.path.stat().st_mode & 0o077 == 0


@given(st.text("ab-1_.'", min_size=1, max_size=6), st.text("ab-1_.'", min_size=1, max_size=6))
@settings(max_examples=200)
def test_an_id_is_found_only_as_a_whole_value_or_word(one: str, other: str) -> None:
    assert names(f'{{"customer_id": "{one}"}}', one)
    longer = f"x{one}", f"{one}x", f"{one}-x"
    assert not any(names(text, one) for text in longer if one not in text[1:-1])
    if one != other and one not in other:
        assert not names(f'"{other}"', one)
