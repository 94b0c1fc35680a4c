"""Who gets which message when not everybody can: the exact optimum over a whole audience, with its shadow prices.

For customers i with permitted messages m of net value v (uplift in money, less costs, times weights)::

    maximise    sum v_im x_im
    subject to  sum_m x_im <= 1                      one message or silence for each
                least_c <= sum a_cm x_im <= most_c   capacities, budgets, shares, least and most volumes
                x_im in {0, 1}

The linear relaxation is solved by HiGHS (interior point, then crossover to a vertex). Its duals are the shadow prices:
what one more unit of a limit would be worth. A vertex has at most as many split customers as there are constraints on
everybody, so it is nearly always whole already. Where it is not:

1. a small integer programme over the split customers and those nearest to a tie, everybody else as in the relaxation,
   gives a whole plan that keeps every constraint;
2. what costs more than the gap between the two, by its reduced cost, can be in no optimum and is fixed; an integer
   programme over the rest gives the optimum.

So `value` is exact, to 1e-6 of itself, whenever `gap` is 0; the plan keeps every constraint in any case.

Minimums that cannot be met are told before anything is solved where one alone is too much for those who may have it,
and otherwise by an elastic programme that finds the smallest shortfall of all together.
"""

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix, hstack, vstack

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.errors import InvalidInputError, UnavailableError

NOBODY = -1
"""Place of silence in a plan."""

_WHOLE = 1e-6
_NEAREST = 200
"""Customers near a tie that may move besides the split ones."""

_MOST_OPEN = 150_000
"""Choices that an integer programme is tried over."""

_TIME_LIMIT_S = 60.0
_OPTIMAL, _INFEASIBLE = 0, 2
_HARD, _SOFT = 1_000.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A bound on what all chosen messages use together.

    Attributes:
        name: What its price is called.
        units: shape (k,), what one of each message uses.
        most: None for no upper bound.
        least: None for no lower bound.
        told: What the lower bound demands, in words: `at least 500 of gala`.
        is_soft: A lower bound that gives way, with a note, where it cannot be met.
    """

    name: str
    units: FloatArray
    most: float | None = None
    least: float | None = None
    told: str = ""
    is_soft: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationChoices:
    """Everything that may be chosen: m pairs of a customer and a message that is permitted for them.

    Attributes:
        customer_count: n.
        customers: shape (m,), places of customers in [0, n).
        messages: shape (m,), places of messages in [0, k).
        net_minor: shape (m,), what each is worth against silence.
    """

    customer_count: int
    customers: IntArray
    messages: IntArray
    net_minor: FloatArray

    def take(self, wanted: BoolArray | IntArray) -> "AllocationChoices":
        """Some of the choices, of the same customers."""
        names = ("customers", "messages", "net_minor")
        return replace(self, **{name: getattr(self, name)[wanted] for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The optimum.

    Attributes:
        chosen: shape (n,), message of each customer, `NOBODY` for silence.
        value_minor: Net value of all of it.
        bound_minor: What no plan can pass: the optimum of the relaxation.
        gap_minor: Most that another plan could be better; 0 where this one is proven best.
        prices_minor: Worth of one more unit by name of constraint; negative for a minimum that costs.
        shortfalls: By how much minimums that give way are missed, in words.
    """

    chosen: IntArray
    value_minor: float
    bound_minor: float
    gap_minor: float
    prices_minor: Mapping[str, float] = field(default_factory=dict[str, float])
    shortfalls: tuple[str, ...] = ()


def allocate(choices: AllocationChoices, constraints: Sequence[Constraint]) -> Plan:
    """The best plan that keeps every constraint.

    Raises:
        InvalidInputError: Minimums that cannot be met, with the numbers that say why.
        UnavailableError: The solver gave up.
    """
    _refuse_hopeless(choices, constraints)
    choices = _worthwhile(choices, constraints)
    relaxed = _relax(choices, constraints)
    shortfalls: tuple[str, ...] = ()
    if relaxed is None:
        constraints, shortfalls = _give_way(choices, constraints)
        relaxed = _relax(choices, constraints)
    if relaxed is None:
        raise UnavailableError("the optimiser must find a plan, got none; leave --optimise out")
    taken, gap = _whole(choices, constraints, relaxed)
    chosen = np.full(choices.customer_count, NOBODY, dtype=np.int64)
    chosen[choices.customers[taken]] = choices.messages[taken]
    return Plan(
        chosen=chosen,
        value_minor=float(choices.net_minor[taken].sum()),
        bound_minor=relaxed.value,
        gap_minor=gap,
        prices_minor=relaxed.prices,
        shortfalls=shortfalls,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relaxed:
    """A vertex of the relaxation.

    Attributes:
        shares: shape (m,), how much of each choice is taken.
        value: Its worth.
        worth: shape (m,), reduced worth: net value less what it uses at shadow prices.
        keeps: shape (n,), what each customer's place is worth.
    """

    shares: FloatArray
    value: float
    worth: FloatArray
    keeps: FloatArray
    prices: Mapping[str, float]


def _relax(choices: AllocationChoices, constraints: Sequence[Constraint]) -> _Relaxed | None:
    """The optimum of the relaxation; None where nothing satisfies the constraints."""
    n, m = choices.customer_count, len(choices.net_minor)
    if m == 0:
        is_kept = all((one.least or 0.0) <= _WHOLE and (one.most or 0.0) >= -_WHOLE for one in constraints)
        empty = np.zeros(0)
        return _Relaxed(shares=empty, value=0.0, worth=empty, keeps=np.zeros(n), prices={}) if is_kept else None
    matrix, bounds, names, signs = _rows(choices, constraints)
    left, right = vstack([_places(choices), matrix], format="csr"), np.concatenate([np.ones(n), bounds])
    found = linprog(-choices.net_minor, A_ub=left, b_ub=right, bounds=(0, None), method="highs-ipm")
    if found.status not in {_OPTIMAL, _INFEASIBLE}:  # interior points get stuck where limits contradict
        found = linprog(-choices.net_minor, A_ub=left, b_ub=right, bounds=(0, None), method="highs-ds")
    if found.status == _INFEASIBLE:
        return None
    if found.status != _OPTIMAL:
        raise UnavailableError(f"the optimiser must find an optimum, got: {found.message}")
    duals = -np.asarray(found.ineqlin.marginals)
    prices: dict[str, float] = {one.name: 0.0 for one in constraints}
    for name, sign, dual in zip(names, signs, duals[n:], strict=True):
        prices[name] += sign * float(dual)
    return _Relaxed(
        shares=np.asarray(found.x),
        value=-float(found.fun),
        worth=choices.net_minor - matrix.T @ duals[n:],
        keeps=duals[:n],
        prices={name: round(price, 9) + 0.0 for name, price in prices.items()},
    )


def _worthwhile(choices: AllocationChoices, constraints: Sequence[Constraint]) -> AllocationChoices:
    """Choices without those that silence beats whatever the prices: worth nothing, and no minimum wants them."""
    is_wanted = np.zeros(int(choices.messages.max(initial=-1)) + 1, dtype=bool)
    for one in constraints:
        units = one.units[: len(is_wanted)]
        is_wanted |= ((units > 0) & (one.least is not None)) | ((units < 0) & (one.most is not None))
    return choices.take((choices.net_minor > 0) | is_wanted[choices.messages])


def _places(choices: AllocationChoices) -> csr_matrix:
    """One row per customer: what is taken of them."""
    m = len(choices.net_minor)
    return csr_matrix((np.ones(m), (choices.customers, np.arange(m))), shape=(choices.customer_count, m))


def _rows(
    choices: AllocationChoices, constraints: Sequence[Constraint]
) -> tuple[csr_matrix, FloatArray, list[str], list[float]]:
    """Constraints as rows of `A x <= b`, with the name and the sign of each price."""
    found = [
        (one, sign, bound)
        for one in constraints
        for bound, sign in ((one.most, 1.0), (one.least, -1.0))
        if bound is not None
    ]
    rows = [sign * one.units[choices.messages] for one, sign, _ in found]
    matrix = csr_matrix(np.array(rows)) if rows else csr_matrix((0, len(choices.net_minor)))
    bounds = np.array([sign * bound for _, sign, bound in found], dtype=np.float64)
    return matrix, bounds, [one.name for one, _, _ in found], [sign for _, sign, _ in found]


def _whole(choices: AllocationChoices, constraints: Sequence[Constraint], relaxed: _Relaxed) -> tuple[IntArray, float]:
    """Choices of a whole plan, and most that another could be better."""
    split = (relaxed.shares > _WHOLE) & (relaxed.shares < 1 - _WHOLE)
    taken = np.flatnonzero(relaxed.shares >= 1 - _WHOLE)
    if not split.any():
        return taken, 0.0
    near = _solve_over(choices, constraints, taken, _near(choices, relaxed, split))
    if near is None:
        near = _solve_over(choices, constraints, taken[:0], np.ones(len(relaxed.shares), dtype=bool))
    if near is None:
        raise UnavailableError("the optimiser must find a whole plan, got none; leave --optimise out")
    gap = relaxed.value - float(choices.net_minor[near].sum())
    tolerance = _WHOLE * max(1.0, abs(relaxed.value))
    if gap <= tolerance:
        return near, 0.0
    free = _undecided(choices, relaxed, gap)
    if int(free.sum()) > _MOST_OPEN:
        return near, gap
    settled = np.flatnonzero(~free & (relaxed.shares >= 1 - _WHOLE))
    best = _solve_over(choices, constraints, settled, free)
    return (near, gap) if best is None else (best, 0.0)


def _near(choices: AllocationChoices, relaxed: _Relaxed, split: BoolArray) -> BoolArray:
    """All choices of the split customers, and of those who would lose least by another choice."""
    loss = relaxed.keeps[choices.customers] - relaxed.worth
    loss[relaxed.shares >= 1 - _WHOLE] = np.inf
    order = np.argsort(loss, kind="stable")
    wanted = np.zeros(choices.customer_count, dtype=bool)
    wanted[choices.customers[order[:_NEAREST]]] = True
    silent = np.argsort(relaxed.keeps, kind="stable")[:_NEAREST]  # for whom silence costs least
    wanted[silent] = True
    wanted[choices.customers[split]] = True
    return wanted[choices.customers]


def _undecided(choices: AllocationChoices, relaxed: _Relaxed, gap: float) -> BoolArray:
    """Choices of the customers for whom more than one choice (or silence) costs no more than the gap."""
    is_open = relaxed.keeps[choices.customers] - relaxed.worth <= gap + _WHOLE
    ways = np.bincount(choices.customers[is_open], minlength=choices.customer_count)
    ways += relaxed.keeps <= gap + _WHOLE
    return is_open & (ways > 1)[choices.customers]


def _solve_over(
    choices: AllocationChoices, constraints: Sequence[Constraint], settled: IntArray, free: BoolArray
) -> IntArray | None:
    """The best whole plan where only the customers of `free` choices may choose; None where there is none.

    Args:
        choices: All of them.
        constraints: On everybody together.
        settled: Choices that stand, of customers without a free choice; of the others they do not count.
        free: shape (m,), choices that may be made.
    """
    movable = np.zeros(choices.customer_count, dtype=bool)
    movable[choices.customers[free]] = True
    stands = settled[~movable[choices.customers[settled]]]
    places = np.flatnonzero(free)
    part = choices.take(places)
    matrix, bounds, _, signs = _rows(part, constraints)
    used, _, _, _ = _rows(choices.take(stands), constraints)
    left = bounds - np.asarray(used.sum(axis=1)).ravel() if len(signs) else bounds
    most = np.concatenate([np.ones(part.customer_count), left + 1e-9])
    with _output_kept_clean():
        found = milp(
            -part.net_minor,
            constraints=LinearConstraint(
                vstack([_places(part), matrix], format="csr"),
                ub=most,  # pyright: ignore[reportArgumentType] - an array, as its documentation says
            ),
            integrality=np.ones(len(places)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0, "time_limit": _TIME_LIMIT_S},
        )
    if found.status != _OPTIMAL:
        return None
    return np.concatenate([stands, places[np.asarray(found.x) > 1 / 2]])


@contextmanager
def _output_kept_clean() -> Iterator[None]:
    """HiGHS prints some lines past Python, straight to the output that belongs to the result."""
    sys.stdout.flush()
    libc, kept = ctypes.CDLL(None), os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _refuse_hopeless(choices: AllocationChoices, constraints: Sequence[Constraint]) -> None:
    """Tell the minimums that are too much for those who may have the message, each for itself."""
    told = []
    for one in constraints:
        if one.least is None or one.is_soft:
            continue
        counts = one.units[choices.messages]
        best = np.zeros(choices.customer_count)
        np.maximum.at(best, choices.customers, counts)
        possible = float(best.sum())
        if one.least > possible + _WHOLE:
            told.append(f"{one.told} is impossible: {possible:,.0f} are permitted")
        elif one.most is not None and one.least > one.most + _WHOLE:
            told.append(f"{one.told} is impossible: at most {one.most:,.0f} are allowed or left")
    if told:
        raise InvalidInputError("; ".join(told) + "; nothing was decided")


def _give_way(
    choices: AllocationChoices, constraints: Sequence[Constraint]
) -> tuple[tuple[Constraint, ...], tuple[str, ...]]:
    """Constraints whose soft minimums ask for no more than is possible, and what they miss.

    Raises:
        InvalidInputError: Minimums that stand cannot be met together.
    """
    missing = _shortfalls(choices, constraints)
    found = [
        (one.is_soft, f"{one.told} falls short by {_amount(short)}")
        for one, short in zip(constraints, missing, strict=True)
        if short > _WHOLE
    ]
    if hard := [told for is_soft, told in found if not is_soft]:
        raise InvalidInputError(
            f"minimums must be possible together with each other and with the limits, got: {'; '.join(hard)};"
            " nothing was decided"
        )
    relaxed = tuple(
        replace(one, least=one.least - short * (1 + 1e-9) - 1e-9) if one.least is not None and short > 0 else one
        for one, short in zip(constraints, missing, strict=True)
    )
    return relaxed, tuple(told for _, told in found)


def _shortfalls(choices: AllocationChoices, constraints: Sequence[Constraint]) -> list[float]:
    """By how much each minimum is missed in the plan that misses least in all."""
    n, m = choices.customer_count, len(choices.net_minor)
    matrix, bounds, _, signs = _rows(choices, constraints)
    lowers = [place for place, sign in enumerate(signs) if sign < 0]
    of = [place for place, one in enumerate(constraints) if one.least is not None]
    weights = np.array([_SOFT if constraints[place].is_soft else _HARD for place in of])
    slack = csr_matrix((-np.ones(len(lowers)), (lowers, np.arange(len(lowers)))), shape=(len(signs), len(lowers)))
    whole = vstack([hstack([_places(choices), csr_matrix((n, len(lowers)))]), hstack([matrix, slack])], format="csr")
    found = linprog(
        np.concatenate([np.zeros(m), weights]),
        A_ub=whole,
        b_ub=np.concatenate([np.ones(n), bounds]),
        bounds=(0, None),
        method="highs-ipm",
    )
    if found.status != _OPTIMAL:
        raise InvalidInputError(
            "limits must leave room for what is sent already, got none; raise them or leave --optimise out"
        )
    missing = [0.0] * len(constraints)
    for place, short in zip(of, np.asarray(found.x)[m:], strict=True):
        missing[place] = float(short)
    return missing


def _amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-4 else f"{value:,.2f}"  # noqa: PLR2004 - a rounding error
