"""Waiting for another process, with a clock that ignores the time during which our own process was stopped."""

import asyncio
from collections.abc import Callable, Coroutine

_SLICES = 5


def _nothing() -> int:
    return 0


async def answer_within[T](
    work: Coroutine[object, object, T], seconds: float, *, heard: Callable[[], int] = _nothing
) -> T:
    """What `work` returns, if the other side answers in time; a stretch in which our own loop was busy counts little.

    `asyncio.timeout` lets its deadline pass while the loop computes, and then gives up on an answer that has long been
    there. Here the time is waited for in slices: such a stretch uses up one, and the answer is read in the next.

    Args:
        work: Waits for the answer.
        seconds: How long the other side may be silent.
        heard: Changes whenever the other side says something else: who is busy answering others is alive.

    Raises:
        TimeoutError: No answer in time; `work` is cancelled.
    """
    task = asyncio.ensure_future(work)
    last, left = heard(), _SLICES
    try:
        while left:
            await asyncio.wait({task}, timeout=seconds / _SLICES)
            if task.done():
                return task.result()
            before, last = last, heard()
            left = left - 1 if last == before else _SLICES
        raise TimeoutError
    finally:
        task.cancel()
