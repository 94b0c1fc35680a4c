"""The moments at which customers of a log could be contacted, and what the best contact would have brought at each.

A log's decisions are decided again with all gates but without a book of contacts, so that what caps kept back shows,
too. What a contact brings is what the best message that a cap counts is worth more than the best other choice, silence
among them, net of the cost of contact, by the model's own estimates.
"""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from training.foresight.slot_prices import MOST_STEPS, Prospect

FEWEST_CUSTOMERS = 100
"""Customers with two moments or more below which nothing is said of moments to come."""

_CLASSES = 8
_ATOMS = 4
_BORROWED = 20.0  # moments that what is usual counts for in a row of transitions


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Moments of a log, each customer's together and in order of time.

    Attributes:
        customers: shape (n,), a whole number per customer, ascending.
        seconds: shape (n,), time of each; ascending within a customer.
        gains_minor: shape (n,), U: negative or 0 where no contact pays.
        contacts: shape (n,), whether the log made one.
    """

    customers: IntArray
    seconds: FloatArray
    gains_minor: FloatArray
    contacts: BoolArray

    @property
    def size(self) -> int:
        """Number of moments."""
        return len(self.customers)

    def take(self, rows: BoolArray) -> "Moments":
        """Those where `rows`, shape (n,), is true."""
        return Moments(
            customers=self.customers[rows],
            seconds=self.seconds[rows],
            gains_minor=self.gains_minor[rows],
            contacts=self.contacts[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """The same, at most one to a step and customer: the best of each.

    Attributes:
        steps: shape (m,), number of the step since the customer's first moment.
        follows: shape (m,), whether the row before is the same customer's.
        contacts: shape (m,), whether the log made a contact in the step.
    """

    customers: IntArray
    steps: IntArray
    gains_minor: FloatArray
    follows: BoolArray
    contacts: BoolArray


def moments_of(customers: IntArray, seconds: FloatArray, gains_minor: FloatArray, contacts: BoolArray) -> Moments:
    """Put decisions, given in any order, side by side."""
    order = np.lexsort((seconds, customers))
    return Moments(
        customers=customers[order], seconds=seconds[order], gains_minor=gains_minor[order], contacts=contacts[order]
    )


def gains_of(priorities: FloatArray, counted: BoolArray) -> FloatArray:
    """What the best counted message brings more than the best other choice, shape (n,).

    Args:
        priorities: shape (n, k + 1), silence first; NaN where a gate refused.
        counted: shape (k + 1,), what a cap counts.
    """
    known = np.where(np.isnan(priorities), -np.inf, priorities)
    others = np.maximum(known[:, ~counted].max(axis=1), 0.0)
    best = known[:, counted].max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(best), best - others, 0.0)


def step_seconds_of(moments: Moments, window_seconds: float) -> float:
    """The usual time between a customer's moments, but so long that a window has at most `MOST_STEPS` before now."""
    same = moments.customers[1:] == moments.customers[:-1]
    gaps = np.diff(moments.seconds)[same]
    usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else window_seconds
    return max(usual, window_seconds / (MOST_STEPS + 1))


def stepped(moments: Moments, step_seconds: float) -> Stepped:
    """Lay moments out over steps, the best of each step."""
    starts = np.flatnonzero(np.append(True, moments.customers[1:] != moments.customers[:-1]))
    first = np.repeat(moments.seconds[starts], np.diff(np.append(starts, moments.size)))
    steps = np.rint((moments.seconds - first) / step_seconds).astype(np.int64)
    is_new = np.append(True, (moments.customers[1:] != moments.customers[:-1]) | (steps[1:] != steps[:-1]))
    places = np.flatnonzero(is_new)
    customers = moments.customers[places]
    return Stepped(
        customers=customers,
        steps=steps[places],
        gains_minor=np.maximum.reduceat(moments.gains_minor, places),
        follows=np.append(False, customers[1:] == customers[:-1]),
        contacts=np.logical_or.reduceat(moments.contacts, places),
    )


def prospect_of(found: Stepped, step_seconds: float) -> Prospect | None:
    """How good moments are and how one follows another; None where too few customers have two, or no contact pays."""
    gains, follows = found.gains_minor, found.follows
    before = np.flatnonzero(follows) - 1
    if np.unique(found.customers[follows]).size < FEWEST_CUSTOMERS or not (gains > 0).any():
        return None
    inner = np.quantile(gains[gains > 0], np.linspace(0, 1, _CLASSES)[1:-1])
    edges = np.unique(np.append(np.nextafter(0.0, 1.0), inner))
    classes = np.searchsorted(edges, gains, side="right")
    count = len(edges) + 1
    waited = found.steps[before + 1] - found.steps[before]
    places = classes[before] * count + classes[before + 1]
    pairs = [_pairs(places[found.contacts[before] == is_contact], count) for is_contact in (False, True)]
    together = _borrowing(
        pairs[0] + pairs[1], np.tile(np.bincount(classes, minlength=count) / len(classes), (count, 1))
    )
    return Prospect(
        step_seconds=step_seconds,
        arrival_rate=len(before) / float(waited.sum()),
        edges_minor=edges,
        atoms_minor=np.array([_atoms(gains[classes == one]) for one in range(count)]),
        silent=_borrowing(pairs[0], together),
        contacted=_borrowing(pairs[1], together),
    )


def _atoms(gains: FloatArray) -> FloatArray:
    """Some values of equal chance that stand for many."""
    if not len(gains):
        return np.zeros(_ATOMS)
    return np.array([part.mean() if len(part) else gains.mean() for part in np.array_split(np.sort(gains), _ATOMS)])


def _pairs(places: IntArray, count: int) -> IntArray:
    """How often one class followed another, shape (b, b)."""
    return np.bincount(places, minlength=count * count).reshape(count, count)


def _borrowing(pairs: IntArray, usual: FloatArray) -> FloatArray:
    """Chance of the next class given the last, each row borrowing from what is usual, both of shape (b, b)."""
    return (pairs + _BORROWED * usual) / (pairs.sum(axis=1, keepdims=True) + _BORROWED)
