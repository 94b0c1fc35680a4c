"""Choosing one position: price what is permitted, spread chance over it, draw."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.exploration import Exploration, ExplorationKind
from decisioning.catalogue.message import SILENCE
from decisioning.choice.arbitration import Bids, Evaluations, appraise, best_of, foreseen, precedence_of
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
from decisioning.choice.slot_pricing import Looked, slots_as_looked_at
from decisioning.choice.waiting import WORTH_WAITING, LaterHours, SeenHours, as_seen
from decisioning.decision import BetterHour, Exclusion
from decisioning.foresight.hours import HourGroup
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
    WAIT = "wait"


@value_class
class Choice:
    """Bids with their probabilities, and the rows of the best and of the drawn one.

    Attributes:
        lineup: The touchpoint's k candidates.
        bids: n of them, silence first.
        probabilities: shape (n,).
        best: Index of the bid that was put first before any chance; 0 is silence.
        chosen: Index of the drawn one.
        better_hour: What silence waits for; None where nothing waits.
    """

    lineup: Lineup
    bids: Bids
    probabilities: FloatArray
    best: int
    chosen: int
    way: Way
    better_hour: BetterHour | None = None

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
        wait_until: Until when marketing may wait for a better hour; None where nothing does.
    """

    lineup: Lineup
    price_list: PriceList
    exploration: Exploration
    expected_values: FloatArray | None
    is_random: bool
    takes_levers: bool
    residuals: Residuals | None = None
    foresight: Foresight | None = None
    wait_until: datetime | None = None
    _charges: Charges | None = field(default=None, init=False)
    _looked: Looked = field(default_factory=dict[tuple[int, int], None], init=False)
    _seen: SeenHours = field(default_factory=dict[HourGroup, dict[int, float]], init=False)

    @property
    def seen_foresight(self) -> Foresight | None:
        """What was looked up of the foresight, at all positions so far; None for nothing."""
        if self.foresight is None:
            return None
        slots = slots_as_looked_at(self.foresight, self._looked)
        hours = as_seen(self.foresight.hours, self._seen)
        return Foresight(slots=slots, hours=hours) if slots or hours is not None else None

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
        bids = self._foreseen(appraise(rows, self.expected_values, charges, self.residuals), situation)
        leader = precedence_of(self.lineup, screening.permitted, situation.care.channel_id)
        if leader is not None:
            first = int(np.searchsorted(rows, leader + 1))
            certain = np.zeros(len(rows))
            certain[first] = 1.0
            return self._choice(bids, certain, best=first, chosen=first, way=Way.PRECEDENCE)
        planned = self._planned(screening, bids, allocated)
        best = best_of(bids.priority_minor) if planned is None else planned
        better = self._better_hour(bids, best, charges, situation, screening) if planned is None else None
        if better is not None:
            certain = np.zeros(len(rows))
            certain[0] = 1.0
            return replace(self._choice(bids, certain, best=0, chosen=0, way=Way.WAIT), better_hour=better)
        probabilities = self._spread(bids, best, is_planned=planned is not None)
        return self._choice(
            bids,
            probabilities,
            best=best,
            chosen=draw(probabilities, uniform),
            way=Way.WORTH if planned is None else Way.PLAN,
        )

    def _foreseen(self, bids: Bids, situation: Situation) -> Bids:
        """Bids with what the present hour adds, less what room is worth later; untouched where no foresight says so."""
        if self.foresight is None:
            return bids
        hours, added = self.foresight.hours, None
        if hours is not None and self.price_list.hours.heeds:
            added = self.price_list.hours.now(hours, situation, bids.rows, self._seen)
        return self._charged(self.foresight, bids, added, situation)

    def _charged(self, foresight: Foresight, bids: Bids, added: FloatArray | None, situation: Situation) -> Bids:
        """Bids at an hour that adds so much to each candidate, shape (k + 1,), with what their room is worth later."""
        worth_minor, hour_minor = bids.worth_minor, bids.hour_minor
        if added is not None and self._charges is not None:
            unit = self._charges.unit_value_minor[bids.rows]
            hour_minor = np.where(np.isnan(bids.uplift_minor), 0.0, np.nan_to_num(added[bids.rows]) * unit)
            worth_minor = worth_minor + hour_minor
        gains = worth_minor - bids.cost_minor
        prices = self.price_list.slots.charge(foresight, situation, bids.rows, gains, self._looked)
        return foreseen(bids, hour_minor, prices) if prices.any() or hour_minor.any() else bids

    def _better_hour(
        self, bids: Bids, best: int, charges: Charges, situation: Situation, screening: Screening
    ) -> BetterHour | None:
        """The best pair of message and later hour, where it is worth enough more than the best choice now."""
        foresight, until = self.foresight, self.wait_until
        is_owed = best > 0 and not self.lineup.candidates[int(bids.rows[best]) - 1].is_marketing
        if until is None or foresight is None or foresight.hours is None or is_owed:
            return None
        quiet = screening.excluded.only_saying({Exclusion.QUIET_HOURS}) & screening.excluded.waiting()
        rows = places_of((screening.permitted | quiet) << 1 | 1)
        later = self.price_list.hours.later(foresight.hours, situation, until, rows, self._seen)
        if later is None:
            return None
        appraised = appraise(rows, self.expected_values, charges, self.residuals)
        return self._best_later(self._charged(foresight, appraised, later.added, situation), later, bids, best)

    def _best_later(self, waiting: Bids, later: LaterHours, bids: Bids, best: int) -> BetterHour | None:
        has_hour = np.isfinite(later.added[waiting.rows]) & np.isfinite(waiting.uplift_minor)
        priorities = np.where(has_hour, waiting.priority_minor, -np.inf)
        top = best_of(priorities)
        row, present = int(waiting.rows[top]), float(bids.priority_minor[best])
        at = later.moments[row]
        if at is None or not priorities[top] > max(WORTH_WAITING * present, 0.0):
            return None
        return BetterHour(
            message_key=self.lineup.candidates[row - 1].key,
            at=at,
            priority_minor=float(priorities[top]),
            present_minor=present,
        )

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
