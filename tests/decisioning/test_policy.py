"""One decision: true probabilities, repeatable answers, and invalid input that is refused."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import ArmPolicy
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.limits import Supply
from decisioning.decision import Action, Placement, Reason
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_to_record
from decisioning.scoring import FeatureVector
from tests.decisioning.exploring import MakeExperiment, MakeInputs, exploring

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=9).map(np.array)
TWO = (Placement(placement_id="a"), Placement(placement_id="b"))
GOLDEN_VERSION = "66b4f356c148d682"
GOLDEN = [
    ("ten-percent/email/plain", "EXPERIMENT", 0.111111111111),
    ("ten-percent/email/plain", "EXPERIMENT", 0.111111111111),
    ("free-coffee/email/plain", "EXPERIMENT", 0.111111111111),
    ("ten-percent/push/plain", "MODEL", 0.911111111111),
    ("ten-percent/push/plain", "MODEL", 0.911111111111),
    ("ten-percent/push/plain", "MODEL", 0.911111111111),
]
GOLDEN_SLATES = {
    ExplorationKind.EPSILON_GREEDY: ("opening-hours/push/plain", 0.022222222222222223, "silence", 0.6857142857142856),
    ExplorationKind.INVERSE_GAP: ("opening-hours/push/plain", 0.03808641975308642, "silence", 0.5691989551379599),
    ExplorationKind.THOMPSON: (
        "opening-hours/push/plain",
        0.06165450079380414,
        "double-stamps/email/plain",
        0.08349480464879859,
    ),
}
REACH = st.sets(st.sampled_from(["email", "push"])).map(frozenset)


@settings(max_examples=100, deadline=None)
@given(
    scores=st.one_of(st.none(), SCORES),
    reach=REACH,
    epsilon=st.floats(0, 1),
    floor=st.floats(0, 0.99),
    uniform=st.floats(0, 1, exclude_max=True),
    arm=st.sampled_from([None, *ArmPolicy]),
)
def test_every_decision_holds_a_distribution_over_permitted_messages_and_silence(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    experiment_of: MakeExperiment,
    *,
    scores: Any,
    reach: frozenset[str],
    epsilon: float,
    floor: float,
    uniform: float,
    arm: ArmPolicy | None,
) -> None:
    policy = exploring(plain_catalogue, epsilon, floor, *([experiment_of(arm)] if arm else []))
    inputs = inputs_of(policy, expected_values=scores, reachable_channels=reach, uniform=uniform)
    decision = decide(policy, inputs, "D-1")
    probabilities = [one.probability for one in decision.evaluated]
    assert abs(fsum(probabilities) - 1) <= 1e-12
    assert min(probabilities) >= 0
    if arm is not ArmPolicy.RANDOM:
        assert min(probabilities) >= min(floor, epsilon / len(probabilities)) - 1e-15
    keys = [one.message_key for one in decision.evaluated]
    others = [one.message_key for one in decision.excluded]
    assert keys[0] == "silence"
    assert sorted(keys[1:] + others) == [message.key for message in policy.candidates("weekly-mail")]
    chosen = decision.evaluated[keys.index(decision.message_key)]
    assert decision.action_probability == chosen.probability > 0
    assert (decision.action is Action.SEND) is (decision.message_key != "silence")
    assert all(one.reasons for one in decision.excluded)


@pytest.mark.no_cover
@pytest.mark.parametrize("arm", [None, ArmPolicy.RANDOM])
def test_over_all_uniforms_each_message_is_chosen_as_often_as_its_probability_says(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment, arm: ArmPolicy | None
) -> None:
    policy = exploring(plain_catalogue, 0.3, 0.04, *([experiment_of(arm)] if arm else []))
    steps = 2_000
    decisions = [decide(policy, inputs_of(policy, uniform=(step + 0.5) / steps), "D-1") for step in range(steps)]
    chosen = Counter(decision.message_key for decision in decisions)
    for one in decisions[0].evaluated:
        assert abs(chosen[one.message_key] / steps - one.probability) <= 1 / steps


@pytest.mark.no_cover
def test_over_many_asks_each_message_is_chosen_as_often_as_its_probability_says(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = exploring(plain_catalogue, 0.5)
    asks = 4_000
    decisions = [decide(policy, inputs_of(policy, request_key=f"k-{index}"), "D-1") for index in range(asks)]
    chosen = Counter(decision.message_key for decision in decisions)
    expected = {one.message_key: one.probability * asks for one in decisions[0].evaluated}
    assert len(expected) == 9
    statistic = sum((chosen[key] - count) ** 2 / count for key, count in expected.items())
    assert statistic < 26.1  # chi-square, 8 degrees of freedom, 0.1 %


def test_the_draw_does_not_follow_the_order_of_priorities(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = exploring(plain_catalogue, 1.0)
    scores = np.linspace(1000.0, 1400.0, 9)
    turned = np.concatenate([scores[:1], scores[:0:-1]])
    for uniform in np.linspace(0, 0.999, 50):
        asks = [inputs_of(policy, uniform=float(uniform), expected_values=values) for values in (scores, turned)]
        one, other = (decide(policy, inputs, "D-1") for inputs in asks)
        assert one.message_key == other.message_key


def test_a_retry_gives_the_same_decision(shop_policy: Policy, inputs_of: MakeInputs) -> None:
    first = decide(shop_policy, inputs_of(shop_policy), "D-1")
    again = decide(shop_policy, inputs_of(shop_policy), "D-1")
    assert decision_to_record(first) == decision_to_record(again)


def test_the_order_of_asks_changes_nothing(shop_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    asks = [f"C-{index}" for index in range(100)]
    forward, backward = Policy(shop_catalogue), Policy(shop_catalogue)
    one = {who: decision_to_record(decide(forward, inputs_of(forward, who), who)) for who in asks}
    other = {who: decision_to_record(decide(backward, inputs_of(backward, who), who)) for who in reversed(asks)}
    assert one == other
    assert len({record["message_key"] for record in one.values()}) > 3


def test_deciding_does_not_change_its_inputs(shop_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(shop_policy, context={"basket_value": 12.0})
    scores, features = inputs.expected_values, inputs.features
    assert scores is not None
    assert features is not None
    before = (scores.copy(), features.values.copy(), dict(inputs.request.context))
    decide(shop_policy, inputs, "D-1")
    assert (scores == before[0]).all()
    assert (features.values == before[1]).all()
    assert dict(inputs.request.context) == before[2]


def test_a_decision_names_customer_touchpoint_time_and_policy_version(
    shop_policy: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    inputs = inputs_of(shop_policy, degraded=("features_stale",))
    decision = decide(shop_policy, inputs, "D-9")
    assert (decision.decision_id, decision.customer_id, decision.touchpoint_id) == ("D-9", "C-1", "weekly-mail")
    assert (decision.decided_at, decision.model_version, decision.degraded) == (now, "7", ("features_stale",))
    assert decision.policy_version == shop_policy.version
    assert decision.stage_id == "active"
    assert decision.inputs is inputs


def test_a_sent_message_is_named_by_offer_channel_and_creative(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy), "D-1")
    assert decision.message_key == "ten-percent/push/plain"
    assert (decision.offer_id, decision.channel_id, decision.creative_id) == ("ten-percent", "push", "plain")


def test_a_hold_names_no_offer_channel_or_creative(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, reachable_channels=frozenset()), "D-1")
    assert (decision.action, decision.message_key) == (Action.HOLD, "silence")
    assert (decision.offer_id, decision.channel_id, decision.creative_id) == (None, None, None)
    assert decision.action_probability == 1.0


@pytest.mark.parametrize("uniform", [-0.1, 1.0, float("nan")])
def test_a_draw_outside_the_unit_interval_is_refused(
    plain_policy: Policy, inputs_of: MakeInputs, uniform: float
) -> None:
    with pytest.raises(InvalidInputError, match="uniform must be in"):
        decide(plain_policy, inputs_of(plain_policy, uniform=uniform), "D-1")


def test_a_time_without_an_offset_is_refused(plain_policy: Policy, inputs_of: MakeInputs, now: datetime) -> None:
    with pytest.raises(InvalidInputError, match="now must be a time with an offset"):
        decide(plain_policy, inputs_of(plain_policy, now=now.replace(tzinfo=None)), "D-1")


def test_another_customers_profile_is_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    other = replace(inputs, customer=inputs_of(plain_policy, "C-2").customer)
    with pytest.raises(InvalidInputError, match="customer must be the one that the request names") as caught:
        decide(plain_policy, other, "D-1")
    assert "C-2" not in str(caught.value)


def test_features_without_matching_names_are_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    features = FeatureVector(names=("a", "b"), values=np.zeros(3), ages_seconds={}, schema="s")
    with pytest.raises(InvalidInputError, match="one value per name"):
        decide(plain_policy, inputs_of(plain_policy, features=features), "D-1")


def test_names_that_are_not_declared_are_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    nowhere = replace(inputs, request=replace(inputs.request, touchpoint_id="daily-mail"))
    with pytest.raises(UnknownNameError, match="touchpoint must be a known name"):
        decide(plain_policy, nowhere, "D-1")
    with pytest.raises(UnknownNameError, match="stage must be a known name, got 'actve'; did you mean 'active'"):
        decide(plain_policy, inputs_of(plain_policy, stage_id="actve"), "D-1")


def test_a_feature_cannot_replace_profile_context_or_stage(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    features = FeatureVector(
        names=("customer.age", "stage", "customer_tenure_days"),
        values=np.array([99.0, 1.0, 1.0]),
        ages_seconds={},
        schema="s",
    )
    policy = Policy(plain_catalogue)
    decision = decide(policy, inputs_of(policy, features=features, attributes={"age": 17}), "D-1")
    assert decision.stage_id == "new"
    assert "ten-percent/email/plain" in {one.message_key for one in decision.excluded}


@pytest.mark.parametrize("change", ["seed", "catalogue"])
def test_different_policies_have_different_versions(plain_catalogue: Catalogue, change: str) -> None:
    same = Policy(plain_catalogue, "a").version
    other = Policy(plain_catalogue, "b") if change == "seed" else Policy(replace(plain_catalogue, version="x"), "a")
    assert same == Policy(plain_catalogue, seed="a").version != other.version


def test_the_boundary_between_catalogue_version_and_seed_matters(plain_catalogue: Catalogue) -> None:
    one, other = (Policy(replace(plain_catalogue, version=name), seed) for name, seed in (("ab", "c"), ("a", "bc")))
    assert one.version != other.version


def test_a_touchpoint_without_messages_is_silent(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, creatives=()))
    decision = decide(policy, inputs_of(policy), "D-1")
    assert (decision.message_key, decision.reason) == ("silence", Reason.NOTHING_PERMITTED)


def test_the_greedy_choice_is_recorded_beside_the_drawn_one(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = exploring(plain_catalogue, 1.0)
    decision = decide(policy, inputs_of(policy, uniform=0.0), "D-1")
    assert (decision.message_key, decision.best.message_key) == ("silence", "ten-percent/push/plain")


def test_behaviour_is_pinned_to_behaviour_version(shop_policy: Policy, inputs_of: MakeInputs) -> None:
    """If this fails with an unchanged shop, the same inputs give other decisions: raise BEHAVIOUR_VERSION too."""
    found = [decide(shop_policy, inputs_of(shop_policy, f"C-{index}"), "D-1") for index in range(6)]
    assert shop_policy.version == GOLDEN_VERSION
    assert [(one.message_key, one.reason.value, round(one.action_probability, 12)) for one in found] == GOLDEN


@pytest.mark.parametrize("kind", list(ExplorationKind))
def test_exploration_and_slates_are_pinned_to_the_last_bit(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, kind: ExplorationKind
) -> None:
    """A log replayed on another machine must give the same numbers."""
    exploration = Exploration(
        kind=kind,
        epsilon=0.2,
        min_probability=0.01,
        gap_scale_minor=150.0,
        prior_deviation_minor=400.0,
        ramp=Ramp(needed=10, start_share=0.2),
    )
    policy = Policy(replace(plain_catalogue, exploration=exploration))
    decision = decide(policy, inputs_of(policy, placements=TWO), "D-1")
    second = decision.further[0]
    found = (decision.message_key, decision.action_probability, second.message_key, second.action_probability)
    assert found == GOLDEN_SLATES[kind]


def test_evidence_is_shown_if_it_is_counted(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, supply=Supply(evidence={"ten-percent": 3})), "D-1")
    counts = {one.message_key.split("/")[0]: one.evidence_count for one in decision.evaluated}
    assert (counts["ten-percent"], counts["free-coffee"]) == (3, None)
