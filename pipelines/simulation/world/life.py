"""One week of everybody, drawn from chance."""

from collections.abc import Sequence

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from pipelines.simulation.world.chance import Cause, draw
from pipelines.simulation.world.effects import EVERYBODY, WorldEffects
from pipelines.simulation.world.flights import WeekOfFlights, flights_at
from pipelines.simulation.world.journey import FULL_MEMORY, PUSHED, JourneyStep
from pipelines.simulation.world.moves import Chain
from pipelines.simulation.world.state import UNPROMPTED, OpenTrouble, WorldState
from pipelines.simulation.world.week import WeekResult, When


class Living:
    """One week of everybody, drawn."""

    def __init__(
        self,
        effects: WorldEffects,
        state: WorldState,
        when: When,
        *,
        actions: IntArray,
        answered: BoolArray | None = None,
    ) -> None:
        self._effects, self._state, self._when, self._actions = effects, state, when, actions
        self._people, self._structure = effects.population, effects.structure
        self._size = effects.population.size
        self._flights: WeekOfFlights = flights_at(when.begins_at)
        self._has_staff = answered is None
        self._answered = np.ones(self._size, dtype=bool) if answered is None else answered

    def live(self, decision_ids: Sequence[str | None] | None) -> WeekResult:
        """What happens."""
        state, sent = self._state, np.flatnonzero(self._actions >= 0)
        seen = np.zeros(self._size, dtype=bool)
        push = np.zeros((self._size, 2))
        is_sold, is_leaving = seen.copy(), seen.copy()
        if sent.size:
            messages, steps = self._actions[sent], state.step[sent]
            seen[sent] = self._draw(Cause.SEEN)[sent] < self._effects.seen_probability(
                messages, sent, state.memory[sent]
            )
            push[sent] = self._effects.push(messages, sent, steps) * seen[sent, None]
            is_sold[sent] = seen[sent] & (self._draw(Cause.SOLD)[sent] < self._effects.sale(messages, sent, steps))
            leaving = self._effects.leaving_probability(messages, sent, steps, state.memory[sent])
            is_leaving[sent] = seen[sent] & (self._draw(Cause.LEFT)[sent] < leaving)
        step = self._moved(push)
        case, case_week = self._trouble(step)
        is_leaving &= ~state.has_left
        after = WorldState(
            step=step,
            memory=(state.memory << 1 | (self._actions >= 0)) & FULL_MEMORY,
            has_left=state.has_left | is_leaving,
            case=case,
            case_week=case_week,
        )
        noise = 1 + self._structure.noise * (2 * self._draw(Cause.AMOUNT) - 1)
        booked = (state.step == JourneyStep.PLAN) & (step == JourneyStep.BOOK_1)
        is_pushed = self._is_pushed(push, step)
        return WeekResult(
            effects=self._effects,
            when=self._when,
            flights=self._flights,
            before=state,
            after=after,
            actions=self._actions,
            decision_ids=decision_ids,
            is_seen=seen,
            is_moved=is_pushed,
            is_sold=is_sold,
            is_leaving=is_leaving,
            trip_minor=_whole(booked * self._people.trip_minor * noise),
            discount_minor=_whole(self._discounts(seen, booked, is_pushed) * noise),
            sale_minor=_whole(is_sold * self._sale_amounts()),
            extra_minor=_whole(self._extras()),
            flight_home=self._home(),
            has_staff=self._has_staff,
        )

    def _draw(self, cause: Cause) -> FloatArray:
        return draw(self._when.seed, self._when.week, cause, self._size)

    def _moved(self, push: FloatArray) -> IntArray:
        """The next step of everybody; those on the way home are decided by their flight and their bag."""
        chain, uniform = Chain(self._effects, self._flights), self._draw(Cause.MOVED)
        after = self._state.step.copy()
        for step in JourneyStep:
            rows = np.flatnonzero(self._state.step == step)
            if not rows.size or step is JourneyStep.TRAVEL:
                continue
            moves = chain.moves(
                step, rows, push=push[rows], has_left=self._state.has_left[rows], is_answered=self._answered[rows]
            )
            bounds = np.cumsum([probability for _, probability in moves], axis=0)[:-1]
            after[rows] = np.array([towards for towards, _ in moves])[(uniform[rows] >= bounds).sum(axis=0)]
        return self._landed(after)

    def _landed(self, after: IntArray) -> IntArray:
        rows = np.flatnonzero(self._state.step == JourneyStep.TRAVEL)
        flight, structure = self._home()[rows], self._structure
        late = self._flights.arrival_delay_minutes[flight] > structure.late_minutes
        after[rows] = np.where(late, JourneyStep.LATE_1, JourneyStep.RETURN_1)
        after[rows[self._cases()[rows] > 0]] = JourneyStep.RECOVER
        return after

    def _home(self) -> IntArray:
        return self._flights.pick(self._people.airport, self._draw(Cause.FLIGHT_HOME))

    def _cases(self) -> IntArray:
        """The case that each customer's flight home would open, 0 for none."""
        flight, structure = self._home(), self._structure
        bag = self._draw(Cause.BAG) < self._flights.bag_lost_probability(structure)[flight]
        late = self._flights.is_very_late(structure)[flight]
        worst = np.where(late, OpenTrouble.DELAYED, np.where(bag, OpenTrouble.BAG, OpenTrouble.NONE))
        return np.where(self._flights.is_cancelled[flight], OpenTrouble.CANCELLED, worst)

    def _trouble(self, after: IntArray) -> tuple[IntArray, IntArray]:
        """Open case and its week at the end of the week."""
        state = self._state
        opened = (state.step == JourneyStep.TRAVEL) & (after == JourneyStep.RECOVER)
        stays = (state.step == JourneyStep.RECOVER) & (after == JourneyStep.RECOVER)
        case = np.where(opened, self._cases(), np.where(stays, state.case, OpenTrouble.NONE))
        return case, np.where(opened, self._when.week, np.where(stays, state.case_week, 0))

    def _is_pushed(self, push: FloatArray, step: IntArray) -> BoolArray:
        """Made a move that the message they saw was about."""
        found = np.zeros(self._size, dtype=bool)
        for begin, targets in PUSHED.items():
            for place, towards in enumerate(targets):
                found |= (self._state.step == begin) & (step == towards) & (push[:, place] > 0)
        return found

    def _discounts(self, seen: BoolArray, booked: BoolArray, is_pushed: BoolArray) -> FloatArray:
        """A deal that was seen is taken by whoever books; a voucher partly by whom it made plan."""
        amount = np.where(self._actions >= 0, self._effects.discount_minor(self._actions, EVERYBODY), 0.0)
        voucher = is_pushed & (self._state.step == JourneyStep.LAPSE)
        return amount * (seen & booked) + amount * voucher * self._structure.voucher_redemption

    def _sale_amounts(self) -> FloatArray:
        noise = 1 + self._structure.noise * (2 * self._draw(Cause.EXTRA_AMOUNT) - 1)
        return self._effects.sale_minor[self._actions] * noise

    def _extras(self) -> FloatArray:
        structure = self._structure
        is_near = np.isin(self._state.step, UNPROMPTED)
        noise = 1 + structure.noise * (2 * self._draw(Cause.UNPROMPTED_AMOUNT) - 1)
        bought = is_near & (self._draw(Cause.UNPROMPTED) < structure.unprompted_extra)
        return bought * structure.unprompted_minor * noise


def _whole(amounts: FloatArray) -> IntArray:
    return np.rint(amounts).astype(np.int64)
