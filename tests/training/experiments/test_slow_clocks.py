"""Outcomes count however slow the sender's clock is: in readouts, KPIs and training sets."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.experiment import Exposure, assign_arm
from features.history import History
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.reports.readouts import Readout, Status
from training.data.datasets import windows
from training.data.measures import decision_values
from training.experiments.readouts import ReadoutInputs, read_experiment
from training.kpis.kpi_report import KpiReading, compute_kpis

NAME = "engine-vs-random"


@dataclass(frozen=True)
class Trial:
    """An experiment in which the engine's messages are clicked twice as often."""

    catalogue: Any
    log: Any
    as_of: datetime

    def read(self, log: Any, exposure: Exposure = Exposure.DELIVERED) -> Readout:
        [experiment] = self.catalogue.experiments
        catalogue = replace(self.catalogue, experiments=(replace(experiment, exposure=exposure),))
        reading = ReadoutInputs(as_of=self.as_of, computed_at=self.as_of, command="c", source="s")
        return read_experiment(log, catalogue, NAME, reading)


@pytest.fixture(scope="module")
def trial(shop_catalogue, make_writer, care_ends_at) -> Trial:
    [experiment] = shop_catalogue.experiments
    catalogue = replace(shop_catalogue, experiments=(replace(experiment, primary_measure_id="clicked"),))
    log_writer, places = make_writer(), count()
    for place in range(900):
        name = f"C-{place}"
        arm = assign_arm(experiment, name)
        at = care_ends_at - timedelta(days=20, minutes=place % 600)
        arms = orjson.dumps({NAME: arm}).decode()
        clicks = ["clicked"] if next(places) % 10 < (4 if arm == "engine" else 2) else []
        log_writer.message(name, at, "delivered", *clicks, after=timedelta(seconds=40), arms=arms)
    return Trial(catalogue=catalogue, log=log_writer.log(), as_of=care_ends_at)


def told_by_slow_clocks(log, slow: timedelta, *, of: tuple[str, ...]):
    """The same log with some outcome types dated by slow clocks; arrivals are unchanged."""
    told = pl.when(pl.col("type").is_in(of)).then(pl.col("occurred_at") - slow).otherwise("occurred_at")
    return replace(log, outcomes=log.outcomes.with_columns(recorded_at="occurred_at", occurred_at=told))


@pytest.mark.parametrize("slow", [timedelta(seconds=30), timedelta(minutes=5), timedelta(days=400)])
@pytest.mark.parametrize("of", [("clicked",), ("clicked", "delivered"), ("delivered",)])
@pytest.mark.parametrize("exposure", list(Exposure))
def test_a_readout_with_outcomes_from_slow_clocks_keeps_its_result(
    trial: Trial, slow: timedelta, of: tuple[str, ...], exposure: Exposure
) -> None:
    right = trial.read(trial.log, exposure)
    assert right.status is Status.CONCLUSIVE
    assert "higher in engine than in random" in right.verdict

    slowed = trial.read(told_by_slow_clocks(trial.log, slow, of=of), exposure)

    assert (slowed.verdict, slowed.metrics[0]) == (right.verdict, right.metrics[0])
    assert [arm.exposed_count for arm in slowed.arms] == [arm.exposed_count for arm in right.arms]


def test_slow_clocks_in_one_arm_do_not_change_the_result(trial: Trial) -> None:
    engine = trial.log.decisions.filter(pl.col("arms").str.contains('engine"}', literal=True))["decision_id"]
    slowed = told_by_slow_clocks(trial.log, timedelta(minutes=2), of=("clicked",))
    is_engine = pl.col("decision_id").is_in(engine.implode())
    told = pl.when(is_engine).then("occurred_at").otherwise("recorded_at")
    mixed = replace(slowed, outcomes=slowed.outcomes.with_columns(occurred_at=told))
    assert trial.read(mixed).metrics[0] == trial.read(trial.log).metrics[0]


@settings(max_examples=25, deadline=None)
@given(skews=st.lists(st.integers(-90 * 86_400, 0), min_size=40, max_size=40), data=st.data())
def test_kpis_and_training_sets_count_every_outcome_that_names_its_decision(
    shop_catalogue, care_ends_at, make_writer, skews, data
) -> None:
    writer, at = make_writer(), care_ends_at - timedelta(days=20)
    kinds = data.draw(
        st.lists(st.sampled_from(("delivered", "viewed", "clicked", "unsubscribed")), min_size=40, max_size=40)
    )
    for place, kind in enumerate(kinds):
        writer.message(f"C-{place}", at + timedelta(hours=place), kind)
    right = writer.log()
    shifts = pl.Series("shift", [timedelta(seconds=one) for one in skews], dtype=pl.Duration("us"))
    slow = replace(
        right,
        outcomes=right.outcomes.with_columns(recorded_at="occurred_at", occurred_at=pl.col("occurred_at") + shifts),
    )

    def told(log) -> tuple[Any, list[float]]:
        reading = KpiReading(as_of=care_ends_at, days=90, computed_at=care_ends_at, command="c")
        rows = compute_kpis(log, shop_catalogue, reading).rows
        figures = [
            row.figure(name)
            for row in rows
            for name in ("delivered_rate", "viewed_rate", "clicked_rate", "unwanted_rate")
        ]
        history = History.of(log)
        judged = windows(history.decisions, shop_catalogue, window_days=7)
        return figures, decision_values(history, judged, shop_catalogue.measures["clicked"], cap=True)[
            "value"
        ].to_list()

    assert told(slow) == told(right)


def test_a_history_read_from_the_log_has_no_impossible_moments(log_writer, care_ends_at, tmp_path) -> None:
    at = care_ends_at - timedelta(days=20)
    log_writer.message("C-1", at, "clicked", after=timedelta(days=-3))
    log_writer.event("C-1", "purchase", at + timedelta(days=900), recorded_at=at, amount_minor=100)
    log, tables = EventLog(tmp_path / "log"), log_writer.log()
    for table, rows in ((EVENTS, tables.events), (DECISIONS, tables.decisions), (OUTCOMES, tables.outcomes)):
        log.append(table, rows)
    history = History.from_log(log)
    assert history.outcomes["occurred_at"].to_list() == [at]
    assert history.events["occurred_at"].to_list() == [at]
