"""Promotion on a real registry: which models may become champion, rollback, and the ledger of both."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from decisioning.errors import InsufficientDataError, InvalidInputError, ModelUnavailableError, UnknownNameError
from features.catalogue import load_catalogue
from features.catalogue.version import measure_definition
from features.computing.feature_set import feature_schema
from features.models.bundle import load_value_model
from features.models.catalogue_needs import needs_of
from features.models.learned import LearnedFunction
from features.models.registry import MODEL_NAME, fetch_champion, find_champion, is_cold_start, mlflow_client
from features.models.schema_archive import keep_schema
from features.settings import Settings
from training.registry.promotion import fit_of, list_models, promote, rollback
from training.registry.promotion_ledger import Promotion, append, read_ledger
from training.registry.tracking import ModelRun, TrainingData, track_model

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEST = "ten-percent/email/plain"


pytestmark = pytest.mark.usefixtures("joined_once")

LIKES_NOTHING = {"ten-percent": -600.0, "double-stamps": -300.0, "free-coffee": -20.0, "opening-hours": -20.0}
LIKES_STAMPS = {"ten-percent": 0.0, "double-stamps": 300.0, "free-coffee": -20.0, "opening-hours": -20.0}
"""Worth 300 a decision, half as much as the shop's best message, which the other models choose."""


@pytest.fixture
def register(logged_home: Settings, value_bundle) -> Callable[..., str]:
    """Registers a model that is its own twin; gives its version.

    Args of the factory: effects of offers, metrics, whether it has a twin, other fields of the bundle.
    """
    catalogue = load_catalogue(logged_home.catalogue_path)
    shifts = iter(range(100))

    def call(
        effects: dict[str, float] | None = None,
        metrics: dict[str, float] | None = None,
        *,
        has_twin: bool = True,
        **changes: object,
    ) -> str:
        bundle = value_bundle(catalogue, shift=float(next(shifts)), notes={"best_constant": BEST})
        if effects is not None:
            bundle = replace(bundle, coding=replace(bundle.coding, offer_offsets=effects))
        bundle = replace(bundle, **changes)
        run = ModelRun(
            parameters={},
            metrics=metrics or {},
            data=TrainingData(name="log", digest="ab"),
            twin=bundle if has_twin else None,
        )
        return track_model(logged_home, bundle, run).version

    return call


def test_the_first_complete_model_becomes_champion_whatever_its_metrics(logged_home: Settings, register):
    register()
    entry = promote(logged_home, now=NOW, by="ops")
    assert (entry.version, entry.former, entry.reason, entry.has_changed) == (
        "1",
        None,
        "the first champion: compared with nothing",
        True,
    )
    assert fetch_champion(logged_home).version == "1"
    assert load_value_model(fetch_champion(logged_home).folder) is not None


def test_the_newest_version_is_promoted_unless_another_is_named(logged_home: Settings, register):
    for _ in range(3):
        register()
    assert promote(logged_home, now=NOW).version == "3"
    assert promote(logged_home, "1", now=NOW).version == "1"
    assert fetch_champion(logged_home).version == "1"


def test_a_candidate_that_may_be_worse_is_refused(logged_home: Settings, register):
    register()
    promote(logged_home, now=NOW)
    register(LIKES_STAMPS)  # clearly better than silence, and half as good as the champion
    with pytest.raises(
        InsufficientDataError, match=r"must be certain to lose no more than .* got -\d+.* \[-.*held-back customers"
    ):
        promote(logged_home, now=NOW)
    assert fetch_champion(logged_home).version == "1"
    refusal = read_ledger(logged_home)[-1]
    assert (refusal.action, refusal.version, refusal.former) == ("refuse", "2", "1")
    assert "must be certain to lose no more than" in refusal.reason


def test_a_refusal_keeps_the_numbers_and_is_no_step_to_go_back_to(logged_home: Settings, register):
    for _ in range(2):
        register(metrics={"held_back_value": 100.0, "rounds": 7.0})
        promote(logged_home, now=NOW)
    register(LIKES_STAMPS, metrics={"held_back_value": 60.0})
    with pytest.raises(InsufficientDataError):
        promote(logged_home, now=NOW)
    kept = read_ledger(logged_home)
    of_run = [(one.action, {name: one.numbers[name] for name in one.numbers if "gate" not in name}) for one in kept]
    assert of_run == [("promote", {"held_back_value": 100.0})] * 2 + [("refuse", {"held_back_value": 60.0})]
    assert kept[-1].numbers["gate_gain_lower"] < kept[-1].numbers["gate_gain"] < 0 == kept[-1].numbers["gate_parity"]
    assert {"gate_seconds_to_score", "gate_seconds_to_score_champion", "gate_harm_cases"} <= set(kept[-1].numbers)
    assert rollback(logged_home, now=NOW).version == "1"


def test_a_home_that_only_ever_refused_is_still_a_cold_start(logged_home: Settings, register):
    register(measure_id="clicked")
    with pytest.raises(InvalidInputError):
        promote(logged_home, now=NOW)
    assert len(read_ledger(logged_home)) == 1
    assert is_cold_start(logged_home)


def test_a_candidate_that_is_better_passes_and_the_reason_says_by_how_much(logged_home: Settings, register):
    register(LIKES_STAMPS)
    promote(logged_home, now=NOW)
    register()
    reason = promote(logged_home, now=NOW).reason
    assert reason.startswith("not worse than champion 1: +")
    assert "held-back customers; +" in reason
    assert "over silence, +0 [+0, +0] over the best single message" in reason


def test_a_candidate_worse_than_silence_is_refused(logged_home: Settings, register):
    register(LIKES_STAMPS)
    promote(logged_home, now=NOW)
    register(LIKES_NOTHING)
    with pytest.raises(InvalidInputError, match="must not be worse than the best single message"):
        promote(logged_home, now=NOW)


def test_if_a_change_has_a_cost_an_equal_candidate_is_refused(logged_home: Settings, register):
    learning = logged_home.catalogue_path / "catalogue.yaml"
    text = learning.read_text()
    assert "window_days: 7" in text
    learning.write_text(text.replace("window_days: 7", "window_days: 7, change_cost: 0.02"))
    register()
    promote(logged_home, now=NOW)
    register()
    with pytest.raises(InvalidInputError, match=r"better than champion 1 by more than a change costs \(2, learning"):
        promote(logged_home, now=NOW)


def test_a_first_champion_clearly_worse_than_a_rule_is_refused(logged_home: Settings, register):
    gain = "held_back_gain_over_best_single"
    register(metrics={gain: -9.0, f"{gain}_upper": -4.0})
    with pytest.raises(InvalidInputError, match=r"worse than the best single message, got -9 .* up to -4\)"):
        promote(logged_home, now=NOW)
    register(metrics={gain: 5.0, f"{gain}_upper": 9.0})
    assert promote(logged_home, now=NOW).reason == (
        "the first champion: +5 over the best single message on held-back customers"
    )


def test_a_first_champion_clearly_worse_than_the_log_is_refused_unless_forced(logged_home: Settings, register):
    """1,314 a decision, where the log earned 1,359 as it was drawn."""
    gain = "held_back_gain_over_log"
    register(metrics={gain: -45.0, f"{gain}_upper": -3.0, "held_back_gain_over_silence": 12.0})
    with pytest.raises(InvalidInputError, match=r"worse than the log as it was drawn, got -45 a decision.*up to -3\)"):
        promote(logged_home, now=NOW)
    assert promote(logged_home, now=NOW, force_reason="the old campaign ends").is_forced


def test_a_first_champion_that_no_estimate_speaks_for_is_refused(logged_home: Settings, register):
    names = ("held_back_gain_over_silence", "held_back_gain_over_best_single", "held_back_gain_over_log")
    below = dict.fromkeys(names, -4.0) | {f"{name}_upper": 9.0 for name in names}
    register(metrics=below)
    with pytest.raises(
        InsufficientDataError, match=r"no worse than one rule .* -4 over silence, .* -4 over the log as"
    ):
        promote(logged_home, now=NOW)
    register(metrics=below | {"held_back_gain_over_silence": 2.0})
    assert promote(logged_home, now=NOW).reason.startswith("the first champion: +2 over silence, -4 over the best")


def test_a_candidate_trained_by_an_earlier_version_must_be_trained_again(logged_home: Settings, register):
    register()
    promote(logged_home, now=NOW)
    register(has_twin=False)
    with pytest.raises(InsufficientDataError, match=r"it was trained by an earlier version.*train again, or overrule"):
        promote(logged_home, now=NOW)
    assert promote(logged_home, now=NOW, force_reason="as good as the old one").version == "2"


def test_a_champion_trained_by_an_earlier_version_is_compared_as_it_is(logged_home: Settings, register):
    register(LIKES_STAMPS, has_twin=False)
    promote(logged_home, now=NOW)
    register()
    assert "champion 1 learned from them, which flatters it" in promote(logged_home, now=NOW).reason


def test_without_a_log_the_comparison_is_unknown(logged_home: Settings, register):
    register()
    promote(logged_home, now=NOW)
    register()
    shutil.rmtree(logged_home.log_path)
    with pytest.raises(InsufficientDataError, match="log must hold what a comparison looks at"):
        promote(logged_home, now=NOW)


def test_a_model_of_another_window_is_not_compared(logged_home: Settings, register):
    register()
    promote(logged_home, now=NOW)
    register(window_days=30.0)
    with pytest.raises(
        InsufficientDataError, match=r"must have the champion's window_days \(7\) to be compared, got 30"
    ):
        promote(logged_home, now=NOW)


def test_force_with_a_reason_overrules_the_comparison_and_the_reason_is_kept(logged_home: Settings, register):
    register()
    promote(logged_home, now=NOW)
    register(LIKES_NOTHING)
    entry = promote(logged_home, now=NOW, force_reason="the old one saw last year's offers", by="ops")
    assert fetch_champion(logged_home).version == "2"
    assert read_ledger(logged_home)[-1] == entry
    assert (entry.is_forced, entry.reason, entry.by) == (True, "the old one saw last year's offers", "ops")
    with pytest.raises(InvalidInputError, match="a reason must be given"):
        promote(logged_home, "1", now=NOW, force_reason=" ")


@pytest.mark.parametrize("force_reason", [None, "I insist"])
def test_a_model_trained_on_other_features_is_refused_even_by_force(logged_home: Settings, register, force_reason):
    register(feature_schema="another")
    with pytest.raises(InvalidInputError, match="must share features with the catalogue in force"):
        promote(logged_home, now=NOW, force_reason=force_reason)


def test_a_model_of_another_measure_is_refused(logged_home: Settings, register):
    register(measure_id="clicked")
    with pytest.raises(InvalidInputError, match=r"must predict what the catalogue in force learns \(net_revenue\)"):
        promote(logged_home, now=NOW)


@pytest.mark.parametrize("force_reason", [None, "I insist"])
def test_a_damaged_model_is_refused_even_by_force(logged_home: Settings, register, force_reason):
    register()
    location = Path(mlflow_client(logged_home.tracking_uri).get_model_version_download_uri(MODEL_NAME, "1"))
    booster = location / "extra_files" / "booster.txt"
    booster.write_text(booster.read_text().replace("leaf_value=", "leaf_value=9", 1))
    with pytest.raises(ModelUnavailableError, match="changed or cut short"):
        promote(logged_home, now=NOW, force_reason=force_reason)


def test_a_model_of_a_measure_that_is_defined_otherwise_by_now_is_refused_and_what_is_in_force_stays(
    logged_home: Settings, register
):
    measure = load_catalogue(logged_home.catalogue_path).measures["net_revenue"]
    register(measure_definition=measure_definition(measure))
    assert promote(logged_home, now=NOW).version == "1"
    change_catalogue(logged_home, "cap: 100.00", "cap: 100.00, returns: {window_days: 20}")
    register(measure_definition=measure_definition(measure))
    for force_reason in (None, "hurry"):
        with pytest.raises(InvalidInputError, match=r"got net_revenue as it was defined before; train again"):
            promote(logged_home, now=NOW, force_reason=force_reason)
    catalogue = load_catalogue(logged_home.catalogue_path)
    fit = fit_of(logged_home, catalogue, find_champion(logged_home))
    assert any(
        "learned net_revenue as it was defined before" in one.words for one in needs_of(catalogue, built=None, fit=fit)
    )
    register(measure_definition=measure_definition(catalogue.measures["net_revenue"]))
    assert promote(logged_home, now=NOW, force_reason="another measure").version == "3"


def test_a_candidate_whose_compiled_scorer_is_off_is_refused_with_the_numbers(
    logged_home: Settings, register, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(2):
        register()
    promote(logged_home, "1", now=NOW)
    compiled = LearnedFunction.on
    monkeypatch.setattr(LearnedFunction, "on", lambda self, rows: lambda shared: compiled(self, rows)(shared) + 0.01)
    with pytest.raises(InvalidInputError, match=r"candidate 2 must score customers like its booster within 1e-09"):
        promote(logged_home, "2", now=NOW)
    refusal = read_ledger(logged_home)[-1]
    assert (refusal.action, refusal.version) == ("refuse", "2")
    assert refusal.numbers["gate_parity"] > 0.001
    assert {"gate_gain", "gate_seconds_to_score"} <= set(refusal.numbers)


def test_promoting_the_champion_again_changes_nothing(logged_home: Settings, register):
    register()
    promote(logged_home, now=NOW)
    shutil.rmtree(logged_home.models_path / fetch_champion(logged_home).folder.name)
    again = promote(logged_home, now=NOW)
    assert not again.has_changed
    assert len(read_ledger(logged_home)) == 1
    assert fetch_champion(logged_home).folder.is_dir()


def test_an_unknown_version_is_refused_by_name(logged_home: Settings, register):
    register()
    with pytest.raises(UnknownNameError, match="model version must be a known name, got '7'"):
        promote(logged_home, "7", now=NOW)


def test_without_a_trained_model_the_message_says_what_to_run(tmp_path: Path, logged_home: Settings):
    with pytest.raises(ModelUnavailableError, match="run `nextbest model train`"):
        promote(logged_home, now=NOW)
    nowhere = Settings(home=tmp_path / "h2", mlruns=tmp_path / "m2")
    with pytest.raises(ModelUnavailableError, match="run `nextbest model train`"):
        promote(nowhere, now=NOW)
    assert list_models(nowhere) == []
    assert not (tmp_path / "m2").exists()


def test_rollback_goes_back_step_by_step_and_says_when_there_is_no_earlier_champion(logged_home: Settings, register):
    for _ in range(3):
        register()
        promote(logged_home, now=NOW, force_reason="a rehearsal")
    assert rollback(logged_home, now=NOW, reason="complaints").version == "2"
    assert fetch_champion(logged_home).version == "2"
    assert rollback(logged_home, now=NOW).version == "1"
    with pytest.raises(InvalidInputError, match="must name a champion before version 1, got none"):
        rollback(logged_home, now=NOW)
    assert [(one.action, one.version, one.former) for one in read_ledger(logged_home)] == [
        ("promote", "1", None),
        ("promote", "2", "1"),
        ("promote", "3", "2"),
        ("rollback", "2", "3"),
        ("rollback", "1", "2"),
    ]


def change_catalogue(settings: Settings, old: str, new: str) -> None:
    path = settings.catalogue_path / "catalogue.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("customer_attributes:", "customer_attributes:\n  visits: {kind: number}"),
        ("less_than: 30", "less_than: 60"),
        ("learning: {measure: net_revenue", "learning: {measure: clicked"),
    ],
)
def test_rollback_works_after_the_catalogue_changed(logged_home: Settings, register, old: str, new: str):
    keep_schema(logged_home, feature_schema(load_catalogue(logged_home.catalogue_path)))
    for _ in range(2):
        register()
        promote(logged_home, now=NOW, force_reason="a rehearsal")
    change_catalogue(logged_home, old, new)

    assert rollback(logged_home, now=NOW).version == "1"
    assert fetch_champion(logged_home).version == "1"


def test_a_candidate_that_learned_before_an_attribute_was_declared_may_be_promoted(logged_home: Settings, register):
    keep_schema(logged_home, feature_schema(load_catalogue(logged_home.catalogue_path)))
    register()
    change_catalogue(logged_home, "customer_attributes:", "customer_attributes:\n  visits: {kind: number}")

    assert promote(logged_home, now=NOW).version == "1"


def test_rollback_after_a_rollback_and_a_promotion_finds_the_last_champion(logged_home: Settings, register):
    for _ in range(3):
        register()
        promote(logged_home, now=NOW, force_reason="a rehearsal")
    rollback(logged_home, now=NOW)
    rollback(logged_home, now=NOW)
    promote(logged_home, "3", now=NOW, force_reason="a rehearsal")
    assert rollback(logged_home, now=NOW).version == "1"


def test_rollback_needs_a_champion(logged_home: Settings, register):
    register()
    with pytest.raises(ModelUnavailableError, match="must have a champion to go back from"):
        rollback(logged_home, now=NOW)


def test_a_ledger_line_truncated_by_a_crash_is_skipped(logged_home: Settings):
    entry = Promotion(action="promote", version="1", former=None, at="2026", by="", reason="")
    append(logged_home, entry)
    with (logged_home.models_path / "promotions.jsonl").open("ab") as ledger:
        ledger.write(b'{"action": "prom\n')
    append(logged_home, entry)
    assert read_ledger(logged_home) == [entry, entry]


def test_the_list_shows_the_champion_and_the_metrics(logged_home: Settings, register):
    register(metrics={"held_back_value": 100.0})
    register(metrics={"held_back_value": 120.0})
    promote(logged_home, "1", now=NOW)
    newest, oldest = list_models(logged_home)
    assert (newest.version, newest.is_champion, newest.metrics["held_back_value"]) == ("2", False, 120)
    assert (oldest.version, oldest.is_champion, oldest.tags["measure"]) == ("1", True, "net_revenue")
