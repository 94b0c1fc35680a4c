"""What each permitted message is worth, in money, against silence.

For message m and customer c, with everything in minor units of the catalogue's currency::

    uplift   = E[value | c, m] - E[value | c, silence]
    net      = uplift x unit value - contact cost - fatigue cost - shadow price
    priority = net x context weight x business weight     where net > 0
             = net                                        otherwise

The unit value is 1 where the model learned money. Where it learned a rate (a click, a visit), it is the declared value
of the offer: uplift is then in points of that rate, and an offer without a declared value never beats silence.

Fatigue is what one more contact costs in goodwill; it is charged to marketing alone, since what is owed to a customer
costs none. The shadow price is what the capacity, budget and share that a message would use are worth to others; it is
negative where a department is below its least share. Weights are the business's levers: see `catalogue.levers`. Each
factor can be switched off; then it is 0, or 1, and is shown as such.

Silence competes with priority 0. Weights scale gains only: a weight is a preference among messages that pay, and must
neither turn a loss into a gain (they are not negative) nor, above 1, sink or, below 1, lift a message that loses money.
A weight of 0 switches a message off, since nothing beats silence by it.

Equal priorities go to silence first, then to the message whose key comes first.

Messages that serve are not ranked by what a customer is worth: nobody is too small to be answered. A class with
precedence goes before everything else, see `precedence_of`. Every class other than marketing bids its declared value in
place of the uplift, the same for every customer. So does every message where no model has a say: without one, in an arm
that asks for none, and for customers who do not want to be profiled.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.contact_policy import Touch
from decisioning.catalogue.levers import NO_WEIGHTS, Weights, weights_of
from decisioning.catalogue.message import SILENCE
from decisioning.errors import ModelUnavailableError
from decisioning.gates.candidate import LARGEST_AMOUNT_MINOR, Candidate


class Bid(NamedTuple):
    """What a permitted candidate brings to arbitration; fields as in `decision.Evaluated`."""

    key: str
    expected_value_minor: float | None
    uplift_minor: float | None
    cost_minor: float
    priority_minor: float
    fatigue_minor: float = 0.0
    shadow_minor: float = 0.0
    context_weight: float = 1.0
    business_weight: float = 1.0
    evidence_count: int | None = None


class Charges(NamedTuple):
    """What all messages of an offer on one channel are charged and weighed alike; fields as in `decision.Evaluated`.

    Attributes:
        unit_value_minor: What one unit of uplift is worth; None where the declared value takes its place.
        declared_value_minor: That value.
    """

    unit_value_minor: float | None
    declared_value_minor: float
    cost_minor: float
    fatigue_minor: float
    shadow_minor: float
    context_weight: float
    business_weight: float
    evidence_count: int | None


class Prices:
    """What one decision charges and weighs, worked out once per offer and channel."""

    __slots__ = ("_counts_evidence", "_evidence", "_fatigue", "_known", "_levers", "_shadow", "_takes_cost", "_weights")

    def __init__(
        self,
        *,
        levers: Mapping[str, tuple[int, ...]],
        evidence: Mapping[str, int],
        takes_contact_cost: bool = True,
        fatigue_minor: Callable[[Touch], float] | None = None,
        shadow_minor: Callable[[Touch, float], float] | None = None,
        weights: Sequence[Weights] = (),
        counts_evidence: bool = False,
    ) -> None:
        """Take the prices; None, and weights that are not there, charge and change nothing.

        Args:
            levers: Which levers are for a message, by message key.
            evidence: Decisions that sent each offer so far, by offer.
            takes_contact_cost: False where the contact cost is switched off.
            fatigue_minor: Cost of one more contact in goodwill.
            shadow_minor: Price of what a message (and its contact cost) would use.
            weights: What each lever counts now, by position; empty where none counts.
            counts_evidence: Somebody looks at evidence, so that an offer that is not in it has none.
        """
        self._levers, self._evidence, self._takes_cost = levers, evidence, takes_contact_cost
        self._fatigue, self._shadow, self._weights = fatigue_minor, shadow_minor, weights
        self._counts_evidence = counts_evidence
        self._known: dict[tuple[str, str], Charges] = {}

    def charges(self, candidate: Candidate) -> Charges:
        """What a message is charged and weighed."""
        key = (candidate.offer_id, candidate.channel_id)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._charge(candidate)
        return known

    def _charge(self, candidate: Candidate) -> Charges:
        touch, cost = candidate.touch, candidate.cost_minor
        weights = weights_of(self._levers[candidate.key], self._weights) if self._weights else NO_WEIGHTS
        return Charges(
            unit_value_minor=candidate.unit_value_minor if candidate.is_marketing else None,
            declared_value_minor=candidate.declared_value_minor,
            cost_minor=cost if self._takes_cost else 0.0,
            fatigue_minor=self._fatigue(touch) if self._fatigue is not None and candidate.is_marketing else 0.0,
            shadow_minor=self._shadow(touch, cost) if self._shadow is not None else 0.0,
            context_weight=weights.context,
            business_weight=weights.business,
            evidence_count=self._evidence.get(candidate.offer_id, 0 if self._counts_evidence else None),
        )


def check_scores(expected_values: FloatArray, candidate_count: int) -> None:
    """Refuse scores that cannot be used, so that a broken model never sends.

    Args:
        expected_values: shape (k + 1,), silence first.
        candidate_count: k.

    Raises:
        ModelUnavailableError: Another shape, or a value that is NaN, infinite or beyond any money. Decide again with
            `expected_values=None` and a `degraded` note.
    """
    if expected_values.shape != (candidate_count + 1,):
        raise ModelUnavailableError(
            f"expected_values must have shape ({candidate_count + 1},), got {expected_values.shape}; "
            "score silence and then the policy's candidates in order"
        )
    is_usable = np.abs(expected_values) <= LARGEST_AMOUNT_MINOR  # false for NaN
    if not is_usable.all():
        row = int(np.flatnonzero(~is_usable)[0])
        raise ModelUnavailableError(
            f"expected_values must be finite amounts, got {expected_values[row]} in row {row}; "
            "the model is broken: roll back or decide without it"
        )


def appraise(
    candidates: Sequence[Candidate], permitted: Sequence[int], expected_values: FloatArray | None, prices: Prices
) -> list[Bid]:
    """Price the permitted candidates against silence.

    Args:
        candidates: The touchpoint's k candidates.
        permitted: Indexes of those that passed every gate.
        expected_values: shape (k + 1,), checked, silence first; None where declared values take their place.
        prices: What is charged and weighed.

    Returns:
        Bids in candidate order, silence first.
    """
    values: list[float] | None = None if expected_values is None else expected_values.tolist()
    base = None if values is None else values[0]
    bids = [Bid(SILENCE, base, None if base is None else 0.0, 0.0, 0.0)]
    for index in permitted:
        candidate = candidates[index]
        unit_value, declared, cost, fatigue, shadow, context, business, evidence = prices.charges(candidate)
        if values is None or base is None or unit_value is None:
            value, uplift, worth = None, None, declared
        else:
            value = values[index + 1]
            uplift = value - base
            worth = uplift * unit_value
        net = worth - cost - fatigue - shadow
        priority = net * context * business if net > 0 else net
        bids.append(Bid(candidate.key, value, uplift, cost, priority, fatigue, shadow, context, business, evidence))
    return bids


def best_of(bids: Sequence[Bid]) -> int:
    """Index of the highest priority; ties go to the earlier bid, so to silence, then to the lower key.

    Example:
        >>> best_of([Bid("silence", 5.0, 0.0, 0.0, 0.0), Bid("a", 5.0, 0.0, 0.0, 0.0), Bid("b", 4.0, -1.0, 0.0, -1.0)])
        0
    """
    return max(range(len(bids)), key=lambda index: bids[index].priority_minor)


def precedence_of(candidates: Sequence[Candidate], permitted: Sequence[int], told_on: str | None = None) -> int | None:
    """Index of the bid that goes before all others whatever they are worth; None where none has precedence.

    The highest class first, then the most urgent offer, then the lower offer id; of its messages the first as they were
    written down. What a customer is worth decides nothing here, not even who is called and who gets an e-mail. An offer
    that answers in kind goes to the channel where the customer spoke, before the order of writing.

    Args:
        candidates: The touchpoint's candidates.
        permitted: Indexes of those that passed every gate.
        told_on: Channel on which the customer told of trouble that is not over; None where there is none.
    """
    leading = [
        (
            candidate.precedence,
            -candidate.urgency,
            candidate.offer_id,
            not (candidate.message.offer.answers_in_kind and candidate.channel_id == told_on),
            candidate.message.creative.place,
            place,
        )
        for place, index in enumerate(permitted, start=1)
        if (candidate := candidates[index]).precedence is not None
    ]
    return min(leading)[-1] if leading else None
