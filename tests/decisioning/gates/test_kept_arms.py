"""A customer exposed under another id keeps the arms of that first exposure; everybody else is assigned by hash."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import (
    Arm,
    AssignedUnit,
    Experiment,
    Exposure,
    Holdout,
    ProgrammeHoldout,
    assign_arm,
)
from decisioning.decision import Inputs
from decisioning.gates.assignment import (
    HOLDOUT_TEST,
    IN,
    OUT,
    Assigner,
    Assignment,
    Who,
    experiment_test,
    programme_test,
)
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.record.live_document import live_from_plain, live_to_plain

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
TEST = Experiment(
    experiment_id="mail",
    salt="mail-1",
    arms=(Arm(arm_id="off", share=0.4), Arm(arm_id="on", share=0.6), Arm(arm_id="gone", share=0.0)),
    control_arm_id="off",
    exposure=Exposure.DECIDED,
    primary_measure_id="net_revenue",
)
KEPT = experiment_test("mail")
OTHER = {"off": "on", "on": "off"}


def assign(*tests: Experiment, holdout: Holdout | None = None, programmes: Any = (), **who: Any) -> Assignment:
    whom = Who(customer_id="C-1", **who)
    return Assigner(tests, holdout, programmes).assign(whom, touchpoint_id="weekly-mail", now=NOW)


def test_a_kept_arm_overrides_the_hash() -> None:
    hashed = assign_arm(TEST, "C-1")
    assert assign(TEST).arms == {"mail": hashed}
    assert assign(TEST, kept={KEPT: OTHER[hashed]}).arms == {"mail": OTHER[hashed]}


@pytest.mark.parametrize("arm", ["gone", "never-was"])
def test_an_arm_without_customers_is_not_kept(arm: str) -> None:
    assert assign(TEST, kept={KEPT: arm}).arms == {"mail": assign_arm(TEST, "C-1")}


def test_a_household_keeps_its_own_arm() -> None:
    test = replace(TEST, unit=AssignedUnit.HOUSEHOLD)
    hashed = assign(test, household_id="H-1").arms["mail"]
    kept = {KEPT: OTHER[hashed]}
    assert assign(test, household_id="H-1", kept=kept).arms == {"mail": hashed}
    assert assign(test, is_known=False, kept=kept).arms == {}
    assert assign(test, kept=kept).arms == kept_arm(kept)


def kept_arm(kept: dict[str, str]) -> dict[str, str]:
    return {"mail": kept[KEPT]}


def test_a_customer_with_a_kept_arm_is_in_no_other_experiment_of_its_layer() -> None:
    tests = [replace(TEST, experiment_id=name, salt=name, layer="one", traffic=0.5) for name in ("first", "second")]
    [(mine, _)] = assign(*tests).arms.items()
    other = next(one.experiment_id for one in tests if one.experiment_id != mine)
    assert assign(*tests, kept={experiment_test(other): "on"}).arms == {other: "on"}


@pytest.mark.parametrize(("share", "kept"), [(0.0, IN), (1.0, OUT)])
def test_a_holdout_assignment_is_kept(share: float, kept: str) -> None:
    holdout, programme = Holdout(share=share, salt="h"), ProgrammeHoldout(programme_id="p", share=share, salt="p",
                                                                          departments=frozenset({"crm"}))  # fmt: skip
    found = assign(holdout=holdout, programmes=(programme,), kept={HOLDOUT_TEST: kept, programme_test("p"): kept})
    assert found.is_held_out is (kept == IN)
    assert found.programmes == (frozenset({"p"}) if kept == IN else frozenset())


def test_kept_arms_are_part_of_the_record_and_absent_from_old_records() -> None:
    live = LiveState(kept={KEPT: "on"})
    assert live_from_plain(live_to_plain(live)) == live
    assert live_to_plain(LiveState()) == {}
    assert live_from_plain({}).kept == {}


@pytest.mark.parametrize(("share", "kept"), [(1.0, IN), (0.0, OUT)])
def test_a_decision_says_which_arms_to_keep(
    plain_catalogue: Catalogue, inputs_of: Callable[..., Inputs], share: float, kept: str
) -> None:
    programme = ProgrammeHoldout(programme_id="p", share=share, salt="p", departments=frozenset({"marketing"}))
    holdout = Holdout(share=0.0, salt="h")
    policy = Policy(replace(plain_catalogue, holdout=holdout, programme_holdouts=(programme,), experiments=(TEST,)))
    decision = decide(policy, inputs_of(policy), "D-1")
    assert policy.exposures(decision) == {
        KEPT: decision.arms["mail"], HOLDOUT_TEST: OUT, programme_test("p"): kept,
    }  # fmt: skip


def test_without_experiments_there_are_no_arms_to_keep(
    plain_catalogue: Catalogue, inputs_of: Callable[..., Inputs]
) -> None:
    policy = Policy(replace(plain_catalogue, holdout=None, programme_holdouts=(), experiments=()))
    assert policy.exposures(decide(policy, inputs_of(policy), "D-1")) == {}
