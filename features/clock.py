"""The clock of a process: the wall's, or in a rehearsal the moment that a file names.

A rehearsal plays weeks of customer journeys in minutes through the real server. Its driver writes the moment
into the file with `set_clock`; every process of the rehearsal reads it there.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from decisioning.errors import InvalidInputError
from features.durability import replace_file
from features.moments import moment_from
from features.settings import Settings

type Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """Now (aware, UTC)."""
    return datetime.now(UTC)  # noqa: TID251 - the clock


def clock_of(settings: Settings) -> Clock:
    """The clock that settings name: `rehearsal_clock`, or the wall's.

    Raises:
        InvalidInputError: The file is not there, or does not hold a moment.
    """
    if settings.rehearsal_clock is None:
        return wall_clock
    clock = RehearsalClock(settings.rehearsal_clock)
    clock()
    return clock


class RehearsalClock:
    """Reads its moment from a file, again whenever the file has changed."""

    __slots__ = ("_moment", "_path", "_seen")

    def __init__(self, path: Path) -> None:
        """Name the file; it is read when the clock is asked."""
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._moment = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        """The moment that the file names (aware, UTC).

        Raises:
            InvalidInputError: The file is not there, or does not hold a moment.
        """
        try:
            state = self._path.stat()
            seen = (state.st_mtime_ns, state.st_ino)
            if seen != self._seen:
                self._moment = moment_from(self._path.read_text(encoding="utf-8").strip(), "rehearsal_clock")
                self._seen = seen
        except OSError as error:
            raise InvalidInputError(
                f"rehearsal_clock must be a file that holds a moment, got {self._path} ({error.strerror});"
                " leave NEXTBEST_REHEARSAL_CLOCK unset outside of rehearsals"
            ) from error
        return self._moment


def set_clock(path: Path, moment: datetime) -> None:
    """Set a rehearsal's clock, in one step: a reader sees the old moment or the new one."""
    replace_file(path, moment.astimezone(UTC).isoformat().encode())
