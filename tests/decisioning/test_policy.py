"""One decision: probabilities that are true, answers that repeat, reasons that fit."""

import timeit
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import (
    Cap,
    Contact,
    ContactPolicy,
    Fatigue,
    PressureBudget,
    Suppression,
    SuppressionScope,
)
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.levers import Lever, LeverScope
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitMeasure, LimitScope, Period, Supply
from decisioning.catalogue.message_classes import CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.decision import Action, Inputs, Placement, Reason
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.policy import Policy, decide
from decisioning.record import decision_to_record
from decisioning.rules.predicate import Compare, Comparison
from decisioning.scoring import FeatureVector

type MakeInputs = Callable[..., Inputs]
type MakeExperiment = Callable[..., Experiment]
SCORES = st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=9).map(np.array)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
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


def exploring(catalogue: Catalogue, epsilon: float, floor: float = 0.0, *experiments: Experiment) -> Policy:
    exploration = Exploration(epsilon=epsilon, min_probability=floor)
    return Policy(replace(catalogue, exploration=exploration, experiments=experiments))


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


def test_deciding_changes_nothing_that_it_was_given(shop_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(shop_policy, context={"basket_value": 12.0})
    scores, features = inputs.expected_values, inputs.features
    assert scores is not None
    assert features is not None
    before = (scores.copy(), features.values.copy(), dict(inputs.request.context))
    decide(shop_policy, inputs, "D-1")
    assert (scores == before[0]).all()
    assert (features.values == before[1]).all()
    assert dict(inputs.request.context) == before[2]


def test_a_decision_says_who_where_when_and_by_what(shop_policy: Policy, inputs_of: MakeInputs, now: datetime) -> None:
    inputs = inputs_of(shop_policy, degraded=("features_stale",))
    decision = decide(shop_policy, inputs, "D-9")
    assert (decision.decision_id, decision.customer_id, decision.touchpoint_id) == ("D-9", "C-1", "weekly-mail")
    assert (decision.decided_at, decision.model_version, decision.degraded) == (now, "7", ("features_stale",))
    assert decision.policy_version == shop_policy.version
    assert decision.stage_id == "active"
    assert decision.inputs is inputs


def test_a_sent_message_is_named_in_its_parts(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy), "D-1")
    assert decision.message_key == "ten-percent/push/plain"
    assert (decision.offer_id, decision.channel_id, decision.creative_id) == ("ten-percent", "push", "plain")


def test_holding_names_no_parts(plain_policy: Policy, inputs_of: MakeInputs) -> None:
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


def test_features_without_a_name_each_are_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
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


def test_a_feature_cannot_pass_for_profile_context_or_stage(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
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
def test_the_version_tells_policies_apart(plain_catalogue: Catalogue, change: str) -> None:
    same = Policy(plain_catalogue, "a").version
    other = Policy(plain_catalogue, "b") if change == "seed" else Policy(replace(plain_catalogue, version="x"), "a")
    assert same == Policy(plain_catalogue, seed="a").version != other.version


def test_where_catalogue_version_and_seed_meet_matters(plain_catalogue: Catalogue) -> None:
    one, other = (Policy(replace(plain_catalogue, version=name), seed) for name, seed in (("ab", "c"), ("a", "bc")))
    assert one.version != other.version


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, Reason.MODEL),
        ({"expected_values": np.zeros(9), "excluded_offers": frozenset({"opening-hours"})}, Reason.SILENCE_BEST),
        ({"expected_values": None}, Reason.RULES),
        ({"expected_values": None, "degraded": ("model_unavailable",)}, Reason.RULES),
        ({"expected_values": None, "excluded_offers": frozenset({"opening-hours"})}, Reason.NOTHING_PERMITTED),
        (
            {
                "expected_values": None,
                "excluded_offers": frozenset({"opening-hours"}),
                "degraded": ("model_unavailable",),
            },
            Reason.DEGRADED,
        ),
        ({"reachable_channels": frozenset()}, Reason.NOTHING_PERMITTED),
        ({"customer": None}, Reason.UNKNOWN_CUSTOMER),
        ({"customer": None, "degraded": ("contended",)}, Reason.CONTENDED),
        ({"customer": None, "features": None, "degraded": ("features_unavailable",)}, Reason.DEGRADED),
    ],
)
def test_the_reason_fits(plain_policy: Policy, inputs_of: MakeInputs, fields: dict[str, Any], reason: Reason) -> None:
    assert decide(plain_policy, inputs_of(plain_policy, **fields), "D-1").reason is reason


def test_without_a_model_declared_values_may_prefer_silence(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    worthless = replace(plain_catalogue.offers["opening-hours"], value_minor=0.0)
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, "opening-hours": worthless}))
    rules = decide(policy, inputs_of(policy, expected_values=None), "D-1")
    assert (rules.action, rules.reason) == (Action.HOLD, Reason.RULES)
    degraded = inputs_of(policy, expected_values=None, degraded=("model_unavailable",))
    assert decide(policy, degraded, "D-1").reason is Reason.DEGRADED


def test_what_the_draw_chose_against_the_best_is_called_explored(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = exploring(plain_catalogue, 0.9)
    found = [decide(policy, inputs_of(policy, uniform=step / 100), "D-1") for step in range(100)]
    for decision in found:
        is_best = decision.message_key == decision.best.message_key
        assert decision.reason is (Reason.MODEL if is_best else Reason.EXPLORED)
    assert {decision.action for decision in found} == {Action.SEND, Action.HOLD}


def test_the_random_arm_draws_evenly_with_and_without_a_model(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment
) -> None:
    policy = exploring(plain_catalogue, 0.1, 0.01, experiment_of(ArmPolicy.RANDOM))
    for scores in (np.linspace(0, 900, 9), None):
        found = [
            decide(policy, inputs_of(policy, expected_values=scores, uniform=step / 9 + 0.01), "D-1")
            for step in range(9)
        ]
        assert {decision.message_key for decision in found} == {one.message_key for one in found[0].evaluated}
        assert {decision.action_probability for decision in found} == {1 / 9}
        assert {decision.reason for decision in found} == {Reason.EXPERIMENT}
        assert found[0].arms == {"test": "all"}


def _arm_reason(policy: Policy, inputs: Inputs) -> tuple[Reason, int]:
    decision = decide(policy, inputs, "D-1")
    return decision.reason, len(decision.evaluated)


def test_holdout_and_silent_arm_are_named_where_they_alone_stood_in_the_way(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment
) -> None:
    held_out = Policy(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")))
    silent = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.SILENCE),)))
    no_service = {"excluded_offers": frozenset({"opening-hours"})}
    for policy, reason in ((held_out, Reason.HOLDOUT), (silent, Reason.EXPERIMENT)):
        for scores in (np.linspace(0, 900, 9), None):
            fields = {**no_service, "expected_values": scores}
            assert _arm_reason(policy, inputs_of(policy, **fields)) == (reason, 1)
            unreachable = inputs_of(policy, **fields, reachable_channels=frozenset())
            assert _arm_reason(policy, unreachable) == (Reason.NOTHING_PERMITTED, 1)
        assert _arm_reason(policy, inputs_of(policy)) == (Reason.MODEL, 3)
    decision = decide(held_out, inputs_of(held_out), "D-1")
    assert decision.is_held_out
    assert decision.arms == {}


def test_a_random_arm_draws_only_among_what_a_silent_arm_leaves(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment
) -> None:
    tests = (experiment_of(ArmPolicy.SILENCE, "quiet"), experiment_of(ArmPolicy.RANDOM, "noise"))
    policy = exploring(plain_catalogue, 0.0, 0.0, *tests)
    decision = decide(policy, inputs_of(policy), "D-1")
    assert {one.message_key.split("/")[0] for one in decision.evaluated} == {"silence", "opening-hours"}
    assert {one.probability for one in decision.evaluated} == {1 / 3}


def test_an_experiment_of_another_time_or_place_changes_nothing(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment, now: datetime
) -> None:
    over = replace(experiment_of(ArmPolicy.SILENCE, "over"), ends_at=now)
    soon = replace(experiment_of(ArmPolicy.SILENCE, "soon"), starts_at=now + timedelta(seconds=1))
    elsewhere = replace(experiment_of(ArmPolicy.SILENCE, "elsewhere"), touchpoints=frozenset({"app-home"}))
    policy = exploring(plain_catalogue, 0.0, 0.0, over, soon, elsewhere)
    decision = decide(policy, inputs_of(policy), "D-1")
    assert (decision.arms, decision.reason) == ({}, Reason.MODEL)


def test_a_touchpoint_without_messages_is_silent(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, creatives=()))
    decision = decide(policy, inputs_of(policy), "D-1")
    assert (decision.message_key, decision.reason) == ("silence", Reason.NOTHING_PERMITTED)


def test_the_greedy_choice_is_told_apart_from_the_drawn_one(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = exploring(plain_catalogue, 1.0)
    decision = decide(policy, inputs_of(policy, uniform=0.0), "D-1")
    assert (decision.message_key, decision.best.message_key) == ("silence", "ten-percent/push/plain")


def test_behaviour_is_pinned_to_its_version(shop_policy: Policy, inputs_of: MakeInputs) -> None:
    """Where this fails and the shop is as it was, inputs now give other decisions: raise BEHAVIOUR_VERSION as well."""
    found = [decide(shop_policy, inputs_of(shop_policy, f"C-{index}"), "D-1") for index in range(6)]
    assert shop_policy.version == GOLDEN_VERSION
    assert [(one.message_key, one.reason.value, round(one.action_probability, 12)) for one in found] == GOLDEN


@pytest.mark.parametrize("kind", list(ExplorationKind))
def test_exploration_and_slates_are_pinned_to_the_last_bit(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, kind: ExplorationKind
) -> None:
    """On every machine: a log that is replayed elsewhere must give the same numbers."""
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


OPTED_OUT = [
    {"has_opted_out_of_profiling": True},
    {"live": LiveState(has_opted_out_of_profiling=True)},
    {"has_opted_out_of_profiling": True, "live": LiveState(stage=StageMove(stage_id="lapsed", at=NOW))},
]


@pytest.mark.parametrize("fields", OPTED_OUT)
def test_who_does_not_want_to_be_profiled_gets_a_choice_that_looks_at_nothing_of_theirs(
    plain_policy: Policy, inputs_of: MakeInputs, features_of: Callable[..., FeatureVector], fields: dict[str, Any]
) -> None:
    knowns = [
        {"features": features_of(purchase_count_90d=count), "expected_values": scores, "stage_id": stage}
        for count in (0.0, 900.0)
        for scores in (None, np.linspace(900, 0, 9), np.full(9, np.nan))
        for stage in ("active",)
    ]
    decisions = [decide(plain_policy, inputs_of(plain_policy, **fields | known), "D-1") for known in knowns]
    for decision in decisions:
        assert (decision.message_key, decision.reason) == ("ten-percent/push/plain", Reason.NOT_PROFILED)
        assert decision.evaluated == decisions[0].evaluated
        assert decision.excluded == decisions[0].excluded
        assert {one.expected_value_minor for one in decision.evaluated} == {None}
    assert {decision.model_version for decision in decisions if decision.inputs.expected_values is not None} == {None}


def test_what_looks_at_behaviour_is_closed_for_who_is_not_profiled(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    rule = Compare(fact="live.browse_count_1h", comparison=Comparison.AT_LEAST, value=1)
    offers = {**plain_catalogue.offers, "ten-percent": replace(plain_catalogue.offers["ten-percent"], eligibility=rule)}
    policy = Policy(replace(plain_catalogue, offers=offers))
    live = LiveState(events=(RecentEvent(event_type="browse", at=now - timedelta(minutes=1)),))
    assert decide(policy, inputs_of(policy, live=live), "D-1").offer_id == "ten-percent"
    silent = decide(policy, inputs_of(policy, live=live, has_opted_out_of_profiling=True), "D-1")
    assert silent.offer_id != "ten-percent"
    assert silent.stage_id is None  # entry rules look at features


@pytest.mark.parametrize("live_word", [True, False])
def test_the_live_word_on_profiling_overrides_the_profile(
    plain_policy: Policy, inputs_of: MakeInputs, *, live_word: bool
) -> None:
    live = LiveState(has_opted_out_of_profiling=live_word)
    inputs = inputs_of(plain_policy, live=live, has_opted_out_of_profiling=not live_word, stage_id="active")
    reason = decide(plain_policy, inputs, "D-1").reason
    assert reason is (Reason.NOT_PROFILED if live_word else Reason.MODEL)


def test_a_stage_that_an_event_named_counts_for_a_day_unless_the_caller_names_one(
    plain_policy: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    def stage(age: timedelta, name: str = "lapsed", **fields: Any) -> str | None:
        live = LiveState(stage=StageMove(stage_id=name, at=now - age))
        return decide(plain_policy, inputs_of(plain_policy, live=live, **fields), "D-1").stage_id

    assert stage(timedelta(0)) == stage(timedelta(hours=23)) == "lapsed"
    assert stage(timedelta(hours=24, seconds=1)) == "active"
    assert stage(timedelta(hours=1), "gone") == "active"
    assert stage(timedelta(hours=1), stage_id="new") == "new"


def test_the_random_arm_keeps_the_ramp_and_gives_silence_what_it_cuts(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment
) -> None:
    exploration = Exploration(ramp=Ramp(needed=10, start_share=0.1))
    policy = Policy(replace(plain_catalogue, exploration=exploration, experiments=(experiment_of(ArmPolicy.RANDOM),)))
    supply = Supply(evidence=dict.fromkeys(("double-stamps", "free-coffee", "opening-hours"), 10))
    decision = decide(policy, inputs_of(policy, supply=supply), "D-1")
    chances = {one.message_key: one.probability for one in decision.evaluated}
    assert chances["ten-percent/push/plain"] == pytest.approx(0.05)
    assert chances["free-coffee/push/plain"] == pytest.approx(1 / 9)
    assert chances["silence"] == pytest.approx(1 / 9 + 2 / 9 - 0.1)
    assert {one.message_key.split("/")[0]: one.evidence_count for one in decision.evaluated} == {
        "silence": None, "ten-percent": 0, "double-stamps": 10, "free-coffee": 10, "opening-hours": 10,
    }  # fmt: skip


def test_evidence_is_shown_where_somebody_counts(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, supply=Supply(evidence={"ten-percent": 3})), "D-1")
    counts = {one.message_key.split("/")[0]: one.evidence_count for one in decision.evaluated}
    assert (counts["ten-percent"], counts["free-coffee"]) == (3, None)


@pytest.fixture(scope="module")
def busy_policy(plain_catalogue: Catalogue, now: datetime) -> Policy:
    """Forty messages with every gate, price and lever at work."""
    many = tuple(
        replace(creative, creative_id=f"{creative.creative_id}-{copy}")
        for creative in plain_catalogue.creatives
        for copy in range(5)
    )
    scopes = (CapScope.EVERYTHING, CapScope.DEPARTMENT, CapScope.GOAL, CapScope.CLASS, CapScope.CHANNEL, CapScope.OFFER)
    busy = Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=3)
    lever = Lever(
        lever_id="l",
        scope=LeverScope.GOAL,
        of="loyalty",
        factor=1.5,
        owner="o",
        reason="r",
        expires_at=now + timedelta(days=1),
        when=busy,
    )
    return Policy(
        replace(
            plain_catalogue,
            creatives=many,
            contact_policy=ContactPolicy(
                caps=tuple(Cap(cap_id=one, scope=one, limit=40, window_seconds=7 * 86_400.0) for one in scopes),
                pressure=PressureBudget(limit=90, window_seconds=7 * 86_400.0),
                suppressions=(Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=86_400.0),),
                fatigue=Fatigue(cost_minor=1.0, half_life_seconds=86_400.0),
            ),
            quiet_hours=QuietHours(rules=(QuietRule(from_minute=21 * 60, until_minute=8 * 60),)),
            limits=(
                Limit(limit_id="pushes", scope=LimitScope.CHANNEL, of="push", amount=1000, period=Period.HOUR),
                Limit(
                    limit_id="q4", scope=LimitScope.DEPARTMENT, of="marketing", amount=1e6, measure=LimitMeasure.COST
                ),
            ),
            shares=(DepartmentShare(share_id="m", department="marketing", max_share=0.9),),
            levers=(lever,),
            exploration=Exploration(
                kind=ExplorationKind.INVERSE_GAP, min_probability=0.002, ramp=Ramp(needed=200, start_share=0.05)
            ),
        )
    )


def test_a_decision_among_forty_messages_with_everything_on_is_cheap(
    busy_policy: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    """Typically 0.3 ms; the bound only catches an accident such as counting the book for every message."""
    touch = busy_policy.compiled_candidates("app-home")[0].touch
    contacts = tuple(
        Contact(contact_id=f"d{age}", touch=touch, at=now - timedelta(hours=5 * age), is_confirmed=True)
        for age in range(30)
    )
    supply = Supply(prices_minor={"pushes": 2.0, "m": -1.0}, evidence={"ten-percent": 20})
    inputs = inputs_of(busy_policy, live=LiveState(contacts=contacts), supply=supply)
    decision = decide(busy_policy, inputs, "D-1")
    assert len(decision.evaluated) == 41
    found = decision.evaluated[1]
    assert min(found.fatigue_minor, found.shadow_minor, found.context_weight - 1, found.evidence_count or 0) > 0
    assert min(timeit.repeat(lambda: decide(busy_policy, inputs, "D-1"), number=50, repeat=5)) / 50 < 0.05


def test_a_decision_among_forty_messages_is_cheap(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """Typically 0.2 ms; the bound only catches an accident such as compiling per request."""
    many = tuple(
        replace(creative, creative_id=f"{creative.creative_id}-{copy}")
        for creative in plain_catalogue.creatives
        for copy in range(5)
    )
    policy = Policy(replace(plain_catalogue, creatives=many))
    inputs = inputs_of(policy)
    assert len(policy.candidates("weekly-mail")) == 40
    assert min(timeit.repeat(lambda: decide(policy, inputs, "D-1"), number=50, repeat=5)) / 50 < 0.05
