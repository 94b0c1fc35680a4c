"""Logs with hardly any events, or always the same: a model or a clear refusal, never an error from a library."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue, Learning, LearningMethod
from decisioning.errors import InsufficientDataError
from features.log.contracts import UTC_TIME
from features.models.bundle import value_model
from training.data.datasets import Dataset, LearningWindow, make_dataset, messages_of
from training.data.missing import column_groups, copies_with_missing
from training.data.steps import NOTHING_FOLLOWS, Steps
from training.judgement.comparison import values_of
from training.judgement.diagnostics import metrics_of
from training.models.boosting import customer_folds
from training.models.learner import learn
from training.models.stepwise_learner import learn_steps

SENT = ("double-stamps/email/plain", "ten-percent/email/plain")
CUSTOMERS = 100
NO_HISTORY: Any = None
"""The log is refused before the history is read."""


def made_log(catalogue: Catalogue, *, count: int = CUSTOMERS, stages: bool = False) -> Dataset:
    """Four decisions per customer with one feature, spending, which is also the outcome."""
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(count), 4)
    spend = rng.gamma(4.0, 250.0, count)[who]
    actions = rng.choice(3, len(who), p=[0.4, 0.3, 0.3]).astype(np.int64)
    known = messages_of(catalogue)
    features = [spend, rng.integers(0, 2, len(who))] if stages else [spend]
    return Dataset(
        decisions=pl.DataFrame(
            {
                "decision_id": [f"D{row}" for row in range(len(who))],
                "customer_id": [f"C{one}" for one in who],
                "decided_at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=row) for row in range(len(who))],
            }
        ),
        customers=who.astype(np.int64),
        features=np.column_stack(features).astype(np.float64),
        feature_names=("purchase_sum_minor_90d", "stage_index")[: len(features)],
        contexts=np.column_stack([np.full(len(who), 7.0), np.zeros(len(who)), np.zeros(len(who))]),
        messages=tuple(known[key] for key in SENT),
        actions=actions,
        probabilities=np.array([0.4, 0.3, 0.3])[actions],
        values=spend * rng.gamma(20.0, 0.05, len(who)),
    )


def only_of(dataset: Dataset, customers: list[int]) -> Dataset:
    return replace(dataset, values=np.where(np.isin(dataset.customers, customers), dataset.values, 0.0))


def one_message(dataset: Dataset) -> Dataset:
    actions = np.minimum(dataset.actions, 1)
    return replace(
        dataset, messages=dataset.messages[:1], actions=actions, probabilities=np.where(actions > 0, 0.6, 0.4)
    )


ODD: dict[str, Callable[[Dataset], Dataset]] = {
    "nobody bought": lambda log: replace(log, values=np.zeros(log.size)),
    "everybody brought the same": lambda log: replace(log, values=np.full(log.size, 700.0)),
    "everybody cost something": lambda log: replace(log, values=-log.values),
    "one customer bought": lambda log: only_of(log, [3]),
    "two customers bought": lambda log: only_of(log, [3, 4]),
    "one message": one_message,
    "nothing is known of anybody": lambda log: replace(log, features=np.full_like(log.features, np.nan)),
    "all are alike": lambda log: replace(log, features=np.ones_like(log.features)),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("measure", ["net_revenue", "clicked"])
def test_an_odd_log_gives_a_model_with_finite_values(shop_catalogue: Catalogue, kind: str, measure: str):
    log = ODD[kind](made_log(shop_catalogue))
    if measure == "clicked":
        log = replace(log, values=(log.values > 600).astype(np.float64))
    catalogue = replace(shop_catalogue, learning=Learning(measure_id=measure))
    learned = learn(log, catalogue)
    values = values_of(value_model(learned.bundle, version="1"), log)
    assert np.isfinite(values).all()
    assert np.isfinite(list(metrics_of(learned).values())).all()
    if kind in {"nobody bought", "everybody brought the same"}:
        assert learned.best_constant == "silence"
        assert values == pytest.approx(np.broadcast_to(log.values[:, np.newaxis], values.shape), abs=1e-3)


def test_buyers_are_spread_over_all_folds(shop_catalogue: Catalogue):
    plain = made_log(shop_catalogue)
    together = np.unique(plain.customers[customer_folds(plain.customers, 5, 20) == 0]).tolist()
    log = only_of(plain, together)
    folds = customer_folds(log.customers, 5, 20, values=log.values)
    counts = np.bincount(folds[log.values > 0], minlength=5)
    assert counts.max() - counts.min() <= 4  # one customer's decisions
    assert np.isfinite(list(metrics_of(learn(log, shop_catalogue)).values())).all()


def steps_within(log: Dataset) -> Steps:
    has_next = np.arange(log.size) % 4 < 3
    return Steps(
        following=np.where(has_next, np.arange(log.size) + 1, NOTHING_FOLLOWS),
        early=log.values / 2,
        stages=np.zeros(log.size, dtype=np.int64),
        is_seen=log.actions > 0,
    )


@pytest.mark.parametrize("kind", ["nobody bought", "one message", "nobody is decided about twice"])
def test_an_odd_log_can_be_learned_by_steps_too(shop_catalogue: Catalogue, kind: str):
    log = ODD.get(kind, lambda log: log)(made_log(shop_catalogue, stages=True))
    steps = steps_within(log)
    if kind == "nobody is decided about twice":
        steps = replace(steps, following=np.full(log.size, NOTHING_FOLLOWS), early=log.values)
    learned = learn_steps(log, steps, _by_steps(shop_catalogue))
    assert np.isfinite(values_of(value_model(learned.bundle, version="1"), log)).all()


def test_learning_by_steps_without_silence_in_half_of_the_log_is_refused_clearly(shop_catalogue: Catalogue):
    log = made_log(shop_catalogue, stages=True)
    loud = replace(log, actions=np.where(log.customers == 3, log.actions, np.maximum(log.actions, 1)))
    with pytest.raises(InsufficientDataError, match="training by steps needs silence that was chosen"):
        learn_steps(loud, steps_within(loud), _by_steps(shop_catalogue))


def _by_steps(catalogue: Catalogue) -> Catalogue:
    return replace(catalogue, learning=Learning(measure_id="net_revenue", method=LearningMethod.STEPS))


def test_a_log_of_a_few_customers_is_refused_with_what_to_do(shop_catalogue: Catalogue):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    decisions = pl.DataFrame({"decision_id": [f"D{row}" for row in range(400)]}).with_columns(
        customer_id=pl.lit("C-1"), message_key=pl.lit("silence"), decided_at=pl.lit(at).cast(UTC_TIME)
    )
    with pytest.raises(InsufficientDataError, match="at least 10 customers whose window is over, got 1 with 400"):
        make_dataset(LearningWindow(decisions=decisions, left_out={}), pl.DataFrame(), NO_HISTORY, shop_catalogue)


@pytest.mark.parametrize("method", list(LearningMethod))
def test_a_customer_with_stale_features_is_not_mistaken_for_one_who_never_bought(
    shop_catalogue: Catalogue, method: LearningMethod
):
    """Half of the customers never bought and bring 0, the others bring 1,000; with stale features, 500 is expected."""
    log = made_log(shop_catalogue, count=800, stages=True)
    buys = (log.customers % 2).astype(np.float64)
    values = 1_000.0 * buys * np.random.default_rng(1).gamma(50.0, 0.02, log.size)
    log = replace(log, features=np.column_stack([buys * 1_000.0, log.features[:, 1]]), values=values)
    if method is LearningMethod.WINDOWS:
        learned = learn(log, shop_catalogue)
    else:
        steps = replace(steps_within(log), following=np.full(log.size, NOTHING_FOLLOWS), early=values)
        learned = learn_steps(log, steps, _by_steps(shop_catalogue))
    asked = log.take(np.arange(log.size) < 3)
    known_of = {"never bought": [0.0, 0.0], "buys": [1_000.0, 0.0], "stale": [np.nan, 0.0], "newcomer": [np.nan] * 2}
    model = value_model(learned.bundle, version="1")
    silence = {
        name: values_of(model, replace(asked, features=np.tile(row, (3, 1))))[0, 0] for name, row in known_of.items()
    }
    assert silence["never bought"] < 100
    assert silence["buys"] > 850
    assert silence["stale"] == pytest.approx(500, abs=150)
    assert silence["newcomer"] == pytest.approx(500, abs=150)


def test_training_adds_copies_without_the_feature_groups_that_serving_can_lose(shop_catalogue: Catalogue):
    names = ("purchase_sum_minor_90d", "purchase_count_30d", "customer_tenure_days", "made_up")
    groups = column_groups(names, shop_catalogue)
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 3
    features = np.arange(4_000.0).reshape(1_000, 4)
    rows, shown = copies_with_missing(features, groups, 1)
    missing = np.isnan(shown)
    assert len(rows) == 100
    assert missing.any(axis=1).all()
    assert (missing[:, 0] == missing[:, 1]).all()
    assert 20 < missing.all(axis=1).sum() < 60
    np.testing.assert_array_equal(shown[~missing], features[rows][~missing])
