"""The time that a process uses as now."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from decisioning.errors import InvalidInputError
from features.clock import clock_of, set_clock, wall_clock
from features.settings import Settings

MOMENT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def test_without_a_rehearsal_now_is_the_system_time() -> None:
    assert clock_of(Settings()) is wall_clock
    assert wall_clock().tzinfo is UTC


def test_in_a_rehearsal_now_follows_the_clock_file(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    set_clock(path, MOMENT)
    clock = clock_of(Settings(rehearsal_clock=path))
    assert clock() == MOMENT
    for step in range(1, 30):
        set_clock(path, MOMENT + timedelta(hours=step))
        assert clock() == MOMENT + timedelta(hours=step)


@pytest.mark.parametrize("text", [None, "", "tomorrow"])
def test_an_unreadable_clock_file_stops_the_start(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "clock"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidInputError, match="rehearsal_clock must be"):
        clock_of(Settings(rehearsal_clock=path))
