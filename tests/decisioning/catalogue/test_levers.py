"""Levers: each has an owner and a last day, and changes only the messages it names."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import ArmPolicy, Experiment
from decisioning.catalogue.levers import LARGEST_WEIGHT, Lever, LeverScope
from decisioning.decision import Decision, Evaluated, Inputs
from decisioning.errors import InvalidPolicyError, UnknownNameError
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import Compare, Comparison, Not, Predicate

type MakeInputs = Callable[..., Inputs]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEVER = Lever(
    lever_id="push-loyalty",
    scope=LeverScope.GOAL,
    of="loyalty",
    factor=1.5,
    owner="retention team",
    reason="stamps before Christmas",
    expires_at=NOW + timedelta(days=1),
)
BUSY = Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=3)


def decided(catalogue: Catalogue, inputs_of: MakeInputs, *levers: Lever, **fields: Any) -> Decision:
    policy = Policy(replace(catalogue, levers=levers))
    return decide(policy, inputs_of(policy, **fields), "D-1")


def entry(decision: Decision, key: str = "ten-percent/push/plain") -> Evaluated:
    return next(one for one in decision.evaluated if one.message_key == key)


@pytest.mark.parametrize(
    ("scope", "of", "weighted"),
    [
        (LeverScope.GOAL, "loyalty", {"double-stamps", "free-coffee", "ten-percent"}),
        (LeverScope.DEPARTMENT, "service", {"opening-hours"}),
        (LeverScope.OFFER, "free-coffee", {"free-coffee"}),
    ],
)
def test_a_lever_weights_only_the_messages_it_names(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, scope: LeverScope, of: str, weighted: set[str]
) -> None:
    decision = decided(plain_catalogue, inputs_of, replace(LEVER, scope=scope, of=of))
    found = {one.message_key.split("/")[0] for one in decision.evaluated if one.business_weight == 1.5}
    assert found == weighted


def test_a_lever_on_a_channel_weights_that_channel(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    decision = decided(plain_catalogue, inputs_of, replace(LEVER, scope=LeverScope.CHANNEL, of="email"))
    found = {one.message_key.split("/")[1] for one in decision.evaluated if one.business_weight == 1.5}
    assert found == {"email"}


@pytest.mark.parametrize(("age", "weight"), [(timedelta(0), 1.0), (timedelta(seconds=-1), 1.5)])
def test_a_lever_has_weight_1_from_the_moment_it_expires(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, age: timedelta, weight: float
) -> None:
    decision = decided(plain_catalogue, inputs_of, LEVER, now=LEVER.expires_at + age)
    assert entry(decision).business_weight == weight


def test_a_lever_with_a_rule_is_a_context_weight_if_the_rule_holds(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, features_of: Callable[..., Any]
) -> None:
    levers = (replace(LEVER, when=BUSY), replace(LEVER, lever_id="more", factor=2.0))
    busy = entry(decided(plain_catalogue, inputs_of, *levers))
    calm = entry(decided(plain_catalogue, inputs_of, *levers, features=features_of(purchase_count_90d=1.0)))
    assert (busy.context_weight, busy.business_weight) == (1.5, 2.0)
    assert (calm.context_weight, calm.business_weight) == (1.0, 2.0)
    assert busy.priority_minor == pytest.approx(calm.priority_minor * 1.5)


@pytest.mark.parametrize(
    "when",
    [
        Not(part=BUSY),
        Compare(fact="purchase_count_90d", comparison=Comparison.IS_MISSING, value=True),
        Compare(fact="stage", comparison=Comparison.IS_MISSING, value=True),
    ],
)
def test_a_lever_whose_rule_cannot_be_checked_has_weight_1(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, when: Predicate
) -> None:
    decision = decided(plain_catalogue, inputs_of, replace(LEVER, when=when), features=None)
    assert entry(decision).context_weight == 1.0


def test_levers_multiply_up_to_the_maximum_weight(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    levers = [replace(LEVER, lever_id=f"l{index}", factor=1e4) for index in range(3)]
    found = entry(decided(plain_catalogue, inputs_of, *levers))
    assert found.business_weight == LARGEST_WEIGHT


def test_an_arm_may_decide_without_levers(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    lever = replace(LEVER, scope=LeverScope.OFFER, of="ten-percent", factor=0.0)
    with_levers = decided(plain_catalogue, inputs_of, lever)
    plain = replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.NO_LEVERS),))
    without = decided(plain, inputs_of, lever)
    assert with_levers.offer_id != "ten-percent"
    assert (without.offer_id, entry(without).business_weight) == ("ten-percent", 1.0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"factor": -0.1}, "factor of lever push-loyalty must be in"),
        ({"factor": float("nan")}, "factor of lever push-loyalty must be in"),
        ({"factor": 1e7}, "factor of lever push-loyalty must be in"),
        ({"owner": " "}, "owner of lever push-loyalty must be named"),
        ({"reason": ""}, "reason of lever push-loyalty must be named"),
        ({"expires_at": datetime.fromisoformat("2026-12-31")}, "expiry of lever push-loyalty must be a time with an"),
    ],
)
def test_a_lever_without_an_owner_or_with_an_invalid_factor_is_refused(
    plain_catalogue: Catalogue, change: dict[str, Any], rule: str
) -> None:
    with pytest.raises(InvalidPolicyError, match=rule):
        Policy(replace(plain_catalogue, levers=(replace(LEVER, **change),)))


@pytest.mark.parametrize("scope", list(LeverScope))
def test_a_lever_on_an_undeclared_target_is_refused(plain_catalogue: Catalogue, scope: LeverScope) -> None:
    with pytest.raises(UnknownNameError, match=f"{scope} of lever push-loyalty must be a known name, got 'lojalty'"):
        Policy(replace(plain_catalogue, levers=(replace(LEVER, scope=scope, of="lojalty"),)))


def test_two_levers_with_the_same_id_are_refused(plain_catalogue: Catalogue) -> None:
    with pytest.raises(InvalidPolicyError, match="lever push-loyalty must have a name of its own"):
        Policy(replace(plain_catalogue, levers=(LEVER, LEVER)))
