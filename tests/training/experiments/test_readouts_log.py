"""Readouts of experiments and the holdout from a log: who counts, from when, for which measure, and refusals."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Exposure, assign_arm
from decisioning.errors import InvalidPolicyError, UnknownNameError
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.reports.readouts import Health, Readout, ReadoutKind, ReadoutUnit, RefusalCode, Status
from training.experiments.designs import readable_names
from training.experiments.readouts import ReadoutInputs, read_experiment

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAME = "engine-vs-random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    decisions: pl.DataFrame
    events: pl.DataFrame
    outcomes: pl.DataFrame
    customers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CUSTOMERS.schema))


def make_log(decisions: list[dict], events: list[dict], outcomes: list[dict]) -> Log:
    return Log(
        decisions=pl.DataFrame(decisions, schema=DECISIONS.schema),
        events=pl.DataFrame(events, schema=EVENTS.schema),
        outcomes=pl.DataFrame(outcomes, schema=OUTCOMES.schema),
    )


def decision(
    customer: str, decided_at: datetime, arm: str | None, *, decision_id: str = "", held_out: bool | None = None
) -> dict:
    return {
        "decision_id": decision_id or f"D-{customer}",
        "customer_id": customer,
        "decided_at": decided_at,
        "arms": None if arm is None else orjson.dumps({NAME: arm, "other": "x"}).decode(),
        "is_held_out": held_out,
    }


def outcome(customer: str, kind: str, occurred_at: datetime, *, decision_id: str = "") -> dict:
    decision_id = decision_id or f"D-{customer}"
    return {
        "outcome_id": f"O-{decision_id}-{kind}-{occurred_at}",
        "decision_id": decision_id,
        "customer_id": customer,
        "type": kind,
        "occurred_at": occurred_at,
    }


def purchase(customer: str, occurred_at: datetime, amount_minor: int) -> dict:
    return {
        "event_id": f"E-{customer}-{occurred_at}",
        "customer_id": customer,
        "type": "purchase",
        "occurred_at": occurred_at,
        "amount_minor": amount_minor,
        "currency": "EUR",
    }


def make_trial(
    catalogue: Catalogue,
    count: int,
    *,
    lift_minor: int = 0,
    seed: int = 1,
    lost: float = 0.0,
    age_days: float = 20,
    arm_of: Callable[[str], str] | None = None,
) -> Log:
    """An experiment with a known truth: the engine's arm spends `lift_minor` more and loses a share of deliveries."""
    rng = np.random.default_rng(seed)
    experiment = catalogue.experiments[0]
    decisions, events, outcomes = [], [], []
    for index in range(count):
        customer = f"C-{seed}-{index}"
        arm = assign_arm(experiment, customer) if arm_of is None else arm_of(customer)
        decided_at = NOW - timedelta(days=age_days) + timedelta(minutes=index % 600)
        decisions.append(decision(customer, decided_at, arm))
        if rng.random() >= (lost if arm == "engine" else 0.0):
            outcomes.append(outcome(customer, "delivered", decided_at + timedelta(minutes=5)))
        if rng.random() < (0.2 if arm == "engine" else 0.1):
            outcomes.append(outcome(customer, "clicked", decided_at + timedelta(hours=2)))
        spend = int(rng.gamma(2, 400)) + (lift_minor if arm == "engine" else 0)
        events.append(purchase(customer, decided_at + timedelta(days=2), spend))
        events.append(purchase(customer, decided_at - timedelta(days=1), 100_000))
        events.append(purchase(customer, decided_at + timedelta(days=9), 100_000))
    return make_log(decisions, events, outcomes)


def read(
    log: Log, catalogue: Catalogue, name: str = NAME, *, as_of: datetime = NOW, is_capped: bool = False
) -> Readout:
    reading = ReadoutInputs(as_of=as_of, computed_at=NOW, command="c", source="s", is_capped=is_capped)
    return read_experiment(log, catalogue, name, reading)


def code_of(readout: Readout) -> RefusalCode:
    assert readout.status is Status.REFUSED
    assert readout.refusal is not None
    assert readout.metrics == () or readout.metrics[0].comparisons[0].effect is None
    return readout.refusal.code


def test_a_planted_lift_in_money_is_recovered_and_stated_in_a_sentence(shop_catalogue: Catalogue):
    """Known truth: 2.00 EUR more per customer; purchases before and after the window do not count."""
    readout = read(make_trial(shop_catalogue, 1500, lift_minor=200), shop_catalogue)
    effect = readout.metrics[0].comparisons[0].effect
    assert effect is not None
    assert effect.lower < 200 < effect.upper
    assert effect.difference == pytest.approx(200, abs=80)
    assert readout.metrics[0].unit is ReadoutUnit.MONEY_MINOR
    assert readout.status is Status.CONCLUSIVE
    assert readout.verdict.startswith("engine earns ")
    assert "EUR more per customer than random (95" in readout.verdict.replace("\xa0", " ")
    assert [metric.metric_id for metric in readout.metrics] == ["net_revenue", "clicked"]
    clicks = readout.metrics[1].comparisons[0].effect
    assert clicks is not None
    assert clicks.lower < 0.1 < clicks.upper


def test_arms_with_the_same_effect_are_not_called_different(shop_catalogue: Catalogue):
    """Known truth: of 60 experiments without a lift, few are conclusive (more than 9 has a probability below 0.1 %)."""
    calls = 0
    for seed in range(60):
        log = make_trial(shop_catalogue, 120, seed=seed)
        primary = read(log, shop_catalogue).metrics[0]
        calls += primary.comparisons[0].is_conclusive
    assert calls <= 9


def test_a_customer_counts_from_the_first_delivery_and_only_once(shop_catalogue: Catalogue):
    start = NOW - timedelta(days=30)
    log = make_trial(shop_catalogue, 200)
    again = [
        decision(
            "C-1-0", start + timedelta(days=20), assign_arm(shop_catalogue.experiments[0], "C-1-0"), decision_id="X"
        )
    ]
    delivered = [outcome("C-1-0", "delivered", start + timedelta(days=21), decision_id="X")]
    more = make_log(again, [], delivered)
    joined = Log(
        decisions=pl.concat([log.decisions, more.decisions]),
        events=log.events,
        outcomes=pl.concat([log.outcomes, more.outcomes]),
    )
    before, after = read(log, shop_catalogue), read(joined, shop_catalogue)
    assert [arm.exposed_count for arm in after.arms] == [arm.exposed_count for arm in before.arms]
    assert sum(arm.exposure_count for arm in after.arms) == sum(arm.exposure_count for arm in before.arms) + 1
    assert after.metrics == before.metrics


def test_a_click_on_any_decision_of_the_experiment_counts_within_the_window(shop_catalogue: Catalogue):
    start = NOW - timedelta(days=20)
    arms = {f"A-{index}": ("engine" if index % 2 else "random") for index in range(120)}
    decisions = [decision(name, start, arm) for name, arm in arms.items()]
    outcomes = [outcome(name, "delivered", start) for name in arms]
    for index, (name, arm) in enumerate(arms.items()):
        decisions.append(decision(name, start + timedelta(days=3), arm, decision_id=f"later-{name}"))
        if index < 40:
            outcomes.append(outcome(name, "clicked", start + timedelta(days=4), decision_id=f"later-{name}"))
        elif index < 80:
            outcomes.append(outcome(name, "clicked", start + timedelta(days=8), decision_id=f"later-{name}"))
    readout = read(make_log(decisions, [], outcomes), shop_catalogue)
    assert [arm.mean for arm in readout.metrics[1].arms] == pytest.approx([1 / 3, 1 / 3])


def test_customers_whose_window_is_still_open_are_counted_and_not_compared(shop_catalogue: Catalogue):
    old = make_trial(shop_catalogue, 300, seed=1)
    new = make_trial(shop_catalogue, 100, seed=2, age_days=3)
    log = Log(
        decisions=pl.concat([old.decisions, new.decisions]),
        events=pl.concat([old.events, new.events]),
        outcomes=pl.concat([old.outcomes, new.outcomes]),
    )
    readout = read(log, shop_catalogue)
    assert sum(arm.exposed_count for arm in readout.arms) == 400
    assert sum(arm.complete_count for arm in readout.arms) == 300
    assert "100 of 400 exposed customers had days to go" in readout.checks[1].message
    assert readout.metrics[0] == read(old, shop_catalogue).metrics[0]
    assert "holds at every look" in readout.notes[0]


def test_a_readout_as_of_an_earlier_moment_uses_nothing_later(shop_catalogue: Catalogue):
    readout = read(make_trial(shop_catalogue, 300), shop_catalogue, as_of=NOW - timedelta(days=15))
    assert code_of(readout) is RefusalCode.NO_COMPLETE_WINDOWS
    assert "no customer of arm 'random' has completed the 7 days" in readout.verdict
    earlier = read(make_trial(shop_catalogue, 300), shop_catalogue, as_of=NOW - timedelta(days=30))
    assert code_of(earlier) is RefusalCode.NO_DECISIONS


def test_capping_cuts_each_transaction_and_says_so(shop_catalogue: Catalogue):
    start = NOW - timedelta(days=20)
    arms = {f"A-{index}": ("engine" if index % 2 else "random") for index in range(120)}
    rng = np.random.default_rng(1)
    log = make_log(
        [decision(name, start, arm) for name, arm in arms.items()],
        [purchase(name, start + timedelta(days=1), int(rng.integers(5_000, 40_000))) for name in arms],
        [outcome(name, "delivered", start) for name in arms],
    )
    plain, capped = read(log, shop_catalogue), read(log, shop_catalogue, is_capped=True)
    assert plain.metrics[0].arms[0].mean is not None
    assert capped.metrics[0].arms[0].mean is not None
    assert plain.metrics[0].arms[0].mean > 10_000 > capped.metrics[0].arms[0].mean
    assert "A transaction counts for at most 100.00 EUR in net_revenue." in [
        note.replace("\xa0", " ") for note in capped.notes
    ]


def test_a_sample_ratio_mismatch_blocks_the_readout(shop_catalogue: Catalogue):
    log = make_trial(shop_catalogue, 1000, arm_of=lambda name: "engine" if int(name.split("-")[2]) % 3 else "random")
    readout = read(log, shop_catalogue)
    assert code_of(readout) is RefusalCode.SAMPLE_RATIO
    assert readout.verdict.startswith("Do not read this: the split is off")
    assert readout.metrics == ()


def test_an_arm_that_loses_deliveries_blocks_the_readout_with_advice(shop_catalogue: Catalogue):
    log = make_trial(shop_catalogue, 2000, lost=0.3)
    readout = read(log, shop_catalogue)
    assert code_of(readout) is RefusalCode.SAMPLE_RATIO
    assert readout.assignment_ratio is not None
    assert readout.assignment_ratio.status is not Health.ALARM
    assert "declare `exposure: decided`" in readout.verdict
    decided = replace(shop_catalogue, experiments=(replace(shop_catalogue.experiments[0], exposure=Exposure.DECIDED),))
    assert read(log, decided).status is not Status.REFUSED


def test_a_silent_arm_has_no_deliveries_and_the_refusal_says_what_to_declare(shop_catalogue: Catalogue):
    readout = read(make_trial(shop_catalogue, 200, lost=1.0), shop_catalogue)
    assert code_of(readout) is RefusalCode.NO_EXPOSURES
    assert "nobody in arm 'engine' was exposed" in readout.verdict


def test_an_undeclared_arm_in_the_log_blocks_the_readout(shop_catalogue: Catalogue):
    log = make_trial(
        shop_catalogue, 200, arm_of=lambda name: ("engine", "random", "ghost")[int(name.split("-")[2]) % 3]
    )
    readout = read(log, shop_catalogue)
    assert code_of(readout) is RefusalCode.UNKNOWN_ARM
    assert "'ghost'" in readout.verdict


def test_customers_in_two_arms_are_left_out_and_counted(shop_catalogue: Catalogue):
    log = make_trial(shop_catalogue, 300)
    crossed = make_log([decision("C-1-0", NOW - timedelta(days=18), "engine", decision_id="1")], [], [])
    other = make_log([decision("C-1-0", NOW - timedelta(days=18), "random", decision_id="2")], [], [])
    decisions = pl.concat([log.decisions, crossed.decisions, other.decisions])
    readout = read(Log(decisions=decisions, events=log.events, outcomes=log.outcomes), shop_catalogue)
    assert sum(arm.assigned_count for arm in readout.arms) == 299
    assert readout.checks[0].status is Health.WARN
    assert "1 customers were in more than one arm" in readout.checks[0].message


def test_a_log_that_ends_before_the_windows_is_reported(shop_catalogue: Catalogue):
    log = make_trial(shop_catalogue, 300)
    short = Log(
        decisions=log.decisions,
        events=log.events.filter(pl.col("occurred_at") < NOW - timedelta(days=17)),
        outcomes=log.outcomes,
    )
    readout = read(short, shop_catalogue)
    assert readout.checks[2].status is Health.WARN
    assert "300 windows end after the log's newest entry" in readout.checks[2].message
    assert read(log, shop_catalogue).checks[2].status is Health.OK


def test_small_and_empty_experiments_are_refused(shop_catalogue: Catalogue):
    assert code_of(read(make_log([], [], []), shop_catalogue)) is RefusalCode.NO_DECISIONS
    assert code_of(read(make_trial(shop_catalogue, 30), shop_catalogue)) is RefusalCode.ARM_TOO_SMALL
    log = make_trial(shop_catalogue, 200)
    idle = Log(decisions=log.decisions, events=log.events.clear(), outcomes=log.outcomes)
    assert code_of(read(idle, shop_catalogue)) is RefusalCode.NO_VARIANCE


def make_holdout_log(count: int, lift_minor: int) -> Log:
    rng = np.random.default_rng(3)
    start = NOW - timedelta(days=20)
    decisions, events = [], []
    for index in range(count):
        held_out = index % 20 == 0
        decisions.append(decision(f"H-{index}", start, None, held_out=held_out))
        decisions.append(
            decision(f"H-{index}", start + timedelta(days=3), None, held_out=held_out, decision_id=f"2-{index}")
        )
        spend = int(rng.gamma(3, 100)) + (0 if held_out else lift_minor)
        events.append(purchase(f"H-{index}", start + timedelta(days=1), spend))
    decisions.append(decision("imported", start, None))
    return make_log(decisions, events, [])


def test_the_holdout_is_read_from_each_decisions_own_row(shop_catalogue: Catalogue):
    """Known truth: messages are worth 1.00 EUR per customer; imported decisions have no assignment and are left out."""
    readout = read(make_holdout_log(4000, 100), shop_catalogue, "holdout")
    effect = readout.metrics[0].comparisons[0].effect
    assert effect is not None
    assert readout.kind is ReadoutKind.HOLDOUT
    assert readout.control_arm_id == "held-out"
    assert [(arm.arm_id, arm.share, arm.assigned_count) for arm in readout.arms] == [
        ("held-out", 0.05, 200),
        ("messaged", 0.95, 3800),
    ]
    assert effect.lower < 100 < effect.upper
    assert readout.verdict.startswith("messaged earns ")


def test_only_declared_experiments_can_be_read(shop_catalogue: Catalogue):
    empty = make_log([], [], [])
    assert readable_names(shop_catalogue) == (NAME, "holdout")
    with pytest.raises(UnknownNameError, match="did you mean 'engine-vs-random'"):
        read(empty, shop_catalogue, "engine-vs-randon")
    without = replace(shop_catalogue, holdout=None)
    assert readable_names(without) == (NAME,)
    with pytest.raises(UnknownNameError):
        read(empty, without, "holdout")


def test_a_catalogue_without_window_or_measure_is_refused(shop_catalogue: Catalogue):
    empty = make_log([], [], [])
    with pytest.raises(InvalidPolicyError, match="learning must be declared"):
        read(empty, replace(shop_catalogue, learning=None))
    with pytest.raises(InvalidPolicyError, match="measure must be declared in the catalogue, got 'net_revenue'"):
        read(empty, replace(shop_catalogue, measures={}))
