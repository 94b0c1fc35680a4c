"""Concurrent asks share a round; a lone ask never waits for others, and no ask waits for long."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from serving.decisions.caller import Caller, Seat
from serving.decisions.rounds import Rounds

MOST, AT_ONCE = 4, 2
NOW = datetime(2026, 11, 2, tzinfo=UTC)


class Rides:
    """Rounds that end when the test says so."""

    def __init__(self) -> None:
        self.rounds = Rounds(self.hold, most=MOST, at_once=AT_ONCE)
        self.under_way: list[tuple[list[Seat], asyncio.Event]] = []
        self.started: dict[Seat, int] = {}
        self.partial_ends = 0

    async def hold(self, seats: list[Seat]) -> None:
        end = asyncio.Event()
        self.under_way.append((seats, end))
        self.started |= dict.fromkeys(seats, self.partial_ends)
        await end.wait()
        for seat in seats:
            seat.settle(RuntimeError("done"))

    def arrive(self, customers: list[str], in_force: object = None) -> Caller:
        asks: Any = [SimpleNamespace(request=SimpleNamespace(customer_id=one)) for one in customers]
        fixed: Any = in_force
        caller = Caller(asks, fixed, lambda: NOW)
        self.rounds.join(caller.seats)
        return caller

    def end(self, place: int) -> None:
        seats, end = self.under_way.pop(place % len(self.under_way))
        self.partial_ends += len(seats) < MOST
        end.set()

    def partial(self) -> int:
        return sum(len(seats) < MOST for seats, _ in self.under_way)

    def busy(self) -> list[str]:
        return [seat.customer_id for seats, _ in self.under_way for seat in seats]


async def a_moment() -> None:
    """Let the event loop run a few times; no time passes."""
    for _ in range(6):
        await asyncio.sleep(0)


def on_rides(check: Callable[[Rides], Any]) -> None:
    async def run() -> None:
        rides = Rides()
        await check(rides)
        while rides.under_way:
            rides.end(0)
            await a_moment()

    asyncio.run(run())


def test_a_lone_ask_starts_at_once() -> None:
    async def check(rides: Rides) -> None:
        rides.arrive(["C-1"])
        await a_moment()
        assert rides.busy() == ["C-1"]

    on_rides(check)


def test_asks_that_arrive_together_share_a_round() -> None:
    async def check(rides: Rides) -> None:
        for n in range(3):
            rides.arrive([f"C-{n}"])
        await a_moment()
        assert [len(seats) for seats, _ in rides.under_way] == [3]

    on_rides(check)


def test_asks_that_arrive_during_a_round_share_the_next_one() -> None:
    async def check(rides: Rides) -> None:
        for n in range(AT_ONCE + 3):
            rides.arrive([f"C-{n}"])
            await a_moment()
        assert [len(seats) for seats, _ in rides.under_way] == [1, 1]
        rides.end(0)
        await a_moment()
        assert [len(seats) for seats, _ in rides.under_way] == [1, 3]

    on_rides(check)


def test_two_asks_about_one_customer_run_one_after_the_other_and_other_customers_do_not_wait() -> None:
    async def check(rides: Rides) -> None:
        rides.arrive(["C-1", "C-1", "C-1", "C-2"])
        rides.arrive(["C-3"])
        await a_moment()
        assert sorted(rides.busy()) == ["C-1", "C-2", "C-3"]
        rides.end(0)
        await a_moment()
        assert rides.busy() == ["C-1"]

    on_rides(check)


def test_asks_for_different_policies_do_not_share_a_round() -> None:
    async def check(rides: Rides) -> None:
        rides.arrive(["C-1"], in_force="old")
        rides.arrive(["C-2", "C-3"], in_force="new")
        await a_moment()
        assert [len(seats) for seats, _ in rides.under_way] == [1, 2]

    on_rides(check)


def test_a_cancelled_ask_takes_no_place_in_a_round() -> None:
    async def check(rides: Rides) -> None:
        for n in range(AT_ONCE):
            rides.arrive([f"C-{n}"])
            await a_moment()
        gone, stays = rides.arrive(["C-8"]), rides.arrive(["C-9"])
        waiting = asyncio.create_task(gone.wait())
        await a_moment()
        waiting.cancel()
        await a_moment()
        rides.end(0)
        await a_moment()
        assert stays.seats[0] in rides.started
        assert gone.seats[0] not in rides.started

    on_rides(check)


def test_an_error_of_a_round_reaches_every_ask_in_it_and_the_next_round_starts() -> None:
    async def run() -> None:
        async def hold(seats: list[Seat]) -> None:
            raise RuntimeError("broken")

        rides = Rides()
        rides.rounds = Rounds(hold, most=MOST, at_once=1)
        callers = [rides.arrive([f"C-{n}"]) for n in range(2 * MOST + 1)]
        await asyncio.gather(*(caller.wait() for caller in callers))
        assert {str(seat.outcome) for caller in callers for seat in caller.seats} == {"broken"}

    asyncio.run(run())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=1, max_size=6)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 99)),
    ),
    max_size=30,
)


@given(steps=steps)
def test_no_ask_waits_longer_than_the_end_of_one_round(steps: list[tuple[str, Any]]) -> None:
    async def check(rides: Rides) -> None:
        callers: list[Caller] = []
        came: dict[Seat, int] = {}
        waits: list[asyncio.Task[Any]] = []
        for kind, what in steps:
            if kind == "arrive":
                callers.append(rides.arrive(what))
                came |= dict.fromkeys(callers[-1].seats, rides.partial_ends)
                waits.append(asyncio.create_task(callers[-1].wait()))
            elif kind == "end" and rides.under_way:
                rides.end(what)
            elif kind == "leave" and callers:
                waits[what % len(waits)].cancel()
            await a_moment()
            check_now(rides, callers)
            for seat, at in came.items():
                is_first = all(other.customer_id != seat.customer_id for other in came if other is not seat)
                if is_first and not seat.is_over and seat not in rides.started:
                    assert rides.partial_ends == at

    on_rides(check)


def check_now(rides: Rides, callers: list[Caller]) -> None:
    busy = rides.busy()
    assert len(busy) == len(set(busy))
    assert all(len(seats) <= MOST for seats, _ in rides.under_way)
    assert rides.partial() <= AT_ONCE
    seats = [seat for caller in callers for seat in caller.seats if not seat.is_over]
    could_go = {seat.customer_id for seat in seats if seat not in rides.started} - set(busy)
    assert not could_go or (rides.partial() == AT_ONCE and len(could_go) < MOST)
    for name in {seat.customer_id for seat in seats}:
        own = [seat in rides.started for seat in seats if seat.customer_id == name]
        assert own == sorted(own, reverse=True)
