"""What a play gained over silence, in exact expectation along the way it went.

With Q the worth of an action followed by silence for ever, and V that of silence, both exact from the world's
equations, what a policy gains over silence is in expectation the sum over its weeks of Q(state, action) - V(state):
every action is charged with what it changes, and chance in what customers did drops out of the comparison. So a few
thousand customers say what realised contributions say only of a great many.

Reference:
    Kakade and Langford (2002), Approximately optimal approximate reinforcement learning, lemma 6.1.
"""

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from pipelines.simulation.policies.expectation import Ahead, Expectation, same
from pipelines.simulation.world.journey import JourneyStep
from pipelines.simulation.world.state import WorldState
from pipelines.simulation.world.world import World


class SilentFuture:
    """Worth of every action of a world that is silent ever after, for some weeks."""

    def __init__(self, world: World, weeks: int) -> None:
        """Solve from the end of the weeks back to the beginning, for customers who left and who did not.

        Args:
            world: As it stands at the beginning.
            weeks: How many count; what comes after them counts nothing.
        """
        self._world, self._first, self._weeks = world.copy(), world.week, weeks
        shape = (weeks + 1, len(JourneyStep), world.population.size)
        self._free, self._left = np.zeros(shape), np.zeros(shape)
        for place in reversed(range(weeks)):
            expectation = Expectation.of(world, place)
            for values, has_left in ((self._free, False), (self._left, True)):
                ahead = same(list(values[place + 1]))
                for step in JourneyStep:
                    values[place, step] = expectation.silence(step, slice(None), ahead, has_left=has_left)

    def advantage(self, week: int, state: WorldState, actions: IntArray) -> FloatArray:
        """What actions add to silence, contact costs taken off: shape (n,), 0 where the action is silence.

        Args:
            week: Of the world.
            state: Where everybody stands at its beginning.
            actions: shape (n,), index of a message or -1.
        """
        place, effects = week - self._first, self._world.effects
        expectation = Expectation.of(self._world, place)
        found = np.zeros(len(actions))
        sent = np.flatnonzero(actions >= 0)
        kinds = np.stack([actions[sent], state.step[sent]])
        for message, step in np.unique(kinds, axis=1).T.tolist():
            rows = sent[(kinds[0] == message) & (kinds[1] == step)]
            ahead, has_left = self._ahead(place, rows, state), state.has_left[rows]
            worth = expectation.message(message, JourneyStep(step), rows, state.memory[rows], ahead, has_left=has_left)
            found[rows] = worth - expectation.silence(JourneyStep(step), rows, ahead, has_left=has_left)
        return found - np.where(actions >= 0, effects.cost_minor[actions], 0.0)

    def _ahead(self, place: int, rows: IntArray, state: WorldState) -> Ahead:
        has_left = state.has_left[rows]
        left = [self._left[place + 1, step, rows] for step in JourneyStep]
        after = [
            np.where(has_left, gone, self._free[place + 1, step, rows])
            for step, gone in zip(JourneyStep, left, strict=True)
        ]
        return Ahead(quiet=after, contacted=after, left=left)
