"""A background loop survives a failed step and logs it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from serving.background import survive


async def test_the_loop_logs_a_failed_step_and_goes_on() -> None:
    async def fall_over() -> None:
        raise RuntimeError("the disk is on fire")

    with capture_logs() as logs:
        assert not await survive(fall_over, "pacing_failed")
    assert [(one["event"], one["log_level"]) for one in logs] == [("pacing_failed", "error")]


async def test_a_successful_step_is_not_logged() -> None:
    async def work() -> None:
        return None

    with capture_logs() as logs:
        assert await survive(work, "pacing_failed")
    assert logs == []


async def test_a_cancelled_loop_logs_no_failure() -> None:
    async def interrupted() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await survive(interrupted, "pacing_failed")
