"""The optimal allocation: compared with brute force and finite differences, and clear if it is infeasible."""

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError
from pipelines.batch import allocation
from pipelines.batch.allocation import NOBODY, AllocationChoices, Constraint, Plan, allocate


def choices_of(net: Sequence[Sequence[float | None]]) -> AllocationChoices:
    """Net values by customer and message; None if a message is not permitted."""
    pairs = [
        (customer, message, value)
        for customer, row in enumerate(net)
        for message, value in enumerate(row)
        if value is not None
    ]
    return AllocationChoices(
        customer_count=len(net),
        customers=np.array([one[0] for one in pairs], dtype=np.int64),
        messages=np.array([one[1] for one in pairs], dtype=np.int64),
        net_minor=np.array([one[2] for one in pairs], dtype=np.float64),
    )


def used(plan: Sequence[int], constraint: Constraint) -> float:
    return float(sum(constraint.units[message] for message in plan if message != NOBODY))


def keeps(plan: Sequence[int], constraints: Sequence[Constraint]) -> bool:
    return all(
        (one.most is None or used(plan, one) <= one.most + 1e-6)
        and (one.least is None or used(plan, one) >= one.least - 1e-6)
        for one in constraints
    )


def best_by_trying(net: Sequence[Sequence[float | None]], constraints: Sequence[Constraint]) -> float | None:
    """The best value over all plans; None if no plan meets the constraints."""
    ways = [[NOBODY, *(place for place, value in enumerate(row) if value is not None)] for row in net]
    values = [
        sum(net[customer][message] or 0.0 for customer, message in enumerate(plan) if message != NOBODY)
        for plan in product(*ways)
        if keeps(plan, constraints)
    ]
    return max(values, default=None)


def at_most(name: str, units: Sequence[float], most: float) -> Constraint:
    return Constraint(name=name, units=np.array(units, dtype=np.float64), most=most)


def at_least(name: str, units: Sequence[float], least: float, *, is_soft: bool = False) -> Constraint:
    told = f"at least {least:,.0f} of {name}"
    return Constraint(name=name, units=np.array(units, dtype=np.float64), least=least, told=told, is_soft=is_soft)


values = st.none() | st.integers(-300, 900).map(float)
cases = st.lists(st.lists(values, min_size=3, max_size=3), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    net=cases,
    capacity=st.integers(0, 4),
    budget=st.integers(0, 250),
    costs=st.lists(st.integers(0, 90), min_size=3, max_size=3),
    least=st.integers(0, 2),
    share=st.sampled_from([0.0, 0.3, 0.5]),
)
def test_small_plans_are_optimal(
    net: list[list[float | None]], capacity: int, budget: int, costs: list[int], least: int, share: float
) -> None:
    constraints = [
        at_most("seats", [1, 0, 0], capacity),
        at_most("money", [float(cost) for cost in costs], budget),
        at_least("second", [0, 1, 0], least),
        Constraint(name="share", units=np.array([-share, -share, 1 - share]), least=0.0, told="a share"),
    ]
    best = best_by_trying(net, constraints)

    if best is None:  # a problem infeasible for whole messages may be feasible for fractions
        with pytest.raises((InvalidInputError, allocation.UnavailableError)):
            allocate(choices_of(net), constraints)
        return
    plan = allocate(choices_of(net), constraints)

    assert plan.value_minor == pytest.approx(best, abs=1e-4)
    assert plan.gap_minor == 0
    assert plan.bound_minor >= plan.value_minor - 1e-4
    assert keeps(plan.chosen.tolist(), constraints)


def crowd(n: int = 400, k: int = 8, seed: int = 1) -> AllocationChoices:
    rng = np.random.default_rng(seed)
    customers, messages = np.nonzero(rng.random((n, k)) < 0.7)
    net = rng.gamma(2.0, 100.0, len(customers)) - 100 + rng.normal(0, 40, k)[messages]
    return AllocationChoices(
        customer_count=n, customers=customers.astype(np.int64), messages=messages.astype(np.int64), net_minor=net
    )


def of(k: int, *messages: int) -> list[float]:
    return [float(message in messages) for message in range(k)]


RULES = (
    at_most("calls", of(8, 0, 4), 30),
    at_most("budget", [5.0, 1.0, 20.0, 3.0] * 2, 2_600),
    at_least("sixth", of(8, 6), 90),
)


@pytest.mark.parametrize("name", ["calls", "budget", "sixth"])
def test_a_shadow_price_is_what_one_more_unit_is_worth(name: str) -> None:
    """The relaxation is concave in every bound, so the price lies between the effects of one less and one more."""
    choices = crowd()
    price = allocate(choices, RULES).prices_minor[name]

    def value(step: float) -> float:
        moved = [
            replace(
                one,
                most=None if one.most is None else one.most + step,
                least=None if one.least is None else one.least + step,
            )
            if one.name == name
            else one
            for one in RULES
        ]
        return allocate(choices, moved).bound_minor

    gained, lost = value(1.0) - value(0.0), value(0.0) - value(-1.0)
    assert gained - 1e-3 <= price <= lost + 1e-3
    assert (price < 0) == (name == "sixth")
    assert price != 0


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    plan = allocate(crowd(), [at_most("plenty", of(8, 0), 10_000), at_least("little", of(8, 1), 1)])

    assert plan.prices_minor == {"plenty": 0.0, "little": 0.0}


def test_every_customer_gets_the_message_worth_most_after_prices() -> None:
    """The prices alone explain the plan: at these prices no other message is worth more."""
    choices = crowd()
    plan = allocate(choices, RULES)
    paid = sum(plan.prices_minor[one.name] * one.units for one in RULES)
    worth = np.full((choices.customer_count, 9), -np.inf)
    worth[:, 8] = 0.0  # silence
    worth[choices.customers, choices.messages] = choices.net_minor - np.asarray(paid)[choices.messages]
    happy = worth[np.arange(choices.customer_count), plan.chosen % 9] >= worth.max(axis=1) - 1e-6

    assert happy.mean() > 0.99  # except customers affected by rounding to whole messages


def test_no_message_that_loses_money_is_allocated_unless_a_minimum_requires_it() -> None:
    choices = choices_of([[-5.0], [-7.0], [-1.0]])

    assert allocate(choices, []).chosen.tolist() == [NOBODY] * 3
    plan = allocate(choices, [at_least("gala", [1], 2)])
    assert plan.chosen.tolist() == [0, NOBODY, 0]
    assert plan.value_minor == -6
    assert -7 <= plan.prices_minor["gala"] <= -5


def test_a_minimum_above_the_number_of_permitted_customers_is_reported_with_that_number() -> None:
    choices = choices_of([[1.0, 1.0]] * 5 + [[None, 1.0]] * 3)

    with pytest.raises(InvalidInputError, match=r"at least 10,000 of gala is impossible: 5 are permitted"):
        allocate(choices, [at_least("gala", [1, 0], 10_000)])
    with pytest.raises(InvalidInputError, match=r"of gala is impossible: at most 2 are allowed"):
        allocate(choices, [replace(at_least("gala", [1, 0], 3), most=2.0)])


def test_jointly_infeasible_minimums_are_named_with_the_shortfall() -> None:
    """Eight customers, six wanted for each of two minimums: four too few, whichever is relaxed."""
    choices = choices_of([[1.0, 1.0]] * 8)

    with pytest.raises(InvalidInputError, match=r"together.* falls short by 4") as error:
        allocate(choices, [at_least("first", [1, 0], 6), at_least("second", [0, 1], 6)])
    assert "nothing was decided" in str(error.value)


def test_a_minimum_that_a_limit_makes_infeasible_is_named() -> None:
    choices = choices_of([[1.0]] * 8)

    with pytest.raises(InvalidInputError, match=r"at least 6 of gala falls short by 3"):
        allocate(choices, [at_least("gala", [1], 6), at_most("calls", [1], 3)])


def test_a_soft_minimum_is_relaxed_as_little_as_possible_and_reported() -> None:
    choices = choices_of([[-1.0, 5.0]] * 4 + [[None, 5.0]] * 6)

    plan = allocate(choices, [at_least("service", [1, 0], 7, is_soft=True), at_least("other", [0, 1], 5)])

    assert plan.shortfalls == ("at least 7 of service falls short by 3",)
    assert plan.chosen.tolist().count(0) == 4


def test_limits_already_exceeded_are_reported() -> None:
    with pytest.raises(InvalidInputError, match="room for what is sent already"):
        allocate(choices_of([[1.0]]), [at_most("calls", [1], -2)])


def test_without_customers_or_messages_the_plan_is_empty() -> None:
    nothing = choices_of([[None], [None]])

    plan = allocate(nothing, [at_most("calls", [1], 3)])

    assert (plan.chosen.tolist(), plan.value_minor, plan.gap_minor) == ([NOBODY, NOBODY], 0.0, 0.0)
    with pytest.raises(InvalidInputError, match="0 are permitted"):
        allocate(nothing, [at_least("gala", [1], 1)])


def test_if_the_relaxation_is_fractional_the_plan_is_integral_and_proven_optimal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A budget that no whole number of letters uses up, so the relaxation has fractions."""
    rng = np.random.default_rng(4)
    net = [[float(value) for value in row] for row in rng.integers(50, 400, (9, 2))]
    constraints = [at_most("budget", [70.0, 45.0], 290.0), at_most("letters", [1.0, 0.0], 2.0)]
    best = best_by_trying(net, constraints)

    plan = allocate(choices_of(net), constraints)
    assert plan.value_minor == pytest.approx(best)
    assert plan.value_minor < plan.bound_minor

    monkeypatch.setattr(
        allocation, "_NEAREST", 0
    )  # a poor first plan, so that the second step has to prove the optimum
    assert allocate(choices_of(net), constraints).value_minor == pytest.approx(best)
    monkeypatch.setattr(allocation, "_MOST_OPEN", -1)  # if that takes too long, the plan states the remaining gap
    rough: Plan = allocate(choices_of(net), constraints)
    assert rough.gap_minor > 0
    assert rough.value_minor + rough.gap_minor >= best - 1e-6  # pyright: ignore[reportOptionalOperand]
    assert keeps(rough.chosen.tolist(), constraints)


def test_the_solver_prints_nothing_into_the_result(capfd: pytest.CaptureFixture[str]) -> None:
    """HiGHS prints directly to stdout when it repairs a solution; `--json` must stay JSON."""
    with allocation._output_kept_clean():
        ctypes.CDLL(None).puts(b"HighsMipSolverData")
    ctypes.CDLL(None).fflush(None)

    assert capfd.readouterr().out == ""
