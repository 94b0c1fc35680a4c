"""How much of what the truth could gain a policy gains: shares with intervals, paired by customer.

All policies live with the same customers and the same chance, so differences are taken customer by customer. With a_i
what a policy gains over silence with customer i and b_i what the oracle gains, the share is sum a / sum b, and its
standard error is that of the mean of a_i - share x b_i over the mean of b. Gains are told twice: in exact expectation
along the way that each play went, and as they happened, which says the same with far more noise.

Reference:
    Cochran (1977), Sampling Techniques, 3rd edition, eq. 6.13 (variance of a ratio estimator).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from decisioning.arrays import FloatArray
from decisioning.catalogue.message import message_parts
from decisioning.errors import InvalidInputError
from pipelines.simulation.contest.play import Played

SILENCE_NAME = "silence"
ORACLE_NAME = "oracle"
ENGINE_NAME = "engine"

_LEVEL = 0.95
_PER_MAJOR = 100.0  # minor units


@dataclass(frozen=True, slots=True, kw_only=True)
class GainInterval:
    """A number with its 95 % interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStanding:
    """How one policy did.

    Attributes:
        gain: Over silence per customer and all weeks, in exact expectation along the way (`advantage`), major units.
        share: Gain as a share of the oracle's.
        realised_worth: Contribution per customer less what contacts cost, as it happened.
        realised_gain: The same less that of silence, with all the chance that there is in what customers do.
        realised_share: Realised gain as a share of the oracle's.
        messages: Messages per customer.
        by_channel: The same per channel.
        violations: Contacts that broke a rule, by rule, as the judge counted them again.
    """

    name: str
    gain: GainInterval
    share: GainInterval
    realised_worth: float
    realised_gain: GainInterval
    realised_share: GainInterval
    messages: float
    by_channel: Mapping[str, float]
    violations: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestComparison:
    """All policies on one world.

    Attributes:
        bound: What no policy can gain over silence, in expectation, per customer in major units.
        standings: By rising gain.
        notes: What a reader must know, such as which message was best for all.
    """

    seed: int
    customers: int
    weeks: int
    bound: float
    standings: tuple[PolicyStanding, ...]
    notes: Mapping[str, str]

    def of(self, name: str) -> PolicyStanding:
        """One policy's standing; KeyError where it did not take part."""
        return {one.name: one for one in self.standings}[name]

    @property
    def violations(self) -> int:
        """Broken rules of all policies together."""
        return sum(sum(one.violations.values()) for one in self.standings)


def compare_plays(
    plays: Mapping[str, Played], *, seed: int, weeks: int, bound_minor: float, notes: Mapping[str, str] | None = None
) -> ContestComparison:
    """Put plays of one beginning side by side.

    Raises:
        InvalidInputError: Silence or the oracle is missing, or the oracle gained nothing.
    """
    missing = {SILENCE_NAME, ORACLE_NAME} - plays.keys()
    if missing:
        raise InvalidInputError(f"plays must have silence and the oracle, got none of {', '.join(sorted(missing))}")
    silence, oracle = plays[SILENCE_NAME], plays[ORACLE_NAME]
    standings = [_standing(name, one, silence, oracle) for name, one in plays.items()]
    return ContestComparison(
        seed=seed,
        customers=len(silence.gain_minor),
        weeks=weeks,
        bound=bound_minor / _PER_MAJOR,
        standings=tuple(sorted(standings, key=lambda one: one.gain.value)),
        notes=notes or {},
    )


def _standing(name: str, played: Played, silence: Played, oracle: Played) -> PolicyStanding:
    realised, size = played.gain_minor - silence.gain_minor, len(played.gain_minor)
    by_channel: dict[str, float] = {}
    for key, count in played.messages.items():
        if (parts := message_parts(key)) is not None:
            by_channel[parts.channel_id] = by_channel.get(parts.channel_id, 0.0) + count / size
    return PolicyStanding(
        name=name,
        gain=mean_interval(played.expected_minor / _PER_MAJOR),
        share=share_interval(played.expected_minor, oracle.expected_minor),
        realised_worth=float(played.gain_minor.mean()) / _PER_MAJOR,
        realised_gain=mean_interval(realised / _PER_MAJOR),
        realised_share=share_interval(realised, oracle.gain_minor - silence.gain_minor),
        messages=sum(played.messages.values()) / size,
        by_channel=by_channel,
        violations=played.verdict.violations,
        seconds=played.seconds,
    )


def mean_interval(values: FloatArray) -> GainInterval:
    """Mean of n numbers with its interval.

    Example:
        >>> mean_interval(np.array([1.0, 1.0, 1.0]))
        GainInterval(value=1.0, lower=1.0, upper=1.0)
    """
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return _around(mean, error, len(values))


def share_interval(gained: FloatArray, best: FloatArray) -> GainInterval:
    """What was gained as a share of the best, paired by customer: shape (n,) both.

    Raises:
        InvalidInputError: The best gained nothing, so that there is nothing to share.
    """
    total = float(best.mean())
    if total <= 0:
        raise InvalidInputError(f"the oracle must gain something, got {total:.2f} a customer; compare more customers")
    share = float(gained.mean()) / total
    error = float((gained - share * best).std(ddof=1)) / np.sqrt(len(best)) / total
    return _around(share, error, len(best))


def _around(value: float, error: float, count: int) -> GainInterval:
    if count < 2:  # noqa: PLR2004 - one number has no spread
        return GainInterval(value=value, lower=float("-inf"), upper=float("inf"))
    reach = float(stats.t.ppf(0.5 + _LEVEL / 2, count - 1)) * error
    return GainInterval(value=value, lower=value - reach, upper=value + reach)
