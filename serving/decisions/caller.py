"""Who asks, and for how long they wait: a caller has one or more asks, each with a seat in some round."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from decisioning.errors import UnavailableError
from serving.decisions.ask import Ask
from serving.decisions.draft import Draft
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Known

REDIS_SHARE = 0.8
"""Share of the deadline that Redis may use; the rest is the spool's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The ask got a decision before, or a copy of it was given one a moment ago."""

    ask: Ask
    known: Known
    stored: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No log confirmed a decision.

    Attributes:
        cause: What was away, in the words of the log.
        withdrawn: A decision that may be in the log all the same.
    """

    error: TimeoutError | UnavailableError
    cause: str
    withdrawn: Draft | None = None


type Outcome = Draft | Repeated | Failed | Exception


@dataclass(slots=True, eq=False, kw_only=True)
class Seat:
    """One ask on its way.

    Attributes:
        now: The moment it is decided as of: when its round starts; None before.
        committing: The draft that was sent to the log last; None where none was.
        conflicts: Commits that were lost to others.
        outcome: Set once.
    """

    ask: Ask
    caller: "Caller"
    now: datetime | None = None
    committing: Draft | None = None
    conflicts: int = 0
    outcome: Outcome | None = None

    @property
    def customer_id(self) -> str:
        """Who it is about."""
        return self.ask.request.customer_id

    @property
    def in_force(self) -> InForce:
        """What it is decided with."""
        return self.caller.in_force

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.outcome is not None or self.caller.is_gone

    def settle(self, outcome: Outcome) -> None:
        """Say what became of it."""
        if self.outcome is None:
            self.outcome = outcome
            self.caller.one_less()


class Caller:
    """Waits for the asks of one call.

    Attributes:
        ends_at: When they stop waiting, by the clock of the event loop; None where they do not.
        redis_ends_at: When they give Redis up.
        prices_minor: Shadow prices that the decisions pay; None for those that Redis holds.
        is_gone: They stopped waiting.
    """

    def __init__(
        self,
        asks: Sequence[Ask],
        in_force: InForce,
        clock: Callable[[], datetime],
        *,
        deadline_s: float | None = None,
        prices_minor: Mapping[str, float] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.in_force = in_force
        self.clock = clock
        self.ends_at = None if deadline_s is None else now + deadline_s
        self.redis_ends_at = None if deadline_s is None else now + REDIS_SHARE * deadline_s
        self.prices_minor = prices_minor
        self.seats = [Seat(ask=ask, caller=self) for ask in asks]
        self._missing = len(self.seats)
        self._done: asyncio.Future[None] = loop.create_future()

    @property
    def is_gone(self) -> bool:
        """Whether they stopped waiting."""
        return self._done.done()

    def one_less(self) -> None:
        """One more of the asks has its outcome."""
        self._missing -= 1
        if not self._missing:
            self._stop()

    async def wait(self) -> list[Seat]:
        """Wait until every ask has its outcome or the time that Redis has is over.

        Returns:
            Seats that are late.
        """
        if not self._missing:
            return []
        timer = None
        if self.redis_ends_at is not None:
            timer = asyncio.get_running_loop().call_at(self.redis_ends_at, self._stop)
        try:
            await self._done
        finally:
            if timer is not None:
                timer.cancel()
        return [seat for seat in self.seats if seat.outcome is None] if self._missing else []

    def _stop(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
