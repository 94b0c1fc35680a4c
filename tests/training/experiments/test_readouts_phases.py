"""Readouts of experiments whose assignment changed, and of experiments on households: each read as it was assigned."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import (
    Arm,
    AssignedUnit,
    Experiment,
    Exposure,
    Holdout,
    Inference,
    assign_arm,
    is_held_out,
    unit_id,
)
from decisioning.errors import UnknownNameError
from features.catalogue.assignment.ledger import Ledger, settled, with_ranges
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.reports.readouts import Health, Readout, ReadoutKind, RefusalCode, Status
from training.experiments.designs import Kept
from training.experiments.readouts import ReadoutInputs, read_experiment

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CHANGED = NOW - 30 * DAY
NAME = "mail"


@dataclass
class Log:
    rows: dict[str, list[dict]] = field(default_factory=lambda: {name: [] for name in ("d", "e", "o", "c")})

    @property
    def decisions(self) -> pl.DataFrame:
        return pl.DataFrame(self.rows["d"], schema=DECISIONS.schema)

    @property
    def events(self) -> pl.DataFrame:
        return pl.DataFrame(self.rows["e"], schema=EVENTS.schema)

    @property
    def outcomes(self) -> pl.DataFrame:
        return pl.DataFrame(self.rows["o"], schema=OUTCOMES.schema)

    @property
    def customers(self) -> pl.DataFrame:
        return pl.DataFrame(self.rows["c"], schema=CUSTOMERS.schema)

    def decide(self, customer: str, at: datetime, arm: str | None, *, policy: str = "", held: bool = False) -> None:
        arms = None if arm is None else orjson.dumps({NAME: arm}).decode()
        self.rows["d"].append(
            {"decision_id": f"D-{len(self.rows['d'])}", "customer_id": customer, "decided_at": at, "arms": arms}
            | {"is_held_out": held, "policy_version": policy}
        )

    def spend(self, customer: str, at: datetime, amount_minor: int) -> None:
        self.rows["e"].append(
            {"event_id": f"E-{len(self.rows['e'])}", "customer_id": customer, "type": "purchase", "occurred_at": at}
            | {"amount_minor": amount_minor, "currency": "EUR"}
        )

    def identify(self, visitor: str, customer: str, at: datetime) -> None:
        properties = orjson.dumps({"anonymous_id": visitor}).decode()
        self.rows["e"].append(
            {"event_id": f"E-{len(self.rows['e'])}", "customer_id": customer, "type": "identified", "occurred_at": at}
            | {"properties": properties}
        )

    def live(self, customer: str, household: str | None, since: datetime = NOW - 200 * DAY) -> None:
        self.rows["c"].append({"customer_id": customer, "updated_at": since, "household": household})


def experiment(share: float = 0.5, **other: object) -> Experiment:
    fields = {
        "salt": "m-1",
        "arms": (Arm(arm_id="off", share=1 - share), Arm(arm_id="on", share=share)),
        "exposure": Exposure.DECIDED,
    }
    return Experiment(  # pyright: ignore[reportArgumentType]
        experiment_id=NAME, control_arm_id="off", primary_measure_id="net_revenue", **(fields | other)
    )


class Story:
    """Catalogues in force one after the other, and what customers did under each."""

    def __init__(self, base: Catalogue) -> None:
        self.base, self.log, self.ledger = replace(base, holdout=None, programme_holdouts=()), Log(), None
        self.catalogue, self.by_policy = self.base, dict[str, Ledger]()
        self.rng = np.random.default_rng(1)

    def put_in_force(self, *tests: Experiment, at: datetime, policy: str = "", holdout: Holdout | None = None) -> None:
        declared = replace(self.base, experiments=tests, holdout=holdout)
        self.catalogue = with_ranges(declared, self.ledger)
        self.ledger = settled(self.catalogue, self.ledger, at)
        if policy:
            self.by_policy[policy] = self.ledger

    def decide(
        self, names: Iterable[str], at: datetime, *, spends: float, lift: float, policy: str = "", is_new: bool = True
    ) -> None:
        for name in names:
            arm = assign_arm(self.catalogue.experiments[0], name)
            self.log.decide(name, at, arm, policy=policy)
            if is_new:
                amount = self.rng.gamma(4, spends / 4) + (lift if arm == "on" else 0)
                self.log.spend(name, at + DAY, round(amount))

    def read(self, as_of: datetime = NOW, name: str = NAME) -> Readout:
        reading = ReadoutInputs(as_of=as_of, computed_at=NOW, command="c", source="s")
        kept = Kept(ledger=self.ledger, by_policy=self.by_policy)
        return read_experiment(self.log, self.catalogue, name, reading, kept)


@pytest.fixture
def story(shop_catalogue: Catalogue) -> Story:
    return Story(shop_catalogue)


def difference(readout: Readout) -> tuple[float, float, float]:
    effect = readout.metrics[0].comparisons[0].effect
    assert effect is not None
    return effect.lower, effect.difference, effect.upper


def customers(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{index}" for index in range(count)]


def test_phases_are_not_mixed_if_shares_and_customers_changed_together(story: Story):
    """Known truth: 2.00 more in both phases. New customers spend ten times as much, so mixing would show far more."""
    story.put_in_force(experiment(0.2), at=CHANGED - 60 * DAY)
    story.decide(customers("old", 900), CHANGED - 20 * DAY, spends=1_000, lift=200)
    story.put_in_force(experiment(0.7), at=CHANGED)
    story.decide(customers("old", 900), CHANGED + DAY, spends=0, lift=0, is_new=False)
    story.decide(customers("new", 900), CHANGED + 2 * DAY, spends=10_000, lift=200)
    readout = story.read()
    assert [(one.number, one.is_shown, one.since, one.until) for one in readout.phases] == [
        (1, False, None, CHANGED),
        (2, True, CHANGED, None),
    ]
    assert [[arm.assigned_count for arm in phase.arms] for phase in readout.phases] == [
        [pytest.approx(720, abs=40), pytest.approx(180, abs=40)],
        [pytest.approx(270, abs=45), pytest.approx(630, abs=45)],
    ]
    assert "other shares" in readout.phases[1].change
    assert readout.sample_ratio.status is not Health.ALARM
    lower, _, upper = difference(readout)
    assert lower < 200 < upper
    primary = readout.phases[0].primary
    assert primary is not None
    first = primary.comparisons[0].effect
    assert first is not None
    assert first.lower < 200 < first.upper < 400
    assert readout.checks[-1].title == "One rule for everybody"


def test_the_policy_version_gives_the_phase_if_server_clocks_are_wrong(story: Story):
    story.put_in_force(experiment(0.5), at=CHANGED - 60 * DAY, policy="first")
    story.decide(customers("old", 200), CHANGED - 20 * DAY, spends=1_000, lift=0, policy="first")
    before = story.catalogue
    story.put_in_force(experiment(0.9), at=CHANGED, policy="second")
    story.catalogue, after = before, story.catalogue
    story.decide(customers("late", 100), CHANGED + timedelta(seconds=30), spends=1_000, lift=0, policy="first")
    story.catalogue = after
    story.decide(customers("new", 200), CHANGED + timedelta(seconds=40), spends=1_000, lift=0, policy="second")
    readout = story.read()
    assert [sum(arm.assigned_count for arm in phase.arms) for phase in readout.phases] == [300, 200]
    story.by_policy.clear()
    assert [sum(arm.assigned_count for arm in phase.arms) for phase in story.read().phases] == [200, 300]


def test_a_new_salt_begins_a_phase_and_the_first_result_stays(story: Story):
    story.put_in_force(experiment(0.5), at=CHANGED - 60 * DAY)
    story.decide(customers("old", 600), CHANGED - 20 * DAY, spends=1_000, lift=400)
    alone = story.read()
    assert alone.phases == ()
    story.put_in_force(experiment(0.5, salt="m-2"), at=CHANGED)
    story.decide(customers("old", 600), CHANGED + DAY, spends=0, lift=0, is_new=False)
    readout = story.read()
    assert readout.metrics == alone.metrics
    assert [phase.is_shown for phase in readout.phases] == [True, False]
    assert "another salt" in readout.phases[1].change
    assert "nobody new came in since" in readout.checks[-1].message
    assert readout.phases[1].verdict == "No answer yet: no customer was first decided about in this phase yet."


def test_if_no_phase_has_a_result_yet_the_one_with_customers_is_shown(story: Story):
    story.put_in_force(experiment(0.5), at=NOW - 4 * DAY)
    story.decide(customers("old", 100), NOW - 3 * DAY, spends=1_000, lift=400)
    story.put_in_force(experiment(0.4), at=NOW - DAY)
    readout = story.read()
    assert [phase.is_shown for phase in readout.phases] == [True, False]
    assert sum(arm.assigned_count for arm in readout.arms) == 100
    assert "has completed the 7 days" in readout.verdict
    assert "first decided about in this phase" in readout.phases[1].verdict


def test_windows_that_span_a_change_of_assignment_are_not_compared(story: Story):
    story.put_in_force(experiment(0.5), at=CHANGED - 60 * DAY)
    story.decide(customers("old", 200), CHANGED - 20 * DAY, spends=1_000, lift=0)
    story.decide(customers("straddling", 100), CHANGED - 3 * DAY, spends=1_000, lift=0)
    story.put_in_force(experiment(0.4), at=CHANGED)
    readout = story.read()
    assert [sum(arm.complete_count for arm in one.arms) for one in readout.phases] == [200, 0]
    wider = Story(story.base)
    wider.put_in_force(experiment(0.5, traffic=0.5), at=CHANGED - 60 * DAY)
    wider.decide(customers("old", 300), CHANGED - 3 * DAY, spends=1_000, lift=0)
    wider.put_in_force(experiment(0.5, traffic=0.9), at=CHANGED)
    assert sum(arm.complete_count for arm in wider.read().phases[0].arms) == 300  # no customer was moved


def test_a_removed_experiment_can_still_be_read(story: Story):
    story.put_in_force(experiment(0.5), at=CHANGED - 60 * DAY)
    story.decide(customers("old", 400), CHANGED - 20 * DAY, spends=1_000, lift=400)
    before = story.read()
    story.put_in_force(at=CHANGED)
    after = story.read()
    assert (after.metrics, after.status) == (before.metrics, Status.CONCLUSIVE)
    with pytest.raises(UnknownNameError, match="mail"):
        story.read(name="mial")


def test_a_change_before_the_first_decision_does_not_affect_the_readout(story: Story):
    story.put_in_force(experiment(0.5), at=CHANGED - 60 * DAY)
    story.put_in_force(experiment(0.3), at=CHANGED - 59 * DAY)
    story.decide(customers("old", 400), CHANGED - 20 * DAY, spends=1_000, lift=0)
    readout = story.read()
    assert readout.status is not Status.REFUSED
    assert story.read(as_of=CHANGED - 59 * DAY).phases == ()


def test_a_growing_holdout_is_read_by_phase(story: Story):
    """Known truth: messages are worth 3.00 EUR. 10 % are held out, then 40 %."""
    for share, prefix, at in ((0.1, "old", CHANGED - 60 * DAY), (0.4, "new", CHANGED)):
        holdout = Holdout(share=share, salt="h")
        story.put_in_force(at=at, holdout=holdout)
        for name in customers(prefix, 900):
            held = is_held_out(holdout, name)
            story.log.decide(name, at + 2 * DAY, None, held=held)
            story.log.spend(name, at + 3 * DAY, round(story.rng.gamma(4, 100)) + (0 if held else 300))
    readout = story.read(name="holdout")
    assert readout.kind is ReadoutKind.HOLDOUT
    assert [[arm.share for arm in one.arms] for one in readout.phases] == [[0.1, 0.9], [0.4, 0.6]]
    assert all(one.status is Status.CONCLUSIVE for one in readout.phases)
    lower, _, upper = difference(readout)
    assert lower < 300 < upper


HOUSES = 70


def household_trial(base: Catalogue, seed: int, *, lift: float = 0.0, houses: int = HOUSES, **planned: object) -> Story:
    """Members of a household spend the same and get several decisions; every tenth customer lives alone."""
    story, rng = Story(base), np.random.default_rng(seed)
    story.put_in_force(experiment(0.5, unit=AssignedUnit.HOUSEHOLD, **planned), at=CHANGED - 60 * DAY)
    [test] = story.catalogue.experiments
    for house in range(houses):
        household = f"H-{seed}-{house}" if house % 10 else None
        taste, size = rng.gamma(4, 250), int(rng.integers(2, 5)) if household else 1
        for member in range(size):
            name = f"C-{seed}-{house}-{member}"
            arm = assign_arm(test, unit_id(AssignedUnit.HOUSEHOLD, name, household))
            story.log.live(name, household)
            for again in range(int(rng.integers(1, 4))):
                story.log.decide(name, NOW - (20 - again) * DAY, arm)
            story.log.spend(name, NOW - 18 * DAY, round(taste + rng.normal(0, 20) + (lift if arm == "on" else 0) + 100))
    return story


def test_assigned_households_are_compared(shop_catalogue: Catalogue):
    readout = household_trial(shop_catalogue, 5, lift=1_000, houses=400).read()
    assert readout.unit == "household"
    assert sum(arm.assigned_count for arm in readout.arms) == 400
    assert readout.metrics[0].arms[0].customer_count + readout.metrics[0].arms[1].customer_count == 400
    assert "EUR more per household than off" in readout.verdict.replace("\xa0", " ")
    assert "40 customers have no household and count as one each" in readout.notes[0]
    assert readout.sample_ratio.population == "exposed households"
    assert readout.checks[0].title == "One arm per household"


def test_false_alarms_stay_nominal_with_correlated_households_and_repeated_decisions(shop_catalogue: Catalogue):
    """Known truth: no effect. At the 5 % level, more than 9 alarms in 60 trials have a probability of 0.1 %.

    Customers counted as if they were independent raise far more.
    """
    alarms = as_if_independent = 0
    for seed in range(60):
        story = household_trial(shop_catalogue, seed, inference=Inference.FIXED, ends_at=NOW - 8 * DAY)
        alarms += story.read().metrics[0].comparisons[0].is_conclusive
        [test] = story.catalogue.experiments
        assert story.ledger is not None
        story.catalogue = replace(story.catalogue, experiments=(replace(test, unit=AssignedUnit.CUSTOMER),))
        story.ledger = settled(story.catalogue, None, NOW)
        metrics = story.read().metrics
        as_if_independent += bool(metrics) and metrics[0].comparisons[0].is_conclusive
    assert alarms <= 9
    assert as_if_independent > 9


def test_the_household_known_at_the_decision_counts(story: Story):
    story.put_in_force(experiment(0.5, unit=AssignedUnit.HOUSEHOLD), at=CHANGED - 60 * DAY)
    for index in range(200):
        name = f"C-{index}"
        arm = assign_arm(story.catalogue.experiments[0], unit_id(AssignedUnit.HOUSEHOLD, name, f"H-{index // 2}"))
        story.log.live(name, f"H-{index // 2}", since=NOW - 10 * DAY if index % 7 == 0 else NOW - 90 * DAY)
        story.log.live(name, f"moved-{index}", since=NOW - 5 * DAY)
        story.log.decide(name, NOW - 20 * DAY, arm)
        story.log.spend(name, NOW - 19 * DAY, round(story.rng.gamma(4, 100)))
    readout = story.read()
    assert sum(arm.assigned_count for arm in readout.arms) == 100
    assert readout.checks[0].status is Health.OK


def test_a_household_in_two_arms_is_left_out_and_counted(story: Story):
    story.put_in_force(experiment(0.5, unit=AssignedUnit.HOUSEHOLD), at=CHANGED - 60 * DAY)
    for index in range(80):
        story.log.live(f"C-{index}", f"H-{index // 2}")
        story.log.decide(f"C-{index}", NOW - 20 * DAY, "on" if index % 4 in (0, 1) else "off")
    story.log.decide("C-0", NOW - 19 * DAY, "off")
    readout = story.read()
    assert sum(arm.assigned_count for arm in readout.arms) == 39
    assert "1 households were in more than one arm" in readout.checks[0].message
    assert readout.refusal is not None
    assert readout.refusal.code in {RefusalCode.ARM_TOO_SMALL, RefusalCode.NO_VARIANCE}
    assert "households" in readout.verdict


def test_a_visitor_and_the_identified_customer_are_one_unit_in_the_arm_of_the_first_decision(story: Story):
    story.put_in_force(experiment(0.5), at=CHANGED - 60 * DAY)
    for index in range(120):
        story.log.decide(f"V-{index}", NOW - 20 * DAY, "on" if index % 2 else "off")
        story.log.decide(f"C-{index}", NOW - 15 * DAY, "off" if index % 2 else "on")
        story.log.identify(f"V-{index}", f"C-{index}", NOW - 16 * DAY)
        story.log.spend(f"C-{index}", NOW - 18 * DAY, round(story.rng.gamma(4, 100)) + (10_000 if index % 2 else 0))
    readout = story.read()
    assert [(arm.arm_id, arm.assigned_count) for arm in readout.arms] == [("off", 60), ("on", 60)]
    lower, _, upper = difference(readout)
    assert lower < 10_000 < upper, "what the customer spent is counted once, in the visitor's arm"
    assert readout.checks[0].status is Health.OK
