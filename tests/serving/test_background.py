"""A background loop outlives a step that fails, and says so in the log."""

import asyncio

import pytest
from structlog.testing import capture_logs

from serving.background import survive


async def test_a_step_that_fails_is_logged_and_survived() -> None:
    async def fall_over() -> None:
        raise RuntimeError("the disk is on fire")

    with capture_logs() as logs:
        assert not await survive(fall_over, "pacing_failed")
    assert [(one["event"], one["log_level"]) for one in logs] == [("pacing_failed", "error")]


async def test_a_step_that_works_is_not_remarked_on() -> None:
    async def work() -> None:
        return None

    with capture_logs() as logs:
        assert await survive(work, "pacing_failed")
    assert logs == []


async def test_being_told_to_stop_is_no_failure() -> None:
    async def interrupted() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await survive(interrupted, "pacing_failed")
