"""What the demo counts while it runs."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from scipy import stats

from decisioning.arrays import BoolArray, FloatArray
from pipelines.demo.airline.care_book import CareBook, CareCount

CENTS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyTally:
    """What customers brought so far, per customer, in major units.

    Attributes:
        spoken_to: Mean of those whom the engine may speak to.
        held_out: Mean of the universal holdout.
        gain_lower: Lower end of its 95 % interval (Welch); NaN while it is unknown.
        left_alone: Mean of all customers in the twin world, where nobody sends marketing.
        realised_gain: Mean of all customers here, less that: the same people with the same luck.
        expected_gain: The same in exact expectation, along the way that the weeks went.
    """

    spoken_to: float
    held_out: float
    gain: float
    gain_lower: float
    gain_upper: float
    left_alone: float
    realised_gain: float
    expected_gain: float


@dataclass(slots=True, kw_only=True)
class Purse:
    """Contribution less contact costs so far, per customer in minor units, here and in the twin world.

    Attributes:
        here: (n,), with the engine.
        alone: (n,), the twin world, where nobody sends marketing.
        expected: (n,), what the messages added, in exact expectation.
        is_held_out: (n,), the universal holdout.
    """

    here: FloatArray
    alone: FloatArray
    expected: FloatArray
    is_held_out: BoolArray

    @classmethod
    def empty(cls, size: int) -> "Purse":
        """Nothing yet, for n customers."""
        return cls(
            here=np.zeros(size),
            alone=np.zeros(size),
            expected=np.zeros(size),
            is_held_out=np.zeros(size, dtype=np.bool_),
        )

    def money(self) -> MoneyTally:
        """The state of things."""
        spoken_to, held_out = self.here[~self.is_held_out] / CENTS, self.here[self.is_held_out] / CENTS
        lower, upper = _interval(spoken_to, held_out)
        kept = float(held_out.mean()) if held_out.size else float("nan")
        return MoneyTally(
            spoken_to=float(spoken_to.mean()),
            held_out=kept,
            gain=float(spoken_to.mean()) - kept,
            gain_lower=lower,
            gain_upper=upper,
            left_alone=float(self.alone.mean()) / CENTS,
            realised_gain=float((self.here - self.alone).mean()) / CENTS,
            expected_gain=float(self.expected.mean()) / CENTS,
        )


def _interval(spoken_to: FloatArray, held_out: FloatArray) -> tuple[float, float]:
    if min(spoken_to.size, held_out.size) < 2 or not (spoken_to.var() or held_out.var()):  # noqa: PLR2004 - a variance
        return float("nan"), float("nan")
    interval = stats.ttest_ind(spoken_to, held_out, equal_var=False).confidence_interval()
    return float(interval.low), float(interval.high)


@dataclass(slots=True, kw_only=True)
class Scoreboard:
    """Everything that the live table shows.

    Attributes:
        weeks: Weeks that will be played.
        doing: What goes on, in a few words.
        week: Week that is played, from 1.
        messages: Messages by stage and channel.
        silences: Silent answers by reason.
    """

    weeks: int
    now: datetime
    care: CareBook
    purse: Purse
    doing: str = ""
    week: int = 0
    messages: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    silences: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])

    def saw_answer(self, answer: dict[str, Any]) -> None:
        """Count a decision."""
        if answer["action"] == "send":
            self.messages[answer["stage"] or "unknown", answer["selected"]["channel"]] += 1
        else:
            self.silences[answer["reason"]] += 1

    @property
    def sent(self) -> int:
        """Messages so far."""
        return self.messages.total()

    def care_count(self) -> CareCount:
        """Cases so far."""
        return self.care.count(self.now)
