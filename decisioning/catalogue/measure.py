"""What a decision is worth: declared measures over a customer's events and outcomes in the window after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Unit(StrEnum):
    """What a measure counts."""

    MONEY = "money"
    RATE = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A reward for learning, evaluation and experiments.

    A money measure sums the amounts of `added_events` and subtracts those of `subtracted_events` within the window,
    each transaction first cut to `cap_minor` where there is one; it adds what the customer's `outcomes` are worth,
    whichever of their decisions they answer, so that silence is credited too. A rate measure is 1 where any of
    `outcomes` happened to the decision within the window, or any of `added_events` to the customer, else 0.

    Attributes:
        measure_id: Name, such as `net_revenue`.
        unit: Money in minor units, or a rate in [0, 1].
        added_events: Event types whose amounts (money) or occurrence (rate) count.
        subtracted_events: Event types whose amounts are taken away; money only.
        outcomes: Outcome types whose occurrence (rate) or worth (money) counts.
        outcome_worth_minor: What an outcome of a type is worth where its report names no amount, in minor units.
        cap_minor: Largest amount that one transaction may count for when learning; None for no cap.
    """

    measure_id: str
    unit: Unit
    added_events: frozenset[str] = frozenset()
    subtracted_events: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    cap_minor: int | None = None
    outcome_worth_minor: Mapping[str, float] = field(default_factory=dict[str, float])
