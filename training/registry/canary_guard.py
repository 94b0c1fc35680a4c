"""Whether a canary harms: the customers whom it decides for, compared with everybody else since it began.

A hash of the customer's id says who is who, so the two groups differ in nothing but the model, and whatever happens to
a customer counts, whichever decision it followed. The guard looks again and again, so its intervals hold at all looks
together: an interval for a single look would call noise harm sooner or later.

Reference:
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Time-uniform central limit theory and asymptotic confidence
    sequences, Annals of Statistics 52, theorem 2.2 and section 2.3 (choice of rho).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import log, sqrt

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray
from decisioning.catalogue.catalogue import Catalogue
from features.history import BULKY_COLUMN, History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, UTC_TIME, Table
from features.log.event_log import EventLog
from features.log.event_types import EventType
from features.log.outcome_types import OutcomeType
from features.models.rollout import Rollout
from training.data.datasets import learning_of
from training.data.measures import decision_values

MOST_ERROR = 0.01
"""Chance that one guard of a harmless canary ever breaks, whenever and however often it is looked at."""

MIN_CUSTOMERS = 50
"""Customers in each group before their means are compared."""

MOST_FAILED_RATE = 0.01
MIN_FAILED = 5
"""A canary breaks where so many scorings failed, and more than this share of all."""

MOST_SLOWER = 2.0
SLOWER_BY_S = 0.001
MIN_SCORED = 200
"""A canary breaks where scoring a customer takes this many times as long as the champion, and a millisecond more."""

_SHARPEST_AT = 500
"""Customers in the smaller group at which the intervals are narrowest compared with those of a single look."""

_HARM = (OutcomeType.UNSUBSCRIBED, OutcomeType.COMPLAINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardReading:
    """One guardrail of a canary.

    Attributes:
        canary: What it is among customers of the canary, or of its scorings.
        champion: The same of everybody else.
        lower: Lower end of the interval of the difference; None where nobody can tell yet.
        upper: Upper end.
        is_broken: The canary has to go.
    """

    name: str
    canary: float
    champion: float
    lower: float | None = None
    upper: float | None = None
    is_broken: bool = False

    @property
    def words(self) -> str:
        """The reading for people."""
        interval = "" if self.lower is None else f" [{self.lower:+,.4g}, {self.upper:+,.4g}]"
        return f"{self.name} {self.canary:,.4g} against {self.champion:,.4g}{interval}"


def guard_by_log(history: History, catalogue: Catalogue, rollout: Rollout, *, now: datetime) -> list[GuardReading]:
    """Harm and value by customer since the canary began, among those who got any decision since.

    Args:
        history: The log.
        catalogue: Says what is worth something (`learning.measure`); without it only harm is looked at.
        rollout: The canary.
        now: Until when (aware, UTC).
    """
    people = _people(history, rollout, now)
    takes = people["takes"].to_numpy()
    harm = people["customer_id"].is_in(_harmed(history, rollout)).cast(pl.Float64).to_numpy()
    readings = [_reading("customers who unsubscribed or complained", harm, takes, is_better_high=False)]
    if catalogue.learning is not None:
        _, measure = learning_of(catalogue)
        worth = decision_values(history, people.drop("takes"), measure, cap=True, whole=True)["value"].to_numpy()
        readings.append(_reading(f"{measure.measure_id} by customer", worth, takes, is_better_high=True))
    return readings


def guard_by_counts(counts: Mapping[str, float]) -> list[GuardReading]:
    """Failed and slow scorings, as servers count them."""
    scored, failed = counts.get("canary/scored", 0.0), counts.get("canary/failed", 0.0)
    asked, others = scored + failed, counts.get("champion/scored", 0.0)
    ours, theirs = (counts.get(f"{who}/seconds", 0.0) for who in ("canary", "champion"))
    mean, usual = (seconds / max(number, 1.0) for seconds, number in ((ours, scored), (theirs, others)))
    is_slow = min(scored, others) >= MIN_SCORED and mean > MOST_SLOWER * usual and mean > usual + SLOWER_BY_S
    is_failing = failed >= MIN_FAILED and failed > MOST_FAILED_RATE * asked
    return [
        GuardReading(name="failed scorings", canary=failed / max(asked, 1.0), champion=0.0, is_broken=is_failing),
        GuardReading(name="seconds to score a customer", canary=mean, champion=usual, is_broken=is_slow),
    ]


def history_since(log: EventLog, rollout: Rollout) -> History:
    """What happened since a canary began; the rest of the log is not read."""
    frames = {table.name: _since(log, table, rollout) for table in (EVENTS, DECISIONS, OUTCOMES)}
    return History.of(History(customers=pl.DataFrame(schema=CUSTOMERS.schema), **frames))


def _since(log: EventLog, table: Table, rollout: Rollout) -> pl.DataFrame:
    began_at = pl.lit(rollout.began_at).cast(UTC_TIME)
    names = [name for name in table.schema if name != BULKY_COLUMN]
    return log.collect(table, log.scan(table).filter(pl.col(table.time_column) >= began_at).select(names))


def always_valid_reach(standard_error: float, count: float, *, most_error: float = MOST_ERROR) -> float:
    """Half the width of an interval of a mean that holds at every look together.

    Args:
        standard_error: Of the mean, as at a single look.
        count: Number of independent values so far.
        most_error: Chance that the interval misses the mean at any look.

    Example:
        >>> bool(always_valid_reach(1.0, 500) > 2.58)  # a single look's
        True
    """
    tail = -2.0 * log(most_error)
    spread = count * (tail + log(tail + 1.0)) / _SHARPEST_AT
    return standard_error * sqrt((spread + 1.0) / spread * log((spread + 1.0) / most_error**2))


def _people(history: History, rollout: Rollout, now: datetime) -> pl.DataFrame:
    """Customers with a decision since the canary began, from their first one on, and whether it takes them."""
    since = pl.col("decided_at") >= pl.lit(rollout.began_at).cast(UTC_TIME)
    first = history.decisions.filter(since).group_by("customer_id").agg(starts_at=pl.col("decided_at").min())
    return first.sort("customer_id").with_columns(
        decision_id=pl.col("customer_id"),
        ends_at=pl.lit(now).cast(UTC_TIME),
        takes=pl.col("customer_id").map_elements(rollout.takes, return_dtype=pl.Boolean),
    )


def _harmed(history: History, rollout: Rollout) -> list[str]:
    since = pl.col("occurred_at") >= pl.lit(rollout.began_at).cast(UTC_TIME)
    left = history.outcomes.filter(since, pl.col("type").is_in([one.value for one in _HARM]))
    said = history.events.filter(since, pl.col("type") == EventType.COMPLAINT.value)
    return sorted({*left["customer_id"], *said["customer_id"]})


def _reading(name: str, values: FloatArray, takes: BoolArray, *, is_better_high: bool) -> GuardReading:
    ours, theirs = values[takes], values[~takes]
    means = [float(one.mean()) if len(one) else 0.0 for one in (ours, theirs)]
    smaller = min(len(ours), len(theirs))
    if smaller < MIN_CUSTOMERS:
        return GuardReading(name=name, canary=means[0], champion=means[1])
    error = float(np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs)))
    gap, reach = means[0] - means[1], always_valid_reach(error, smaller)
    lower, upper = gap - reach, gap + reach
    return GuardReading(
        name=name,
        canary=means[0],
        champion=means[1],
        lower=lower,
        upper=upper,
        is_broken=upper < 0 if is_better_high else lower > 0,
    )
