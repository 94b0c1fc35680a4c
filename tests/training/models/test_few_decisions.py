"""Logs with few decisions: a model that uses only clear effects, or a message about what is missing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue, Learning, LearningMethod
from decisioning.decision import Inputs, Reason, Request, request_uniform
from decisioning.errors import InsufficientDataError
from decisioning.policy import Policy, decide
from features.computing.compute import compute_features
from features.history import History
from features.log.contracts import DECISIONS, EVENTS
from features.models.bundle import value_model
from training.data.action_probabilities import LoggedChoice
from training.data.datasets import Dataset, learnable, make_dataset
from training.data.steps import NOTHING_FOLLOWS, Steps
from training.judgement.comparison import values_of
from training.judgement.diagnostics import metrics_of
from training.models.effects import EffectEvidence, MessageEffects
from training.models.few_decisions import FEW_DECISIONS, effects_of
from training.models.learner import Learned, learn
from training.models.stepwise_learner import learn_steps
from training.off_policy.profiles import profiles_at

AFTER = datetime(2026, 11, 1, tzinfo=UTC)
COUNTS = (10, 30, 100, 200)


def history_of(shop, **changes: pl.DataFrame) -> History:
    return History(**{name: getattr(shop, name) for name in ("customers", "events", "decisions", "outcomes")} | changes)


def first_of(shop, count: int) -> pl.DataFrame:
    """The first decision about some customers, with silence and messages."""
    return shop.decisions.sort("decided_at", "decision_id").unique("customer_id", keep="first", maintain_order=True)[
        :count
    ]


def dataset_of(history: History, catalogue: Catalogue) -> Dataset:
    window = learnable(history, catalogue, as_of=AFTER)
    anchors = window.decisions.select("customer_id", pl.col("decided_at").alias("at"))
    return make_dataset(window, compute_features(history, anchors, catalogue), history, catalogue)


def effects_said(learned: Learned, dataset: Dataset) -> np.ndarray:
    values = values_of(value_model(learned.bundle, version="1"), dataset)
    assert np.isfinite(values).all()
    assert np.isfinite(list(metrics_of(learned).values())).all()
    return values[:, 1:] - values[:, :1]


@pytest.mark.parametrize("count", COUNTS)
def test_a_small_log_gives_a_model_with_effects_smaller_than_its_means(shop, shop_catalogue: Catalogue, count: int):
    dataset = dataset_of(history_of(shop, decisions=first_of(shop, count)), shop_catalogue)
    assert dataset.size == count
    learned = learn(dataset, shop_catalogue)
    said = effects_said(learned, dataset)
    assert np.abs(said).max() <= np.abs(learned.effects.averages).max() + 1e-6
    if count < FEW_DECISIONS:
        assert np.ptp(said, axis=0).max() < 1e-6  # customers are not distinguished
        assert learned.specific_share * learned.parts.specific_slope == learned.parts.common_slope == 0


@pytest.mark.parametrize("count", COUNTS)
def test_a_model_can_be_trained_on_the_decisions_of_a_cold_start(shop, shop_catalogue: Catalogue, count: int):
    """Decisions of a cold start as the engine makes them; each message brings a hundred euros."""
    catalogue = replace(shop_catalogue, exploration=replace(shop_catalogue.exploration, epsilon=0.8))
    decisions = explored(shop, catalogue, count)
    bought = decisions.filter(pl.col("offer_id").is_not_null()).select(
        pl.format("E-{}", "decision_id").alias("event_id"),
        "customer_id",
        type=pl.lit("purchase"),
        occurred_at=pl.col("decided_at") + timedelta(hours=1),
        amount_minor=pl.lit(10_000, dtype=pl.Int64),
        currency=pl.lit("EUR"),
    )
    events = pl.concat([pl.DataFrame(schema=EVENTS.schema), bought], how="diagonal")
    dataset = dataset_of(history_of(shop, decisions=decisions, events=events), catalogue)
    learned = learn(dataset, catalogue)
    said = effects_said(learned, dataset)
    assert dataset.is_randomised
    assert (said >= -1e-6).all()
    if count >= 100:
        assert said.mean() > 5_000


def explored(shop, catalogue: Catalogue, count: int) -> pl.DataFrame:
    policy = Policy(replace(catalogue, experiments=(), holdout=None))
    asked = shop.decisions.sort("decided_at", "decision_id").with_columns(starts_at="decided_at")
    profiles = profiles_at(history_of(shop), asked)
    rows = []
    for row, profile in zip(asked.iter_rows(named=True), profiles, strict=True):
        request = Request(customer_id=row["customer_id"], touchpoint_id="weekly-mail", request_key=row["decision_id"])
        inputs = Inputs(
            request=request,
            customer=profile,
            features=None,
            expected_values=None,
            model_version=None,
            is_cold_start=True,
            now=row["decided_at"],
            uniform=request_uniform(policy.seed, request),
        )
        decision = decide(policy, inputs, row["decision_id"])
        if decision.reason is Reason.COLD_START:
            rows.append(
                {key: row[key] for key in ("decision_id", "customer_id", "decided_at", "window_ends_at")}
                | {"touchpoint": "weekly-mail", "action_probability": decision.action_probability}
                | dict(zip(("offer_id", "channel", "creative_id"), _named(decision.message_key), strict=True))
            )
    assert len(rows) >= count
    return pl.DataFrame(rows[:count], schema_overrides=dict(DECISIONS.schema)).pipe(
        lambda frame: pl.concat([pl.DataFrame(schema=DECISIONS.schema), frame], how="diagonal")
    )


def _named(message_key: str) -> tuple[str | None, ...]:
    return (None, None, None) if message_key == "silence" else tuple(message_key.split("/"))


def believed(count: int, effect: float, seed: int) -> MessageEffects:
    """Effects estimated from decisions between silence and two messages with the same effect, with noise of 1,000."""
    rng = np.random.default_rng(seed)
    actions = np.append(rng.permutation(3), rng.choice(3, count - 3)).astype(np.int64)
    evidence = EffectEvidence(
        raw=np.zeros((count, 3)),
        actions=actions,
        values=2_000 + effect * (actions > 0) + rng.normal(0, 1_000, count),
        customers=np.arange(count),
        choice=LoggedChoice(
            probabilities=np.full(count, 1 / 3), shares=np.bincount(actions, minlength=3) / count, is_randomised=True
        ),
        levels=(np.arange(2),),
    )
    return effects_of(evidence)


@pytest.mark.parametrize("count", [10, 30, 100])
def test_noise_is_rarely_taken_for_an_effect(count: int):
    found = [believed(count, 0.0, seed) for seed in range(200)]
    errors = [float(np.abs(one.shrunk_averages).mean()) for one in found]
    plain = [float(np.abs(one.averages).mean()) for one in found]
    assert np.mean(errors) < 0.2 * np.mean(plain)
    assert np.median(errors) < 0.1 * np.median(plain)


def test_a_clear_effect_is_shrunk_less_with_more_decisions():
    kept = [np.mean([believed(count, 5_000.0, seed).shrunk_averages.mean() for seed in range(40)]) for count in COUNTS]
    assert kept == sorted(kept)
    assert kept[0] < 3_000
    assert kept[2] > 4_500


def test_intervals_of_means_cover_the_truth():
    found = [believed(40, 300.0, seed) for seed in range(300)]
    within = [np.abs(one.averages - 300.0) < 2.1 * one.standard_errors for one in found]
    assert np.mean(within) > 0.93


def test_many_decisions_about_few_customers_count_as_little_evidence(make_evidence: Callable[[int], EffectEvidence]):
    alone, repeated = effects_of(make_evidence(1)), effects_of(make_evidence(4))
    assert repeated.averages == pytest.approx(alone.averages)
    assert repeated.standard_errors == pytest.approx(alone.standard_errors)


@pytest.fixture
def make_evidence() -> Callable[[int], EffectEvidence]:
    """Thirty customers whose decisions are each logged this many times."""

    def made(times: int) -> EffectEvidence:
        rng = np.random.default_rng(1)
        actions = np.tile(np.arange(30) % 3, times)
        return EffectEvidence(
            raw=np.zeros((30 * times, 3)),
            actions=actions.astype(np.int64),
            values=np.tile(rng.normal(0, 100, 30), times),
            customers=np.tile(np.arange(30), times),
            choice=LoggedChoice(probabilities=np.full(30 * times, 1 / 3), shares=np.full(3, 1 / 3), is_randomised=True),
            levels=(np.arange(2),),
        )

    return made


def test_learning_by_steps_needs_more_decisions_and_says_how_many(shop, shop_catalogue: Catalogue):
    dataset = dataset_of(history_of(shop, decisions=first_of(shop, 100)), shop_catalogue)
    steps = Steps(
        following=np.full(100, NOTHING_FOLLOWS),
        early=dataset.values,
        stages=np.zeros(100, dtype=np.int64),
        is_seen=dataset.actions > 0,
    )
    catalogue = replace(shop_catalogue, learning=Learning(measure_id="net_revenue", method=LearningMethod.STEPS))
    with pytest.raises(InsufficientDataError, match=r"by steps needs at least 200 decisions .* got 100; log more"):
        learn_steps(dataset, steps, catalogue)
