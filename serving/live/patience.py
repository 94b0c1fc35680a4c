"""Waiting for another process, with a clock that ignores the time during which our own process was stopped."""

import asyncio
from collections.abc import Coroutine

_SLICES = 5


async def answer_within[T](work: Coroutine[object, object, T], seconds: float) -> T:
    """What `work` returns, if the other side answers in time; a stretch in which our own loop was busy counts little.

    `asyncio.timeout` lets its deadline pass while the loop computes, and then gives up on an answer that has long been
    there. Here the time is waited for in slices: such a stretch uses up one, and the answer is read in the next.

    Raises:
        TimeoutError: No answer in time; `work` is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        for _ in range(_SLICES):
            await asyncio.wait({task}, timeout=seconds / _SLICES)
            if task.done():
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()
