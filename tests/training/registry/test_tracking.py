"""What a training run leaves in MLflow: a real store, a real registry, and nothing else."""

from dataclasses import replace
from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import orjson
import pytest

from decisioning.errors import InvalidInputError, UnavailableError
from features.catalogue import load_catalogue
from features.models.bundle import read_bundle
from features.models.registry import MODEL_NAME, mlflow_client
from features.settings import Settings
from training.registry.tracking import EXPERIMENT, ModelRun, TrainingData, track_model, tracking


@pytest.fixture
def bundle(model_home, value_bundle):
    return value_bundle(load_catalogue(model_home.catalogue_path))


@pytest.fixture
def run(tmp_path: Path, bundle) -> ModelRun:
    plot = tmp_path / "calibration.png"
    plot.write_bytes(b"\x89PNG not really")
    return ModelRun(
        parameters={"rounds": 20, "objective": "regression"},
        metrics={"validation_value": 12.5},
        data=TrainingData(name="decision log", digest="ab" * 32, description={"decisions": "1600"}),
        tags={"training_window": "2026-09-06/2026-11-01"},
        input_example=np.zeros((2, len(bundle.layout.columns))),
        plots=(plot,),
    )


def test_a_run_stores_everything_known_about_a_model(model_home: Settings, bundle, run: ModelRun):
    tracked = track_model(model_home, bundle, run)
    client = mlflow_client(model_home.tracking_uri)
    found = client.get_run(tracked.run_id)
    assert client.get_experiment(found.info.experiment_id).name == EXPERIMENT
    assert found.info.status == "FINISHED"
    assert found.data.params == {"rounds": "20", "objective": "regression"}
    assert found.data.metrics["validation_value"] == 12.5
    (data,) = found.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("decision log", ("ab" * 32)[:36])
    assert "1600" in data.dataset.source
    assert [one.path for one in client.list_artifacts(tracked.run_id, "plots")] == ["plots/calibration.png"]
    assert str(model_home.mlruns / "artifacts") in found.info.artifact_uri


def test_a_registered_version_is_tagged_with_its_origin(model_home: Settings, bundle, run: ModelRun):
    tracked = track_model(model_home, bundle, run)
    assert tracked.version == "1"
    tags = mlflow_client(model_home.tracking_uri).get_model_version(MODEL_NAME, "1").tags
    assert tags == {
        "bundle_digest": bundle.digest,
        "catalogue_version": bundle.catalogue_version,
        "feature_schema": bundle.feature_schema,
        "measure": "net_revenue",
        "training_window": "2026-09-06/2026-11-01",
        "window_days": "7",
    }


def test_the_stored_model_is_text_and_scores_like_the_bundle(model_home: Settings, bundle, run: ModelRun):
    track_model(model_home, bundle, run)
    client = mlflow_client(model_home.tracking_uri)
    folder = Path(client.get_model_version_download_uri(MODEL_NAME, "1"))
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".skops", ".cloudpickle"}]
    assert "lightgbm==" in (folder / "requirements.txt").read_text()
    assert read_bundle(folder / "extra_files").digest == bundle.digest
    rows = np.random.default_rng(1).normal(size=(5, len(bundle.layout.columns)))
    stored = lightgbm.Booster(model_file=folder / "model.lgb").predict(rows, num_threads=1)
    np.testing.assert_array_equal(stored, lightgbm.Booster(model_str=bundle.booster).predict(rows, num_threads=1))
    described = mlflow.models.Model.load(str(folder))
    assert described.signature is not None
    assert [one.name for one in described.signature.inputs] == list(bundle.layout.columns)
    example = orjson.loads((folder / "input_example.json").read_bytes())
    assert example["columns"] == list(bundle.layout.columns)


def test_every_run_registers_a_new_version(model_home: Settings, bundle, run: ModelRun, value_bundle):
    track_model(model_home, bundle, run)
    other = value_bundle(load_catalogue(model_home.catalogue_path), shift=5.0)
    assert track_model(model_home, other, run).version == "2"


def test_mlflow_keeps_its_previous_tracking_uri(model_home: Settings):
    before = mlflow.get_tracking_uri()
    with tracking(model_home):
        assert mlflow.get_tracking_uri() == model_home.tracking_uri
    assert mlflow.get_tracking_uri() == before


def test_a_missing_plot_is_refused_before_anything_is_logged(model_home: Settings, bundle, run: ModelRun):
    with pytest.raises(InvalidInputError, match="plots and tables must be files"):
        track_model(model_home, bundle, replace(run, plots=(Path("nowhere.png"),)))
    assert mlflow_client(model_home.tracking_uri).get_experiment_by_name(EXPERIMENT) is None


def test_an_example_of_another_width_is_refused(model_home: Settings, bundle, run: ModelRun):
    with pytest.raises(InvalidInputError, match="input_example must have shape"):
        track_model(model_home, bundle, replace(run, input_example=np.zeros((2, 3))))


def test_an_unusable_store_is_reported_as_unavailable(tmp_path: Path, bundle, run: ModelRun):
    (tmp_path / "file").write_text("no folder")
    settings = Settings(home=tmp_path / "h", mlruns=tmp_path / "file")
    with pytest.raises(UnavailableError, match="MLflow must take what is logged"):
        track_model(settings, bundle, run)
