"""What the hour of the customer's local week adds to what messages do, learned from the log and kept where it pays.

For decision i at hour h, with action a_i drawn with probability p_i, l_i is what came less what the model expects of
a_i by estimates that did not see the customer. Weights w_i = (share of a_i) / p_i make the log as if actions had been
drawn alike at every hour. With s_L the share of the messages of a level L, which is a group (channel and kind of
offer), its channel, or all messages::

    l_i = m(h) + sum over L of (1{a_i in L} - s_L) (c_L + t_L(h)) + noise

m is what the hour brings whatever is sent, so hours in which customers buy anyway are not mistaken for hours in which
messages work. Each t is a smooth function of the hour: a Gaussian process whose covariance repeats daily and weekly.
Its variance is a number per level that the log is asked for (expectation and maximisation). So what a group's own hours
do borrows from the channel, from all messages, from hours and days nearby, and shrinks to "no difference". What hours
add to a group is the sum of its three t. An hour is known where the log has enough contacts of the channel.

The table is believed only where choosing the hour pays for customers whom it was not learned from. With q the hours of
their asks, and r_g(h) = q'(h) / q(h) - 1 where q' are the hours that the table would move group g's contacts to::

    gain = mean of w_i (l_i - m(h)) (1{contact} r_g(h) / s - 1{silence} r(h) / s_0)

which is right whatever the table says, since it weighs what came of contacts, less what came of silence, by how much
more often each hour would be used. The table is multiplied with the gain per gain that it predicts, at most 1.

Reference:
    Nie and Wager (2021), Quasi-oracle estimation of heterogeneous treatment effects, eq. 4; Rasmussen and Williams
    (2006), Gaussian Processes for Machine Learning, sections 2.2 and 4.2.3 (periodic covariance); Horvitz and Thompson
    (1952) for the gain.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.foresight.hours import HOURS, HourEffects, HourGroup
from training.off_policy.estimators import mean_estimate

FEWEST_CONTACTS = 5
"""Contacts of a channel at an hour below which nothing is said of it."""

_EVEN_SHARE = 0.25  # of contacts that even hours would have, below which an hour is not known either
_SURE = 2.6  # standard errors, which two folds that judge each other understate by a tenth: one false alarm in 100
_FOLDS = 2
_SEED = 17
_PASSES = 30
_FEATURES = 16  # leading parts of the covariance, of 168
_DAILY, _WEEKLY = 0.7, 0.6  # length of correlation, as a share of the circle
_PARTS = (0.5, 0.2, 0.3)  # variance that is the same every day, the same all day, and particular to an hour of a day
_FREE, _LEAST = 1e6, 1e-6  # variances, of the outcome's


@dataclass(frozen=True, slots=True, kw_only=True)
class HourLog:
    """n decisions that chose silence or a message of one of some groups.

    Attributes:
        groups: What hours are told apart by.
        hours: shape (n,), of the customer's local week, in [0, 168).
        contacts: shape (n,), place of the group of what was sent; -1 for silence.
        weights: shape (n,), w, mean 1.
        left: shape (n,), l, in the measure's unit.
        customers: shape (n,), a whole number each.
    """

    groups: tuple[HourGroup, ...]
    hours: IntArray
    contacts: IntArray
    weights: FloatArray
    left: FloatArray
    customers: IntArray

    def take(self, rows: BoolArray) -> "HourLog":
        """Some decisions."""
        names = ("hours", "contacts", "weights", "left", "customers")
        return HourLog(groups=self.groups, **{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class HourReport:
    """What came of asking whether hours matter.

    Attributes:
        strength: What is believed of the table; 0 where it does not prove to pay.
        gain: What choosing the hour adds per contact, in the measure's unit; None where it could not be asked.
        standard_error: Of that.
        wait_hours: The wait that the hour was chosen within.
        words: The same in a sentence.
    """

    strength: float
    gain: float | None
    standard_error: float | None
    wait_hours: float
    words: str

    def plain(self) -> dict[str, Any]:
        """As a bundle's notes keep it."""
        return asdict(self)


def learn_hours(log: HourLog, wait_hours: float) -> tuple[HourEffects | None, HourReport]:
    """What hours add, None where choosing them does not prove to pay, and what came of asking.

    Args:
        log: Decisions whose actions were drawn with known probabilities.
        wait_hours: How long a message may wait.
    """
    known = known_hours(log)
    is_some = any(_reach(one, wait_hours) for one in known)
    if not is_some or np.unique(log.customers).size < 2 * _FOLDS or not (log.contacts < 0).any():
        return None, _unasked(wait_hours, "asks come at too few different hours, or without silence to compare with")
    folds = np.random.default_rng(_SEED).integers(_FOLDS, size=int(log.customers.max()) + 1)[log.customers]
    terms, predicted = np.zeros(len(log.hours)), 0.0
    for fold in range(_FOLDS):
        own = folds == fold
        fitted = _fit(log.take(~own))
        terms[own], expected = _gains(log.take(own), fitted, known, wait_hours)
        predicted += expected * float(own.mean())
    gain = mean_estimate(terms, log.customers)
    is_sure = gain.value > _SURE * gain.standard_error > 0 and predicted > 0
    strength = float(min(gain.value / predicted, 1.0)) if is_sure else 0.0
    report = HourReport(
        strength=strength,
        gain=gain.value,
        standard_error=gain.standard_error,
        wait_hours=wait_hours,
        words="messages wait for better hours" if is_sure else "choosing the hour gains too little to be sure of",
    )
    return (_table(log.groups, _fit(log).effects * strength, known) if is_sure else None), report


def known_hours(log: HourLog) -> BoolArray:
    """Hours at which the log has enough contacts of each group's channel: shape (g, 168)."""
    channels = [channel for channel, _ in log.groups]
    counts = np.zeros((len(channels), HOURS))
    for place, channel in enumerate(channels):
        alike = np.array([one == channel for one in channels])
        sent = log.hours[(log.contacts >= 0) & alike[np.maximum(log.contacts, 0)]]
        counts[place] = np.bincount(sent, minlength=HOURS)
    least = np.maximum(FEWEST_CONTACTS, _EVEN_SHARE * counts.sum(axis=1, keepdims=True) / HOURS)
    return counts >= least


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """What was estimated: t of each group, shape (g, 168), and m, shape (168,), each around its mean."""

    effects: FloatArray
    usual: FloatArray


def _fit(log: HourLog) -> _Fitted:
    """Estimate m and t with the variances that the log speaks for."""
    levels, kinds = _levels(log.groups)
    squares, products, noise = _moments_of(log, levels)
    basis = np.column_stack([np.ones(HOURS), smooth_basis()])
    count, width = squares.shape[1], basis.shape[1]
    gram = np.einsum("hpq,hr,hs->prqs", squares, basis, basis).reshape(count * width, -1) / noise
    target = np.einsum("hp,hr->pr", products, basis).ravel() / noise
    found = _by_variance(gram, target, np.append(0, kinds), width, noise).reshape(count, width)
    curves = found[:, 1:] @ basis[:, 1:].T
    asked = np.bincount(log.hours, weights=log.weights, minlength=HOURS)
    curves -= (curves @ asked / asked.sum())[:, np.newaxis]
    return _Fitted(effects=levels @ curves[1:], usual=found[0] @ basis.T)


def _levels(groups: Sequence[HourGroup]) -> tuple[FloatArray, IntArray]:
    """Which groups each level has, shape (g, levels), and of which kind each level is: all, a channel, a group."""
    channels = sorted({channel for channel, _ in groups})
    of_channel = np.array([[one == channel for channel in channels] for one, _ in groups], dtype=np.float64)
    table = np.hstack([np.ones((len(groups), 1)), of_channel, np.eye(len(groups))])
    return table, np.repeat([1, 2, 3], [1, len(channels), len(groups)])


def _moments_of(log: HourLog, levels: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Weighted squares and products of the columns by hour, shapes (168, p, p) and (168, p), and the noise of l."""
    member = np.vstack([levels, np.zeros(levels.shape[1])])[log.contacts]  # silence, -1, is in none
    shares = log.weights @ member / log.weights.sum()
    columns = np.column_stack([np.ones(len(member)), member - shares])
    order = np.argsort(log.hours, kind="stable")
    ends = np.searchsorted(log.hours[order], np.arange(HOURS + 1))
    squares, products = np.zeros((HOURS, columns.shape[1], columns.shape[1])), np.zeros((HOURS, columns.shape[1]))
    for hour in range(HOURS):
        rows = order[ends[hour] : ends[hour + 1]]
        weighted = columns[rows] * log.weights[rows, np.newaxis]
        squares[hour], products[hour] = weighted.T @ columns[rows], weighted.T @ log.left[rows]
    centred = log.left - np.average(log.left, weights=log.weights)
    sums = np.bincount(log.customers, weights=log.weights * centred)
    return squares, products, max(float(sums @ sums) / float(log.weights.sum()), 1e-12)


def _by_variance(gram: FloatArray, target: FloatArray, kinds: IntArray, width: int, noise: float) -> FloatArray:
    """Coefficients under normal priors, one variance per kind of level; constants are free. Shape (p x width,).

    Args:
        gram: shape (p x width, p x width), per unit of noise.
        target: shape (p x width,), the same.
        kinds: shape (p,), which level each block of coefficients is of.
        width: Coefficients of a block, the constant first.
        noise: Variance of one observation.
    """
    owner = np.repeat(kinds, width)
    owner[::width] = -1
    variances = np.full(int(kinds.max()) + 1, 0.01 * noise)
    found = np.zeros(len(target))
    for _ in range(_PASSES):
        prior = np.where(owner < 0, _FREE * noise, variances[owner])
        root = np.sqrt(prior)
        spread = np.linalg.inv(gram * np.outer(root, root) + np.eye(len(root)))
        found = root * (spread @ (root * target))
        moved = found**2 + prior * np.diag(spread)
        variances = np.array([moved[owner == kind].mean() for kind in range(len(variances))])
        variances = np.maximum(variances, _LEAST * noise * 1e-3)
    return found


def smooth_basis() -> FloatArray:
    """Functions of the hour of the week whose coefficients are independent a priori: shape (168, r)."""
    apart = np.subtract.outer(np.arange(HOURS), np.arange(HOURS))
    daily = np.exp(-2 * (np.sin(np.pi * apart / 24) / _DAILY) ** 2)
    weekly = np.exp(-2 * (np.sin(np.pi * apart / HOURS) / _WEEKLY) ** 2)
    values, vectors = np.linalg.eigh(_PARTS[0] * daily + _PARTS[1] * weekly + _PARTS[2] * daily * weekly)
    kept = np.argsort(-values, kind="stable")[:_FEATURES]
    return vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0.0))


def _gains(log: HourLog, fitted: _Fitted, known: BoolArray, wait_hours: float) -> tuple[FloatArray, float]:
    """What each decision says of the gain of a table, shape (n,), and the gain that the table predicts."""
    asked = np.bincount(log.hours, weights=log.weights, minlength=HOURS)
    asked /= asked.sum()
    sent = log.contacts >= 0
    shares = np.bincount(log.contacts[sent], weights=log.weights[sent], minlength=len(log.groups)) / log.weights.sum()
    ratios, predicted = np.zeros((len(log.groups), HOURS)), 0.0
    for group, effects in enumerate(fitted.effects):
        best = best_hours(effects, known[group], wait_hours)
        moved = np.bincount(best, weights=asked, minlength=HOURS)
        ratios[group] = np.where(asked > 0, moved / np.maximum(asked, 1e-12) - 1.0, 0.0)
        predicted += float(shares[group] / shares.sum() * (asked @ (effects[best] - effects)))
    left = log.weights * (log.left - fitted.usual[log.hours])
    contacted = ratios[np.maximum(log.contacts, 0), log.hours] / shares.sum()
    silent = (shares / shares.sum() @ ratios)[log.hours] / (1.0 - shares.sum())
    return left * np.where(sent, contacted, -silent), predicted


def best_hours(effects: FloatArray, known: BoolArray, wait_hours: float) -> IntArray:
    """The best known hour of the present one and those within the wait, of several the first: shape (168,).

    Args:
        effects: shape (168,).
        known: shape (168,); at an hour that is not known a message goes at once, or waits for one that is.
        wait_hours: How long it may wait.
    """
    ahead = np.add.outer(np.arange(HOURS), np.arange(_last(wait_hours) + 1)) % HOURS
    worth = np.where(known[ahead], effects[ahead], -np.inf)
    worth[:, 0] = np.where(known, effects, 0.0)
    return ahead[np.arange(HOURS), worth.argmax(axis=1)]


def _last(wait_hours: float) -> int:
    """The last hour within a wait, counted from the middle of the present one."""
    return min(int(wait_hours + 0.5), HOURS - 1)


def _reach(known: BoolArray, wait_hours: float) -> bool:
    """Whether a known hour has another one within the wait."""
    return bool((best_hours(np.arange(HOURS, dtype=np.float64), known, wait_hours) != np.arange(HOURS))[known].any())


def _table(groups: Sequence[HourGroup], effects: FloatArray, known: BoolArray) -> HourEffects:
    """Effects by group, and of each channel the mean of its groups for kinds that the log does not have."""
    found = {group: _row(effects[place], known[place]) for place, group in enumerate(groups)}
    for channel in sorted({channel for channel, _ in groups}):
        places = [place for place, (one, _) in enumerate(groups) if one == channel]
        found[channel, ""] = _row(effects[places].mean(axis=0), known[places[0]])
    return HourEffects(by_group=found)


def _row(effects: FloatArray, known: BoolArray) -> dict[int, float]:
    """By known hour; in so many digits as all machines agree on."""
    return {int(hour): float(f"{effects[hour]:.6g}") for hour in np.flatnonzero(known)}


def _unasked(wait_hours: float, words: str) -> HourReport:
    return HourReport(strength=0.0, gain=None, standard_error=None, wait_hours=wait_hours, words=words)
