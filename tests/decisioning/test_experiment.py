"""Assignment: stable, balanced, independent between experiments, and refused where it would mean nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from decisioning.errors import InvalidPolicyError
from decisioning.experiment import (
    Arm,
    ArmPolicy,
    Experiment,
    Exposure,
    Holdout,
    assign,
    assign_arm,
    check_experiments,
    is_held_out,
    running,
)

CUSTOMERS = [f"C-{index}" for index in range(20_000)]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
TEST = Experiment(
    experiment_id="mail",
    salt="mail-1",
    arms=(
        Arm(arm_id="off", share=0.2, policy=ArmPolicy.SILENCE),
        Arm(arm_id="random", share=0.3, policy=ArmPolicy.RANDOM),
        Arm(arm_id="on", share=0.5),
    ),
    control_arm_id="off",
    exposure=Exposure.DECIDED,
    primary_measure_id="net_revenue",
)
GOLDEN = [
    "off",
    "on",
    "on",
    "random",
    "random",
    "random",
    "on",
    "on",
]  # of C-0 to C-7; whoever changes it moves customers


def test_arms_get_their_shares() -> None:
    counts = Counter(assign_arm(TEST, customer) for customer in CUSTOMERS)
    statistic = sum((counts[arm.arm_id] - arm.share * 20_000) ** 2 / (arm.share * 20_000) for arm in TEST.arms)
    assert statistic < 13.8  # chi-square, 2 degrees of freedom, 0.1 %


def test_an_assignment_never_changes() -> None:
    assert [assign_arm(TEST, f"C-{index}") for index in range(8)] == GOLDEN


def test_the_order_of_declaration_does_not_matter() -> None:
    turned = replace(TEST, arms=TEST.arms[::-1])
    assert all(assign_arm(turned, customer) == assign_arm(TEST, customer) for customer in CUSTOMERS[:500])


def test_growing_an_arm_keeps_those_who_are_in_it() -> None:
    before = replace(TEST, arms=(Arm(arm_id="a", share=0.1), Arm(arm_id="b", share=0.9)))
    after = replace(TEST, arms=(Arm(arm_id="a", share=0.3), Arm(arm_id="b", share=0.7)))
    first = {customer for customer in CUSTOMERS if assign_arm(before, customer) == "a"}
    assert first < {customer for customer in CUSTOMERS if assign_arm(after, customer) == "a"}


def test_experiments_with_different_salts_are_independent() -> None:
    other = replace(TEST, salt="mail-2")
    pairs = Counter((assign_arm(TEST, customer), assign_arm(other, customer)) for customer in CUSTOMERS)
    expected = {(a.arm_id, b.arm_id): a.share * b.share * 20_000 for a in TEST.arms for b in TEST.arms}
    assert sum((pairs[cell] - count) ** 2 / count for cell, count in expected.items()) < 26.1  # 8 degrees, 0.1 %


def test_the_holdout_is_independent_of_an_experiment_with_the_same_salt() -> None:
    holdout = Holdout(share=0.5, salt=TEST.salt)
    held = [customer for customer in CUSTOMERS if is_held_out(holdout, customer)]
    assert abs(len(held) - 10_000) < 233  # 3.3 standard deviations
    counts = Counter(assign_arm(TEST, customer) for customer in held)
    assert sum((counts[arm.arm_id] / len(held) - arm.share) ** 2 / arm.share for arm in TEST.arms) * len(held) < 13.8


def test_an_arm_without_a_share_gets_nobody() -> None:
    arms = (Arm(arm_id="a", share=0.0), Arm(arm_id="b", share=1.0), Arm(arm_id="c", share=0.0))
    assert {assign_arm(replace(TEST, arms=arms), customer) for customer in CUSTOMERS[:1000]} == {"b"}


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
def test_a_holdout_of_none_or_all_is_exact(share: float, expected: bool) -> None:
    assert {is_held_out(Holdout(share=share, salt="h"), customer) for customer in CUSTOMERS[:500]} == {expected}


def test_without_a_holdout_nobody_is_held_out() -> None:
    assert not is_held_out(None, "C-1")


def test_an_experiment_runs_from_its_start_until_just_before_its_end() -> None:
    period = replace(TEST, starts_at=NOW, ends_at=NOW + timedelta(days=1))
    moments = (NOW - timedelta(seconds=1), NOW, NOW + timedelta(hours=23), NOW + timedelta(days=1))
    assert [running(period, moment) for moment in moments] == [False, True, True, False]
    assert running(TEST, NOW)


def test_a_customer_is_in_the_experiments_that_run_at_this_touchpoint() -> None:
    over = replace(TEST, experiment_id="over", salt="over", ends_at=NOW)
    elsewhere = replace(TEST, experiment_id="elsewhere", salt="elsewhere", touchpoints=frozenset({"app-home"}))
    here = replace(TEST, experiment_id="here", salt="here", touchpoints=frozenset({"weekly-mail"}))
    found = assign((TEST, over, elsewhere, here), None, customer_id="C-3", touchpoint_id="weekly-mail", now=NOW)
    assert found.arms == {"mail": assign_arm(TEST, "C-3"), "here": assign_arm(here, "C-3")}
    policies = {arm.arm_id: arm.policy for arm in TEST.arms}
    assert found.policies == {policies[arm_id] for arm_id in found.arms.values()}
    assert not found.is_held_out


def test_a_held_out_customer_is_in_no_experiment() -> None:
    found = assign((TEST,), Holdout(share=1.0, salt="h"), customer_id="C-3", touchpoint_id="weekly-mail", now=NOW)
    assert found.is_held_out
    assert not found.arms
    assert not found.policies


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"arms": (Arm(arm_id="a", share=1.0),)}, "two or more with different names"),
        ({"arms": (Arm(arm_id="a", share=0.5), Arm(arm_id="a", share=0.5))}, "two or more with different names"),
        ({"arms": (Arm(arm_id="off", share=0.5), Arm(arm_id="b", share=0.4))}, "sum to 1"),
        ({"arms": (Arm(arm_id="off", share=1.5), Arm(arm_id="b", share=-0.5))}, "in \\[0, 1\\]"),
        ({"arms": (Arm(arm_id="off", share=float("nan")), Arm(arm_id="b", share=0.5))}, "in \\[0, 1\\]"),
        ({"control_arm_id": "of"}, "control of experiment mail must be one of"),
        ({"starts_at": NOW, "ends_at": NOW}, "must be after its start"),
        ({"starts_at": datetime.fromisoformat("2026-01-01")}, "times with an offset"),
    ],
)
def test_an_experiment_that_would_mean_nothing_is_refused(change: dict[str, object], rule: str) -> None:
    with pytest.raises(InvalidPolicyError, match=rule):
        check_experiments((replace(TEST, **change),), None)


def test_two_experiments_with_one_salt_are_refused(experiment_of: Callable[..., Experiment]) -> None:
    twin = replace(TEST, experiment_id="twin")
    with pytest.raises(InvalidPolicyError, match="salt of experiment twin must be its own, got that of mail"):
        check_experiments((TEST, twin), None)
    check_experiments((TEST, experiment_of(ArmPolicy.ENGINE)), Holdout(share=0.05, salt="h"))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_holdout_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidPolicyError, match="share of the holdout"):
        check_experiments((), Holdout(share=share, salt="h"))
