"""How likely each next step is, for customers who stand at one step: the same code for chance and for expectations."""

import numpy as np

from decisioning.arrays import BoolArray, FloatArray
from pipelines.simulation.world.effects import Rows, WorldEffects
from pipelines.simulation.world.flights import WeekOfFlights
from pipelines.simulation.world.journey import NEXT, PUSHED, JourneyStep
from pipelines.simulation.world.population import log_odds, squashed

type Moves = list[tuple[JourneyStep, FloatArray]]
"""Next steps with their probabilities, each of shape (r,); they add up to 1."""

_SOON = frozenset({JourneyStep.BOOK_1, JourneyStep.BOOK_2, JourneyStep.BOOK_3})
_LAST_AT_HOME = frozenset({JourneyStep.RETURN_3, JourneyStep.LATE_3})


class Chain:
    """The chain of one week.

    Attributes:
        case_rate: P(a trip home to an airport ends with a case), exact over the week's flights; shape (airports,).
        late_rate: P(it ends late without a case), likewise.
    """

    def __init__(self, effects: WorldEffects, flights: WeekOfFlights) -> None:
        self._effects, self._structure = effects, effects.structure
        self.case_rate, self.late_rate = flights.trouble_rates(effects.structure)

    def moves(
        self,
        step: JourneyStep,
        rows: Rows,
        *,
        push: FloatArray | None = None,
        has_left: BoolArray | bool = False,
        is_answered: BoolArray | bool = True,
    ) -> Moves:
        """Where customers go from a step.

        Args:
            step: Where all of them stand.
            rows: Which customers, r of them.
            push: Log-odds that a seen message adds, shape (r, 2); None for none.
            has_left: Left all marketing in anger.
            is_answered: Somebody answered their open case.
        """
        if step in PUSHED:
            return self._pushed(step, rows, push, has_left=has_left)
        ones = np.ones_like(self._effects.population.patience[rows])
        if step in _SOON:
            soon = self._structure.book_to_prepare * ones
            return [(JourneyStep.PREPARE, soon), (NEXT[step], 1 - soon)]
        if step is JourneyStep.BOOK_4:
            return [(JourneyStep.PREPARE, ones)]
        if step is JourneyStep.PREPARE:
            return [(JourneyStep.TRAVEL, ones)]
        if step in _LAST_AT_HOME:
            return self._after_trip(step, ones)
        return self._in_trouble(step, rows, is_answered=is_answered) or [(NEXT[step], ones)]

    def _in_trouble(self, step: JourneyStep, rows: Rows, *, is_answered: BoolArray | bool) -> Moves | None:
        if step is JourneyStep.TRAVEL:
            return self._home(rows)
        if step is JourneyStep.RECOVER:
            return self._solved(rows, is_answered=is_answered)
        if step is JourneyStep.MENDED:
            lost = self._structure.mended_to_lapse * (1 - self._effects.population.patience[rows])
            return [(JourneyStep.LAPSE, lost), (JourneyStep.DREAM, 1 - lost)]
        return None

    def _pushed(self, step: JourneyStep, rows: Rows, push: FloatArray | None, *, has_left: BoolArray | bool) -> Moves:
        odds = self._base(step, rows) + np.where(has_left, self._structure.left_log_odds, 0.0)
        shift = np.zeros((odds.size, 2)) if push is None else push
        first = squashed(odds + shift[:, 0])
        if step is JourneyStep.LAPSE:
            planning = (1 - first) * squashed(log_odds(self._structure.lapse_to_plan) + shift[:, 1])
            return [(JourneyStep.DREAM, first), (JourneyStep.PLAN, planning), (JourneyStep.LAPSE, 1 - first - planning)]
        towards, back, rate = (
            (JourneyStep.PLAN, JourneyStep.LAPSE, self._structure.dream_to_lapse)
            if step is JourneyStep.DREAM
            else (JourneyStep.BOOK_1, JourneyStep.DREAM, self._structure.plan_to_dream)
        )
        return [(towards, first), (back, (1 - first) * rate), (step, (1 - first) * (1 - rate))]

    def _base(self, step: JourneyStep, rows: Rows) -> FloatArray:
        people = self._effects.population
        base = {
            JourneyStep.DREAM: people.dream_to_plan,
            JourneyStep.PLAN: people.plan_to_book,
            JourneyStep.LAPSE: people.lapse_to_dream,
        }
        return base[step][rows]

    def _home(self, rows: Rows) -> Moves:
        airport = self._effects.population.airport[rows]
        case, late = self.case_rate[airport], self.late_rate[airport]
        return [(JourneyStep.RECOVER, case), (JourneyStep.LATE_1, late), (JourneyStep.RETURN_1, 1 - case - late)]

    def _solved(self, rows: Rows, *, is_answered: BoolArray | bool) -> Moves:
        one = self._structure
        solved = np.where(is_answered, one.solved, one.solved_alone) + 0 * self._effects.population.patience[rows]
        gives_up = np.where(is_answered, one.giving_up, one.giving_up_alone)
        lost = (1 - solved) * gives_up * (1 - self._effects.population.patience[rows])
        return [(JourneyStep.MENDED, solved), (JourneyStep.LAPSE, lost), (JourneyStep.RECOVER, 1 - solved - lost)]

    def _after_trip(self, step: JourneyStep, ones: FloatArray) -> Moves:
        planning = self._structure.return_to_plan * ones
        rate = self._structure.late_to_lapse if step is JourneyStep.LATE_3 else self._structure.return_to_lapse
        lost = (1 - planning) * rate
        return [(JourneyStep.PLAN, planning), (JourneyStep.LAPSE, lost), (JourneyStep.DREAM, 1 - planning - lost)]
