"""Which asks travel together: those that come while others are under way share the next round.

Nothing waits for company: at an idle server an ask starts at once, by itself. While `AT_ONCE` rounds are under way,
whoever comes waits for the first of them to end; then all who wait start together. A round that is full starts at once
all the same, since there is nothing more to share. So an ask waits for the end of one round at most, however many
callers there are. The exception is an ask about a customer of whom another one is under way: these go one after the
other, in their order, and strangers pass them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from serving.decisions.caller import Seat

MOST = 64
"""Asks in one round: more would share little more, and wait longer for each other."""

AT_ONCE = 2
"""Rounds under way that are not full: while one is at Redis, the other one is decided."""


class Rounds:
    """Forms rounds and holds them."""

    def __init__(
        self,
        hold: Callable[[list[Seat]], Coroutine[Any, Any, None]],
        *,
        most: int = MOST,
        at_once: int = AT_ONCE,
    ) -> None:
        """Say how a round is held; seats that it leaves without an outcome when it fails get its error."""
        self._hold = hold
        self._most = most
        self._at_once = at_once
        self._waiting: list[Seat] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._partial = 0
        self._busy: set[str] = set()
        self._is_called = False

    def join(self, seats: Iterable[Seat]) -> None:
        """Let seats travel; those that join before the event loop comes round again start together."""
        self._waiting.extend(seats)
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_called = False
        while seats := self._next():
            is_partial = len(seats) < self._most
            self._partial += is_partial
            task = asyncio.get_running_loop().create_task(self._travel(seats, is_partial=is_partial))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _next(self) -> list[Seat]:
        """Who starts now; nobody where they rather wait for a round to end."""
        must_be_full = self._partial >= self._at_once
        if not self._waiting or (must_be_full and len(self._waiting) < self._most):
            return []
        chosen: list[Seat] = []
        customers: set[str] = set()
        left: list[Seat] = []
        for seat in self._waiting:
            if seat.is_over:
                continue
            who = seat.customer_id
            has_room = len(chosen) < self._most and (not chosen or seat.in_force is chosen[0].in_force)
            if has_room and who not in self._busy and who not in customers:
                chosen.append(seat)
            else:
                left.append(seat)
            customers.add(who)
        if must_be_full and len(chosen) < self._most:
            return []
        self._waiting = left
        self._busy.update(seat.customer_id for seat in chosen)
        return chosen

    async def _travel(self, seats: list[Seat], *, is_partial: bool) -> None:
        customers = [seat.customer_id for seat in seats]
        try:
            await self._hold(seats)
        except Exception as error:  # noqa: BLE001 - it is raised where each ask is waited for
            for seat in seats:
                seat.settle(error)
        finally:
            self._partial -= is_partial
            self._busy.difference_update(customers)
        self._start()
