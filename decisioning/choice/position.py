"""Choosing one position: price what is permitted, spread chance over it, draw."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.exploration import Exploration, ExplorationKind
from decisioning.catalogue.message import SILENCE
from decisioning.choice.arbitration import Bids, Evaluations, appraise, best_of, kept_for_later, precedence_of
from decisioning.choice.chance import (
    Contenders,
    action_probabilities,
    draw,
    even_probabilities,
    explore,
    planned_probabilities,
    ramped,
)
from decisioning.choice.price_list import Charges, PriceList
from decisioning.choice.slot_pricing import Looked, as_looked_at
from decisioning.foresight.slots import Foresight
from decisioning.gates.candidate import Candidate
from decisioning.gates.message_sets.grouping import places_of
from decisioning.gates.message_sets.lineup import Lineup
from decisioning.gates.screening import Screening
from decisioning.gates.situation import Situation
from decisioning.residuals import Residuals
from decisioning.value_class import value_class


class Way(StrEnum):
    """What put a candidate first."""

    PRECEDENCE = "precedence"
    PLAN = "plan"
    WORTH = "worth"


@value_class
class Choice:
    """Bids with their probabilities, and the rows of the best and of the drawn one.

    Attributes:
        lineup: The touchpoint's k candidates.
        bids: n of them, silence first.
        probabilities: shape (n,).
        best: Index of the bid that was put first before any chance; 0 is silence.
        chosen: Index of the drawn one.
    """

    lineup: Lineup
    bids: Bids
    probabilities: FloatArray
    best: int
    chosen: int
    way: Way

    @property
    def candidate(self) -> Candidate | None:
        """The drawn message; None for silence."""
        return self._candidate(self.chosen)

    @property
    def key(self) -> str:
        """Key of the drawn message, or `silence`."""
        candidate = self.candidate
        return SILENCE if candidate is None else candidate.key

    @property
    def probability(self) -> float:
        """Action probability of what was drawn."""
        return float(self.probabilities[self.chosen])

    @property
    def best_key(self) -> str | None:
        """Key of the best where that is not the one with the highest priority, see `Decision.best_key`."""
        if self.way is Way.WORTH or self.best == best_of(self.bids.priority_minor):
            return None
        best = self._candidate(self.best)
        return SILENCE if best is None else best.key

    @property
    def evaluated(self) -> Evaluations:
        """Silence first, then by falling priority, equal ones by key."""
        return Evaluations(self.lineup.keys, self.bids, self.probabilities)

    def _candidate(self, bid: int) -> Candidate | None:
        return self.lineup.candidates[int(self.bids.rows[bid]) - 1] if bid else None


@dataclass(slots=True, kw_only=True)
class Chooser:
    """All that choosing needs besides the situation; the same for every position of a decision.

    What is charged at one position it keeps for the next.

    Attributes:
        lineup: The touchpoint's k candidates.
        price_list: What they are charged and weighed.
        expected_values: shape (k + 1,), checked, silence first; None where declared values take their place.
        is_random: An arm draws evenly.
        takes_levers: False where an arm decides without them.
        residuals: What outcomes since training add to the expected values; None where nothing is known.
        foresight: What lies ahead; None where no model has a say.
    """

    lineup: Lineup
    price_list: PriceList
    exploration: Exploration
    expected_values: FloatArray | None
    is_random: bool
    takes_levers: bool
    residuals: Residuals | None = None
    foresight: Foresight | None = None
    _charges: Charges | None = field(default=None, init=False)
    _looked: Looked = field(default_factory=dict[tuple[int, int], None], init=False)

    @property
    def seen_foresight(self) -> Foresight | None:
        """What was looked up of the foresight, at all positions so far; None for nothing."""
        return None if self.foresight is None else as_looked_at(self.foresight, self._looked)

    def choose(
        self, situation: Situation, screening: Screening, *, uniform: float, allocated: str | None = None
    ) -> Choice:
        """The choice among what the gates left.

        Args:
            situation: What prices and levers look at.
            screening: What the gates left.
            uniform: The draw, in [0, 1).
            allocated: Key that a plan over all customers gave this one; passed over where it is not permitted.
        """
        rows = places_of(screening.permitted << 1 | 1)
        charges = self.price_list.charges(situation, takes_levers=self.takes_levers, former=self._charges)
        self._charges = charges
        bids = self._waiting(appraise(rows, self.expected_values, charges, self.residuals), situation)
        leader = precedence_of(self.lineup, screening.permitted, situation.care.channel_id)
        if leader is not None:
            first = int(np.searchsorted(rows, leader + 1))
            certain = np.zeros(len(rows))
            certain[first] = 1.0
            return self._choice(bids, certain, best=first, chosen=first, way=Way.PRECEDENCE)
        planned = self._planned(screening, bids, allocated)
        best = best_of(bids.priority_minor) if planned is None else planned
        probabilities = self._spread(bids, best, is_planned=planned is not None)
        return self._choice(
            bids,
            probabilities,
            best=best,
            chosen=draw(probabilities, uniform),
            way=Way.WORTH if planned is None else Way.PLAN,
        )

    def _waiting(self, bids: Bids, situation: Situation) -> Bids:
        """Bids less what the room that they take is worth later; untouched where no foresight says anything."""
        if self.foresight is None:
            return bids
        gains = bids.worth_minor - bids.cost_minor
        prices = self.price_list.slots.charge(self.foresight, situation, bids.rows, gains, self._looked)
        return kept_for_later(bids, prices) if prices.any() else bids

    def _choice(self, bids: Bids, probabilities: FloatArray, *, best: int, chosen: int, way: Way) -> Choice:
        return Choice(lineup=self.lineup, bids=bids, probabilities=probabilities, best=best, chosen=chosen, way=way)

    def _planned(self, screening: Screening, bids: Bids, allocated: str | None) -> int | None:
        """Index of the bid that a plan gave, silence included; None without one."""
        if allocated is None or allocated == SILENCE:
            return None if allocated is None else 0
        place = self.lineup.place_of.get(allocated)
        if place is None or not screening.permitted >> place & 1:
            return None
        return int(np.searchsorted(bids.rows, place + 1))

    def _spread(self, bids: Bids, best: int, *, is_planned: bool) -> FloatArray:
        exploration = self.exploration
        if exploration.kind is ExplorationKind.EPSILON_GREEDY and not exploration.ramp.needed:  # worth does not matter
            return (
                even_probabilities(len(bids.rows))
                if self.is_random
                else action_probabilities(exploration, count=len(bids.rows), best=best)
            )
        contenders = Contenders(
            priority_minor=bids.priority_minor,
            offers=self.price_list.offers[bids.rows],
            evidence=np.maximum(bids.evidence, 0),
            deviation_minor=self._deviations(bids) if exploration.kind is ExplorationKind.THOMPSON else None,
        )
        if self.is_random:
            return ramped(exploration.ramp, contenders, even_probabilities(len(bids.rows)), to=0)
        if is_planned:
            return planned_probabilities(exploration, contenders, best=best)
        return explore(exploration, contenders, best=best)

    def _deviations(self, bids: Bids) -> FloatArray | None:
        """Deviations of priorities, as residuals leave them: shape (n,), NaN where no model had a say; None without."""
        if self.residuals is None or self._charges is None:
            return None
        unit = self._charges.unit_value_minor[bids.rows]
        weight = bids.context_weight * bids.business_weight
        weight = np.where(bids.priority_minor > 0, weight, np.minimum(weight, 1.0))
        deviations = self.residuals.deviation[bids.rows] * unit * weight
        deviations[np.isnan(bids.uplift_minor)] = np.nan
        return deviations
