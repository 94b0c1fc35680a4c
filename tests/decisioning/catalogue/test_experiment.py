"""Assignment is stable, balanced and independent between experiments; meaningless declarations are refused."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue.experiment import (
    Arm,
    ArmPolicy,
    AssignedUnit,
    Experiment,
    Exposure,
    Holdout,
    Inference,
    ProgrammeHoldout,
    assign_arm,
    check_experiments,
    is_held_out,
    is_in_programme_holdout,
    running,
    unit_id,
)
from decisioning.customer import Customer, CustomerId
from decisioning.decision import Request
from decisioning.errors import InvalidPolicyError
from decisioning.gates.assignment import Assigner, Assignment, Who
from decisioning.gates.experiment_layers import layer_shares
from decisioning.policy import Policy

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
]  # of C-0 to C-7; changing it moves customers between arms


def assign(
    experiments: tuple[Experiment, ...],
    holdout: Holdout | None = None,
    programmes: tuple[ProgrammeHoldout, ...] = (),
    **who: Any,
) -> Assignment:
    return Assigner(experiments, holdout, programmes).assign(Who(**who), touchpoint_id="weekly-mail", now=NOW)


def test_arms_get_their_shares() -> None:
    counts = Counter(assign_arm(TEST, customer) for customer in CUSTOMERS)
    statistic = sum((counts[arm.arm_id] - arm.share * 20_000) ** 2 / (arm.share * 20_000) for arm in TEST.arms)
    assert statistic < 13.8  # chi-square, 2 degrees of freedom, 0.1 %


def test_an_assignment_never_changes() -> None:
    assert [assign_arm(TEST, f"C-{index}") for index in range(8)] == GOLDEN


def test_the_order_of_declaration_does_not_matter() -> None:
    turned = replace(TEST, arms=TEST.arms[::-1])
    assert all(assign_arm(turned, customer) == assign_arm(TEST, customer) for customer in CUSTOMERS[:500])


def test_growing_an_arm_keeps_its_customers() -> None:
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
def test_a_holdout_share_of_0_or_1_is_exact(share: float, expected: bool) -> None:
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
    found = assign((TEST, over, elsewhere, here), None, customer_id="C-3")
    assert found.arms == {"mail": assign_arm(TEST, "C-3"), "here": assign_arm(here, "C-3")}
    policies = {arm.arm_id: arm.policy for arm in TEST.arms}
    assert found.policies == {policies[arm_id] for arm_id in found.arms.values()}
    assert not found.is_held_out


def test_a_held_out_customer_is_in_no_experiment() -> None:
    found = assign((TEST,), Holdout(share=1.0, salt="h"), customer_id="C-3")
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
        ({"inference": Inference.FIXED}, "must be planned where inference is fixed"),
        ({"traffic": 0.0}, "traffic of experiment mail must be in"),
        ({"traffic": 1.1}, "traffic of experiment mail must be in"),
        ({"traffic": float("nan")}, "traffic of experiment mail must be in"),
        (
            {"arms": (Arm(arm_id="off", share=0.5, policy=ArmPolicy.MODEL), Arm(arm_id="b", share=0.5))},
            "model of arm off of experiment mail must be named, got None",
        ),
        (
            {"arms": (Arm(arm_id="off", share=0.5, model_alias="new"), Arm(arm_id="b", share=0.5))},
            "model of arm off of experiment mail must be named for model arms only",
        ),
        ({"starts_at": datetime.fromisoformat("2026-01-01")}, "times with an offset"),
    ],
)
def test_a_meaningless_experiment_is_refused(change: dict[str, object], rule: str) -> None:
    with pytest.raises(InvalidPolicyError, match=rule):
        check_experiments((replace(TEST, **change),), None)


def test_two_experiments_with_one_salt_are_refused(experiment_of: Callable[..., Experiment]) -> None:
    twin = replace(TEST, experiment_id="twin")
    with pytest.raises(InvalidPolicyError, match="salt of experiment twin must be its own, got that of mail"):
        check_experiments((TEST, twin), None)
    check_experiments((TEST, experiment_of(ArmPolicy.ENGINE)), Holdout(share=0.05, salt="h"))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_holdout_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(InvalidPolicyError, match="share of the holdout"):
        check_experiments((), Holdout(share=share, salt="h"))


def layered(*parts: tuple[str, float], **fields: Any) -> tuple[Experiment, ...]:
    return tuple(
        replace(TEST, experiment_id=name, salt=name, layer="mail", traffic=traffic, **fields) for name, traffic in parts
    )


@pytest.mark.no_cover
def test_experiments_of_a_layer_share_no_customer_and_get_their_traffic() -> None:
    tests = layered(("a", 0.2), ("b", 0.5), ("c", 0.3))
    counts = Counter(tuple(assign(tests, customer_id=customer).arms) for customer in CUSTOMERS)
    assert set(counts) == {("a",), ("b",), ("c",)}
    statistic = sum(
        (counts[(one.experiment_id,)] - one.traffic * 20_000) ** 2 / (one.traffic * 20_000) for one in tests
    )
    assert statistic < 13.8  # chi-square, 2 degrees of freedom, 0.1 %


@pytest.mark.no_cover
def test_unused_traffic_of_a_layer_is_in_no_experiment() -> None:
    share = sum(bool(assign(layered(("a", 0.2), ("b", 0.1)), customer_id=one).arms) for one in CUSTOMERS) / 20_000
    assert abs(share - 0.3) < 0.011  # 3.3 standard deviations


def test_a_layer_assigns_parts_by_name_and_an_ended_experiment_keeps_its_part() -> None:
    shares = layer_shares(layered(("b", 0.5), ("a", 0.2)))
    assert {name: share.spans for name, share in shares.items()} == {"a": ((0.0, 0.2),), "b": ((0.2, 0.7),)}
    tests = layered(("a", 0.2), ("b", 0.5))
    before = {customer: assign(tests, customer_id=customer).arms for customer in CUSTOMERS[:500]}
    ended = (replace(tests[0], ends_at=NOW), tests[1])
    after = {customer: assign(ended, customer_id=customer).arms for customer in CUSTOMERS[:500]}
    assert after == {
        customer: {name: arm for name, arm in arms.items() if name == "b"} for customer, arms in before.items()
    }


@pytest.mark.no_cover
def test_the_position_in_a_layer_is_independent_of_the_arm() -> None:
    tests = layered(("a", 0.5), ("b", 0.5))
    arms = Counter(arm for customer in CUSTOMERS for arm in assign(tests, customer_id=customer).arms.values())
    assert sum((arms[arm.arm_id] - arm.share * 20_000) ** 2 / (arm.share * 20_000) for arm in TEST.arms) < 13.8


@pytest.mark.no_cover
def test_an_experiment_on_part_of_the_traffic_without_a_layer_gets_its_own_layer() -> None:
    alone = replace(TEST, traffic=0.4)
    inside = [customer for customer in CUSTOMERS if assign((alone,), customer_id=customer).arms]
    assert abs(len(inside) / 20_000 - 0.4) < 0.0115
    assert all(assign((alone,), customer_id=one).arms == {"mail": assign_arm(TEST, one)} for one in inside[:300])
    other = replace(TEST, experiment_id="other", salt="other", traffic=0.4)
    both = sum(len(assign((alone, other), customer_id=customer).arms) == 2 for customer in CUSTOMERS)
    assert abs(both / 20_000 - 0.16) < 0.0086  # independent of each other


def test_a_layer_over_100_percent_or_with_mixed_units_is_refused() -> None:
    check_experiments(layered(("a", 0.1), ("b", 0.2), ("c", 0.7)), None)
    with pytest.raises(InvalidPolicyError, match=r"traffic of layer mail must sum to at most 1, got 1\.1 with b"):
        check_experiments(layered(("a", 0.6), ("b", 0.5)), None)
    mixed = (*layered(("a", 0.5)), *layered(("b", 0.5), unit=AssignedUnit.HOUSEHOLD))
    with pytest.raises(InvalidPolicyError, match="unit of experiment b must be customer as in the rest of layer mail"):
        check_experiments(mixed, None)


def test_a_household_is_in_one_arm_and_a_customer_without_one_counts_as_a_household() -> None:
    test = replace(TEST, unit=AssignedUnit.HOUSEHOLD)
    homes = {assign((test,), customer_id=one, household_id="H-1").arms["mail"] for one in CUSTOMERS[:200]}
    assert homes == {assign_arm(TEST, unit_id(AssignedUnit.HOUSEHOLD, "C-1", "H-1"))}
    assert assign((test,), customer_id="C-1").arms == {"mail": assign_arm(TEST, "C-1")}
    assert assign((TEST,), customer_id="C-1", household_id="H-1").arms == {"mail": assign_arm(TEST, "C-1")}


def test_without_a_profile_household_experiments_are_skipped() -> None:
    tests = (TEST, replace(TEST, experiment_id="home", salt="home", unit=AssignedUnit.HOUSEHOLD))
    programme = ProgrammeHoldout(
        programme_id="p", share=1.0, salt="p", goals=frozenset({"loyalty"}), unit=AssignedUnit.HOUSEHOLD
    )
    found = assign(
        tests,
        Holdout(share=1.0, salt="h", unit=AssignedUnit.HOUSEHOLD),
        (programme,),
        customer_id="C-1",
        is_known=False,
    )
    assert (found.is_held_out, found.programmes) == (False, frozenset())
    assert list(found.arms) == ["mail"]


def test_holdouts_assign_customers_or_households() -> None:
    holdout = Holdout(share=0.5, salt="h", unit=AssignedUnit.HOUSEHOLD)
    one_home = {assign((), holdout, customer_id=one, household_id="H-1").is_held_out for one in CUSTOMERS[:100]}
    assert len(one_home) == 1
    homes = [assign((), holdout, customer_id="C-1", household_id=f"H-{index}").is_held_out for index in range(4000)]
    assert abs(sum(homes) / 4000 - 0.5) < 0.026


PROGRAMME = ProgrammeHoldout(programme_id="loyalty", share=0.3, salt="lp-1", goals=frozenset({"loyalty"}))


def test_programme_holdouts_are_independent_of_each_other_and_of_the_universal_one() -> None:
    other = replace(PROGRAMME, programme_id="other", salt="other")
    held = Counter(
        (frozenset(found.programmes), found.is_held_out)
        for customer in CUSTOMERS
        for found in [assign((), Holdout(share=0.5, salt="lp-1"), (PROGRAMME, other), customer_id=customer)]
    )
    expected = {
        (frozenset(names), is_held_out): share * 20_000 * 0.5
        for names, share in (((), 0.49), (("loyalty",), 0.21), (("other",), 0.21), (("loyalty", "other"), 0.09))
        for is_held_out in (True, False)
    }
    assert sum((held[cell] - count) ** 2 / count for cell, count in expected.items()) < 24.3  # 7 degrees, 0.1 %
    assert is_in_programme_holdout(replace(PROGRAMME, share=1.0), "C-1")


def test_customers_in_a_programme_holdout_stay_in_experiments() -> None:
    everybody = replace(PROGRAMME, share=1.0)
    found = assign((TEST,), None, (everybody,), customer_id="C-1")
    assert (found.programmes, found.arms) == (frozenset({"loyalty"}), {"mail": assign_arm(TEST, "C-1")})
    assert assign((), None, (everybody,), customer_id="C-1").programmes == frozenset({"loyalty"})


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"share": 1.1}, "share of programme holdout loyalty must be in"),
        ({"share": float("nan")}, "share of programme holdout loyalty must be in"),
        ({"goals": frozenset()}, "programme holdout loyalty must name an offer, goal or department"),
    ],
)
def test_a_meaningless_programme_holdout_is_refused(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidPolicyError, match=rule):
        check_experiments((), None, (replace(PROGRAMME, **change),))


def test_two_programmes_with_one_salt_are_refused() -> None:
    with pytest.raises(InvalidPolicyError, match="salt of programme holdout twin must be its own"):
        check_experiments((), None, (PROGRAMME, replace(PROGRAMME, programme_id="twin")))


def test_an_assignment_says_whether_it_holds_messages_back_and_can_be_freed() -> None:
    arms = (Arm(arm_id="off", share=1.0, policy=ArmPolicy.SILENCE), Arm(arm_id="on", share=0.0))
    silent = assign((replace(TEST, arms=arms),), customer_id="C-1")
    random = assign((replace(TEST, arms=(replace(arms[0], policy=ArmPolicy.RANDOM), arms[1])),), customer_id="C-1")
    held = assign((), Holdout(share=1.0, salt="h"), customer_id="C-1")
    programme = assign((), None, (replace(PROGRAMME, share=1.0),), customer_id="C-1")
    assert [one.keeps_back for one in (silent, held, programme, random, assign((), customer_id="C-1"))] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not any(one.freed().keeps_back for one in (silent, held, programme))
    assert random.freed() == random


def test_the_model_to_score_with_is_known_before_scoring(
    plain_policy: Policy, experiment_of: Callable[..., Experiment]
) -> None:
    arms = (
        Arm(arm_id="all", share=1.0, policy=ArmPolicy.MODEL, model_alias="challenger"),
        Arm(arm_id="none", share=0.0),
    )
    first = replace(experiment_of(ArmPolicy.ENGINE, "b"), arms=arms)
    second = replace(
        experiment_of(ArmPolicy.ENGINE, "a"),
        arms=(replace(arms[0], model_alias="other"), arms[1]),
        unit=AssignedUnit.HOUSEHOLD,
    )
    policy = Policy(replace(plain_policy.catalogue, experiments=(first, second)))
    request = Request(customer_id="C-1", touchpoint_id="weekly-mail", request_key="k")
    customer = Customer(
        customer_id=CustomerId("C-1"),
        attributes={},
        time_zone=None,
        locale=None,
        reachable_channels=frozenset(),
        consents=(),
        household_id="H-1",
    )
    assert policy.model_alias(request, customer, NOW) == "other"  # the first experiment by name wins
    assert policy.model_alias(request, None, NOW) == "challenger"
    assert plain_policy.model_alias(request, customer, NOW) is None


def with_spans(**spans: Any) -> Experiment:
    arms = tuple(replace(arm, share=0.5, spans=spans[arm.arm_id]) for arm in TEST.arms if arm.arm_id in spans)
    return replace(TEST, arms=arms)


def test_declared_ranges_of_arms_override_the_order_of_names() -> None:
    given = with_spans(off=((0.5, 1.0),), on=((0.0, 0.5),))
    first = with_spans(off=None, on=None)
    assert all(assign_arm(given, one) != assign_arm(first, one) for one in CUSTOMERS[:500])
    check_experiments((given,), None)
    with pytest.raises(InvalidPolicyError, match="ranges of experiment mail must hold every customer, got a gap"):
        check_experiments((with_spans(off=((0.5, 1.0),), on=((0.0, 0.4),)),), None)


def test_a_declared_part_of_a_layer_overrides_the_order_of_names() -> None:
    a, b = layered(("a", 0.2), ("b", 0.5))
    given = layer_shares((replace(a, part=((0.5, 0.7),)), replace(b, part=((0.0, 0.5),))))
    assert {name: share.spans for name, share in given.items()} == {"a": ((0.5, 0.7),), "b": ((0.0, 0.5),)}
