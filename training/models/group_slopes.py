"""Safe improvement by journey stage and segment: where effects that differ by customer are used, and where not.

A model may be right about whom to send what at one stage and wrong at another. So within every group the personal part
of effects has to prove right for customers that it was not learned from. Its calibration slope ::

    r_i = slope sum_a (1{A_i = a} - pi_a) (effect_a(x_i) - average_a) + noise,       weights pi_A / p(A | x)

with r what averages leave of the outcome (`effects.left_by_averages`), is 1 where the personal part is right and 0
where it is noise. Slopes are pooled towards 1, which is what the log as a whole says of a part that it has calibrated:
a small group follows the whole, and one that surely differs goes its own way. A slope uses every decision. The value of
a policy only uses those in which the log happened to do the same, and so knows less; but it also sees what no slope
does. So a slope is 0, too, where the doubly robust gain of free choice over the best single action, paired and pooled
towards the gain of all groups, is below nothing beyond noise.

How much groups differ is known from a few of them only. So no single variance is taken, as in `average_effects`.

Reference:
    Chernozhukov, Demirer, Duflo and Fernandez-Val (2018), "Generic machine learning inference on heterogeneous
    treatment effects in randomized experiments", eq. 3.1, for the slope; Thomas, Theocharous and Ghavamzadeh (2015),
    "High confidence policy improvement"; Daniels (1999), "A prior for the variance in hierarchical models", Canadian
    Journal of Statistics 27(3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.catalogue import AttributeKind, Catalogue
from decisioning.effects.group_slopes import GroupSlopes
from features.computing.definition import word
from features.computing.feature_set import STAGE_INDEX
from training.models.effects import EffectEvidence, Parts
from training.models.validation import gains_over
from training.off_policy.estimators import MIN_CUSTOMERS, clustered_error

GROUPS_NOTE = "group_slopes"
"""Under which a bundle's notes keep what came of asking groups."""

MOST_SEGMENTS = 2
"""Customer attributes, in declared order, that slopes are looked for beside journey stages."""

_STEEPEST = 2.0
_SURE = 1.96  # standard errors
_VARIANCES = (np.arange(256) + 0.5) / 256
"""Shares of a deviation that may be noise, evenly spread: the prior of uniform shrinkage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerGroups:
    """Groups of customers.

    Attributes:
        by: What they are called: `stage`, or a customer attribute.
        feature: Holds the place of a customer's group, from 0.
        names: Of the groups.
    """

    by: str
    feature: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFinding:
    """What came of asking a group.

    Attributes:
        by: As of `CustomerGroups`.
        group: Name.
        decisions: In the log.
        believed: Slope that decisions use.
        slope: Of what came on what the personal part says; None where the group is too small to say.
        slope_error: Its standard error.
        gain: Of free choice, with the pooled slope, over the best single action, per decision; None where they agree.
        gain_error: Its standard error.
    """

    by: str
    group: str
    decisions: int
    believed: float
    slope: float | None
    slope_error: float | None
    gain: float | None
    gain_error: float | None

    def plain(self) -> dict[str, Any]:
        """As a bundle's notes keep it."""
        return asdict(self)


def groupings_of(catalogue: Catalogue, feature_names: Sequence[str]) -> tuple[CustomerGroups, ...]:
    """Journey stages, where there are two or more, and the first categories and flags of customers."""
    stages = CustomerGroups(by="stage", feature=STAGE_INDEX, names=tuple(one.stage_id for one in catalogue.stages))
    segments = (
        CustomerGroups(
            by=one.name,
            feature=f"attribute_{word(one.name)}",
            names=one.values if one.kind is AttributeKind.CATEGORY else ("no", "yes"),
        )
        for one in catalogue.customer_attributes
        if one.kind is not AttributeKind.NUMBER
    )
    known = [one for one in (stages, *segments) if one.feature in feature_names and len(one.names) > 1]
    stage_count = sum(one.by == stages.by for one in known[:1])
    return tuple(known[: stage_count + MOST_SEGMENTS])


def slopes_by_groups(
    evidence: EffectEvidence,
    parts: Parts,
    left: FloatArray,
    columns: Sequence[FloatArray],
    groupings: Sequence[CustomerGroups],
    constant: int,
) -> tuple[GroupSlopes | None, FloatArray | None, tuple[GroupFinding, ...]]:
    """Look for slopes, grouping by grouping, each with those found before it in force.

    Args:
        evidence: n decisions with logged probabilities.
        parts: What is believed of them all together.
        left: shape (n,), from `effects.left_by_averages`.
        columns: shape (n,) each, features that hold the groups.
        groupings: What they mean.
        constant: The best single action.

    Returns:
        Slopes as they are served, and of the decisions, shape (n,), both None where they are 1 everywhere; and what
        came of asking each group that the log has.
    """
    of_rows, told, served = np.ones(len(left)), list[GroupFinding](), dict[str, tuple[float, ...]]()
    personal = parts.effects(evidence.raw, evidence.linear) - (0.0 if parts.averages is None else parts.averages)
    moved = (evidence.centred_actions[:, 1:] * personal).sum(axis=1)
    for grouping, column in zip(groupings, columns, strict=True):
        places = _places(column, len(grouping.names))
        slopes = _slopes(evidence, of_rows * moved, left, places, len(grouping.names))
        found = np.clip(pooled(slopes, middle=1.0)[0], 0.0, _STEEPEST)
        predicted = parts.values(evidence.raw, evidence.linear, of_rows * np.append(found, 1.0)[places])
        gains = _means(evidence, gains_over(evidence, predicted, constant), places, len(grouping.names))
        means, deviations = pooled(gains)
        found = np.where(means + _SURE * deviations < 0, 0.0, found)
        of_rows *= np.append(found, 1.0)[places]
        served[grouping.feature] = tuple(found.tolist())
        told += _told(grouping, places, found, slopes, gains)
    if (of_rows == 1).all():
        return None, None, tuple(told)
    return GroupSlopes(by_feature=served), of_rows, tuple(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEstimates:
    """A number per group, shape (s,), and its precision, one over its squared error: 0 where nothing is known."""

    values: FloatArray
    precisions: FloatArray


def pooled(found: GroupEstimates, *, middle: float | None = None) -> tuple[FloatArray, FloatArray]:
    """What is to be believed of each group, and how sure that is: means and standard deviations, shapes (s,).

    Args:
        found: Of each group by itself.
        middle: What groups are pooled towards; None for their own mean.
    """
    values, precisions = found.values, found.precisions
    informed = precisions[precisions > 0]
    if not len(informed):
        return np.full(len(values), middle or 0.0), np.full(len(values), np.inf)
    variances = ((1.0 - _VARIANCES) / _VARIANCES / informed.mean())[:, np.newaxis]
    pull = 1.0 / (1.0 + variances * precisions)  # towards the middle
    marginal = precisions * pull
    whole = marginal.sum(axis=1, keepdims=True)
    centre = (marginal * values).sum(axis=1, keepdims=True) / whole if middle is None else np.full_like(whole, middle)
    likelihoods = 0.5 * (
        np.log(marginal[:, precisions > 0]).sum(axis=1) - (marginal * (values - centre) ** 2).sum(axis=1)
    )
    if middle is None:
        likelihoods -= 0.5 * np.log(whole[:, 0])
    weights = np.exp(likelihoods - likelihoods.max())
    means = centre + (1.0 - pull) * (values - centre)
    spreads = variances * pull + (pull**2 / whole if middle is None else 0.0)
    mean = np.average(means, axis=0, weights=weights)
    return mean, np.sqrt(np.average(spreads + (means - mean) ** 2, axis=0, weights=weights))


def _places(column: FloatArray, count: int) -> IntArray:
    """Place of each decision's group, shape (n,); `count` where it is not known."""
    is_known = (column >= 0) & (column < count)
    return np.where(is_known, column, count).astype(np.int64)


def _slopes(
    evidence: EffectEvidence, moved: FloatArray, left: FloatArray, places: IntArray, count: int
) -> GroupEstimates:
    """What came per unit of what the personal part says of the logged action."""
    weights = evidence.choice.weights(evidence.actions)
    found = GroupEstimates(values=np.ones(count), precisions=np.zeros(count))
    for group, rows, customers in _groups(evidence, places, count):
        size = float((weights[rows] * moved[rows] ** 2).sum())
        if size > 0:
            slope = float((weights[rows] * moved[rows] * left[rows]).sum()) / size
            influence = weights[rows] * moved[rows] * (left[rows] - slope * moved[rows])
            error = clustered_error(influence, customers) * len(rows) / size
            found.values[group], found.precisions[group] = slope, 1.0 / error**2 if error else 0.0
    return found


def _means(evidence: EffectEvidence, gains: FloatArray, places: IntArray, count: int) -> GroupEstimates:
    """Mean gain of each group."""
    found = GroupEstimates(values=np.zeros(count), precisions=np.zeros(count))
    for group, rows, customers in _groups(evidence, places, count):
        mean = float(gains[rows].mean())
        error = clustered_error(gains[rows] - mean, customers)
        found.values[group], found.precisions[group] = mean, 1.0 / error**2 if error else 0.0
    return found


def _groups(evidence: EffectEvidence, places: IntArray, count: int) -> Iterator[tuple[int, IntArray, IntArray]]:
    """Groups of enough customers: place, decisions and their customers."""
    for group in range(count):
        rows = np.flatnonzero(places == group)
        customers = evidence.customers[rows]
        if np.unique(customers).size >= MIN_CUSTOMERS:
            yield group, rows, customers


def _told(
    grouping: CustomerGroups, places: IntArray, believed: FloatArray, slopes: GroupEstimates, gains: GroupEstimates
) -> Iterator[GroupFinding]:
    counts = np.bincount(places, minlength=len(grouping.names))
    for group in np.flatnonzero(counts[: len(grouping.names)]).tolist():
        slope, slope_error = _with_error(slopes, group)
        gain, gain_error = _with_error(gains, group)
        yield GroupFinding(
            by=grouping.by,
            group=grouping.names[group],
            decisions=int(counts[group]),
            believed=float(believed[group]),
            slope=slope,
            slope_error=slope_error,
            gain=gain,
            gain_error=gain_error,
        )


def _with_error(found: GroupEstimates, group: int) -> tuple[float | None, float | None]:
    precision = float(found.precisions[group])
    return (float(found.values[group]), precision**-0.5) if precision > 0 else (None, None)
