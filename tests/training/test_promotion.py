"""Promotion: what may become champion, what may not, the way back, and the record of it all. On a real registry."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from decisioning.errors import InsufficientDataError, InvalidInputError, ModelUnavailableError, UnknownNameError
from features.catalogue import load_catalogue
from features.model_bundle import load_value_model
from features.model_registry import MODEL_NAME, fetch_champion, mlflow_client
from features.settings import Settings
from training.promotion import list_models, promote, rollback
from training.promotion_ledger import Promotion, append, read_ledger
from training.tracking import ModelRun, TrainingData, track_model

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def metrics_around(value: float, reach: float = 10.0, **more: float) -> dict[str, float]:
    interval = {"validation_value_lower": value - reach, "validation_value_upper": value + reach}
    return {"validation_value": value, **interval, **more}


@pytest.fixture
def register(model_home: Settings, value_bundle) -> Callable[..., str]:
    """Registers a model with metrics; gives its version."""
    catalogue = load_catalogue(model_home.catalogue_path)
    shifts = iter(range(100))

    def call(metrics: dict[str, float] | None = None, **changes: object) -> str:
        bundle = value_bundle(catalogue, shift=float(next(shifts)))
        for name, value in changes.items():
            object.__setattr__(bundle, name, value)
        data = TrainingData(name="log", digest="ab")
        return track_model(model_home, bundle, ModelRun(parameters={}, metrics=metrics or {}, data=data)).version

    return call


def test_the_first_model_that_is_whole_becomes_champion_whatever_was_measured(model_home: Settings, register):
    register()
    entry = promote(model_home, now=NOW, by="ops")
    assert (entry.version, entry.former, entry.reason, entry.has_changed) == ("1", None, "the first champion", True)
    assert fetch_champion(model_home).version == "1"
    assert load_value_model(fetch_champion(model_home).folder) is not None


def test_the_newest_version_is_promoted_unless_another_is_named(model_home: Settings, register):
    for _ in range(3):
        register(metrics_around(100))
    assert promote(model_home, now=NOW).version == "3"
    assert promote(model_home, "1", now=NOW).version == "1"
    assert fetch_champion(model_home).version == "1"


def test_a_candidate_that_is_worse_beyond_noise_is_refused(model_home: Settings, register):
    register(metrics_around(100))
    promote(model_home, now=NOW)
    register(metrics_around(80))  # 20 less, standard error 5.1 each: 2.8 standard errors
    with pytest.raises(
        InvalidInputError, match="must not be worse than champion 1 beyond noise, got validation_value 80"
    ):
        promote(model_home, now=NOW)
    assert fetch_champion(model_home).version == "1"
    assert len(read_ledger(model_home)) == 1


def test_a_candidate_that_is_worse_within_noise_passes(model_home: Settings, register):
    register(metrics_around(100))
    promote(model_home, now=NOW)
    register(metrics_around(88))
    assert "not worse than 1 beyond noise" in promote(model_home, now=NOW).reason


def test_a_candidate_surely_below_the_best_single_message_is_refused(model_home: Settings, register):
    register(metrics_around(100))
    promote(model_home, now=NOW)
    gains = {"validation_gain_over_best_constant": -9.0, "validation_gain_over_best_constant_lower": -14.0}
    register(metrics_around(100, **gains))
    with pytest.raises(InvalidInputError, match="worse than the best single message for everybody"):
        promote(model_home, now=NOW)


def test_a_candidate_without_numbers_cannot_follow_a_champion(model_home: Settings, register):
    register(metrics_around(100))
    promote(model_home, now=NOW)
    register()
    with pytest.raises(InsufficientDataError, match="must have the metrics validation_value"):
        promote(model_home, now=NOW)


def test_a_model_of_another_window_is_not_compared(model_home: Settings, register):
    register(metrics_around(100))
    promote(model_home, now=NOW)
    register(metrics_around(300), window_days=30.0)
    with pytest.raises(
        InsufficientDataError, match=r"must have the champion's window_days \(7\) to be compared, got 30"
    ):
        promote(model_home, now=NOW)


def test_a_reason_overrules_the_comparison_and_is_kept(model_home: Settings, register):
    register(metrics_around(100))
    promote(model_home, now=NOW)
    register(metrics_around(10))
    entry = promote(model_home, now=NOW, force_reason="the old one saw last year's offers", by="ops")
    assert fetch_champion(model_home).version == "2"
    assert read_ledger(model_home)[-1] == entry
    assert (entry.is_forced, entry.reason, entry.by) == (True, "the old one saw last year's offers", "ops")
    with pytest.raises(InvalidInputError, match="a reason must be given"):
        promote(model_home, "1", now=NOW, force_reason=" ")


@pytest.mark.parametrize("force_reason", [None, "I insist"])
def test_a_model_trained_on_other_features_is_refused_even_by_force(model_home: Settings, register, force_reason):
    register(metrics_around(100), feature_schema="another")
    with pytest.raises(InvalidInputError, match="must be trained on the features of the catalogue in force"):
        promote(model_home, now=NOW, force_reason=force_reason)


def test_a_model_of_another_measure_is_refused(model_home: Settings, register):
    register(metrics_around(100), measure_id="clicked")
    with pytest.raises(InvalidInputError, match=r"must predict what the catalogue in force learns \(net_revenue\)"):
        promote(model_home, now=NOW)


@pytest.mark.parametrize("force_reason", [None, "I insist"])
def test_a_damaged_model_is_refused_even_by_force(model_home: Settings, register, force_reason):
    register(metrics_around(100))
    location = Path(mlflow_client(model_home.tracking_uri).get_model_version_download_uri(MODEL_NAME, "1"))
    booster = location / "extra_files" / "booster.txt"
    booster.write_text(booster.read_text().replace("leaf_value=", "leaf_value=9", 1))
    with pytest.raises(ModelUnavailableError, match="changed or cut short"):
        promote(model_home, now=NOW, force_reason=force_reason)


def test_promoting_the_champion_again_changes_nothing(model_home: Settings, register):
    register()
    promote(model_home, now=NOW)
    shutil.rmtree(model_home.models_path / fetch_champion(model_home).folder.name)
    again = promote(model_home, now=NOW)
    assert not again.has_changed
    assert len(read_ledger(model_home)) == 1
    assert fetch_champion(model_home).folder.is_dir()


def test_an_unknown_version_is_refused_by_name(model_home: Settings, register):
    register()
    with pytest.raises(UnknownNameError, match="model version must be a known name, got '7'"):
        promote(model_home, "7", now=NOW)


def test_with_nothing_trained_the_message_says_what_to_run(tmp_path: Path, model_home: Settings):
    with pytest.raises(ModelUnavailableError, match="run `nextbest model train`"):
        promote(model_home, now=NOW)
    nowhere = Settings(home=tmp_path / "h2", mlruns=tmp_path / "m2")
    with pytest.raises(ModelUnavailableError, match="run `nextbest model train`"):
        promote(nowhere, now=NOW)
    assert list_models(nowhere) == []
    assert not (tmp_path / "m2").exists()


def test_rollback_goes_back_step_by_step_and_then_says_that_there_is_no_more(model_home: Settings, register):
    for _ in range(3):
        register(metrics_around(100))
        promote(model_home, now=NOW)
    assert rollback(model_home, now=NOW, reason="complaints").version == "2"
    assert fetch_champion(model_home).version == "2"
    assert rollback(model_home, now=NOW).version == "1"
    with pytest.raises(InvalidInputError, match="must name a champion before version 1, got none"):
        rollback(model_home, now=NOW)
    assert [(one.action, one.version, one.former) for one in read_ledger(model_home)] == [
        ("promote", "1", None),
        ("promote", "2", "1"),
        ("promote", "3", "2"),
        ("rollback", "2", "3"),
        ("rollback", "1", "2"),
    ]


def test_rollback_after_a_rollback_and_a_promotion_finds_the_last_that_decided(model_home: Settings, register):
    for _ in range(3):
        register(metrics_around(100))
        promote(model_home, now=NOW)
    rollback(model_home, now=NOW)
    rollback(model_home, now=NOW)
    promote(model_home, "3", now=NOW)
    assert rollback(model_home, now=NOW).version == "1"


def test_rollback_needs_a_champion(model_home: Settings, register):
    register()
    with pytest.raises(ModelUnavailableError, match="must have a champion to go back from"):
        rollback(model_home, now=NOW)


def test_a_ledger_line_cut_short_by_a_crash_is_passed_over(model_home: Settings):
    entry = Promotion(action="promote", version="1", former=None, at="2026", by="", reason="")
    append(model_home, entry)
    with (model_home.models_path / "promotions.jsonl").open("ab") as ledger:
        ledger.write(b'{"action": "prom\n')
    append(model_home, entry)
    assert read_ledger(model_home) == [entry, entry]


def test_the_list_names_the_champion_and_what_was_measured(model_home: Settings, register):
    register(metrics_around(100))
    register(metrics_around(120))
    promote(model_home, "1", now=NOW)
    newest, oldest = list_models(model_home)
    assert (newest.version, newest.is_champion, newest.metrics["validation_value"]) == ("2", False, 120)
    assert (oldest.version, oldest.is_champion, oldest.tags["measure"]) == ("1", True, "net_revenue")
