"""What the messages of a touchpoint are charged and weighed: laid out once, filled in for one customer and moment."""

from collections.abc import Callable, Hashable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IndexArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.exploration import ExplorationKind
from decisioning.catalogue.levers import LARGEST_WEIGHT, compile_lever
from decisioning.choice.slot_pricing import SlotPricing
from decisioning.choice.waiting import HourPricing
from decisioning.gates.candidate import Candidate
from decisioning.gates.checks import holds
from decisioning.gates.message_sets.grouping import MessageGrouping, places_of, sets_by
from decisioning.gates.message_sets.lineup import Lineup
from decisioning.gates.situation import Situation


class Charges(NamedTuple):
    """What silence (row 0) and the k candidates are charged and weighed; arrays of shape (k + 1,).

    Attributes:
        is_learned: Its worth is the uplift, where a model has a say; None where that is so for all of them.
        unit_value_minor: What one unit of uplift is worth.
        declared_minor: The declared value, which takes the place of the uplift otherwise.
        evidence: Decisions that sent the offer so far; -1 where nobody counts.
        is_weighted: Some weight may be other than 1.
    """

    is_learned: BoolArray | None
    unit_value_minor: FloatArray
    declared_minor: FloatArray
    cost_minor: FloatArray
    fatigue_minor: FloatArray
    shadow_minor: FloatArray
    context_weight: FloatArray
    business_weight: FloatArray
    evidence: IntArray
    is_weighted: bool


class PriceList:
    """Everything about the prices of a touchpoint's messages that does not depend on the customer.

    Attributes:
        offers: shape (k + 1,), number of the offer; -1 for silence.
        slots: What room under caps costs.
        hours: What hours add.
    """

    __slots__ = (
        "_cost",
        "_declared",
        "_free",
        "_is_learned",
        "_lever_rows",
        "_levers",
        "_no_evidence",
        "_offer_rows",
        "_shadowed",
        "_stays_in_range",
        "_switches",
        "_unit_value",
        "_unweighted",
        "_weighing",
        "hours",
        "offers",
        "slots",
    )

    def __init__(self, catalogue: Catalogue, lineup: Lineup, *, wait_seconds: int = 0) -> None:
        """Lay out the prices.

        Args:
            catalogue: What is declared.
            lineup: The touchpoint's candidates.
            wait_seconds: How long it lets messages wait for a better hour.

        Raises:
            InvalidPolicyError: A lever with a rule that could never be true.
        """
        candidates = lineup.candidates
        self.slots = SlotPricing(catalogue, lineup)
        self.hours = HourPricing(candidates, wait_seconds)
        exploration = catalogue.exploration
        self._switches = catalogue.switches
        self._levers = tuple(map(compile_lever, catalogue.levers))
        self._stays_in_range = prod(max(lever.factor, 1.0) for lever in self._levers) <= LARGEST_WEIGHT
        counts_evidence = exploration.ramp.needed > 0 or exploration.kind is ExplorationKind.THOMPSON
        self._no_evidence = np.array([-1, *(0 if counts_evidence else -1 for _ in candidates)])
        self._cost = _column(candidates, lambda one: one.cost_minor)
        self._declared = _column(candidates, lambda one: one.declared_value_minor)
        self._unit_value = _column(candidates, lambda one: one.unit_value_minor)
        is_learned = np.array([True, *(one.is_marketing for one in candidates)])
        self._is_learned = None if is_learned.all() else is_learned
        self._free, self._unweighted = np.zeros(len(candidates) + 1), np.ones(len(candidates) + 1)
        self._weighing = _Alike(
            candidates, lambda one: (one.message_class, one.channel_id) if one.is_marketing else None
        )
        self._shadowed = _Alike(candidates, lambda one: one.shared.alike)
        self._offer_rows = {
            offer_id: places_of(messages) + 1
            for offer_id, messages in sets_by(candidates, lambda one: (one.offer_id,)).items()
        }
        self._lever_rows = [
            np.array([row for row, one in enumerate(candidates, start=1) if lever.is_for(one.touch)], dtype=np.intp)
            for lever in self._levers
        ]
        self.offers = np.full(len(candidates) + 1, -1)
        for number, rows in enumerate(self._offer_rows.values()):
            self.offers[rows] = number

    def charges(self, situation: Situation, *, takes_levers: bool, former: Charges | None = None) -> Charges:
        """What is charged and weighed for one customer at one moment.

        Args:
            situation: Theirs.
            takes_levers: False where an arm decides without levers.
            former: The charges of another position of the same decision: only fatigue may be another now.
        """
        fatigue = self._fatigue(situation) if self._switches.fatigue else self._free
        if former is not None:
            return former._replace(fatigue_minor=fatigue)
        takes_levers = takes_levers and self._switches.levers and bool(self._levers)
        context, business = self._weights(situation) if takes_levers else (self._unweighted, self._unweighted)
        return Charges(
            is_learned=self._is_learned,
            unit_value_minor=self._unit_value,
            declared_minor=self._declared,
            cost_minor=self._cost if self._switches.contact_cost else self._free,
            fatigue_minor=fatigue,
            shadow_minor=self._shadow(situation) if self._switches.shadow_prices else self._free,
            context_weight=context,
            business_weight=business,
            evidence=self._evidence(situation),
            is_weighted=context is not self._unweighted or business is not self._unweighted,
        )

    def _fatigue(self, situation: Situation) -> FloatArray:
        """Of marketing alone, since what is owed to a customer costs no goodwill."""
        if situation.catalogue.contact_policy.fatigue is None:
            return self._free
        return self._weighing.spread(lambda example: situation.ledger.fatigue_minor(example.touch))

    def _shadow(self, situation: Situation) -> FloatArray:
        """What shared things are worth to others."""
        supply, now = situation.supply, situation.now
        if not supply.prices_minor:
            return self._free
        return self._shadowed.spread(lambda example: example.shared.shadow_minor(supply, now))

    def _weights(self, situation: Situation) -> tuple[FloatArray, FloatArray]:
        """Products of the levers that count now, with a rule and without, each cut at `LARGEST_WEIGHT`."""
        context = business = self._unweighted
        for rows, lever in zip(self._lever_rows, self._levers, strict=True):
            if not lever.counts(lambda rule: holds(rule, situation), situation.now):
                continue
            if lever.has_rule:
                context = _multiplied(context, rows, lever.factor)
            else:
                business = _multiplied(business, rows, lever.factor)
        if self._stays_in_range:
            return context, business
        return np.minimum(context, LARGEST_WEIGHT), np.minimum(business, LARGEST_WEIGHT)

    def _evidence(self, situation: Situation) -> IntArray:
        if not situation.supply.evidence:
            return self._no_evidence
        evidence = self._no_evidence.copy()
        for offer_id, count in situation.supply.evidence.items():
            rows = self._offer_rows.get(offer_id)
            if rows is not None:
                evidence[rows] = count
        return evidence


def _multiplied(weights: FloatArray, rows: IndexArray, factor: float) -> FloatArray:
    weights = weights.copy()
    weights[rows] *= factor
    return weights


def _column(candidates: Sequence[Candidate], value_of: Callable[[Candidate], float]) -> FloatArray:
    return np.array([0.0, *map(value_of, candidates)])


class _Alike:
    """Candidates that are charged alike, so that each charge is worked out once; 0 for silence and the others."""

    __slots__ = ("_codes", "_examples")

    def __init__(self, candidates: Sequence[Candidate], looks_at: Callable[[Candidate], Hashable | None]) -> None:
        groups = MessageGrouping(candidates, looks_at).groups
        self._examples = [group.example for group in groups]
        self._codes = np.zeros(len(candidates) + 1, dtype=np.intp)
        for code, group in enumerate(groups, start=1):
            self._codes[places_of(group.messages) + 1] = code

    def spread(self, charge: Callable[[Candidate], float]) -> FloatArray:
        """Shape (k + 1,): the charge of each candidate."""
        return np.array([0.0, *map(charge, self._examples)])[self._codes]
