"""What an action is worth in expectation, exactly: this week's money, and what the weeks after it are worth.

Everything is linear in P(seen), so an action's value is a mixture of two::

    value(m) = P(seen) [ r(seen) + (1 - l) sum_s p(s | seen) V(s, contacted) + l sum_s p(s | seen) V(s, left) ]
             + (1 - P(seen)) [ r(unseen) + sum_s p(s | unseen) V(s, contacted) ] - cost

with l = P(leaving | seen), and V what a week later is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from decisioning.arrays import BoolArray, FloatArray, IntArray
from pipelines.simulation.world.effects import Rows, WorldEffects
from pipelines.simulation.world.flights import flights_at
from pipelines.simulation.world.journey import JourneyStep
from pipelines.simulation.world.moves import Chain, Moves
from pipelines.simulation.world.state import UNPROMPTED
from pipelines.simulation.world.world import WEEK, World

type Worths = npt.NDArray[np.floating[Any]]
"""Amounts; plans are kept in single precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What the weeks after this one are worth, by next step; each array of shape (r,), or (r, 8) per memory.

    Attributes:
        quiet: After silence.
        contacted: After a contact.
        left: After leaving all marketing; always of shape (r,).
    """

    quiet: Sequence[Worths]
    contacted: Sequence[Worths]
    left: Sequence[Worths]


def same(values: Sequence[Worths]) -> Ahead:
    """Weeks that are worth the same whatever this one brings."""
    return Ahead(quiet=values, contacted=values, left=values)


class Expectation:
    """Expected values of one week, for a population and its messages."""

    def __init__(self, effects: WorldEffects, chain: Chain) -> None:
        self._effects, self._chain = effects, chain

    @classmethod
    def of(cls, world: World, weeks: int) -> "Expectation":
        """Of the week that begins some weeks after a world's current one."""
        return cls(world.effects, Chain(world.effects, flights_at(world.now + weeks * WEEK)))

    def silence(self, step: JourneyStep, rows: Rows, ahead: Ahead, *, has_left: BoolArray | bool = False) -> FloatArray:
        """Value of silence for customers who stand at a step; shape of `ahead.quiet`."""
        moves = self._chain.moves(step, rows, has_left=has_left)
        return _over(moves, ahead.quiet) + _like(self._income(step, rows, moves), ahead.quiet)

    def message(
        self,
        message: int,
        step: JourneyStep,
        rows: Rows,
        memory: IntArray,
        ahead: Ahead,
        *,
        has_left: BoolArray | bool = False,
    ) -> FloatArray:
        """Value of a message before its contact cost; shape of `ahead.contacted`.

        Args:
            message: Index of the message.
            step: Where all of them stand.
            rows: Which customers, r of them.
            memory: Shape (r,), or (1, 8) for each memory.
            ahead: What comes after.
            has_left: Left all marketing in anger; such a customer cannot leave again.
        """
        effects = self._effects
        unseen = self._chain.moves(step, rows, has_left=has_left)
        seen = self._chain.moves(step, rows, push=effects.push(message, rows, step), has_left=has_left)
        leaving = np.where(
            _like(has_left, ahead.contacted), 0.0, effects.leaving_probability(message, rows, step, memory)
        )
        stays, goes = _over(seen, ahead.contacted), _like(_over(seen, ahead.left), ahead.contacted)
        brings = self._income(step, rows, seen) + self._response(message, step, rows, seen)
        when_seen = _like(brings, ahead.contacted) + (1 - leaving) * stays + leaving * goes
        when_unseen = _like(self._income(step, rows, unseen), ahead.contacted) + _over(unseen, ahead.contacted)
        probability = effects.seen_probability(message, rows, memory)
        return probability * when_seen + (1 - probability) * when_unseen

    def _income(self, step: JourneyStep, rows: Rows, moves: Moves) -> FloatArray:
        """Trips booked at their full price, and extras bought unasked; shape (r,)."""
        people, structure = self._effects.population, self._effects.structure
        income = np.zeros_like(people.trip_minor[rows])
        if step is JourneyStep.PLAN:
            income += _probability(moves, JourneyStep.BOOK_1) * people.trip_minor[rows]
        if step in UNPROMPTED:
            income += structure.unprompted_extra * structure.unprompted_minor
        return income

    def _response(self, message: int, step: JourneyStep, rows: Rows, seen: Moves) -> FloatArray:
        """What a seen message sells of its own, less what its discount costs; shape (r,)."""
        effects = self._effects
        brings = effects.sale(message, rows, step) * effects.sale_minor[message]
        discount = effects.discount_minor(message, rows)
        if step is JourneyStep.PLAN:
            brings = brings - _probability(seen, JourneyStep.BOOK_1) * discount
        if step is JourneyStep.LAPSE and effects.strength[message, step, 1] > 0:
            brings = brings - _probability(seen, JourneyStep.PLAN) * discount * effects.structure.voucher_redemption
        return brings


def _probability(moves: Moves, towards: JourneyStep) -> FloatArray:
    return next(probability for step, probability in moves if step is towards)


def _over(moves: Moves, values: Sequence[Worths]) -> FloatArray:
    return sum((_like(probability, values) * values[step] for step, probability in moves), start=np.zeros(1))


def _like(numbers: FloatArray | BoolArray | bool, values: Sequence[Worths]) -> FloatArray:  # noqa: FBT001 - no flag
    """Numbers per customer, as a column where values are per memory as well."""
    found = np.asarray(numbers)
    return found[:, None] if values[0].ndim > 1 and found.ndim == 1 else found
