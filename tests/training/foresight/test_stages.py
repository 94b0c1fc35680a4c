"""Customers who move between stages with known chances: worth of stages and credit of messages are recovered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue, Learning
from training.data.datasets import Dataset, messages_of
from training.foresight.stage_credit import credit_stages, followed_rows
from training.foresight.stage_values import FEWEST, StageMoves, chain_values, stage_values

COLD, WARM, WEEKS = 0, 1, 12
REWARDS = np.array([0.0, 100.0])
STAYS = np.array([[0.95, 0.05], [0.10, 0.90]])
WARMING, IDLE = 1, 2
PUSH = 0.3


def moved(rng: np.random.Generator, stages: np.ndarray, warms: np.ndarray) -> np.ndarray:
    chance = STAYS[stages, WARM] + np.where(warms & (stages == COLD), PUSH, 0.0)
    return (rng.random(len(stages)) < chance).astype(np.int64)


def walked(seed: int, customers: int, catalogue: Catalogue, push: bool = True) -> Dataset:
    """A decision a week: silence, a message that warms the cold up by the next week, or one that does nothing."""
    rng = np.random.default_rng(seed)
    stage, found = rng.integers(0, 2, customers), list[tuple[np.ndarray, ...]]()
    for _ in range(WEEKS):
        action = rng.integers(0, 3, customers)
        found.append((stage, action, REWARDS[stage] * rng.gamma(4.0, 0.25, customers)))
        stage = moved(rng, stage, (action == WARMING) & push)
    stages, actions, values = (np.stack(parts, axis=1).ravel() for parts in zip(*found, strict=True))
    size, known = customers * WEEKS, list(messages_of(catalogue).values())
    offers = {one.offer.offer_id: one for one in known}
    who, week = np.divmod(np.arange(size), WEEKS)
    return Dataset(
        decisions=pl.DataFrame(
            {
                "decision_id": [f"D{one}" for one in range(size)],
                "customer_id": [f"C{one}" for one in who],
                "decided_at": [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(weeks=int(one)) for one in week],
            }
        ),
        customers=who.astype(np.int64),
        features=np.column_stack([stages, rng.normal(size=size)]).astype(float),
        feature_names=("stage_index", "noise"),
        contexts=np.column_stack([np.full(size, 7.0), np.zeros(size), np.zeros(size)]),
        messages=tuple(offers[name] for name in sorted(offers)[:2]),
        actions=actions.astype(np.int64),
        probabilities=np.full(size, 1 / 3),
        values=values,
    )


@pytest.fixture(scope="module")
def looking_ahead(shop_catalogue: Catalogue) -> Catalogue:
    measure = shop_catalogue.learning.measure_id if shop_catalogue.learning else "net_revenue"
    learning = Learning(measure_id=measure, window_days=7.0, horizon_days=70.0, stage_credit=True)
    return replace(shop_catalogue, learning=learning, stages=shop_catalogue.stages[:2])


def test_worth_of_an_absorbing_chain_is_recovered() -> None:
    rng, customers = np.random.default_rng(1), np.repeat(np.arange(2_000), 20)
    moves = np.array([[0.8, 0.15], [0.1, 0.6]])  # what is left is lost for good
    stages = rng.integers(0, 2, len(customers))
    draws = rng.random(len(customers))
    later = np.where(draws < moves[stages, 0], 0, np.where(draws < moves[stages].sum(axis=1), 1, 2))
    values = np.array([10.0, 50.0])[stages] * rng.gamma(4.0, 0.25, len(customers))
    lost = StageMoves(
        customers=np.append(customers, np.arange(2_000)),
        stages=np.append(stages, np.full(2_000, 2)),
        later=np.append(later, np.full(2_000, 2)),
        values=np.append(values, np.zeros(2_000)),
    )
    found = stage_values(lost, 3, 400.0)
    truth = np.append(np.linalg.solve(np.eye(2) - moves, np.array([10.0, 50.0])), 0.0)
    assert (np.abs(found.values - truth) <= 4 * found.standard_errors + 1e-9).all()
    assert found.standard_errors[:2] == pytest.approx(truth[:2] * 0.012, rel=0.8)


def test_a_horizon_between_two_windows_lies_between_their_worths() -> None:
    one, half, two = (chain_values(REWARDS, STAYS, windows)[WARM] for windows in (1.0, 1.5, 2.0))
    assert half == pytest.approx((one + two) / 2)
    assert chain_values(REWARDS, STAYS, 0.0).tolist() == [0.0, 0.0]


def test_a_stage_that_few_customers_were_seen_at_has_no_worth_of_its_own() -> None:
    many, few = np.arange(200), np.arange(FEWEST - 1)
    journeys = StageMoves(
        customers=np.append(many, few),
        stages=np.append(np.zeros(200, dtype=np.int64), np.ones(FEWEST - 1, dtype=np.int64)),
        later=np.zeros(200 + FEWEST - 1, dtype=np.int64),
        values=np.ones(200 + FEWEST - 1),
    )
    found = stage_values(journeys, 2, 3.0)
    assert np.isnan(found.values[1])
    assert found.filled[1] == found.values[0] == 3.0
    assert found.customers.tolist() == [200, FEWEST - 1]


def test_credit_is_the_change_of_stage_times_what_stages_differ_in_worth(looking_ahead: Catalogue) -> None:
    dataset = walked(2, 3_000, looking_ahead)
    credit, report = credit_stages(dataset, None, looking_ahead)
    assert credit is not None
    assert report is not None
    pushed = STAYS + np.array([[-PUSH / 3, PUSH / 3], [0.0, 0.0]])  # a third of decisions warm up
    worth = chain_values(REWARDS, pushed, 9.0)
    warming, idle = (dataset.messages[place - 1].offer.offer_id for place in (WARMING, IDLE))
    expected = PUSH * (worth[WARM] - worth[COLD])
    assert credit.by_offer[warming][COLD] == pytest.approx(expected, rel=0.15)
    assert abs(credit.by_offer[warming][WARM]) < 0.1 * expected
    assert max(map(abs, credit.by_offer.get(idle, (0.0, 0.0)))) < 0.1 * expected
    np.testing.assert_allclose(report.values.values, chain_values(REWARDS, pushed, 10.0), rtol=0.05)


def test_where_messages_move_nobody_no_credit_is_believed(looking_ahead: Catalogue) -> None:
    believed = [
        credit_stages(walked(seed, 1_000, looking_ahead, push=False), None, looking_ahead)[0] for seed in (3, 4)
    ]
    assert all(one is None or max(max(map(abs, row)) for row in one.by_offer.values()) < 25 for one in believed)


def test_credit_is_for_those_who_ask_for_it(looking_ahead: Catalogue) -> None:
    learning = looking_ahead.learning
    assert learning is not None
    silent = replace(looking_ahead, learning=replace(learning, stage_credit=False))
    credit, report = credit_stages(walked(5, 300, looking_ahead), None, silent)
    assert credit is None
    assert report is not None
    assert (report.slope, report.strength) == (None, 0.0)
    near = replace(looking_ahead, learning=replace(learning, horizon_days=7.0))
    assert credit_stages(walked(5, 300, looking_ahead), None, near) == (None, None)


def test_the_next_stage_is_that_of_the_first_decision_after_the_window(looking_ahead: Catalogue) -> None:
    dataset = walked(6, 20, looking_ahead)
    stages = dataset.features[:, 0].astype(np.int64)
    follows, later = followed_rows(dataset, stages)
    week = np.arange(dataset.size) % WEEKS
    assert follows.tolist() == (week < WEEKS - 1).tolist()
    assert (later[follows] == stages[np.flatnonzero(follows) + 1]).all()
