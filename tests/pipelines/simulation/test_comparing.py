"""Comparisons of policies: shares and intervals with the stated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError
from pipelines.simulation.contest.comparison import (
    ENGINE_NAME,
    ORACLE_NAME,
    SILENCE_NAME,
    compare_plays,
    mean_interval,
    share_interval,
)
from pipelines.simulation.contest.judge import RULES, Recount
from pipelines.simulation.contest.play import Played

KEPT = Recount(contacts=3, violations=dict.fromkeys(RULES, 0))


def played(gain: np.ndarray, **messages: int) -> Played:
    sent = {f"offer/{channel}/plain": count for channel, count in messages.items()}
    return Played(gain_minor=gain + 500.0, expected_minor=gain, messages=sent, verdict=KEPT)


def test_the_interval_of_a_share_has_its_stated_coverage():
    rng, hits, rounds = np.random.default_rng(4), 0, 400
    for _ in range(rounds):
        best = rng.gamma(1.0, 100.0, 300)
        gained = 0.6 * best + rng.normal(0, 80, 300)
        share = share_interval(gained, best)
        hits += share.lower <= 0.6 <= share.upper
    assert 0.92 <= hits / rounds <= 0.98


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1.0, 1e4), min_size=2, max_size=30), st.floats(0.01, 100.0))
def test_a_policy_has_share_1_of_itself_in_any_currency(best: list[float], rate: float):
    oracle = np.array(best)
    itself = share_interval(oracle, oracle)
    assert (itself.value, itself.lower, itself.upper) == pytest.approx((1.0, 1.0, 1.0))
    half, other = share_interval(oracle / 2, oracle), share_interval(rate * oracle / 2, rate * oracle)
    assert half.value == pytest.approx(0.5)
    assert other.value == pytest.approx(half.value)


def test_pairing_by_customer_makes_shares_more_precise_than_gains():
    rng = np.random.default_rng(1)
    best = rng.gamma(0.5, 200.0, 2_000)
    gained = 0.7 * best + rng.normal(0, 5, 2_000)
    share, mean = share_interval(gained, best), mean_interval(gained)
    assert (share.upper - share.lower) / share.value < 0.2 * (mean.upper - mean.lower) / mean.value


def test_policies_are_ranked_by_gain_over_silence():
    best = np.array([100.0, 300.0, 200.0, 400.0])
    plays = {
        SILENCE_NAME: played(np.zeros(4)),
        ENGINE_NAME: played(best / 2, email=6, sms=2),
        ORACLE_NAME: played(best, email=8),
    }
    found = compare_plays(plays, seed=7, weeks=12, bound_minor=260.0)
    assert [one.name for one in found.standings] == [SILENCE_NAME, ENGINE_NAME, ORACLE_NAME]
    engine = found.of(ENGINE_NAME)
    assert (engine.gain.value, engine.share.value, engine.messages) == pytest.approx((1.25, 0.5, 2.0))
    assert engine.by_channel == {"email": 1.5, "sms": 0.5}
    assert engine.realised_worth == pytest.approx(6.25)
    assert engine.realised_share.value == pytest.approx(0.5)
    assert (found.bound, found.violations, found.customers) == (2.6, 0, 4)


def test_a_comparison_needs_silence_and_an_oracle_with_a_gain():
    with pytest.raises(InvalidInputError, match="silence and the oracle"):
        compare_plays({ENGINE_NAME: played(np.ones(3))}, seed=1, weeks=1, bound_minor=1.0)
    with pytest.raises(InvalidInputError, match="gain something"):
        share_interval(np.ones(3), np.array([1.0, -1.0, 0.0]))
