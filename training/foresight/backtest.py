"""Do prices of room pay? Played on moments of customers that they were not learned from, contact by contact.

Every customer goes through their moments with prices and without: a contact is made where there is room and its gain is
more than the price. Gains are the model's estimates either way, so this judges the timing alone. The log's end favours
the side without prices, for whom there is no tomorrow to keep room for.
"""

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.foresight.slots import SlotPrices, steps_within
from training.foresight.moments import Stepped
from training.foresight.slot_prices import room


def taken(found: Stepped, slot: SlotPrices, strength: float) -> FloatArray:
    """What contacts bring at each moment, 0 where none is made: shape (m,).

    Args:
        found: Moments of some customers, from their first on.
        slot: Prices, and the cap they are for.
        strength: What prices are multiplied by; 0 plays without them.
    """
    table, steps = _table(slot), steps_within(slot.window_seconds, slot.step_seconds)
    prices = strength * table[np.searchsorted(slot.edges_minor, found.gains_minor, side="right")]
    gaps = np.minimum(np.where(found.follows, np.diff(found.steps, prepend=0), steps + 1), steps + 1)
    starts = np.flatnonzero(~found.follows)
    lengths = np.diff(np.append(starts, len(found.steps)))
    gains, patterns, full = np.zeros(len(found.steps)), np.zeros(len(starts), dtype=np.int64), (1 << steps) - 1
    for number in range(int(lengths.max())):
        here = lengths > number
        rows = starts[here] + number
        before = (patterns[here] << gaps[rows]) >> 1 & full
        sends = room(before, slot.limit) & (found.gains_minor[rows] > np.maximum(prices[rows, before], 0.0))
        gains[rows] = np.where(sends, found.gains_minor[rows], 0.0)
        patterns[here] = before << 1 | sends
    return gains


def _table(slot: SlotPrices) -> FloatArray:
    """Prices by class and pattern, shape (b, patterns)."""
    steps = steps_within(slot.window_seconds, slot.step_seconds)
    table = np.zeros((len(slot.edges_minor) + 1, 1 << steps))
    for pattern, row in slot.prices_minor.items():
        table[:, pattern] = row
    return table
