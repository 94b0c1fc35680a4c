"""The best that any policy could do: dynamic programming with the true equations, for every customer on their own.

The state of a customer is step, memory of three weeks and having left; an action is a message or silence. Without
shared capacities customers do not meet, so the best policy is the best of each. Shared capacities are priced: for any
prices of 0 or more, the sum of `OraclePlan.value` plus prices x capacity x weeks is an upper bound of what any policy
within the capacities can reach (weak duality), and the least such bound comes from `prices`.

Messages are those that consent, reach, the stage that customers are truly in and the cap of three contacts in four
weeks allow. Rules that only forbid more (a quarter between surveys, rest after a no) are left out, so the bound holds
under them too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.errors import InvalidInputError
from pipelines.simulation.policies.expectation import Ahead, Expectation, Worths, same
from pipelines.simulation.world.effects import EVERYBODY, WorldEffects
from pipelines.simulation.world.journey import FULL_MEMORY, MEMORIES, JourneyStep, contacts_after
from pipelines.simulation.world.state import WorldState
from pipelines.simulation.world.world import World, may_serve

_QUIET = np.array([contacts_after(memory, is_contacted=False) for memory in range(MEMORIES)])
_CONTACTED = np.array([contacts_after(memory, is_contacted=True) for memory in range(MEMORIES)])
_ALL_MEMORIES = np.arange(MEMORIES)[None, :]
_HIGHEST_PRICE_MINOR = 20_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OraclePlan:
    """What the best policy is worth, and what each action is; money in minor units.

    Attributes:
        world: The world it was solved for, as it was then.
        weeks: How many it plans for; what comes after them counts nothing.
        prices_minor: Price of a contact beyond its cost, per channel.
        value: Contribution less contact costs and prices under the best policy, shape (n,).
        silence_value: Contribution when nobody is sent anything, shape (n,).
    """

    world: World
    first_week: int
    weeks: int
    prices_minor: Mapping[str, float]
    value: FloatArray
    silence_value: FloatArray
    _free: Worths = field(repr=False)  # (weeks + 1, steps, n, 8)
    _left: Worths = field(repr=False)  # (weeks + 1, steps, n)

    def values(self, week: int, state: WorldState, *, before_contact_cost: bool = False) -> FloatArray:
        """Value of every action for every customer where they stand, permitted or not; shape (n, k + 1).

        Args:
            week: Week of the world, from `first_week` on.
            state: Where everybody stands at its beginning.
            before_contact_cost: Leave the cost of the contact out, for an engine that charges it itself. Prices are
                always taken off.

        Returns:
            Expected money until the plan's end: silence first, then the world's messages in order.

        Raises:
            InvalidInputError: A week that the plan does not cover.
        """
        everything = np.ones((len(self.world.messages), len(JourneyStep)), dtype=np.bool_)
        found = self._values(week, state, everything)
        found[:, 1:] -= _charges(self.world.effects, self.prices_minor, counts_cost=not before_contact_cost)
        return found

    def actions(self, week: int, state: WorldState) -> IntArray:
        """The best permitted action for every customer, shape (n,); ties go to silence."""
        there = self.world.copy()
        there.state = state
        values = self._values(week, state, _possible(self.world.effects))
        values[:, 1:] -= _charges(self.world.effects, self.prices_minor)
        values[:, 1:][~there.permitted()] = -np.inf
        return values.argmax(axis=1) - 1

    def _values(self, week: int, state: WorldState, wanted: BoolArray) -> FloatArray:
        """As `values`, before charges; -inf for messages that are not wanted in a step: shape (k, steps)."""
        place = week - self.first_week
        if not 0 <= place < self.weeks:
            raise InvalidInputError(
                f"week must be in [{self.first_week}, {self.first_week + self.weeks}), got {week}; solve for more weeks"
            )
        expectation = Expectation.of(self.world, place)
        found = np.full((state.step.size, len(self.world.messages) + 1), -np.inf)
        for step in JourneyStep:
            rows = np.flatnonzero(state.step == step)
            if rows.size:
                messages = np.flatnonzero(wanted[:, step])
                columns = np.concatenate([[0], messages + 1])
                found[np.ix_(rows, columns)] = self._of_step(expectation, step, rows, state, place, messages)
        return found

    def _of_step(
        self,
        expectation: Expectation,
        step: JourneyStep,
        rows: IntArray,
        state: WorldState,
        place: int,
        messages: IntArray,
    ) -> FloatArray:
        """Value of silence and some messages for those who stand at a step."""
        memory, has_left = state.memory[rows], state.has_left[rows]
        left = [self._left[place + 1, each, rows] for each in JourneyStep]
        quiet, contacted = (
            [np.where(has_left, left[each], self._free[place + 1, each, rows, after[memory]]) for each in JourneyStep]
            for after in (_QUIET, _CONTACTED)
        )
        ahead = Ahead(quiet=quiet, contacted=contacted, left=left)
        found = [expectation.silence(step, rows, ahead, has_left=has_left)]
        found += [
            expectation.message(message, step, rows, memory, ahead, has_left=has_left) for message in messages.tolist()
        ]
        return np.stack(found, axis=1)


def solve(world: World, weeks: int, *, prices_minor: Mapping[str, float] | None = None) -> OraclePlan:
    """Find the best policy for the weeks that come.

    Args:
        world: The world as it stands; it is not changed.
        weeks: How many weeks count.
        prices_minor: Price of a contact per channel, 0 or more, where capacity is scarce.

    Returns:
        The plan, exact up to single precision.

    Raises:
        InvalidInputError: No weeks, a negative price or a channel that the population does not know.
    """
    prices = dict(prices_minor or {})
    _check(world, weeks, prices)
    size, charges = world.population.size, _charges(world.effects, prices)
    free = np.zeros((weeks + 1, len(JourneyStep), size, MEMORIES), dtype=np.float32)
    left = np.zeros((weeks + 1, len(JourneyStep), size), dtype=np.float32)
    quiet = np.zeros((len(JourneyStep), size))
    for place in reversed(range(weeks)):
        expectation = Expectation.of(world, place)
        quiet = _quiet_week(expectation, quiet, has_left=world.state.has_left)
        left[place] = _quiet_week(expectation, left[place + 1], has_left=True)
        free[place] = _free_week(world, expectation, free[place + 1], left[place + 1], charges)
    state, everybody = world.state, np.arange(size)
    return OraclePlan(
        world=world.copy(),
        first_week=world.week,
        weeks=weeks,
        prices_minor=prices,
        value=np.where(
            state.has_left, left[0, state.step, everybody], free[0, state.step, everybody, state.memory]
        ).astype(np.float64),
        silence_value=quiet[state.step, everybody],
        _free=free,
        _left=left,
    )


def prices(
    world: World, weeks: int, capacities: Mapping[str, float], *, sample: int = 2_000, rounds: int = 10
) -> dict[str, float]:
    """Prices per channel at which the oracle uses no more than there is, found by bisection of all at once.

    Args:
        world: The world as it stands; it is not changed.
        weeks: How many weeks count.
        capacities: Contacts per week and channel, for the whole population.
        sample: Customers that prices are found on, with their share of the capacities.
        rounds: Halvings; the price is known to a `2 ** rounds`-th of 200 units of currency.

    Returns:
        Price in minor units per channel; 0 where capacity is not scarce.
    """
    part = world.first(min(sample, world.population.size))
    room = {name: amount * weeks * part.population.size / world.population.size for name, amount in capacities.items()}
    low, high = dict.fromkeys(capacities, 0.0), dict.fromkeys(capacities, _HIGHEST_PRICE_MINOR)
    if all(used <= room[name] for name, used in _use(part, weeks, low).items()):
        return low
    for _ in range(rounds):
        tried = {name: _middle(low[name], high[name]) for name in capacities}
        for name, used in _use(part, weeks, tried).items():
            (low if used > room[name] else high)[name] = tried[name]
    return {name: high[name] if low[name] > 0 else 0.0 for name in capacities}


def _middle(low: float, high: float) -> float:
    """Geometric above one minor unit, since prices are small against the highest."""
    return float(np.sqrt(max(low, 0.5) * high)) if high > 1 else high / 2


def _use(world: World, weeks: int, tried: Mapping[str, float]) -> dict[str, float]:
    """Contacts per channel that the plan makes of its own customers."""
    plan, living = solve(world, weeks, prices_minor=tried), world.copy()
    used = dict.fromkeys(tried, 0.0)
    for week in range(world.week, world.week + weeks):
        actions = plan.actions(week, living.state)
        living.run_week(actions)
        sent = world.effects.channel[actions[actions >= 0]]
        for name in tried:
            used[name] += float(np.sum(sent == world.population.channels.index(name)))
    return used


def _quiet_week(expectation: Expectation, after: Worths, *, has_left: BoolArray | bool) -> FloatArray:
    ahead = same(list(after))
    return np.stack([expectation.silence(step, EVERYBODY, ahead, has_left=has_left) for step in JourneyStep])


def _free_week(world: World, expectation: Expectation, free: Worths, left: Worths, charges: FloatArray) -> FloatArray:
    """Value of each step and memory at the beginning of a week, shape (steps, n, 8)."""
    effects, permits = world.effects, world.effects.permits()
    is_possible = _possible(effects)
    ahead = Ahead(
        quiet=[values[:, _QUIET] for values in free],
        contacted=[values[:, _CONTACTED] for values in free],
        left=list(left),
    )
    found = np.empty(free.shape)
    for step in JourneyStep:
        best = expectation.silence(step, EVERYBODY, ahead)
        for message in np.flatnonzero(is_possible[:, step]).tolist():
            worth = expectation.message(message, step, EVERYBODY, _ALL_MEMORIES, ahead) - charges[message]
            worth[:, FULL_MEMORY] = -np.inf
            best = np.where(permits[:, message, None], np.maximum(best, worth), best)
        found[step] = best
    return found


def _possible(effects: WorldEffects) -> BoolArray:
    """Messages that steps may get at all, shape (k, steps)."""
    return effects.is_in_stage & may_serve(effects.messages)


def _charges(effects: WorldEffects, tried: Mapping[str, float], *, counts_cost: bool = True) -> FloatArray:
    channels = effects.population.channels
    price = np.array([tried.get(channels[place], 0.0) for place in effects.channel])
    return price + effects.cost_minor if counts_cost else price


def _check(world: World, weeks: int, tried: Mapping[str, float]) -> None:
    if weeks < 1:
        raise InvalidInputError(f"weeks must be at least 1, got {weeks}")
    for name, price in tried.items():
        if name not in world.population.channels:
            raise InvalidInputError(f"prices_minor must be of channels that there are, got {name!r}")
        if not price >= 0:
            raise InvalidInputError(f"price of {name} must be 0 or more, got {price}")
