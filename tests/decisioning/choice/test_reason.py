"""The reason of a decision is the first that applies, in the order the module lists them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.care import DEFAULT_CARE, Case, CaseState
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.choice.reason import CONTENDED_WORD
from decisioning.decision import Action, Inputs, Reason
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_to_record, replay

type MakeInputs = Callable[..., Inputs]
NIGHT = QuietHours(rules=(QuietRule(from_minute=0, until_minute=14 * 60),))
NO_SERVICE = frozenset({"opening-hours"})


def open_case(now: datetime, *, resolved: bool = False) -> LiveState:
    case = Case(
        case_id="c1",
        kind="lost_item",
        severity="normal",
        opened_at=now - timedelta(days=2),
        resolved_at=now - timedelta(days=1) if resolved else None,
    )
    return LiveState(cases=(case,))


def test_quiet_hours_alone_defer_and_the_answer_says_until_when(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = Policy(replace(plain_catalogue, quiet_hours=NIGHT))
    decision = decide(policy, inputs_of(policy), "D-1")
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.DEFERRED)
    assert decision.retry_at == now + timedelta(hours=1)  # 14:00 in Berlin is 13:00 in UTC
    later = decide(policy, inputs_of(policy, now=decision.retry_at), "D-1")
    assert (later.action, later.retry_at) == (Action.SEND, None)


def test_a_retry_moment_is_given_only_if_nothing_is_sent(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    quiet_mail = QuietHours(rules=(replace(NIGHT.rules[0], channels=frozenset({"email"})),))
    policy = Policy(replace(plain_catalogue, quiet_hours=quiet_mail))
    sent = decide(policy, inputs_of(policy), "D-1")
    assert (sent.action, sent.retry_at) == (Action.SEND, None)
    assert any(one.allowed_at for one in sent.excluded)
    held = decide(policy, inputs_of(policy, expected_values=np.zeros(9), excluded_offers=NO_SERVICE), "D-1")
    assert (held.reason, held.retry_at) == (Reason.SILENCE_BEST, now + timedelta(hours=1))


@pytest.mark.parametrize(("resolved", "state"), [(False, CaseState.OPEN), (True, CaseState.COOLING_DOWN)])
def test_care_goes_before_sales_and_is_shown(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, state: CaseState, *, resolved: bool
) -> None:
    policy = Policy(replace(plain_catalogue, care=DEFAULT_CARE))
    live = open_case(now, resolved=resolved)
    decision = decide(policy, inputs_of(policy, live=live, excluded_offers=NO_SERVICE), "D-1")
    assert (decision.action, decision.reason, decision.care) == (Action.HOLD, Reason.CARE, state)
    assert decision.retry_at == now + timedelta(days=6 if resolved else 58)  # an unresolved case ends by itself
    served = decide(policy, inputs_of(policy, live=live), "D-1")
    assert (served.offer_id, served.care) == ("opening-hours", state)


def test_an_open_case_in_quiet_hours_has_the_reason_care(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = Policy(replace(plain_catalogue, care=DEFAULT_CARE, quiet_hours=NIGHT))
    decision = decide(policy, inputs_of(policy, live=open_case(now), excluded_offers=NO_SERVICE), "D-1")
    assert decision.reason is Reason.CARE
    elsewhere = inputs_of(policy, live=open_case(now), excluded_offers=NO_SERVICE, consents=())
    assert decide(policy, elsewhere, "D-1").reason is Reason.NOTHING_PERMITTED


def test_the_universal_holdout_goes_before_programme_holdouts_and_those_before_experiments(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    programme = ProgrammeHoldout(programme_id="p", share=1.0, salt="p", departments=frozenset({"marketing"}))
    silent = experiment_of(ArmPolicy.SILENCE)
    both = replace(plain_catalogue, programme_holdouts=(programme,))
    named = {
        Reason.HOLDOUT: replace(both, holdout=Holdout(share=1.0, salt="h")),
        Reason.PROGRAMME_HOLDOUT: replace(both, experiments=(silent,)),
        Reason.EXPERIMENT: replace(plain_catalogue, experiments=(silent,)),
    }
    for reason, catalogue in named.items():
        policy = Policy(catalogue)
        assert decide(policy, inputs_of(policy, excluded_offers=NO_SERVICE), "D-1").reason is reason


def with_precedence(catalogue: Catalogue) -> Catalogue:
    rules = replace(catalogue.classes[MessageClass.SERVICE], has_precedence=True)
    return replace(catalogue, classes={**catalogue.classes, MessageClass.SERVICE: rules})


@pytest.mark.parametrize("arm", [None, ArmPolicy.RANDOM, ArmPolicy.RULES, ArmPolicy.SILENCE])
@pytest.mark.parametrize("fields", [{}, {"expected_values": None}, {"allocated": "silence"}])
def test_precedence_holds_on_every_path_and_exploration_never_replaces_it_with_silence(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    experiment_of: Callable[..., Experiment],
    arm: ArmPolicy | None,
    fields: dict[str, Any],
) -> None:
    catalogue = replace(
        with_precedence(plain_catalogue),
        exploration=Exploration(epsilon=1.0, min_probability=0.1),
        experiments=(experiment_of(arm),) if arm else (),
    )
    policy = Policy(catalogue)
    for uniform in (0.0, 0.5, 0.999):
        decision = decide(policy, inputs_of(policy, uniform=uniform, **fields), "D-1")
        assert (decision.offer_id, decision.reason) == ("opening-hours", Reason.PRECEDENCE)
        assert decision.action_probability == 1.0


def test_a_rules_arm_ranks_by_declared_values_and_uses_no_model(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    policy = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.RULES),)))
    scores = np.array([0.0, *[1e6] * 2, *[-1e6] * 6])
    for values in (scores, None, np.full(9, np.nan)):
        decision = decide(policy, inputs_of(policy, expected_values=values), "D-1")
        assert (decision.message_key, decision.reason) == ("ten-percent/push/plain", Reason.RULES)
        assert decision.evaluated[0].expected_value_minor is None
    assert decide(policy, inputs_of(policy, expected_values=scores), "D-1").model_version is None


def test_a_model_arm_decides_like_the_engine_with_its_own_scores(
    plain_catalogue: Catalogue, plain_policy: Policy, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    policy = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.MODEL),)))
    decision = decide(policy, inputs_of(policy, model_version="8"), "D-1")
    engine = decide(plain_policy, inputs_of(plain_policy), "D-1")
    assert (decision.message_key, decision.reason, decision.model_version) == (engine.message_key, Reason.MODEL, "8")


@pytest.mark.parametrize("key", ["double-stamps/email/plain", "silence"])
def test_an_allocation_is_followed_if_its_message_is_permitted(
    plain_policy: Policy, inputs_of: MakeInputs, key: str
) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, allocated=key), "D-1")
    assert (decision.message_key, decision.action_probability, decision.reason) == (key, 1.0, Reason.ALLOCATED)
    assert decision.best.message_key == key


def test_an_allocation_whose_message_is_not_permitted_falls_back_to_arbitration(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    fields: dict[str, Any] = {"allocated": "double-stamps/email/plain", "excluded_offers": frozenset({"double-stamps"})}
    decision = decide(plain_policy, inputs_of(plain_policy, **fields), "D-1")
    assert (decision.message_key, decision.reason) == ("ten-percent/push/plain", Reason.MODEL)


def test_a_draw_against_the_allocation_is_called_explored(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, exploration=Exploration(epsilon=1.0)))
    decision = decide(policy, inputs_of(policy, allocated="double-stamps/email/plain", uniform=0.999), "D-1")
    assert (decision.message_key, decision.reason) == ("ten-percent/push/plain", Reason.EXPLORED)


def test_an_ask_that_lost_every_race_has_the_reason_contended(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    fields: dict[str, Any] = {"customer": None, "features": None, "degraded": (CONTENDED_WORD,)}
    decision = decide(plain_policy, inputs_of(plain_policy, **fields), "D-1")
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.CONTENDED)


def test_a_cold_start_is_named_whether_the_best_or_the_draw_won_and_other_reasons_stay(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    cold: dict[str, Any] = {"expected_values": None, "is_cold_start": True}
    policy = Policy(replace(plain_catalogue, exploration=Exploration(epsilon=0.5)))
    for uniform in (0.0, 0.4, 0.999):
        decision = decide(policy, inputs_of(policy, uniform=uniform, **cold), "D-1")
        assert decision.reason is Reason.COLD_START
        assert sum(one.probability for one in decision.evaluated) == pytest.approx(1.0)
        again = replay(policy, decision_to_record(decision))
        assert decision_to_record(again) == decision_to_record(decision)
    rules = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.RULES),)))
    assert decide(rules, inputs_of(rules, **cold), "D-1").reason is Reason.RULES
    planned = decide(policy, inputs_of(policy, uniform=0.0, allocated="silence", **cold), "D-1")
    assert planned.reason is Reason.ALLOCATED
