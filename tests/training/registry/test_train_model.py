"""One training run on real parts: Delta log, Feast, LightGBM, MLflow; then as a command."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
import typer

from decisioning.catalogue.catalogue import Catalogue, LearningMethod
from decisioning.errors import FeatureUnavailableError, InsufficientDataError, InvalidInputError
from features.catalogue import load_catalogue
from features.computing.compute import compute_features
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, UTC_TIME
from features.log.event_log import EventLog
from features.models.registry import mlflow_client
from features.settings import Settings
from features.store.builder import build_features
from features.store.point_in_time import training_rows
from pipelines.commands import model
from pipelines.reports.model_report import print_model
from training.data.datasets import matrix_of
from training.judgement import from_log
from training.judgement.from_log import load_dataset
from training.judgement.uplift import UPLIFT_REPORTS
from training.models.contestants import CONTESTANTS
from training.registry.model_facts import show_model
from training.registry.promotion import promote
from training.registry.training_run import TrainReport, train_model
from training.residuals.base import with_residual_base
from training.residuals.updating import Base

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"


def make_home(path: Path, store: Path, shop, *, decisions: pl.DataFrame | None = None, build: bool = True) -> Settings:
    settings = Settings(home=path / "home", mlruns=path / "mlruns")
    settings.mlruns.mkdir(parents=True)
    shutil.copyfile(store, settings.mlruns / "mlflow.db")
    shutil.copytree(SHOP, settings.catalogue_path)
    log = EventLog(settings.log_path)
    tables = (
        (CUSTOMERS, shop.customers),
        (EVENTS, shop.events),
        (DECISIONS, shop.decisions if decisions is None else decisions),
        (OUTCOMES, shop.outcomes),
    )
    for table, rows in tables:
        log.append(table, rows)
    if build:
        build_features(settings, load_catalogue(settings.catalogue_path), NOW, lambda done, total: None)
    return settings


@pytest.fixture(scope="module")
def home(shop, blank_tracking_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_home(tmp_path_factory.mktemp("training"), blank_tracking_store, shop)


@pytest.fixture(scope="module")
def report(home: Settings) -> TrainReport:
    return train_model(home, now=NOW)


def test_a_run_recovers_the_effects_the_shop_was_made_with(report: TrainReport, shop):
    assert (report.decisions, report.customers, report.messages) == (1600, 200, 4)
    assert report.best_constant == "ten-percent/email/plain"
    assert report.metrics["effect.ten-percent.email.plain"] == pytest.approx(shop.effects_minor["ten-percent"], abs=300)
    assert report.metrics["validation_value_lower"] < report.metrics["validation_value"]
    assert report.is_randomised


def test_thirty_decisions_give_a_champion_without_a_comparison(shop, blank_tracking_store: Path, tmp_path: Path):
    few = shop.decisions.unique("customer_id", keep="first", maintain_order=True).head(30)
    home = make_home(tmp_path, blank_tracking_store, shop, decisions=few)
    report = train_model(home, now=NOW)
    assert (report.decisions, report.is_randomised) == (30, True)
    assert report.notes[0].startswith("learned from 30 decisions: only the average effect of each message is believed")
    assert any("compared with nothing: that takes 30 customers" in note for note in report.notes)
    assert promote(home, now=NOW, by="ops").reason == "the first champion: compared with nothing"


def test_the_run_is_stored_completely_in_mlflow(report: TrainReport, home: Settings):
    client = mlflow_client(home.tracking_uri)
    run = client.get_run(report.run_id)
    assert run.data.metrics["validation_value"] == pytest.approx(report.metrics["validation_value"])
    assert run.data.params["objective"] == "tweedie"
    assert run.inputs.dataset_inputs[0].dataset.digest == load_digest(home)[:36]
    assert {one.path for one in client.list_artifacts(report.run_id, "plots")} == {
        "plots/calibration.png",
        "plots/importance.png",
        "plots/net_gain.png",
        "plots/qini.png",
        "plots/uplift_calibration.png",
        "plots/uplift_deciles.png",
    }
    assert {one.path for one in client.list_artifacts(report.run_id, "tables")} == {
        "tables/uplift.json",
        "tables/uplift_curves.csv",
        "tables/uplift_deciles.csv",
        "tables/uplift_figures.csv",
    }
    version = client.get_model_version("nextbest-message-value", report.version)
    assert version.tags["train_window"].startswith("2026-09-06")
    assert version.tags["is_randomised"] == "true"


def test_the_uplift_of_a_run_is_about_held_back_customers_and_agrees_with_the_gain_curve(report, home: Settings):
    whole = client_artifact(home, report.run_id, "tables/uplift.json")
    found = UPLIFT_REPORTS.validate_json(whole.read_bytes())
    assert found.customers == report.metrics["held_back_customers"] < report.customers
    assert found.incumbent is None
    assert found.model.qini.value == report.metrics["uplift_qini"]
    assert found.constant is not None
    curves = pl.read_csv(whole.parent / "uplift_curves.csv")
    assert curves.columns[:4] == ["policy", "curve", "share_contacted", "per_decision"]
    assert set(curves["curve"]) == {"gain", "net gain"}


def test_the_second_run_is_compared_with_the_champion(report: TrainReport, home: Settings):
    promote(home, report.version, now=NOW, by="ops", force_reason="to have a champion")
    again = train_model(home, now=NOW)
    found = UPLIFT_REPORTS.validate_json(client_artifact(home, again.run_id, "tables/uplift.json").read_bytes())
    assert found.incumbent is not None
    assert found.incumbent.version == report.version
    assert again.metrics["uplift_qini_over_champion"] == 0.0  # learned from the same log, so it is the same model


def client_artifact(home: Settings, run_id: str, path: str) -> Path:
    client = mlflow_client(home.tracking_uri)
    return Path(client.download_artifacts(run_id, path.rpartition("/")[0])) / path.rpartition("/")[2]


def load_digest(home: Settings) -> str:
    return load_dataset(home, load_catalogue(home.catalogue_path), now=NOW).digest


def test_training_features_are_those_at_the_time_of_the_decision(home: Settings, shop):
    catalogue = load_catalogue(home.catalogue_path)
    dataset = load_dataset(home, catalogue, now=NOW)
    history = History.from_log(EventLog(home.log_path))
    anchors = dataset.decisions.select("customer_id", pl.col("decided_at").alias("at"))
    direct = matrix_of(compute_features(history, anchors, catalogue), dataset.feature_names)
    np.testing.assert_array_equal(dataset.features, direct)


def test_a_log_without_probabilities_trains_and_says_what_that_means(shop, blank_tracking_store: Path, tmp_path: Path):
    unsaid = shop.decisions.with_columns(action_probability=pl.lit(None, dtype=pl.Float64))
    report = train_model(make_home(tmp_path, blank_tracking_store, shop, decisions=unsaid), now=NOW)
    assert not report.is_randomised
    assert not any(name.startswith("validation") for name in report.metrics)
    assert any("does not say how probable its choices were" in note for note in report.notes)


def test_an_empty_log_is_refused(model_home: Settings, shop_catalogue: Catalogue):
    with pytest.raises((InsufficientDataError, FeatureUnavailableError)):
        train_model(model_home, now=NOW)


def test_training_without_built_features_says_to_build_them(shop, blank_tracking_store: Path, tmp_path: Path):
    home = make_home(tmp_path, blank_tracking_store, shop, build=False)
    with pytest.raises(FeatureUnavailableError, match="features build"):
        train_model(home, now=NOW)


def test_the_command_prints_one_object(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    printed = trained_by_command(home, monkeypatch, capfd)
    assert printed["decisions"] == 1600
    assert int(printed["version"]) >= 1


def test_other_learners_take_part_on_request_and_the_table_is_kept_and_shown(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    for name in set(CONTESTANTS) - {"T-learner"}:
        monkeypatch.delitem(CONTESTANTS, name)
    printed = trained_by_command(home, monkeypatch, capfd, "--contest", "wide")
    assert any("of 1 other learners the T-learner does best" in note for note in printed["notes"])
    facts = show_model(home, printed["version"])
    assert [one["learner"] for one in facts.contest] == ["usual", "T-learner"]
    assert facts.settings["learner"] in {"usual", "T-learner"}
    print_model(facts)
    assert "T-learner" in capfd.readouterr().out
    table = pl.read_csv(client_artifact(home, printed["run_id"], "tables/contest.csv"))
    assert table["value"].to_list() == [one["value"] for one in facts.contest]


def trained_by_command(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *options: str
) -> dict[str, Any]:
    monkeypatch.setenv("NEXTBEST_MLRUNS", str(home.mlruns))
    app = typer.Typer()
    app.add_typer(model.app)
    app(["model", "train", "--home", str(home.home), "--json", *options], standalone_mode=False)
    told = capfd.readouterr()  # stdout of the whole process: libraries write there too
    assert "Traceback" not in told.err
    return orjson.loads(told.out)


def test_a_commit_that_lands_while_a_training_set_is_made_is_in_no_part_of_it(
    shop, blank_tracking_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = make_home(tmp_path, blank_tracking_store, shop)
    catalogue = by_steps(load_catalogue(home.catalogue_path))
    before = from_log.load_training_set(home, catalogue, now=NOW)

    def join_while_others_write(settings: Settings, *asked: object) -> pl.DataFrame:
        EventLog(settings.log_path).append(EVENTS, purchases_after(shop.decisions))
        return training_rows(settings, *asked)

    monkeypatch.setattr(from_log, "training_rows", join_while_others_write)
    meanwhile = from_log.load_training_set(home, catalogue, now=NOW)
    afterwards = from_log.load_training_set(home, catalogue, now=NOW)
    assert meanwhile.dataset.digest == before.dataset.digest
    np.testing.assert_array_equal(meanwhile.steps.early, before.steps.early)
    assert meanwhile.log.versions == before.log.versions
    assert afterwards.log.versions["events"] == before.log.versions["events"] + 1
    assert afterwards.dataset.digest != before.dataset.digest


def test_a_model_learned_by_steps_notes_what_residuals_on_top_of_it_start_from(
    shop, blank_tracking_store: Path, tmp_path: Path
):
    home = make_home(tmp_path, blank_tracking_store, shop)
    catalogue = by_steps(load_catalogue(home.catalogue_path))
    found = from_log.load_training_set(home, catalogue, now=NOW)
    learned = from_log.learn_by_method(found.dataset, found.steps, catalogue)
    base = Base.of(with_residual_base(learned, found.log, catalogue, now=NOW).bundle)
    assert base is not None
    assert base.priors.of_new >= base.priors.usual > 0
    assert base.noise > 0
    assert set(base.priors.known) == set(found.dataset.keys[1:])
    assert base.arrivals.share("email", np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


def by_steps(catalogue: Catalogue) -> Catalogue:
    return replace(catalogue, learning=replace(catalogue.learning, method=LearningMethod.STEPS))


def purchases_after(decisions: pl.DataFrame) -> pl.DataFrame:
    return decisions.select(
        "customer_id",
        event_id=pl.format("late-{}", "decision_id"),
        type=pl.lit("purchase"),
        occurred_at=pl.col("decided_at") + pl.duration(hours=1),
        amount_minor=pl.lit(1_000),
        currency=pl.lit("EUR"),
    )


def test_a_version_says_which_log_it_learned_from_and_how_much_of_it(shop, blank_tracking_store: Path, tmp_path: Path):
    made = pl.when(pl.int_range(pl.len()) < 100).then(pl.lit("{}")).alias("record")
    strange = pl.when(pl.int_range(pl.len()) % 160 == 0).then(pl.lit("gone")).otherwise("offer_id").alias("offer_id")
    home = make_home(tmp_path, blank_tracking_store, shop, decisions=shop.decisions.with_columns(made, strange))
    report = train_model(home, now=NOW)
    shown = show_model(home, report.version).data
    assert shown["own_decisions"] == "99 of 100 in the log"
    assert shown["imported_decisions"] == "1491 of 1500 in the log"
    assert shown["left out: message not in the catalogue"] == "10"
    assert shown["log_version"] == "customers@1, decisions@1, events@1, outcomes@1"
    assert shown["digest"] == load_digest(home)
    version = mlflow_client(home.tracking_uri).get_model_version("nextbest-message-value", report.version)
    assert version.tags["log_version"] == shown["log_version"]
    assert version.tags["dataset_digest"] == shown["digest"]


def test_attributes_known_only_after_the_decisions_are_refused_by_name(
    shop, blank_tracking_store: Path, tmp_path: Path
):
    of_export = shop.customers.with_columns(updated_at=pl.lit(NOW - timedelta(hours=1)).cast(UTC_TIME))
    home = make_home(tmp_path, blank_tracking_store, replace(shop, customers=of_export))
    with pytest.raises(InvalidInputError, match=r"attributes must be known before .*age.* known only afterwards"):
        train_model(home, now=NOW)


def test_an_attribute_that_is_new_is_not_refused(shop, blank_tracking_store: Path, tmp_path: Path):
    newer = shop.customers.with_columns(updated_at=pl.lit(NOW - timedelta(hours=1)).cast(UTC_TIME))
    older = shop.customers.with_columns(attributes=pl.lit(None, dtype=pl.String))
    home = make_home(tmp_path, blank_tracking_store, replace(shop, customers=pl.concat([older, newer])))
    assert load_dataset(home, load_catalogue(home.catalogue_path), now=NOW).size == 1600
