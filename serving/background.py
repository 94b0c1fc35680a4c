"""Background tasks of a server, which keep running after a failure."""

from collections.abc import Awaitable, Callable

import structlog

_LOG = structlog.get_logger("nextbest.serving")


async def survive(step: Callable[[], Awaitable[object]], failure: str) -> bool:
    """Take one step of a background loop; an unexpected error is logged as `failure`, and the loop goes on.

    Returns:
        False where it failed.
    """
    try:
        await step()
    except Exception as error:  # noqa: BLE001 - an edge of its own: nobody above would hear of it
        _LOG.error(failure, exc_info=error)
        return False
    return True


def survive_blocking(step: Callable[[], object], failure: str) -> bool:
    """As `survive`, for a loop in a thread of its own.

    Returns:
        False where it failed.
    """
    try:
        step()
    except Exception as error:  # noqa: BLE001 - an edge of its own: nobody above would hear of it
        _LOG.error(failure, exc_info=error)
        return False
    return True
