"""The fallback log: rows go to the spool on disk while Redis is down."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from decisioning.errors import LogUnavailableError
from serving.log.log_rows import StreamRow
from serving.log.spool import Spool


class FallbackLog:
    """Appends to the spool off the event loop; the drain brings the rows into the log."""

    def __init__(self, folder: Path) -> None:
        self._spool = Spool(folder)

    async def append(self, rows: Sequence[tuple[str, StreamRow]], *, within_s: float) -> None:
        """Keep rows of canonical tables; they are on the disk on return.

        Args:
            rows: Table name and row.
            within_s: Give up waiting after this; the disk may still take the rows later.

        Raises:
            LogUnavailableError: The disk did not take them, or not in time.
        """
        try:
            async with asyncio.timeout(within_s):
                await asyncio.to_thread(self._append, rows)
        except TimeoutError as error:
            raise LogUnavailableError("spool must take a row in time, got a slow disk; look at the disk") from error

    def _append(self, rows: Sequence[tuple[str, StreamRow]]) -> None:
        for table, row in rows:
            self._spool.append(table, row)
