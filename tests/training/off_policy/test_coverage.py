"""Whether 95 % intervals of the estimators cover a known truth in 93 to 97 % of logs, and what bias of others costs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from decisioning.arrays import FloatArray, IndexArray
from training.off_policy.estimators import (
    Estimate,
    clipped_ips,
    direct_method,
    doubly_robust,
    ips,
    snips,
    switch_doubly_robust,
)

LOGS = 1_500
"""A share of 95 % has a standard error of 0.56 points over so many."""

CUSTOMERS, VISITS, KINDS, ACTIONS = 150, 3, 6, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Customers of six kinds, and what a logging policy and another one do with them: shapes (kinds, actions)."""

    means: FloatArray
    logged: FloatArray
    target: FloatArray
    model: FloatArray

    @property
    def truth(self) -> float:
        return float((self.target * self.means).sum(axis=1).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    weights: FloatArray
    rewards: FloatArray
    predicted: FloatArray
    expected: FloatArray
    customers: IndexArray


def softmax(scores: FloatArray, floor: float) -> FloatArray:
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return floor + (1 - ACTIONS * floor) * chances


def make_population(*, floor: float) -> Population:
    rng = np.random.default_rng(11)
    means = 2.0 + rng.normal(0, 1.0, (KINDS, ACTIONS))
    return Population(
        means=means,
        logged=softmax(rng.normal(0, 1.0, (KINDS, ACTIONS)), floor),
        target=softmax(2.0 * means, 0.0),
        model=2.0 + 0.6 * (means - 2.0) + rng.normal(0, 0.3, (KINDS, ACTIONS)),
    )


def draw(population: Population, seed: int) -> Log:
    rng = np.random.default_rng(seed)
    customers = np.repeat(np.arange(CUSTOMERS), VISITS)
    kinds, levels = rng.integers(0, KINDS, CUSTOMERS)[customers], rng.normal(0, 1.0, CUSTOMERS)[customers]
    edges = population.logged.cumsum(axis=1)[kinds]
    actions = (rng.random(customers.size)[:, np.newaxis] > edges[:, :-1]).sum(axis=1)
    return Log(
        weights=population.target[kinds, actions] / population.logged[kinds, actions],
        rewards=population.means[kinds, actions] + levels + rng.normal(0, 1.0, customers.size),
        predicted=population.model[kinds, actions],
        expected=(population.target * population.model).sum(axis=1)[kinds],
        customers=customers,
    )


ESTIMATORS: dict[str, Callable[[Log], Estimate]] = {
    "ips": lambda log: ips(log.weights, log.rewards, log.customers),
    "snips": lambda log: snips(log.weights, log.rewards, log.customers),
    "dr": lambda log: doubly_robust(log.weights, log.rewards, log.predicted, log.expected, log.customers),
    "switch": lambda log: switch_doubly_robust(log.weights, log.rewards, log.predicted, log.expected, log.customers),
    "clipped": lambda log: clipped_ips(log.weights, log.rewards, log.customers),
    "direct": lambda log: direct_method(log.expected, log.customers),
}


@pytest.fixture(scope="module")
def population() -> Population:
    return make_population(floor=0.05)


@pytest.fixture(scope="module")
def logs(population: Population) -> list[Log]:
    return [draw(population, seed) for seed in range(LOGS)]


def coverage(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([one.lower <= truth <= one.upper for one in estimates]))


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "switch", "clipped"])
def test_intervals_cover_the_truth_in_93_to_97_percent_of_logs(name: str, logs: list[Log], population: Population):
    estimates = [ESTIMATORS[name](log) for log in logs]
    assert 0.93 <= coverage(estimates, population.truth) <= 0.97
    spread = float(np.std([one.value for one in estimates]))
    assert np.mean([one.standard_error for one in estimates]) == pytest.approx(spread, rel=0.07)


def test_the_direct_method_is_only_as_good_as_its_model(logs: list[Log], population: Population):
    """Its interval says nothing of the model's error, so it is never what a report rests on."""
    estimates = [ESTIMATORS["direct"](log) for log in logs]
    assert coverage(estimates, population.truth) < 0.5
    right = Population(
        means=population.means, logged=population.logged, target=population.target, model=population.means
    )
    others = [ESTIMATORS["direct"](draw(right, seed)) for seed in range(LOGS)]
    assert 0.93 <= coverage(others, population.truth) <= 0.97


def test_a_switch_wins_precision_where_single_weights_are_huge():
    """One action in a hundred is logged where the policy likes it; the model is right about it on the whole."""
    rare = make_population(floor=0.002)
    logs = [draw(rare, seed) for seed in range(300)]
    switched, plain = ([ESTIMATORS[name](log) for log in logs] for name in ("switch", "dr"))
    caps = [one.cap for one in switched]
    assert min(caps) < max(float(log.weights.max()) for log in logs)
    errors = [np.mean([(one.value - rare.truth) ** 2 for one in found]) for found in (switched, plain)]
    assert errors[0] <= errors[1]


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_that_take_decisions_for_customers_cover_too_little(
    name: str, logs: list[Log], population: Population
):
    alone = [ESTIMATORS[name](_apart(log)) for log in logs]
    together = [ESTIMATORS[name](log) for log in logs]
    assert coverage(alone, population.truth) < coverage(together, population.truth)


def _apart(log: Log) -> Log:
    return Log(
        weights=log.weights,
        rewards=log.rewards,
        predicted=log.predicted,
        expected=log.expected,
        customers=np.arange(log.customers.size),
    )
