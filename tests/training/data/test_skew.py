"""Features as the engine logged them against features as they are computed now, over a Delta log and Feast."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest

from decisioning.arrays import FloatArray
from decisioning.decision import Inputs, Request
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_to_record
from decisioning.scoring import FeatureVector
from features.catalogue import load_catalogue
from features.computing.compute import compute_features
from features.computing.feature_set import feature_schema
from features.history import History
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models.registry import mlflow_client
from features.settings import Settings
from features.store.builder import build_features
from training.data.datasets import matrix_of
from training.data.skew import SKEW_FILE, SkewReport, skew_notes, skew_report, write_skew
from training.judgement.from_log import load_training_set
from training.registry.model_facts import show_model
from training.registry.training_run import train_model

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FIRST = datetime(2026, 10, 10, 12, tzinfo=UTC)
COUNT = 60
SPENT, TENURE = "purchase_sum_minor_90d", "customer_tenure_days"

type Change = Callable[[int, FeatureVector], FeatureVector]


@pytest.fixture
def decide_with(logged_home: Settings) -> Callable[[Change], SkewReport]:
    """Lets the engine decide about customers of the shop with features that a change may alter; gives the report."""
    catalogue = load_catalogue(logged_home.catalogue_path)
    policy, log = Policy(catalogue, logged_home.policy_seed), EventLog(logged_home.log_path)
    schema = feature_schema(catalogue)

    def row(number: int, name: str, at: datetime, vector: FeatureVector) -> dict[str, object]:
        request = Request(customer_id=name, touchpoint_id="weekly-mail", request_key=f"own-{number}")
        values = np.zeros(len(policy.candidates("weekly-mail")) + 1)
        inputs = Inputs(
            request=request, customer=None, features=vector, expected_values=values, model_version="1", now=at,
            uniform=0.5,
        )  # fmt: skip
        decision = decide(policy, inputs, f"own-{number}")
        record = orjson.dumps(decision_to_record(decision)).decode()
        return {
            "decision_id": f"own-{number}", "customer_id": name, "decided_at": at, "touchpoint": "weekly-mail",
            "action_probability": 1.0, "policy_version": policy.version, "record": record,
        }  # fmt: skip

    def call(change: Change) -> SkewReport:
        history = History.from_log(log)
        names = history.customers["customer_id"].unique().sort().head(COUNT).to_list()
        times = [FIRST + timedelta(minutes=number) for number in range(COUNT)]
        at = pl.DataFrame({"customer_id": names, "at": times})
        values = matrix_of(compute_features(history, at, catalogue), schema.names)
        rows = [
            row(number, name, times[number], change(number, vector_of(values[number])))
            for number, name in enumerate(names)
        ]
        log.append(DECISIONS, pl.DataFrame(rows))
        build_features(logged_home, catalogue, NOW, lambda done, total: None)
        found = load_training_set(logged_home, catalogue, now=NOW)
        assert found.rows.own == COUNT
        return skew_report(logged_home, catalogue, found.dataset, found.log, found.rows)

    def vector_of(values: FloatArray) -> FeatureVector:
        ages = {group.name: 60.0 for group in schema.groups}
        return FeatureVector(names=schema.names, values=values.copy(), ages_seconds=ages, schema=schema.fingerprint)

    return call


def with_value(vector: FeatureVector, name: str, value: float) -> FeatureVector:
    values = vector.values.copy()
    values[vector.names.index(name)] = value
    return replace(vector, values=values)


def test_features_logged_as_they_are_computed_have_no_skew(decide_with: Callable[[Change], SkewReport]):
    report = decide_with(lambda _number, vector: vector)
    assert report.decisions == COUNT
    assert {one.equal for one in report.features} == {1.0}
    assert report.large == ()
    assert skew_notes(report) == ()
    assert report.metrics == {"skew_decisions": COUNT, "skew_features": 0.0, "skew_equal_share": 1.0}


def test_features_that_were_missing_or_stale_are_reported_the_worst_first(
    decide_with: Callable[[Change], SkewReport], tmp_path: Path
):
    def stale(number: int, vector: FeatureVector) -> FeatureVector:
        known = vector.values[vector.names.index(SPENT)]
        stale = with_value(vector, SPENT, known + 100_000.0)
        return with_value(stale, TENURE, np.nan) if number % 4 == 0 else stale

    report = decide_with(stale)
    assert [one.feature for one in report.large] == [SPENT, TENURE]
    spent, tenure = report.large
    assert spent.difference is not None
    assert spent.difference > 1
    assert (tenure.only_computed, tenure.only_logged, tenure.equal) == (0.25, 0.0, 0.75)
    assert "2 of" in skew_notes(report)[0]
    assert f"{TENURE} missing in 25% on one side only" in skew_notes(report)[0]
    table = pl.read_csv(write_skew(report, tmp_path)[0])
    assert table["feature"].to_list()[:2] == [SPENT, TENURE]
    assert table.height == len(report.features)


def test_features_stamped_later_than_the_decision_are_not_compared_and_named(
    decide_with: Callable[[Change], SkewReport],
):
    def from_later(number: int, vector: FeatureVector) -> FeatureVector:
        ages = dict.fromkeys(vector.ages_seconds, -3600.0 if number < 5 else -1.0)  # clocks may differ by a second
        return replace(vector, ages_seconds=ages)

    report = decide_with(from_later)
    assert (report.decisions, report.from_later) == (COUNT - 5, 5)
    assert skew_notes(report)[0].startswith("5 of the engine's own decisions looked at features stamped later")


def test_a_feature_that_meant_something_else_when_it_was_logged_is_not_compared(
    decide_with: Callable[[Change], SkewReport],
):
    report = decide_with(lambda _number, vector: replace(vector, schema="0123456789abcdef"))
    assert (report.decisions, report.features) == (COUNT, ())
    assert skew_notes(report) == ()


def test_a_training_run_keeps_the_skew_with_the_model_and_says_it(
    decide_with: Callable[[Change], SkewReport], logged_home: Settings
):
    decide_with(lambda _number, vector: with_value(vector, SPENT, 1e6))
    trained = train_model(logged_home, now=NOW)
    assert any(f"{SPENT} " in note and "own decisions looked at" in note for note in trained.notes)
    assert show_model(logged_home, trained.version).figures["skew_decisions"] == COUNT
    kept = {one.path for one in mlflow_client(logged_home.tracking_uri).list_artifacts(trained.run_id, "tables")}
    assert f"tables/{SKEW_FILE}" in kept
