"""Where everybody stands at the beginning of a week."""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IntArray
from pipelines.simulation.world.journey import STAGE_OF, JourneyStep

_SHARES = {JourneyStep.DREAM: 0.45, JourneyStep.PLAN: 0.12, JourneyStep.LAPSE: 0.43}
"""A rough first guess; worlds settle before their first week."""


UNPROMPTED = tuple(step for step in JourneyStep if STAGE_OF[step] in {"book", "prepare"})
"""Steps in which customers buy extras unasked."""


STAGE_NAMES = np.array([STAGE_OF[step] for step in JourneyStep])
"""Stage of each step by its number."""


class OpenTrouble(IntEnum):
    """Trouble that is open."""

    NONE = 0
    BAG = 1
    CANCELLED = 2
    DELAYED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldState:
    """Where everybody stands at the beginning of a week; arrays of shape (n,).

    Attributes:
        step: `journey.JourneyStep` of each customer.
        memory: Weeks of the last three with a marketing contact, a bit each, the lowest for last week.
        has_left: Withdrew every consent to marketing.
        case: `week.OpenTrouble` that is open; 0 for none.
        case_week: Week in which it was opened.
    """

    step: IntArray
    memory: IntArray
    has_left: BoolArray
    case: IntArray
    case_week: IntArray

    def first(self, count: int) -> "WorldState":
        """The same of the first customers alone."""
        return WorldState(**{each.name: getattr(self, each.name)[:count] for each in fields(self)})


def first_state(size: int, uniform: FloatArray) -> WorldState:
    """Everybody dreaming, planning or lapsed, by numbers in [0, 1) of shape (n,)."""
    bounds = np.cumsum(list(_SHARES.values()))[:-1]
    zeros = np.zeros(size, dtype=np.int64)
    return WorldState(
        step=np.array(list(_SHARES), dtype=np.int64)[np.searchsorted(bounds, uniform, side="right")],
        memory=zeros,
        has_left=zeros.astype(bool),
        case=zeros,
        case_week=zeros,
    )


def keys_of(name: str, week: int, rows: IntArray) -> pl.Series:
    """Identifiers of what happened to customers in a week, such as `search-3-17`; the same on every run."""
    return pl.select(pl.format("{}-{}-{}", pl.lit(name), pl.lit(week), pl.lit(pl.Series("row", rows)))).to_series()
