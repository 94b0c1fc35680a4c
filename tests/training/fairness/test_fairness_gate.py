"""Promotion checks the fairness guardrails: if one is broken, unknown, outdated or missing, promotion is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from decisioning.errors import InsufficientDataError, InvalidInputError, InvalidPolicyError
from features.catalogue import check_catalogue, load_catalogue, load_fairness
from features.catalogue.fairness_rules import FairnessMeasure, FairnessRules, Guardrail
from features.reports.fairness import FAIRNESS_FILES, FairnessReport, FairnessVerdict
from features.settings import Settings
from training.fairness.fairness_report import read_fairness
from training.fairness.gate import check_guardrails
from training.kpis.kpi_report import KpiReading
from training.registry.promotion import promote
from training.registry.promotion_ledger import read_ledger
from training.registry.tracking import ModelRun, TrainingData, track_model

NOW = datetime(2026, 11, 10, tzinfo=UTC)
SECTION = """
fairness:
  guardrails:
    answers-to-new: {measure: answered_in_time, groups: tenure, tolerance: 0.05}
    gains: {measure: benefit, groups: region, tolerance: 1.50, blocks_promotion: false}
"""


@pytest.fixture
def guarded_home(model_home: Settings) -> Settings:
    (model_home.catalogue_path / "fairness.yaml").write_text(SECTION)
    return model_home


@pytest.fixture
def report_of(service_log, care_catalogue, care_ends_at) -> Callable[..., FairnessReport]:
    def made(rules: FairnessRules, **hours: float) -> FairnessReport:
        reading = KpiReading(as_of=care_ends_at, days=90.0, computed_at=NOW, command="nextbest fairness read")
        return read_fairness(service_log(**hours), care_catalogue, rules, reading)

    return made


def test_the_section_is_read_with_money_in_minor_units_and_changes_no_version(model_home: Settings):
    before = load_catalogue(model_home.catalogue_path).version
    (model_home.catalogue_path / "fairness.yaml").write_text(SECTION)
    answers, gains = load_fairness(model_home.catalogue_path).guardrails
    assert answers == Guardrail(
        guardrail_id="answers-to-new", measure=FairnessMeasure.ANSWERED_IN_TIME, groups="tenure", tolerance=0.05
    )
    assert (gains.tolerance, gains.blocks_promotion) == (150.0, False)
    assert load_catalogue(model_home.catalogue_path).version == before


def test_a_guardrail_must_name_declared_measures_and_groups(model_home: Settings):
    (model_home.catalogue_path / "fairness.yaml").write_text(
        "fairness:\n  guardrails:\n"
        "    a: {measure: reached, groups: tenures, tolerance: 0.1}\n"
        "    b: {measure: reached, groups: customer.regoin, tolerance: 1.5, channel: emial}\n"
        "    c: {measure: benefit, groups: customer.region, tolerance: 3.0, channel: email}\n"
    )
    told = [str(problem) for problem in check_catalogue(model_home.catalogue_path)]
    for part in (
        "a.groups: must be a known grouping, got 'tenures'; did you mean 'tenure'?",
        "b.groups: must be a known grouping, got 'customer.regoin'; did you mean 'customer.region'?",
        "b.channel: must be a known channel, got 'emial'; did you mean 'email'?",
        "b.tolerance: must be below 1: it is a share, 0.05 is five points, got 1.5",
        "c.channel: must be left out: benefit is no matter of a channel, got 'email'",
    ):
        assert any(f"fairness.guardrails.{part}" in line for line in told), part
    with pytest.raises(InvalidPolicyError, match="fairness of"):
        load_fairness(model_home.catalogue_path)


def test_a_guardrail_must_measure_something_and_tolerate_nothing_negative(model_home: Settings):
    (model_home.catalogue_path / "fairness.yaml").write_text(
        "fairness: {guardrails: {d: {measure: fairness, groups: region, tolerance: -1}}}"
    )
    told = "\n".join(map(str, check_catalogue(model_home.catalogue_path)))
    assert "fairness.guardrails.d.measure: must be 'answered_in_time', 'hours_to_answer'" in told
    assert "fairness.guardrails.d.tolerance: must be greater than or equal to 0" in told


def test_without_guardrails_nothing_is_checked(model_home: Settings):
    check_guardrails(model_home, now=NOW)


def test_without_a_report_the_result_is_unknown_and_promotion_is_refused(guarded_home: Settings):
    with pytest.raises(InsufficientDataError, match="fairness must be known before a promotion, got none"):
        check_guardrails(guarded_home, now=NOW)


def test_a_met_guardrail_permits_promotion_until_the_report_is_too_old(guarded_home: Settings, report_of):
    report = report_of(load_fairness(guarded_home.catalogue_path), old_hours=4.0, new_hours=4.0, count=3_000)
    assert report.comparisons[0].verdict is FairnessVerdict.FAIR
    assert report.comparisons[1].verdict is FairnessVerdict.UNKNOWN  # does not block
    FAIRNESS_FILES.write(guarded_home.fairness_path, report)
    check_guardrails(guarded_home, now=NOW)
    with pytest.raises(InsufficientDataError, match="must be at most 31 days old, got one of 39"):
        check_guardrails(guarded_home, now=NOW + timedelta(days=30))


def test_a_broken_or_unknown_guardrail_refuses_promotion(guarded_home: Settings, report_of):
    rules = load_fairness(guarded_home.catalogue_path)
    FAIRNESS_FILES.write(guarded_home.fairness_path, report_of(rules, old_hours=8.0, new_hours=40.0))
    with pytest.raises(InvalidInputError, match="guardrail must be kept, got answers-to-new"):
        check_guardrails(guarded_home, now=NOW)
    FAIRNESS_FILES.write(guarded_home.fairness_path, report_of(rules, count=60))
    with pytest.raises(InsufficientDataError, match="guardrail must be known to be kept, got answers-to-new"):
        check_guardrails(guarded_home, now=NOW)


def test_a_report_for_another_tolerance_does_not_count(guarded_home: Settings, report_of):
    (one, *_) = load_fairness(guarded_home.catalogue_path).guardrails
    wider = FairnessRules(guardrails=(replace(one, tolerance=0.5),))
    FAIRNESS_FILES.write(guarded_home.fairness_path, report_of(wider))
    with pytest.raises(InsufficientDataError, match="got one made without it"):
        check_guardrails(guarded_home, now=NOW)


def test_a_broken_guardrail_stops_promotion_except_by_force_with_a_reason(
    guarded_home: Settings, report_of, value_bundle
):
    bundle = value_bundle(load_catalogue(guarded_home.catalogue_path))
    track_model(guarded_home, bundle, ModelRun(parameters={}, metrics={}, data=TrainingData(name="log", digest="ab")))
    rules = load_fairness(guarded_home.catalogue_path)
    FAIRNESS_FILES.write(guarded_home.fairness_path, report_of(rules, old_hours=8.0, new_hours=40.0))
    with pytest.raises(InvalidInputError, match="new fares worse than everybody else"):
        promote(guarded_home, now=NOW)
    assert [one.action for one in read_ledger(guarded_home)] == ["refuse"]
    entry = promote(guarded_home, now=NOW, force_reason="the call centre has hired", by="ops")
    assert entry.is_forced
