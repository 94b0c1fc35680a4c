"""What lies ahead of a decision, as a model learned it from the log: what room under a cap is worth later.

A cap lets a customer have so many contacts in a window. A contact now takes room that a better moment may need. How
much that is worth depends on when the customer was contacted lately and on how good the present moment is, and is kept
as a table: one row per pattern of recent contacts, one column per class of what a contact would bring now. Tables are
learned by `training.foresight.slot_prices`; deciding only looks them up.

Time is counted in steps. A pattern of recent contacts is a number whose bit j - 1 says that there was a contact about j
steps ago, still within the window.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from math import ceil

from decisioning.foresight.hours import HourEffects
from decisioning.value_class import value_class


@value_class
class SlotPrices:
    """What one contact's room under a cap is worth at later moments.

    Attributes:
        cap_id: The cap.
        of: The one department, goal, class or channel whose contacts it counts; empty where it counts all.
        limit: Of the cap as it was when prices were learned, like the window: another cap makes them void.
        step_seconds: Length of a step.
        edges_minor: shape (b - 1,), ascending: what parts the classes of what a contact brings now.
        prices_minor: By pattern of recent contacts, one price per class, at least 0; a pattern that is not named costs
            nothing.
    """

    cap_id: str
    of: str
    limit: int
    window_seconds: float
    step_seconds: float
    edges_minor: tuple[float, ...]
    prices_minor: Mapping[int, tuple[float, ...]]

    def recent(self, ages_seconds: Iterable[float]) -> int:
        """The pattern of contacts made so long ago."""
        return recent_pattern(ages_seconds, steps_within(self.window_seconds, self.step_seconds), self.step_seconds)

    def price_minor(self, recent: int, gain_minor: float) -> float:
        """What the room is worth later.

        Args:
            recent: As `recent` gives it.
            gain_minor: What a contact brings now.

        Example:
            >>> prices = SlotPrices(cap_id="month", of="", limit=2, window_seconds=21 * 86_400.0,
            ...     step_seconds=7 * 86_400.0, edges_minor=(50.0,), prices_minor={0: (5.0, 3.0), 0b1: (40.0, 30.0)})
            >>> prices.price_minor(prices.recent([6.8 * 86_400]), 20.0), prices.price_minor(prices.recent([]), 60.0)
            (40.0, 3.0)
        """
        row = self.prices_minor.get(recent)
        return 0.0 if row is None else row[bisect_right(self.edges_minor, gain_minor)]


@value_class
class Foresight:
    """What lies ahead.

    Attributes:
        slots: Prices of room, by cap and what it counts, in order.
        hours: What the hour adds to messages; None where it is not known to matter.
    """

    slots: tuple[SlotPrices, ...] = ()
    hours: HourEffects | None = None


def steps_within(window_seconds: float, step_seconds: float) -> int:
    """Earlier steps whose contacts still count in a window that ends now; the present step is not among them.

    Example:
        >>> steps_within(27 * 86_400.0, 7 * 86_400.0), steps_within(28 * 86_400.0, 7 * 86_400.0)
        (3, 3)
    """
    return max(ceil(window_seconds / step_seconds) - 1, 0)


def recent_pattern(ages_seconds: Iterable[float], steps: int, step_seconds: float) -> int:
    """Contacts laid out over steps, one to a step; where two were made within one, the next free step has the other.

    Example:
        >>> bin(recent_pattern([2.0, 0.1, 2.1], 4, 1.0))
        '0b111'
    """
    pattern, free = 0, list(range(1, steps + 1))
    for age in sorted(ages_seconds):
        if not free:
            break
        at = age / step_seconds
        place = min(free, key=lambda step: (abs(step - at), -step))
        free.remove(place)
        pattern |= 1 << (place - 1)
    return pattern
