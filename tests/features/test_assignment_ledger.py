"""The assignment ledger: a change moves only the customers it has to, in any order of changes."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Arm, Experiment, Exposure, Holdout, check_experiments
from decisioning.errors import InvalidPolicyError
from decisioning.gates.assignment import Assigner, Who
from features.catalogue.assignment.ledger import (
    HELD_OUT,
    Ledger,
    read_ledger,
    settled,
    with_ranges,
    write_ledger,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CUSTOMERS = [f"C-{index}" for index in range(300)]


def experiment(name: str, *, traffic: float = 1.0, share: float = 0.5, salt: str = "", **other: object) -> Experiment:
    arms = (Arm(arm_id="a", share=share), Arm(arm_id="b", share=1 - share))
    fields = {"layer": "one", "control_arm_id": "a", "exposure": Exposure.DECIDED, "primary_measure_id": "revenue"}
    return Experiment(  # pyright: ignore[reportArgumentType]
        experiment_id=name, salt=salt or name, arms=arms, traffic=traffic, **(fields | other)
    )


def catalogue_of(base: Catalogue, *experiments: Experiment, holdout: Holdout | None = None) -> Catalogue:
    return replace(base, experiments=experiments, holdout=holdout)


def arms(catalogue: Catalogue) -> dict[str, dict[str, str]]:
    """The arm of every customer by experiment."""
    check_experiments(catalogue.experiments, catalogue.holdout)
    assigner = Assigner(catalogue.experiments)
    found = {one: assigner.assign(Who(customer_id=one), touchpoint_id="t", now=NOW).arms for one in CUSTOMERS}
    return {one: dict(there) for one, there in found.items()}


def test_another_experiment_in_a_layer_moves_nobody_whatever_its_name(shop_catalogue: Catalogue):
    first = catalogue_of(shop_catalogue, experiment("mail", traffic=0.4))
    ledger = settled(first, None, NOW)
    joined = with_ranges(
        catalogue_of(shop_catalogue, experiment("a-new", traffic=0.3), experiment("mail", traffic=0.4)), ledger
    )
    before, after = arms(first), arms(joined)
    assert all(after[one].get("mail") == before[one].get("mail") for one in CUSTOMERS)
    assert all(len(there) <= 1 for there in after.values())
    assert abs(sum("a-new" in there for there in after.values()) / 300 - 0.3) < 0.07
    fresh = arms(catalogue_of(shop_catalogue, experiment("a-new", traffic=0.3), experiment("mail", traffic=0.4)))
    assert any(fresh[one].get("mail") != before[one].get("mail") for one in CUSTOMERS)  # without the ledger


def test_an_experiment_that_returns_gets_its_customers_back(shop_catalogue: Catalogue):
    first = catalogue_of(shop_catalogue, experiment("a", traffic=0.3), experiment("b", traffic=0.3))
    ledger = settled(first, None, NOW)
    without_a = with_ranges(catalogue_of(shop_catalogue, experiment("b", traffic=0.3)), ledger)
    later = settled(without_a, ledger, NOW + DAY)
    assert later.experiments["a"][-1].until == NOW + DAY
    new = with_ranges(
        catalogue_of(shop_catalogue, experiment("b", traffic=0.3), experiment("aa", traffic=0.3)), later
    )  # takes a range never assigned before
    again = with_ranges(
        catalogue_of(shop_catalogue, experiment("a", traffic=0.3), *new.experiments), settled(new, later, NOW + 2 * DAY)
    )
    assert {one: there.get("a") for one, there in arms(again).items()} == {
        one: there.get("a") for one, there in arms(first).items()
    }


def test_changed_shares_move_the_difference_and_nobody_else(shop_catalogue: Catalogue):
    first = catalogue_of(shop_catalogue, experiment("mail", share=0.5))
    changed = with_ranges(catalogue_of(shop_catalogue, experiment("mail", share=0.6)), settled(first, None, NOW))
    before, after = arms(first), arms(changed)
    moves = Counter((before[one]["mail"], after[one]["mail"]) for one in CUSTOMERS)
    assert set(moves) == {("a", "a"), ("b", "b"), ("b", "a")}
    assert abs(moves["b", "a"] / 300 - 0.1) < 0.04


def test_without_changes_the_ledger_equals_the_files(shop_catalogue: Catalogue):
    first = catalogue_of(shop_catalogue, experiment("a", traffic=0.1), experiment("b", traffic=0.2))
    assert with_ranges(first, settled(first, None, NOW)) == first
    three = catalogue_of(shop_catalogue, *first.experiments, experiment("c", traffic=0.3, layer="two"))
    assert with_ranges(three, settled(first, None, NOW)) == three


def test_a_phase_begins_only_when_the_assignment_rule_changes(shop_catalogue: Catalogue):
    first = catalogue_of(shop_catalogue, experiment("mail"), holdout=Holdout(share=0.05, salt="h"))
    ledger = settled(first, None, NOW)
    assert [phase.since for phase in ledger.experiments["mail"]] == [None]
    judged = catalogue_of(shop_catalogue, experiment("mail", primary_measure_id="clicked"), holdout=first.holdout)
    same = settled(with_ranges(judged, ledger), ledger, NOW + DAY)
    assert [phase.measures for phase in same.experiments["mail"]] == [("clicked",)]
    grown = catalogue_of(shop_catalogue, experiment("mail", share=0.6), holdout=Holdout(share=0.1, salt="h"))
    later = settled(with_ranges(grown, same), same, NOW + 2 * DAY)
    assert [phase.since for phase in later.experiments["mail"]] == [None, NOW + 2 * DAY]
    assert [phase.arms[HELD_OUT].share for phase in later.holdout] == [0.05, 0.1]
    assert later.holdout[1].moves_from(later.holdout[0])
    assert settled(with_ranges(grown, later), later, NOW + 3 * DAY) == later


def test_more_traffic_moves_nobody_and_a_new_salt_moves_everybody(shop_catalogue: Catalogue):
    ledger = settled(catalogue_of(shop_catalogue, experiment("mail", traffic=0.2)), None, NOW)

    def phases(changed: Experiment) -> Ledger:
        return settled(with_ranges(catalogue_of(shop_catalogue, changed), ledger), ledger, NOW + DAY)

    wider = phases(experiment("mail", traffic=0.5)).experiments["mail"]
    assert not wider[1].moves_from(wider[0])
    redrawn = phases(experiment("mail", traffic=0.2, salt="new")).experiments["mail"]
    assert redrawn[1].moves_from(redrawn[0])
    smaller = phases(experiment("mail", traffic=0.1)).experiments["mail"]
    assert smaller[1].moves_from(smaller[0])


def test_before_it_starts_an_experiment_may_change_without_a_phase(shop_catalogue: Catalogue):
    planned = catalogue_of(shop_catalogue, experiment("mail", starts_at=NOW + 5 * DAY))
    ledger = settled(planned, None, NOW)
    other = catalogue_of(shop_catalogue, experiment("mail", share=0.9, starts_at=NOW + 5 * DAY))
    assert len(settled(with_ranges(other, ledger), ledger, NOW + DAY).experiments["mail"]) == 1
    assert len(settled(with_ranges(other, ledger), ledger, NOW + 6 * DAY).experiments["mail"]) == 2


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["add", "remove", "share", "traffic", "salt", "end"]),
        st.sampled_from([0.1, 0.2, 0.25]),
        st.sampled_from([0.1, 0.3, 0.5, 0.8]),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(changes=CHANGES)
def test_any_sequence_of_changes_moves_as_few_customers_as_possible(changes: list[tuple], shop_catalogue: Catalogue):
    """A declared experiment keeps its customers, except those that its own traffic and shares give up."""
    tests: dict[str, Experiment] = {"a": experiment("a", traffic=0.2), "b": experiment("b", traffic=0.25)}
    catalogue = catalogue_of(shop_catalogue, *tests.values())
    ledger = settled(catalogue, None, NOW)
    for step, (name, kind, traffic, share) in enumerate(changes):
        changed = _changed(tests, name, kind, traffic, share)
        new = with_ranges(catalogue_of(shop_catalogue, *changed.values()), ledger)
        _check_moves(tests, changed, arms(catalogue), arms(new), touched=name)
        ledger = settled(new, ledger, NOW + step * DAY)
        assert with_ranges(new, ledger) == new
        tests, catalogue = changed, new


def _changed(tests: dict[str, Experiment], name: str, kind: str, traffic: float, share: float) -> dict[str, Experiment]:
    one = tests.get(name)
    if kind == "remove":
        return {key: test for key, test in tests.items() if key != name}
    if one is None:
        return {**tests, name: experiment(name, traffic=traffic, share=share)}
    change = {
        "share": {"arms": (replace(one.arms[0], share=share), replace(one.arms[1], share=1 - share))},
        "traffic": {"traffic": traffic},
        "salt": {"salt": f"{one.salt}'"},
        "end": {"ends_at": None if one.ends_at else NOW - DAY},
    }.get(kind, {})
    return {**tests, name: replace(one, **change)}  # pyright: ignore[reportArgumentType]


def _check_moves(
    old: dict[str, Experiment],
    new: dict[str, Experiment],
    before: dict[str, dict[str, str]],
    after: dict[str, dict[str, str]],
    *,
    touched: str,
) -> None:
    assert all(len(there) <= 1 for there in after.values())
    for name in old.keys() & new.keys() - {touched}:
        assert all(after[one].get(name) == before[one].get(name) for one in CUSTOMERS)
    one, other = old.get(touched), new.get(touched)
    if one is None or other is None or one.salt != other.salt or one.ends_at != other.ends_at or one.ends_at:
        return
    for customer in CUSTOMERS:
        was, became = before[customer].get(touched), after[customer].get(touched)
        if was is not None and became != was:
            gave_up = other.traffic < one.traffic if became is None else _share(other, was) < _share(one, was)
            assert gave_up


def _share(test: Experiment, arm: str) -> float:
    return next(each.share for each in test.arms if each.arm_id == arm)


def test_a_ledger_is_read_back_as_written_and_a_damaged_one_is_reported(tmp_path: Path, shop_catalogue: Catalogue):
    ledger = settled(catalogue_of(shop_catalogue, experiment("mail"), holdout=Holdout(share=0.05, salt="h")), None, NOW)
    assert read_ledger(tmp_path) is None
    write_ledger(tmp_path, ledger)
    assert read_ledger(tmp_path) == ledger
    (tmp_path / "assignment.json").write_text('{"experiments": 3}')
    with pytest.raises(InvalidPolicyError, match=r"must be as `nextbest import` wrote it"):
        read_ledger(tmp_path)
    write_ledger(tmp_path, replace(ledger, format=2))
    with pytest.raises(InvalidPolicyError, match="must be 1, got 2"):
        read_ledger(tmp_path)
