import errno
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from decisioning.errors import LogUnavailableError
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
from serving.log.dead_letters import read_letters
from serving.log.drain import DrainReport, dead_letters_path, drain_spool
from serving.log.spool import Spool, take_files


def event(event_id: str) -> dict[str, object]:
    return {
        "event_id": event_id,
        "customer_id": "C-1",
        "type": "browse",
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
    }


def ids_in(log: EventLog) -> list[str]:
    return sorted(log.read(EVENTS)["event_id"].to_list())


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "log")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_rows_wait_as_json_lines_in_one_file_per_spool(folder: Path) -> None:
    spool = Spool(folder)
    spool.append("events", event("a"))
    spool.append("events", event("b"))
    Spool(folder).append("events", event("c"))
    files = sorted(folder.glob("*.jsonl"))
    lines = [orjson.loads(line) for path in files for line in path.read_bytes().splitlines()]
    assert len(files) == 2
    assert {line["row"]["event_id"] for line in lines} == {"a", "b", "c"}
    assert {line["table"] for line in lines} == {"events"}


def test_the_drain_moves_every_row_into_the_log_and_leaves_an_empty_spool(folder: Path, log: EventLog) -> None:
    spool = Spool(folder)
    for name in "abc":
        spool.append("events", event(name))
    assert drain_spool(log, folder) == DrainReport(inserted=3)
    assert ids_in(log) == ["a", "b", "c"]
    assert list(folder.iterdir()) == []
    assert drain_spool(log, folder) == DrainReport()


def test_a_spool_can_be_used_after_it_was_drained(folder: Path, log: EventLog) -> None:
    spool = Spool(folder)
    spool.append("events", event("a"))
    drain_spool(log, folder)
    spool.append("events", event("b"))
    drain_spool(log, folder)
    assert ids_in(log) == ["a", "b"]


def test_an_interrupted_drain_is_finished_by_the_next(folder: Path, log: EventLog) -> None:
    Spool(folder).append("events", event("a"))
    (taken,) = take_files(folder)
    assert taken.is_file()
    Spool(folder).append("events", event("b"))
    assert drain_spool(log, folder) == DrainReport(inserted=2)


def test_rows_already_in_the_log_are_duplicates(folder: Path, log: EventLog) -> None:
    for _ in range(2):
        Spool(folder).append("events", event("a"))
        report = drain_spool(log, folder)
    assert report == DrainReport(duplicates=1)


def test_a_torn_line_is_kept_as_a_dead_letter_and_blocks_nothing(folder: Path, log: EventLog) -> None:
    Spool(folder).append("events", event("a"))
    (path,) = folder.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"table":"events","row":{"event_id":"b"')
    assert drain_spool(log, folder) == DrainReport(inserted=1, dead=1)
    (letter,) = read_letters(dead_letters_path(folder))
    assert letter["content"] == '{"table":"events","row":{"event_id":"b"'


def test_rows_stay_when_the_log_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where the log's folder should be")
    Spool(folder).append("events", event("a"))
    with pytest.raises(LogUnavailableError):
        drain_spool(EventLog(tmp_path / "blocked"), folder)
    assert drain_spool(EventLog(tmp_path / "log"), folder) == DrainReport(inserted=1)


def test_a_spool_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    with pytest.raises(LogUnavailableError, match="spool must be writable"):
        Spool(tmp_path / "spool").append("events", event("a"))


def test_a_full_disk_leaves_no_half_line(folder: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, write = Spool(folder), os.write
    spool.append("events", event("a"))

    def fill(handle: int, data: bytes) -> int:
        if len(data) > 20:
            return write(handle, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", fill)
        with pytest.raises(LogUnavailableError, match="No space left"):
            spool.append("events", event("b"))
    spool.append("events", event("c"))
    assert drain_spool(log, folder) == DrainReport(inserted=2)
    assert ids_in(log) == ["a", "c"]


def test_concurrent_appends_during_a_drain_lose_and_repeat_nothing(folder: Path, log: EventLog) -> None:
    spool, done = Spool(folder), threading.Event()

    def write(first: int) -> None:
        for number in range(first, first + 150):
            spool.append("events", event(f"{number:04d}"))

    writers = [threading.Thread(target=write, args=(1_000 * index,)) for index in range(3)]
    drains = [threading.Thread(target=lambda: [drain_spool(log, folder) for _ in iter(done.is_set, True)])] * 1
    for thread in (*writers, *drains):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    drains[0].join()
    drain_spool(log, folder)
    assert ids_in(log) == sorted(f"{1_000 * index + number:04d}" for index in range(3) for number in range(150))


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from serving.log.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(1_000_000):
    spool.append("events", {"event_id": f"{number:07d}", "customer_id": "C", "type": "browse",
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC)})
    print(number, flush=True)
"""


def test_every_row_confirmed_to_a_killed_writer_is_there(folder: Path, log: EventLog) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    sure = [writer.stdout.readline() for _ in range(300)]
    drain_spool(log, folder)
    sure += [writer.stdout.readline() for _ in range(50)]
    writer.kill()
    sure += [line for line in writer.stdout if line.endswith("\n")]
    writer.stdout.close()
    writer.wait()
    drain_spool(log, folder)
    ids = ids_in(log)
    assert ids == [f"{number:07d}" for number in range(len(ids))]
    assert len(ids) >= len(sure) >= 350
