"""What happened in one week of the world."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from pipelines.simulation.world.chance import Cause, draw
from pipelines.simulation.world.effects import WorldEffects
from pipelines.simulation.world.flights import WeekOfFlights
from pipelines.simulation.world.state import WorldState

HOURS = 168


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A week of a world: its seed, its number and the Monday it begins on."""

    seed: int
    week: int
    begins_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekResult:
    """What happened; arrays of shape (n,), money in minor units.

    Attributes:
        actions: Index of the message that was sent, -1 for silence.
        decision_ids: Of the decisions behind the actions; None where nobody asked.
        is_seen: The message was seen.
        is_moved: It was about the move that the customer made.
        is_sold: It sold its own product, or brought its own answer.
        is_leaving: It was the last one: all consent to marketing was withdrawn.
        trip_minor: Contribution of the trip booked.
        discount_minor: What the deal cost.
        sale_minor: What the message's own product brought.
        extra_minor: Extras that were bought unasked.
        has_staff: Nobody said whose cases were answered, so the airline's own people answer, and say so in events.
        flight_home: The flight that a trip ending this week takes, index into `flights`.
    """

    effects: WorldEffects
    when: When
    flights: WeekOfFlights
    before: WorldState
    after: WorldState
    actions: IntArray
    decision_ids: Sequence[str | None] | None
    is_seen: BoolArray
    is_moved: BoolArray
    is_sold: BoolArray
    is_leaving: BoolArray
    trip_minor: IntArray
    discount_minor: IntArray
    sale_minor: IntArray
    extra_minor: IntArray
    flight_home: IntArray
    has_staff: bool = True

    @property
    def contribution_minor(self) -> IntArray:
        """What the week brought of each customer, before the cost of contacts."""
        return self.trip_minor + self.sale_minor + self.extra_minor - self.discount_minor

    @property
    def cost_minor(self) -> FloatArray:
        """What contacting each customer cost."""
        return np.where(self.actions >= 0, self.effects.cost_minor[self.actions], 0.0)

    @property
    def is_contacted(self) -> BoolArray:
        """Who was sent anything."""
        return self.actions >= 0

    def chance(self, cause: Cause) -> FloatArray:
        """The week's numbers in [0, 1) for a cause."""
        return draw(self.when.seed, self.when.week, cause, self.actions.size)
