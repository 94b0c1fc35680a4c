"""What each permitted message is worth, in money, against silence.

For message m and customer c, with everything in minor units of the catalogue's currency::

    uplift   = E[value | c, m] - E[value | c, silence]
    net      = uplift x unit value - contact cost of m
    priority = net x offer weight x goal weight     where net > 0
             = net                                  otherwise

The unit value is 1 where the model learned money. Where it learned a rate (a click, a visit), it is the declared value
of the offer: uplift is then in points of that rate, and an offer without a declared value never beats silence.

Silence competes with priority 0. Weights scale gains only: a weight is a preference among messages that pay, and must
neither turn a loss into a gain (they are not negative) nor, above 1, sink or, below 1, lift a message that loses money.
A weight of 0 switches a message off, since nothing beats silence by it.

Equal priorities go to silence first, then to the message whose key comes first.

Without a model, uplift is not known: messages are ranked by their declared value in its place. (The gates have
already excluded marketing then.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from decisioning.candidate import LARGEST_AMOUNT_MINOR, Candidate
from decisioning.errors import ModelUnavailableError
from decisioning.message import SILENCE
from decisioning.scoring import FloatArray


class Bid(NamedTuple):
    """What a permitted candidate brings to arbitration; fields as in `decision.Evaluated`."""

    key: str
    expected_value_minor: float | None
    uplift_minor: float | None
    cost_minor: float
    priority_minor: float


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
    candidates: Sequence[Candidate], permitted: Sequence[int], expected_values: FloatArray | None
) -> list[Bid]:
    """Price the permitted candidates against silence.

    Args:
        candidates: The touchpoint's k candidates.
        permitted: Indexes of those that passed every gate.
        expected_values: shape (k + 1,), checked, silence first; None without a model.

    Returns:
        Bids in candidate order, silence first.
    """
    if expected_values is None:
        return [Bid(SILENCE, None, None, 0.0, 0.0), *(_declared_bid(candidates[index]) for index in permitted)]
    values: list[float] = expected_values.tolist()
    silence = values[0]
    return [
        Bid(SILENCE, silence, 0.0, 0.0, 0.0),
        *(_scored_bid(candidates[index], values[index + 1], silence) for index in permitted),
    ]


def best_of(bids: Sequence[Bid]) -> int:
    """Index of the highest priority; ties go to the earlier bid, so to silence, then to the lower key.

    Example:
        >>> best_of([Bid("silence", 5.0, 0.0, 0.0, 0.0), Bid("a", 5.0, 0.0, 0.0, 0.0), Bid("b", 4.0, -1.0, 0.0, -1.0)])
        0
    """
    return max(range(len(bids)), key=lambda index: bids[index].priority_minor)


def _scored_bid(candidate: Candidate, value: float, silence: float) -> Bid:
    uplift, cost = value - silence, candidate.cost_minor
    net = uplift * candidate.unit_value_minor - cost
    return Bid(candidate.key, value, uplift, cost, net * candidate.weight if net > 0 else net)


def _declared_bid(candidate: Candidate) -> Bid:
    cost = candidate.cost_minor
    net = candidate.declared_value_minor - cost
    return Bid(candidate.key, None, None, cost, net * candidate.weight if net > 0 else net)
