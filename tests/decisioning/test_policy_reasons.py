"""One decision: the right reason, and experiment arms and profiling opt-outs that are respected."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import ArmPolicy, Holdout
from decisioning.catalogue.exploration import Exploration, Ramp
from decisioning.catalogue.limits import Supply
from decisioning.decision import Action, Inputs, Reason
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import Compare, Comparison
from decisioning.scoring import FeatureVector
from tests.decisioning.exploring import MakeExperiment, MakeInputs, exploring

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


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
def test_a_decision_has_the_right_reason(
    plain_policy: Policy, inputs_of: MakeInputs, fields: dict[str, Any], reason: Reason
) -> None:
    assert decide(plain_policy, inputs_of(plain_policy, **fields), "D-1").reason is reason


def test_without_a_model_declared_values_may_prefer_silence(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    worthless = replace(plain_catalogue.offers["opening-hours"], value_minor=0.0)
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, "opening-hours": worthless}))
    rules = decide(policy, inputs_of(policy, expected_values=None), "D-1")
    assert (rules.action, rules.reason) == (Action.HOLD, Reason.RULES)
    degraded = inputs_of(policy, expected_values=None, degraded=("model_unavailable",))
    assert decide(policy, degraded, "D-1").reason is Reason.DEGRADED


def test_a_draw_against_the_best_is_called_explored(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = exploring(plain_catalogue, 0.9)
    found = [decide(policy, inputs_of(policy, uniform=step / 100), "D-1") for step in range(100)]
    for decision in found:
        is_best = decision.message_key == decision.best.message_key
        assert decision.reason is (Reason.MODEL if is_best else Reason.EXPLORED)
    assert {decision.action for decision in found} == {Action.SEND, Action.HOLD}


def test_the_random_arm_draws_uniformly_with_and_without_a_model(
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


def test_a_holdout_or_silent_arm_is_the_reason_if_nothing_else_was_in_the_way(
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


def test_a_random_arm_draws_only_among_messages_that_a_silent_arm_permits(
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


OPTED_OUT = [
    {"has_opted_out_of_profiling": True},
    {"live": LiveState(has_opted_out_of_profiling=True)},
    {"has_opted_out_of_profiling": True, "live": LiveState(stage=StageMove(stage_id="lapsed", at=NOW))},
]


@pytest.mark.parametrize("fields", OPTED_OUT)
def test_without_profiling_the_choice_uses_no_features_or_behaviour(
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


def test_without_profiling_rules_over_behaviour_do_not_hold(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    rule = Compare(fact="live.browse_count_1h", comparison=Comparison.AT_LEAST, value=1)
    offers = {**plain_catalogue.offers, "ten-percent": replace(plain_catalogue.offers["ten-percent"], eligibility=rule)}
    policy = Policy(replace(plain_catalogue, offers=offers))
    live = LiveState(events=(RecentEvent(event_type="browse", at=now - timedelta(minutes=1)),))
    assert decide(policy, inputs_of(policy, live=live), "D-1").offer_id == "ten-percent"
    silent = decide(policy, inputs_of(policy, live=live, has_opted_out_of_profiling=True), "D-1")
    assert silent.offer_id != "ten-percent"
    assert silent.stage_id is None  # entry rules use features


@pytest.mark.parametrize("live_word", [True, False])
def test_a_live_profiling_answer_overrides_the_profile(
    plain_policy: Policy, inputs_of: MakeInputs, *, live_word: bool
) -> None:
    live = LiveState(has_opted_out_of_profiling=live_word)
    inputs = inputs_of(plain_policy, live=live, has_opted_out_of_profiling=not live_word, stage_id="active")
    reason = decide(plain_policy, inputs, "D-1").reason
    assert reason is (Reason.NOT_PROFILED if live_word else Reason.MODEL)


def test_a_stage_set_by_an_event_counts_for_a_day_unless_the_caller_names_one(
    plain_policy: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    def stage(age: timedelta, name: str = "lapsed", **fields: Any) -> str | None:
        live = LiveState(stage=StageMove(stage_id=name, at=now - age))
        return decide(plain_policy, inputs_of(plain_policy, live=live, **fields), "D-1").stage_id

    assert stage(timedelta(0)) == stage(timedelta(hours=23)) == "lapsed"
    assert stage(timedelta(hours=24, seconds=1)) == "active"
    assert stage(timedelta(hours=1), "gone") == "active"
    assert stage(timedelta(hours=1), stage_id="new") == "new"


def test_the_random_arm_keeps_the_ramp_and_gives_the_rest_to_silence(
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
