"""The chain of commitments: every manipulation of the log is detected, and legitimate erasure is not reported."""

import shutil
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError, LogUnavailableError
from features.chain.audit_chain import (
    AUDIT_CHAIN,
    ChainedLog,
    EntryKind,
    Head,
    load_audit_key,
    open_log,
)
from features.chain.chain_verification import ChainFault, FaultKind, Verification, verify_log
from features.chain.decision_seal import SEALED_BY, commitment_of, is_sealed_by_its_key, sealed
from features.log.contracts import DECISIONS, Table
from features.log.event_log import Appended, EventLog
from features.log.rows import frame_of, parse_row, row_of
from features.online.redis_keys import shard_of
from features.settings import Settings

KEY = b"a key for tests"
MOMENT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def sealed_row(number: int, **fields: object) -> dict[str, object]:
    row = {
        "decision_id": f"D-{number:03d}",
        "customer_id": f"C-{number % 5}",
        "decided_at": MOMENT.isoformat(),
        "offer_id": "free-coffee",
        "action_probability": 1,
        "is_held_out": False,
        "record": orjson.dumps({"number": number}).decode(),
        **fields,
    }
    found = sealed(row_of(DECISIONS, row))
    return row | {name: found[name] for name in SEALED_BY}


def frame(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    """Rows as the drain writes them: through JSON."""
    return frame_of(DECISIONS, [parse_row("decisions", orjson.dumps(row))[1] for row in rows])


@pytest.fixture
def log(tmp_path: Path) -> ChainedLog:
    return ChainedLog(tmp_path / "log", KEY)


@pytest.fixture
def filled(log: ChainedLog) -> ChainedLog:
    """Three appends of ten decisions each."""
    for start in (0, 10, 20):
        log.append(DECISIONS, frame([sealed_row(number) for number in range(start, start + 10)]))
    return log


def rewrite(log: EventLog, table: Table, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change rows as somebody with access to the files could."""
    changed = change(log.read(table))
    write_deltalake(log.path / table.name, changed, mode="overwrite")


def verify(log: ChainedLog, noted: Mapping[int, Head] | None = None) -> Verification:
    """Verify without waiting: no drain is running."""
    return verify_log(log, noted=noted, settle_seconds=0.0)


def kinds(found: Verification) -> list[FaultKind]:
    return [fault.kind for fault in found.faults]


def test_an_untouched_log_verifies(filled: ChainedLog) -> None:
    found = verify(filled)
    assert (found.decisions, found.entries, found.faults) == (30, 30, ())
    assert set(found.heads) == {shard_of(f"C-{number}") for number in range(5)}
    assert sum(head.sequence for head in found.heads.values()) == 30


def test_an_empty_log_verifies(log: ChainedLog) -> None:
    assert verify(log) == Verification(decisions=0, entries=0, erased=0, imported=0, faults=(), heads={})


def test_a_commitment_survives_json_and_delta(filled: ChainedLog) -> None:
    assert all(map(is_sealed_by_its_key, filled.read(DECISIONS).iter_rows(named=True)))


@given(
    st.fixed_dictionaries(
        {
            "decided_at": st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
            "action_probability": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 1),
            "record": st.none() | st.text(st.characters(codec="utf-8"), min_size=1),
            "is_held_out": st.none() | st.booleans(),
        }
    )
)
@settings(max_examples=100)
def test_every_row_keeps_its_commitment_through_a_frame(fields: dict[str, object]) -> None:
    try:
        row = sealed_row(1, **fields)
    except InvalidInputError:  # a time outside UTC
        return
    assert all(map(is_sealed_by_its_key, frame([row]).iter_rows(named=True)))


def test_a_column_added_later_changes_no_commitment() -> None:
    row = row_of(DECISIONS, sealed_row(1))
    assert commitment_of(row | {"of_a_later_release": None}, "00") == commitment_of(row, "00")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action_probability", 0.5), ("offer_id", "ten-percent"), ("record", '{"number":99}'),
        ("decided_at", datetime(2026, 1, 1, tzinfo=UTC)), ("customer_id", "C-elsewhere"), ("is_held_out", True),
        ("stage", "new"), ("record_key", "00"), ("record_key", "no hex"), ("record_key", None), ("commitment", "00"),
    ],
)  # fmt: skip
def test_an_altered_row_is_named(filled: ChainedLog, column: str, value: object) -> None:
    is_target = pl.col("decision_id") == "D-017"
    changed = pl.when(is_target).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    rewrite(filled, DECISIONS, lambda rows: rows.with_columns(changed.cast(DECISIONS.schema[column])))
    faults = verify(filled).faults
    assert ChainFault(kind=FaultKind.ALTERED_ROW, where="D-017") in faults
    assert {fault.kind for fault in faults} <= {FaultKind.ALTERED_ROW, FaultKind.MISSING_ROW}


def test_an_altered_and_resealed_row_is_extra_and_the_original_missing(filled: ChainedLog) -> None:
    def forge(rows: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([rows.filter(pl.col("decision_id") != "D-017"), frame([sealed_row(17, offer_id="other")])])

    rewrite(filled, DECISIONS, forge)
    found = verify(filled)
    assert ChainFault(kind=FaultKind.EXTRA_ROW, where="D-017") in found.faults
    assert kinds(found) == [FaultKind.EXTRA_ROW, FaultKind.MISSING_ROW]


def test_a_deleted_row_is_reported_with_its_place(filled: ChainedLog) -> None:
    rewrite(filled, DECISIONS, lambda rows: rows.filter(pl.col("decision_id") != "D-000"))
    assert verify(filled).faults == (ChainFault(kind=FaultKind.MISSING_ROW, where=f"chain {shard_of('C-0')}, entry 1"),)


def test_an_unchained_row_with_a_record_is_extra(filled: ChainedLog) -> None:
    EventLog(filled.path).append(DECISIONS, frame([sealed_row(77)]))
    assert verify(filled).faults == (ChainFault(kind=FaultKind.EXTRA_ROW, where="D-077"),)


def test_a_record_without_a_seal_is_not_trusted(filled: ChainedLog) -> None:
    EventLog(filled.path).append(
        DECISIONS,
        frame([sealed_row(77, record_key=None, commitment=None)]).with_columns(
            record_key=pl.lit(None, pl.String), commitment=pl.lit(None, pl.String)
        ),
    )
    assert verify(filled).faults == (ChainFault(kind=FaultKind.ALTERED_ROW, where="D-077"),)


def test_imported_decisions_are_counted_and_not_chained(filled: ChainedLog, shop) -> None:
    filled.append(DECISIONS, shop.decisions.head(7))
    found = verify(filled)
    assert (found.imported, found.decisions, found.faults) == (7, 30, ())


def _entry(log: ChainedLog, customer: str, sequence: int) -> pl.Expr:
    return (pl.col("chain") == shard_of(customer)) & (pl.col("sequence") == sequence)


@pytest.mark.parametrize("column", ["commitment", "previous_hash", "hash", "kind"])
def test_an_altered_entry_is_named(filled: ChainedLog, column: str) -> None:
    changed = pl.when(_entry(filled, "C-1", 3)).then(pl.lit("00")).otherwise(pl.col(column)).alias(column)
    rewrite(filled, AUDIT_CHAIN, lambda chain: chain.with_columns(changed))
    place = f"chain {shard_of('C-1')}, entry 3"
    assert ChainFault(kind=FaultKind.ALTERED_LINK, where=place) in verify(filled).faults


def test_an_erasure_cannot_be_forged(filled: ChainedLog) -> None:
    """Disguising a deleted row as an erasure would need the audit key."""
    changed = pl.when(_entry(filled, "C-1", 3)).then(pl.lit("erasure")).otherwise(pl.col("kind")).alias("kind")
    commitment = filled.read(AUDIT_CHAIN).filter(_entry(filled, "C-1", 3))["commitment"].item()
    rewrite(filled, AUDIT_CHAIN, lambda chain: chain.with_columns(changed))
    rewrite(filled, DECISIONS, lambda rows: rows.filter(pl.col("commitment") != commitment))
    assert FaultKind.ALTERED_LINK in kinds(verify(filled))


def test_a_deleted_entry_leaves_a_gap(filled: ChainedLog) -> None:
    rewrite(filled, AUDIT_CHAIN, lambda chain: chain.filter(~_entry(filled, "C-1", 3)))
    found = verify(filled)
    assert ChainFault(kind=FaultKind.MISSING_LINK, where=f"before chain {shard_of('C-1')}, entry 4") in found.faults
    assert kinds(found) == [FaultKind.MISSING_LINK, FaultKind.EXTRA_ROW]


def test_swapped_entries_are_distinguished_from_altered_ones(filled: ChainedLog) -> None:
    swapped = (
        pl.when(_entry(filled, "C-1", 2)).then(4).when(_entry(filled, "C-1", 4)).then(2).otherwise(pl.col("sequence"))
    )
    rewrite(filled, AUDIT_CHAIN, lambda chain: chain.with_columns(swapped.cast(pl.Int64).alias("sequence")))
    assert set(kinds(verify(filled))) == {FaultKind.REORDERED_LINK}


def test_with_another_key_nothing_verifies(filled: ChainedLog) -> None:
    found = verify(ChainedLog(filled.path, b"another key"))
    assert kinds(found).count(FaultKind.ALTERED_LINK) == 30


def test_a_truncated_chain_is_detected_against_a_noted_head(filled: ChainedLog) -> None:
    noted = dict(verify(filled).heads)
    chain = shard_of("C-2")
    last = filled.read(AUDIT_CHAIN).filter((pl.col("chain") == chain) & (pl.col("sequence") == noted[chain].sequence))
    rewrite(filled, DECISIONS, lambda rows: rows.join(last, on="commitment", how="anti"))
    rewrite(filled, AUDIT_CHAIN, lambda entries: entries.join(last, on=["chain", "sequence"], how="anti"))
    assert verify(filled).faults == ()  # the chain alone cannot reveal it
    found = verify(filled, noted=noted)
    assert found.faults == (
        ChainFault(kind=FaultKind.CUT_SHORT, where=f"chain {chain}, entry {noted[chain].sequence}"),
    )


def test_a_chain_that_only_grew_agrees_with_an_earlier_head(filled: ChainedLog) -> None:
    noted = verify(filled).heads
    filled.append(DECISIONS, frame([sealed_row(number) for number in range(30, 40)]))
    assert verify(filled, noted=noted).faults == ()
    assert verify(filled, noted={9: Head()}).faults == ()


def test_erasing_a_person_leaves_a_valid_chain_without_a_trace_of_them(filled: ChainedLog) -> None:
    rows = filled.read(DECISIONS, customer_ids=["C-3"])
    ids = rows["decision_id"].to_list()
    assert filled.erase(ids) == len(ids) == 6
    assert kinds(verify(filled)) == [FaultKind.NOT_ERASED] * 6  # half done
    assert filled.erase(ids) == 0  # a second run changes nothing
    DeltaTable(filled.path / "decisions").delete("customer_id = 'C-3'")
    found = verify(filled)
    assert (found.erased, found.decisions, found.faults) == (6, 24, ())
    kept = filled.read(AUDIT_CHAIN).write_ndjson()
    told = {value for row in rows.iter_rows() for value in row if isinstance(value, str)} - set(rows["commitment"])
    assert not [word for word in told if len(word) > 2 and word in kept]
    assert not rows["record_key"].is_in(filled.read(DECISIONS)["record_key"].to_list()).any()


def test_deleting_without_an_erasure_entry_is_a_fault(filled: ChainedLog) -> None:
    DeltaTable(filled.path / "decisions").delete("customer_id = 'C-3'")
    assert kinds(verify(filled)) == [FaultKind.MISSING_ROW] * 6


def test_a_repeated_append_chains_nothing_twice(log: ChainedLog) -> None:
    rows = frame([sealed_row(number) for number in range(10)])
    log.append(DECISIONS, rows)
    assert log.append(DECISIONS, rows) == Appended(inserted=0, duplicates=10)
    assert ChainedLog(log.path, KEY).append(DECISIONS, rows).duplicates == 10
    assert verify(log).entries == 10


def test_a_crash_between_rows_and_chain_is_repaired_by_the_retry(log: ChainedLog) -> None:
    rows = frame([sealed_row(number) for number in range(10)])
    EventLog(log.path).append(DECISIONS, rows.head(6))  # the rows were written, then the process died
    assert kinds(verify(log)) == [FaultKind.EXTRA_ROW] * 6
    log.append(DECISIONS, rows)
    found = verify(log)
    assert (found.entries, found.decisions, found.faults) == (10, 10, ())


def test_of_two_copies_of_a_decision_the_one_in_the_log_is_chained(log: ChainedLog) -> None:
    """A decision may be spooled although Redis had accepted it; then two rows arrive with different keys."""
    first, second = sealed_row(1), sealed_row(1)
    assert first["commitment"] != second["commitment"]
    EventLog(log.path).append(DECISIONS, frame([first]))
    log.append(DECISIONS, frame([second, sealed_row(2)]))
    assert log.read(AUDIT_CHAIN)["commitment"].to_list().count(first["commitment"]) == 1
    found = verify(log)
    assert (found.entries, found.decisions, found.faults) == (2, 2, ())
    log.append(DECISIONS, frame([sealed_row(3), sealed_row(3)]))
    assert verify(log).faults == ()


def test_concurrent_writers_make_one_chain(log: ChainedLog) -> None:
    def write(start: int) -> None:
        own = ChainedLog(log.path, KEY)
        for number in range(start, start + 40, 8):
            own.append(DECISIONS, frame([sealed_row(one) for one in range(number, number + 8)]))

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 40, 20, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = verify(log)
    assert (found.decisions, found.faults) == (100, ())
    assert found.entries >= 100


def test_a_row_chained_while_the_log_is_read_is_not_a_fault(filled: ChainedLog) -> None:
    late = frame([sealed_row(55)])
    EventLog(filled.path).append(DECISIONS, late)
    drain = threading.Timer(0.2, lambda: ChainedLog(filled.path, KEY).append(DECISIONS, late))
    drain.start()
    try:
        assert verify_log(filled, settle_seconds=3.0).faults == ()
    finally:
        drain.join()


def test_compaction_does_not_change_the_chain(filled: ChainedLog) -> None:
    for table in (DECISIONS, AUDIT_CHAIN):
        filled.compact(table)
    filled.append(DECISIONS, frame([sealed_row(40)]))
    found = verify(filled)
    assert (found.entries, found.faults) == (31, ())


def test_heads_are_read_again_after_another_writer(filled: ChainedLog) -> None:
    other = ChainedLog(filled.path, KEY)
    other.append(DECISIONS, frame([sealed_row(40)]))
    filled.append(DECISIONS, frame([sealed_row(45)]))
    found = verify(filled)
    assert (found.entries, found.faults) == (32, ())


def test_a_log_from_before_the_chain_gains_its_columns(tmp_path: Path, shop) -> None:
    old = shop.decisions.head(3).drop("commitment", "record_key")
    write_deltalake(tmp_path / "log" / "decisions", old)
    log = ChainedLog(tmp_path / "log", KEY)
    log.append(DECISIONS, old)
    log.append(DECISIONS, frame([sealed_row(1)]))
    found = verify(log)
    assert (found.imported, found.decisions, found.faults) == (3, 1, ())


def test_the_key_is_created_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    keys = list[bytes]()
    threads = [threading.Thread(target=lambda: keys.append(load_audit_key(home))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert len(keys[0]) == 64
    assert stat.S_IMODE(home.audit_key_path.stat().st_mode) == 0o600
    assert [path.name for path in home.home.iterdir()] == ["audit.key"]


def test_a_key_from_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTBEST_AUDIT_KEY", "from the vault")
    home = Settings(home=tmp_path / "home")
    assert load_audit_key(home) == b"from the vault"
    assert not home.home.exists()
    assert "vault" not in repr(home)
    monkeypatch.setenv("NEXTBEST_AUDIT_KEY", "")
    with pytest.raises(InvalidInputError, match="audit key must be"):
        load_audit_key(Settings(home=tmp_path / "home"))


def test_an_unreadable_key_is_reported(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    home.audit_key_path.mkdir(parents=True)
    with pytest.raises(LogUnavailableError, match="audit key must be readable"):
        open_log(home)
    shutil.rmtree(home.home)
    home.home.touch()
    with pytest.raises(LogUnavailableError, match="audit key must be readable"):
        open_log(home)


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    home = Settings(home=tmp_path)
    home.audit_key_path.write_text("")
    with pytest.raises(InvalidInputError, match="audit key must be"):
        load_audit_key(home)


def test_entries_of_both_kinds_share_the_chain(filled: ChainedLog) -> None:
    filled.erase(["D-000"])
    chain = filled.read(AUDIT_CHAIN).filter(pl.col("chain") == shard_of("C-0")).sort("sequence")
    assert chain["kind"].to_list()[-1] == EntryKind.ERASURE.value
    assert chain["sequence"].to_list() == list(range(1, 8))
    assert filled.erase(["no such decision"]) == 0
