"""What a contact's room under a cap is worth later: an exact dynamic programme over recent contacts.

Time goes in steps of length d. At a step, with probability r, somebody asks what to send, and a contact would bring U,
net of its cost. U is a Markov chain over b classes, so that a customer who is worth little now is mostly worth little
at the next moment, too; it goes on by one chain after silence and by another after a contact, which tires customers and
uses up what the moment was good for. Within a class U has one of some values of equal chance. The state is the class
of the moment and the pattern s of contacts of the last steps that still count. With N(s) and N(s, contact) the
patterns one step on, room where s holds fewer contacts than the cap, and E_a[f(c') | c] what follows action a::

    price_h(c, s) = Q^1_{h-1}(c, N(s)) - Q^1_{h-1}(c, N(s, contact))
    V_h(c, s)     = E[U + Q^1_{h-1}(c, N(s, contact)) | c]          where there is room and U > price_h(c, s)
                    Q^0_{h-1}(c, N(s))                              elsewhere
    Q^a_h(c, s)   = r E_a[V_h(c', s) | c] + (1 - r) Q^a_{h-1}(c, N(s))       Q^a_0 = 0, r the rate of arrivals

price_H is charged, H being the steps of the horizon. It is what the room alone is worth: both sides of the difference
go on as after a contact, so fatigue, which the values of messages know of, is not counted twice, and without a cap all
patterns are worth the same and the price is 0. Where a contact does not change what follows, this is the optimal
policy; elsewhere it is its improvement by one step.

What the model leaves out: that gains depend on more of the past than the last class, and other customers.

Reference:
    Puterman (1994), Markov Decision Processes, section 4.3 (finite-horizon value iteration); Talluri and van Ryzin
    (2004), The Theory and Practice of Revenue Management, section 2.5 (the bid price as the difference of values).
"""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.foresight.slots import SlotPrices, steps_within

MOST_STEPS = 8
"""Steps of a window at most, so that there are no more than 256 patterns; steps grow longer where there would be."""

_LEAST_PRICE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """How good the moments are at which a customer can be contacted.

    Attributes:
        step_seconds: d.
        arrival_rate: r, in [0, 1].
        edges_minor: shape (b - 1,), ascending, what parts the classes of U.
        atoms_minor: shape (b, q), values of U in each class, each of chance 1 / q.
        silent: shape (b, b), P(c' | c) from one decision to the next after silence; rows sum to 1.
        contacted: shape (b, b), the same after a contact.
    """

    step_seconds: float
    arrival_rate: float
    edges_minor: FloatArray
    atoms_minor: FloatArray
    silent: FloatArray
    contacted: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedCap:
    """A cap as prices are made for it.

    Attributes:
        of: The value of its side that it counts; empty for everything.
    """

    cap_id: str
    of: str
    limit: int
    window_seconds: float


def solve_prices(cap: PricedCap, prospect: Prospect, horizon_seconds: float, strength: float = 1.0) -> SlotPrices:
    """The table of prices of a cap.

    Args:
        cap: Whose.
        prospect: Moments to come.
        horizon_seconds: How far ahead is looked.
        strength: What prices are multiplied by, in [0, 1].
    """
    steps = steps_within(cap.window_seconds, prospect.step_seconds)
    found = strength * slot_values(cap.limit, steps, prospect, max(int(horizon_seconds / prospect.step_seconds), 1))
    rows = {pattern: tuple(row) for pattern, row in enumerate(found.T.tolist()) if max(row) > _LEAST_PRICE}
    return SlotPrices(
        cap_id=cap.cap_id,
        of=cap.of,
        limit=cap.limit,
        window_seconds=cap.window_seconds,
        step_seconds=prospect.step_seconds,
        edges_minor=tuple(prospect.edges_minor.tolist()),
        prices_minor=rows,
    )


def slot_values(limit: int, steps: int, prospect: Prospect, horizon: int) -> FloatArray:
    """Prices by class and pattern: shape (b, 2 ** steps); 0 where there is no room.

    Args:
        limit: Contacts that a window may hold.
        steps: Earlier steps whose contacts count.
        prospect: Moments to come.
        horizon: Steps that are looked ahead, the present one among them.
    """
    patterns = np.arange(1 << steps)
    has_room, waited = room(patterns, limit), after(patterns, steps)[0]
    chains, rate = (prospect.silent, prospect.contacted), prospect.arrival_rate
    silence = contact = np.zeros((len(prospect.atoms_minor), len(patterns)))
    for _ in range(horizon - 1):
        asked = _asked(silence, contact, prospect, has_room, steps)
        silence, contact = (
            rate * (chain @ asked) + (1 - rate) * later[:, waited]
            for chain, later in zip(chains, (silence, contact), strict=True)
        )
    return _prices(contact, has_room, steps)


def after(patterns: IntArray, steps: int) -> tuple[IntArray, IntArray]:
    """Patterns one step on: without a contact at the present step, and with one."""
    full = (1 << steps) - 1
    return (patterns << 1) & full, ((patterns << 1) | 1) & full


def room(patterns: IntArray, limit: int) -> BoolArray:
    """Whether a cap lets one more contact in."""
    return np.bitwise_count(patterns) < limit


def _prices(contact: FloatArray, has_room: BoolArray, steps: int) -> FloatArray:
    """Prices from what the steps after a contact are worth by class and pattern, both of shape (b, patterns)."""
    waited, contacted = after(np.arange(contact.shape[1]), steps)
    return np.where(has_room, np.maximum(contact[:, waited] - contact[:, contacted], 0.0), 0.0)


def _asked(silence: FloatArray, contact: FloatArray, prospect: Prospect, has_room: BoolArray, steps: int) -> FloatArray:
    """V_h from what later steps are worth after silence and after a contact, all of shape (b, patterns)."""
    waited, contacted = after(np.arange(silence.shape[1]), steps)
    gains = prospect.atoms_minor[:, :, np.newaxis]
    sends = has_room & (gains > _prices(contact, has_room, steps)[:, np.newaxis, :])
    return np.where(sends, gains + contact[:, np.newaxis, contacted], silence[:, np.newaxis, waited]).mean(axis=1)
