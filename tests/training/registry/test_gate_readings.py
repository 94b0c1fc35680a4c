"""What the gate reads beside value, with known truth: harm, groups, time to score and parity of the compiled scorer."""

from dataclasses import replace
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from decisioning.policy import Policy
from features.models.bundle import value_model
from features.models.fit import ModelFit, fit_model
from training.data.datasets import Dataset
from training.judgement.comparison import SILENCE_RULE, Judgement
from training.judgement.gain_curve import Order
from training.judgement.tries import Tries
from training.registry.gate_readings import (
    ChoicePair,
    drawn_customers,
    read_groups,
    read_harm,
    read_latency,
    read_parity,
)

EXPECTED = np.array([0.002, 0.004, 0.08])
"""How often harm follows silence and two messages."""


def pair_of(
    ours: np.ndarray, theirs: np.ndarray, *, values: tuple[np.ndarray, np.ndarray], seed: int = 1
) -> ChoicePair:
    """Two policies on a log that drew all three actions alike; one decision a customer."""
    n = len(ours)
    actions = np.random.default_rng(seed).integers(0, 3, n)
    dataset = Dataset(
        decisions=pl.DataFrame({"decision_id": [f"D{one}" for one in range(n)]}),
        customers=np.arange(n),
        features=np.zeros((n, 1)),
        feature_names=("x",),
        contexts=np.zeros((n, 3)),
        messages=(),
        actions=actions,
        probabilities=np.full(n, 1 / 3),
        values=np.zeros(n),
    )
    tries = Tries(
        choices={"A": ours, "B": theirs}, actions=actions, probabilities=dataset.probabilities, spread=1.0,
        customer_count=n,
    )  # fmt: skip
    order = Order(uplifts=np.zeros(n), gains=np.zeros(n), customers=dataset.customers)
    judgement = Judgement(
        terms={"A": values[0], "B": values[1], SILENCE_RULE: np.zeros(n)},
        rules=(SILENCE_RULE,),
        customers=dataset.customers,
        order=order,
        support=1.0,
        tries=tries,
    )
    return ChoicePair(dataset=dataset, judgement=judgement, choices=(ours, theirs), names=("A", "B"))


def harm_after(pair: ChoicePair, seed: int = 2) -> np.ndarray:
    draws = np.random.default_rng(seed).random(pair.dataset.size)
    return (draws < EXPECTED[pair.dataset.actions]).astype(float)


def same(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(n), np.zeros(n)


def test_a_candidate_that_drives_customers_away_is_found_and_its_harm_is_the_true_one():
    n = 12_000
    pair = pair_of(np.full(n, 2), np.full(n, 1), values=same(n))
    found = read_harm(pair, harm_after(pair), EXPECTED)
    assert found.is_broken
    assert found.numbers["gate_harm_gap_lower"] < 0.076 < found.numbers["gate_harm_gap_upper"]
    assert "must not make more than a tenth more customers leave or complain, got" in found.words


def test_a_wrong_expectation_of_harm_does_not_hide_it():
    n = 12_000
    pair = pair_of(np.full(n, 2), np.full(n, 1), values=same(n))
    assert read_harm(pair, harm_after(pair), np.zeros(3)).is_broken


def test_equal_or_less_harm_passes_whatever_the_noise():
    n = 6_000
    for seed in range(8):
        even = pair_of(np.full(n, 1), np.full(n, 1), values=same(n), seed=seed)
        less = pair_of(np.full(n, 1), np.full(n, 2), values=same(n), seed=seed)
        assert not read_harm(even, harm_after(even, seed), EXPECTED).is_broken
        assert not read_harm(less, harm_after(less, seed), EXPECTED).is_broken


def test_with_hardly_any_harm_there_is_a_note_and_no_refusal():
    n = 400
    pair = pair_of(np.full(n, 2), np.full(n, 1), values=same(n))
    harm = np.zeros(n)
    harm[:19] = 1.0
    found = read_harm(pair, harm, EXPECTED)
    assert not found.is_broken
    assert found.words == "harm is not compared: 19 held-back decisions were followed by any, and it takes 20"


def test_of_messages_that_were_sent_the_harm_of_those_counts_that_are_kept():
    n = 6_000
    pair = pair_of(np.zeros(n, int), np.zeros(n, int), values=same(n))
    actions = pair.dataset.actions
    kept = replace(pair, judgement=replace(pair.judgement, tries=None), choices=(actions, np.zeros(n, int)))
    found = read_harm(kept, harm_after(kept), EXPECTED)
    assert found.is_broken
    assert found.numbers["gate_harm"] == pytest.approx((0.004 + 0.08) / 3, abs=0.01)
    assert found.numbers["gate_harm_champion"] == 0.0


def grouped(loss: float, *, declared: bool = True) -> list[Any]:
    n, rng = 4_000, np.random.default_rng(4)
    is_old = np.arange(n) % 4 == 0
    noise = rng.normal(0, 1.0, n)
    choices = np.where(np.arange(n) % 2 == 0, 1, 0)
    pair = pair_of(choices, choices, values=(5.0 - loss * is_old + noise, np.full(n, 5.0)))
    names = ["old" if one else "new" for one in is_old]
    return list(read_groups(pair, {"tenure": names}, frozenset({"tenure"} if declared else ())))


def test_a_group_that_loses_is_found_where_the_catalogue_watches_over_it():
    new, old = grouped(1.5)
    assert (new.is_broken, old.is_broken) == (False, True)
    assert old.words.startswith("must make no group poorer, got tenure=old: value a customer -1.")
    assert old.numbers["gate_value_lower:tenure=old"] < -1.5 < old.numbers["gate_value_upper:tenure=old"]
    assert not any(one.is_broken or one.is_told for one in grouped(1.5, declared=False))


def test_a_loss_within_a_tenth_of_the_champions_gain_passes():
    assert not any(one.is_broken for one in grouped(0.3))


def test_a_group_that_is_contacted_more_for_nothing_is_found():
    n = 4_000
    quiet = np.zeros(n, int)
    loud = np.ones(n, int)
    pair = pair_of(loud, quiet, values=(np.full(n, -0.01), np.zeros(n)))
    (found,) = read_groups(pair, {"region": ["DE"] * n}, frozenset({"region"}))
    assert found.is_broken
    rich = pair_of(loud, quiet, values=(np.full(n, 2.0), np.zeros(n)))
    (found,) = read_groups(rich, {"region": ["DE"] * n}, frozenset({"region"}))
    assert not found.is_broken, "contacts that pay are no burden"


def test_groups_of_fewer_customers_than_tell_anything_are_left_out():
    n = 200
    pair = pair_of(np.ones(n, int), np.zeros(n, int), values=(np.full(n, -5.0), np.zeros(n)))
    names = ["few" if place < 29 else "many" for place in range(n)]
    (found,) = read_groups(pair, {"region": names}, frozenset({"region"}))
    assert "gate_value:region=many" in found.numbers


@pytest.fixture(scope="module")
def policy(shop_catalogue) -> Policy:
    return Policy(shop_catalogue)


@pytest.fixture(scope="module")
def fit(policy: Policy, value_bundle) -> ModelFit:
    return fit_model(value_model(value_bundle(policy.catalogue, shift=1.0), version="7"), policy)


def messages(policy: Policy) -> dict[str, Any]:
    return {name: policy.candidates(name) for name in policy.catalogue.touchpoints}


def test_the_compiled_scorer_equals_its_booster_to_the_last_bit(policy: Policy, fit: ModelFit):
    found = read_parity(fit, messages(policy), drawn_customers(fit.model))
    assert (found.is_broken, found.numbers["gate_parity"]) == (False, 0.0)


def test_a_compiled_scorer_that_is_off_is_refused(policy: Policy, fit: ModelFit):
    class Off:
        def __init__(self, values: Any) -> None:
            self.values = values

        def of_columns(self, shared: np.ndarray) -> np.ndarray:
            return self.values.of_columns(shared) * (1 + 1e-6)

    off: Any = {name: Off(one) for name, one in fit.on_touchpoint.items()}
    found = read_parity(replace(fit, on_touchpoint=off), messages(policy), drawn_customers(fit.model))
    assert found.is_broken
    assert found.words.startswith("must score customers like its booster")


def timed(seconds: float) -> Any:
    def of_columns(shared: np.ndarray) -> np.ndarray:
        sleep(seconds)
        return shared

    return SimpleNamespace(on_touchpoint={"one": SimpleNamespace(of_columns=of_columns)})


@pytest.mark.parametrize(
    ("ours", "theirs", "is_slow"), [(0.004, 0.001, True), (0.001, 0.004, False), (0.002, 0.0015, False)]
)
def test_a_candidate_is_refused_that_takes_twice_as_long_and_a_millisecond_more(
    ours: float, theirs: float, is_slow: bool
):
    rows = np.zeros((4, 2))
    found = read_latency(timed(ours), timed(theirs), rows, rows)
    assert found.is_broken == is_slow
    assert found.numbers["gate_seconds_to_score"] == pytest.approx(ours, rel=0.5)
