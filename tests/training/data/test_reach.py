"""A log says by itself whether every message was possible for everybody, and so how to learn from it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue, Learning, LearningMethod
from training.data.datasets import Dataset, messages_of
from training.data.reach import method_of, reach


def log_of(catalogue: Catalogue, possible: float, *, n: int = 6_000, seed: int = 1) -> Dataset:
    """Decisions in which each message was possible for a share of customers, and what was possible was drawn evenly."""
    rng = np.random.default_rng(seed)
    messages = tuple(messages_of(catalogue).values())
    can = np.hstack([np.ones((n, 1), dtype=np.bool_), rng.random((n, len(messages))) < possible])
    actions = np.where(can, rng.random(can.shape), -1.0).argmax(axis=1).astype(np.int64)
    return Dataset(
        decisions=pl.DataFrame({"decision_id": [str(row) for row in range(n)]}),
        customers=np.arange(n),
        features=np.zeros((n, 1)),
        feature_names=("age",),
        contexts=np.zeros((n, 3)),
        messages=messages,
        actions=actions,
        probabilities=1.0 / can.sum(axis=1),
        values=np.zeros(n),
    )


@pytest.fixture
def undeclared(shop_catalogue: Catalogue) -> Catalogue:
    return replace(shop_catalogue, learning=Learning(measure_id="net_revenue"))


@pytest.mark.parametrize("possible", [1.0, 0.7, 0.3])
def test_reach_is_the_share_of_decisions_in_which_a_message_was_possible(shop_catalogue: Catalogue, possible: float):
    assert reach(log_of(shop_catalogue, possible)) == pytest.approx(possible, abs=0.03)


def test_a_randomised_test_is_learned_from_by_windows_and_a_log_under_rules_by_steps(undeclared: Catalogue):
    assert method_of(log_of(undeclared, 1.0), undeclared) is LearningMethod.WINDOWS
    assert method_of(log_of(undeclared, 0.3), undeclared) is LearningMethod.STEPS


def test_what_the_catalogue_declares_is_done_whatever_the_log_says(undeclared: Catalogue):
    for method in (LearningMethod.WINDOWS, LearningMethod.STEPS):
        declared = replace(undeclared, learning=Learning(measure_id="net_revenue", method=method))
        assert {method_of(log_of(undeclared, share), declared) for share in (1.0, 0.3)} == {method}


def test_a_log_that_cannot_tell_is_learned_from_by_windows(undeclared: Catalogue):
    small = log_of(undeclared, 0.3, n=400)
    untold = replace(log_of(undeclared, 0.3), probabilities=np.full(6_000, np.nan))
    sent = log_of(undeclared, 0.3)
    without_silence = sent.take(sent.actions > 0)
    assert {method_of(one, undeclared) for one in (small, untold, without_silence)} == {LearningMethod.WINDOWS}
