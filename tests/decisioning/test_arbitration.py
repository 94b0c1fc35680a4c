"""Money: uplift against silence, minus cost, weighted where it is a gain."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.arbitration import Bid, best_of
from decisioning.catalogue import Catalogue, Learning
from decisioning.decision import Decision, Inputs
from decisioning.errors import ModelUnavailableError
from decisioning.policy import Policy, decide

type MakeInputs = Callable[..., Inputs]
AMOUNTS = st.floats(-1e15, 1e15)


def valued(policy: Policy, inputs_of: MakeInputs, values: dict[str, float], silence: float = 1000.0) -> Decision:
    """Decide where every message that is not named is worth a loss of 500."""
    keys = [message.key for message in policy.candidates("app-home")]
    scores = np.array([silence, *(values.get(key, silence - 500) for key in keys)])
    return decide(policy, inputs_of(policy, touchpoint_id="app-home", expected_values=scores), "D-1")


def weighted(catalogue: Catalogue, offer_weight: float = 1.0, goal_weight: float = 1.0) -> Policy:
    offer = replace(catalogue.offers["ten-percent"], weight=offer_weight)
    goal = replace(catalogue.goals["loyalty"], weight=goal_weight)
    return Policy(
        replace(
            catalogue,
            offers={**catalogue.offers, "ten-percent": offer},
            goals={**catalogue.goals, "loyalty": goal},
        )
    )


KEY = "ten-percent/push/plain"
OTHER = "free-coffee/push/plain"


def entry(decision: Decision, key: str = KEY) -> Any:
    return next(one for one in decision.evaluated if one.message_key == key)


def test_priority_is_uplift_minus_cost_times_weights(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    found = entry(valued(weighted(plain_catalogue, 2.0, 3.0), inputs_of, {KEY: 1100.0}))
    assert (found.expected_value_minor, found.uplift_minor, found.cost_minor) == (1100.0, 100.0, 0.5)
    assert found.priority_minor == (100.0 - 0.5) * 6


def test_silence_is_worth_its_own_value_and_bids_nothing(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    silence = valued(plain_policy, inputs_of, {KEY: 1100.0}).evaluated[0]
    assert silence.message_key == "silence"
    assert (silence.expected_value_minor, silence.uplift_minor, silence.cost_minor) == (1000.0, 0.0, 0.0)
    assert silence.priority_minor == 0.0


def test_a_weight_prefers_among_messages_that_pay(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    values = {KEY: 1060.0, OTHER: 1100.0}
    assert valued(weighted(plain_catalogue), inputs_of, values).message_key == OTHER
    assert valued(weighted(plain_catalogue, 2.0), inputs_of, values).message_key == KEY


@pytest.mark.parametrize("weight", [0.0, 0.01, 1.0, 50.0])
def test_no_weight_makes_a_loss_smaller_or_larger(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, weight: float
) -> None:
    decision = valued(weighted(plain_catalogue, weight), inputs_of, {KEY: 900.0})
    assert entry(decision).priority_minor == -100.5
    assert decision.message_key == "silence"


def test_a_weight_of_zero_switches_a_message_off(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    decision = valued(weighted(plain_catalogue, 0.0), inputs_of, {KEY: 5000.0})
    assert decision.message_key == "silence"
    assert entry(decision).priority_minor == 0.0


def test_a_gain_below_the_contact_cost_is_left_alone(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    assert valued(plain_policy, inputs_of, {KEY: 1000.4}).message_key == "silence"
    assert valued(plain_policy, inputs_of, {KEY: 1000.5}).message_key == "silence"  # a tie: silence wins
    assert valued(plain_policy, inputs_of, {KEY: 1000.6}).message_key == KEY


def test_between_equal_messages_the_lower_key_wins(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = valued(plain_policy, inputs_of, {KEY: 1100.0, OTHER: 1100.0})
    assert decision.message_key == OTHER
    assert [one.message_key for one in decision.evaluated[:3]] == ["silence", OTHER, KEY]


def test_the_best_bid_is_the_first_of_the_highest() -> None:
    bids = [Bid("silence", None, None, 0.0, 0.0), *(Bid(key, None, None, 0.0, 2.0) for key in "ab")]
    assert best_of(bids) == 1
    assert best_of(bids[:1]) == 0


def test_a_learned_rate_is_priced_with_the_declared_value_of_the_offer(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = Policy(replace(plain_catalogue, learning=Learning(measure_id="clicked")))
    decision = valued(policy, inputs_of, {KEY: 0.30, OTHER: 0.35}, silence=0.10)
    found = entry(decision)
    assert found.uplift_minor == pytest.approx(0.20)
    assert found.priority_minor == pytest.approx(0.20 * 200 - 0.5)
    assert entry(decision, OTHER).priority_minor == pytest.approx(0.25 * 150 - 0.5)
    assert decision.message_key == KEY


@settings(max_examples=60, deadline=None)
@given(values=st.lists(AMOUNTS, min_size=5, max_size=5), weight=st.floats(0, 1e6))
def test_the_record_lists_falling_priorities_and_the_best_never_loses_to_silence(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, values: list[float], weight: float
) -> None:
    policy = weighted(plain_catalogue, weight)
    inputs = inputs_of(policy, touchpoint_id="app-home", expected_values=np.array(values))
    decision = decide(policy, inputs, "D-1")
    priorities = [one.priority_minor for one in decision.evaluated[1:]]
    assert priorities == sorted(priorities, reverse=True)
    assert np.isfinite(priorities).all()
    assert decision.message_key == decision.best.message_key
    assert decision.best.priority_minor == max(0.0, *priorities)
    assert (decision.message_key == "silence") is (max(priorities) <= 0)


def test_without_a_model_declared_values_take_its_place(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, touchpoint_id="app-home", expected_values=None)
    found = entry(decide(plain_policy, inputs, "D-1"), "opening-hours/push/plain")
    assert (found.expected_value_minor, found.uplift_minor, found.priority_minor) == (None, None, 9.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2e15])
@pytest.mark.parametrize("row", [0, 4])
def test_scores_that_are_no_amounts_are_refused(
    plain_policy: Policy, inputs_of: MakeInputs, value: float, row: int
) -> None:
    scores = np.zeros(5)
    scores[row] = value
    inputs = inputs_of(plain_policy, touchpoint_id="app-home", expected_values=scores)
    with pytest.raises(ModelUnavailableError, match=f"in row {row}"):
        decide(plain_policy, inputs, "D-1")


@pytest.mark.parametrize("shape", [(4,), (6,), (0,), (5, 1), ()])
def test_scores_of_other_candidates_are_refused(
    plain_policy: Policy, inputs_of: MakeInputs, shape: tuple[int, ...]
) -> None:
    inputs = inputs_of(plain_policy, touchpoint_id="app-home", expected_values=np.zeros(shape))
    with pytest.raises(ModelUnavailableError, match=r"must have shape \(5,\)"):
        decide(plain_policy, inputs, "D-1")
