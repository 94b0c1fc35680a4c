"""Choosing one position: price what is permitted, spread chance over it, draw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Touch
from decisioning.catalogue.exploration import ExplorationKind
from decisioning.catalogue.levers import Levers, Weights
from decisioning.catalogue.limits import LimitScope
from decisioning.choice.arbitration import Bid, Prices, appraise, best_of, precedence_of
from decisioning.choice.chance import (
    Contender,
    action_probabilities,
    draw,
    even_probabilities,
    explore,
    planned_probabilities,
    ramped,
)
from decisioning.decision import Evaluated
from decisioning.gates.candidate import Candidate
from decisioning.gates.capacity import shadow_minor
from decisioning.gates.screening import Screening, holds
from decisioning.gates.situation import Situation


class Way(StrEnum):
    """What put a candidate first."""

    PRECEDENCE = "precedence"
    PLAN = "plan"
    WORTH = "worth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Bids with their probabilities, and the indexes of the best and of the drawn one; 0 is silence."""

    bids: Sequence[Bid]
    probabilities: Sequence[float]
    best: int
    chosen: int
    way: Way

    @property
    def key(self) -> str:
        """Key of the drawn message, or `silence`."""
        return self.bids[self.chosen].key

    @property
    def probability(self) -> float:
        """Action probability of what was drawn."""
        return self.probabilities[self.chosen]

    @property
    def best_key(self) -> str | None:
        """Key of the best where that is not the one with the highest priority, see `Decision.best_key`."""
        return None if self.way is Way.WORTH or self.best == best_of(self.bids) else self.bids[self.best].key

    def evaluated(self) -> tuple[Evaluated, ...]:
        """Silence first, then by falling priority, equal ones by key."""
        bids, probabilities = self.bids, self.probabilities
        order = sorted(range(1, len(bids)), key=lambda index: -bids[index].priority_minor)
        return tuple([_evaluated(bids[index], probabilities[index]) for index in (0, *order)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """All that choosing needs besides the situation; the same for every position of a decision.

    Attributes:
        candidates: The touchpoint's k candidates.
        levers: The catalogue's levers; those that are for each candidate, by key, in `applying`.
        expected_values: shape (k + 1,), checked, silence first; None where declared values take their place.
        is_random: An arm draws evenly.
        takes_levers: False where an arm decides without them.
    """

    catalogue: Catalogue
    candidates: Sequence[Candidate]
    levers: Levers
    applying: Mapping[str, tuple[int, ...]]
    expected_values: FloatArray | None
    is_random: bool
    takes_levers: bool

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
        permitted = screening.permitted
        bids = appraise(self.candidates, permitted, self.expected_values, self._prices(situation))
        leader = precedence_of(self.candidates, permitted, situation.care.channel_id)
        if leader is not None:
            certain = tuple([1.0 if index == leader else 0.0 for index in range(len(bids))])
            return Choice(bids=bids, probabilities=certain, best=leader, chosen=leader, way=Way.PRECEDENCE)
        planned = next((index for index, bid in enumerate(bids) if bid.key == allocated), None)
        best = best_of(bids) if planned is None else planned
        probabilities = self._spread(permitted, bids, best, is_planned=planned is not None)
        return Choice(
            bids=bids,
            probabilities=probabilities,
            best=best,
            chosen=draw(probabilities, uniform),
            way=Way.WORTH if planned is None else Way.PLAN,
        )

    def _spread(
        self, permitted: Sequence[int], bids: Sequence[Bid], best: int, *, is_planned: bool
    ) -> tuple[float, ...]:
        exploration = self.catalogue.exploration
        if exploration.kind is ExplorationKind.EPSILON_GREEDY and not exploration.ramp.needed:  # worth does not matter
            return (
                even_probabilities(len(bids))
                if self.is_random
                else action_probabilities(exploration, count=len(bids), best=best)
            )
        contenders = [Contender(bids[0].priority_minor)]
        contenders.extend(
            Contender(bid.priority_minor, self.candidates[index].offer_id, bid.evidence_count or 0)
            for index, bid in zip(permitted, bids[1:], strict=True)
        )
        if self.is_random:
            return ramped(exploration.ramp, contenders, even_probabilities(len(bids)), to=0)
        if is_planned:
            return planned_probabilities(exploration, contenders, best=best)
        return explore(exploration, contenders, best=best)

    def _prices(self, situation: Situation) -> Prices:
        switches, exploration = self.catalogue.switches, self.catalogue.exploration
        return Prices(
            takes_contact_cost=switches.contact_cost,
            fatigue_minor=_fatigue(situation) if switches.fatigue else None,
            shadow_minor=_shadow(situation) if switches.shadow_prices else None,
            weights=self._weights(situation) if switches.levers and self.takes_levers else (),
            levers=self.applying,
            evidence=situation.supply.evidence,
            counts_evidence=exploration.ramp.needed > 0 or exploration.kind is ExplorationKind.THOMPSON,
        )

    def _weights(self, situation: Situation) -> tuple[Weights, ...]:
        return self.levers.weights(lambda rule: holds(rule, situation), situation.now)


def _fatigue(situation: Situation) -> Callable[[Touch], float] | None:
    return None if situation.catalogue.contact_policy.fatigue is None else situation.ledger.fatigue_minor


def _shadow(situation: Situation) -> Callable[[Touch, float], float] | None:
    """What shared things are worth to others; asked once for all messages that use the same."""
    catalogue, supply = situation.catalogue, situation.supply
    if not supply.prices_minor:
        return None
    names_offers = any(limit.scope is LimitScope.OFFER for limit in catalogue.limits)
    known: dict[tuple[str, str, str, str], float] = {}

    def price_minor(touch: Touch, cost_minor: float) -> float:
        key = (touch.channel_id, touch.goal_id, touch.message_class, touch.offer_id if names_offers else "")
        if key not in known:
            known[key] = shadow_minor(catalogue, touch, cost_minor, supply, situation.now)
        return known[key]

    return price_minor


def _evaluated(bid: Bid, probability: float) -> Evaluated:
    key, value, uplift, cost, priority, fatigue, shadow, context, business, evidence = bid
    return Evaluated(key, value, uplift, cost, priority, probability, fatigue, shadow, context, business, evidence)
