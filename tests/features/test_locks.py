"""Lock files and atomically written files."""

import stat
from pathlib import Path

import pytest

from decisioning.errors import UnavailableError
from features.durability import OWNER_ONLY, append_lines, create_once, replace_file
from features.locks import held

BUSY = "another one is at work"


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    with (
        held(lock, UnavailableError(BUSY)),
        pytest.raises(UnavailableError, match=BUSY),
        held(lock, UnavailableError(BUSY), wait_seconds=0.02),
    ):
        pytest.fail("a second holder got the lock")
    with held(lock, UnavailableError(BUSY)):
        pass


def test_a_shared_lock_keeps_out_an_exclusive_one(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        held(lock, UnavailableError(BUSY), shared=True),
        held(lock, UnavailableError(BUSY), shared=True),
        pytest.raises(UnavailableError, match=BUSY),
        held(lock, UnavailableError(BUSY)),
    ):
        pytest.fail("an exclusive lock was granted")


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    replace_file(path, b"old")
    replace_file(path, b"new", mode=OWNER_ONLY, is_durable=True)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == OWNER_ONLY
    assert list(path.parent.iterdir()) == [path]


def test_the_first_to_create_a_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_once(path, b"first")
    create_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lines.jsonl"
    append_lines(path, [{"a": 1}], mode=OWNER_ONLY)
    append_lines(path, [{"a": 2}, {"a": 3}])
    assert path.read_text() == '{"a":1}\n{"a":2}\n{"a":3}\n'
    assert stat.S_IMODE(path.stat().st_mode) == OWNER_ONLY
