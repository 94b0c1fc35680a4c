"""Features as the engine logged them against features as they are computed now, over a Delta log and Feast."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
from features.models.schema_archive import keep_schema
from features.settings import Settings
from features.store.builder import build_features
from training.data import own_vectors
from training.data.datasets import matrix_of
from training.data.skew import SKEW_FILE, SkewReport, skew_notes, write_skew
from training.data.sources import RowsBySource
from training.judgement import from_log
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
        return found.skew

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


def features_of(settings: Settings) -> tuple[dict[str, FloatArray], RowsBySource]:
    """Features of own decisions by id, in the order of the schema, as a training set has them."""
    found = load_training_set(settings, load_catalogue(settings.catalogue_path), now=NOW)
    ids = found.dataset.decisions["decision_id"].to_list()
    return {one: found.dataset.features[row] for row, one in enumerate(ids)}, found.rows


def test_own_decisions_are_learned_from_with_what_they_looked_at_and_imported_ones_with_what_is_computed(
    decide_with: Callable[[Change], SkewReport], logged_home: Settings
):
    catalogue = load_catalogue(logged_home.catalogue_path)
    spent = feature_schema(catalogue).names.index(SPENT)
    decide_with(lambda number, vector: with_value(vector, SPENT, np.nan if number == 3 else 7_000.0 + number))
    features, rows = features_of(logged_home)
    assert [features[f"own-{number}"][spent] for number in (0, 1, 2)] == [7_000.0, 7_001.0, 7_002.0]
    assert np.isnan(features["own-3"][spent]), "what was missing when it was decided stays missing"
    assert (rows.own, rows.as_logged, rows.partly_logged) == (COUNT, COUNT, 0)
    history = History.from_log(EventLog(logged_home.log_path))
    others = history.decisions.filter(~pl.col("decision_id").str.starts_with("own-")).head(20)
    at = others.select("customer_id", at="decided_at")
    computed = matrix_of(compute_features(history, at, catalogue), feature_schema(catalogue).names)
    learned = np.array([features[one] for one in others["decision_id"].to_list()])
    np.testing.assert_array_equal(learned, computed)


def test_what_meant_something_else_or_was_stamped_later_is_computed(
    decide_with: Callable[[Change], SkewReport], logged_home: Settings
):
    def odd(number: int, vector: FeatureVector) -> FeatureVector:
        changed = with_value(vector, SPENT, 1e9)
        if number % 2:
            return replace(changed, schema="0123456789abcdef")
        return replace(changed, ages_seconds=dict.fromkeys(changed.ages_seconds, -3600.0))

    decide_with(odd)
    features, rows = features_of(logged_home)
    spent = feature_schema(load_catalogue(logged_home.catalogue_path)).names.index(SPENT)
    assert max(features[f"own-{number}"][spent] for number in range(COUNT)) < 1e9
    assert (rows.own, rows.as_logged, rows.partly_logged) == (COUNT, 0, 0)


def test_of_a_former_schema_what_means_the_same_is_as_logged_and_the_rest_is_computed(
    decide_with: Callable[[Change], SkewReport], logged_home: Settings
):
    schema = feature_schema(load_catalogue(logged_home.catalogue_path))
    former = tuple(f"{meaning} before" if name == TENURE else meaning for name, meaning in schema.meaning_of.items())
    old = replace(schema, fingerprint="0123456789abcdef", meanings=former)
    keep_schema(logged_home, old)

    def changed(_number: int, vector: FeatureVector) -> FeatureVector:
        values = with_value(with_value(vector, SPENT, 5_000.0), TENURE, -1.0)
        return replace(values, schema=old.fingerprint)

    report = decide_with(changed)
    assert TENURE not in {one.feature for one in report.features}
    features, rows = features_of(logged_home)
    spent, tenure = schema.names.index(SPENT), schema.names.index(TENURE)
    assert {features[f"own-{number}"][spent] for number in range(COUNT)} == {5_000.0}
    assert min(features[f"own-{number}"][tenure] for number in range(COUNT)) > 0
    assert (rows.as_logged, rows.partly_logged) == (0, COUNT)


def test_features_of_own_decisions_are_joined_only_for_the_sample_that_is_compared(
    decide_with: Callable[[Change], SkewReport], logged_home: Settings, monkeypatch: pytest.MonkeyPatch
):
    decide_with(lambda _number, vector: vector)
    before, _ = features_of(logged_home)
    asked: list[int] = []
    join = from_log.training_rows

    def counted(*arguments: Any) -> pl.DataFrame:
        asked.append(arguments[-1].height)
        return join(*arguments)

    monkeypatch.setattr(own_vectors, "MOST_SAMPLED", 15)
    monkeypatch.setattr(from_log, "training_rows", counted)
    found = load_training_set(logged_home, load_catalogue(logged_home.catalogue_path), now=NOW)
    assert 0 < asked[0] - (found.dataset.size - COUNT) < COUNT // 2
    assert found.skew.decisions < COUNT // 2
    after = dict(zip(found.dataset.decisions["decision_id"].to_list(), found.dataset.features, strict=True))
    assert all(after[one].tobytes() == before[one].tobytes() for one in after)
