"""A finished model in MLflow: one run with all that is known of it, and one registered version.

A registered version holds LightGBM's own text form of the booster (`model.lgb`, which MLflow's tools load; it is the
learned function `f` alone) and beside it, in `extra_files/`, the bundle that decisions are made with: the same booster
and every other number, under one digest. Nothing is pickled and nothing of any customer is stored.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from decisioning.arrays import FloatArray
from decisioning.errors import InvalidInputError, UnavailableError
from features.models.bundle import BOOSTER_FILE, MODEL_FILE, ModelBundle, read_bundle, write_bundle
from features.models.registry import (
    DIGEST_TAG,
    MODEL_NAME,
    find_champion,
    mlflow_client,
    quiet_mlflow,
    registry_is_made,
)
from features.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "nextbest-training"
ARTIFACT = "model"
TWIN_FOLDER = "twin"
TABLES_FOLDER = "tables"
CATALOGUE_TAG = "catalogue_version"
DEFINITION_TAG = "measure_definition"

_SQLITE = "sqlite:///"
_LONGEST_DIGEST = 36  # MLflow's limit
_REQUIREMENTS = ("lightgbm", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a model learned from, without the rows themselves.

    Attributes:
        name: Name, such as `decision log`.
        digest: Hash of its content; MLflow keeps the first 36 signs.
        description: What it is, for people: rows, customers, first and last decision.
    """

    name: str
    digest: str
    description: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRun:
    """What is logged beside a model.

    Attributes:
        metrics: What was measured; `training.registry.promotion` names those that a promotion looks at.
        tags: Anything that a registered version should say of itself: training window, data cut.
        input_example: shape (r, p), rows of the design matrix, made up: never a customer's.
        plots: Files to keep below `plots/`.
        tables: Files to keep below `tables/`.
        twin: The model trained without the held-back customers, for comparisons; kept below `twin/`, never served.
    """

    parameters: Mapping[str, str | float | int]
    metrics: Mapping[str, float]
    data: TrainingData
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    input_example: FloatArray | None = None
    plots: tuple[Path, ...] = ()
    tables: tuple[Path, ...] = ()
    twin: ModelBundle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedModel:
    """A registered version, and the run that made it."""

    version: str
    run_id: str


def track_model(settings: Settings, bundle: ModelBundle, run: ModelRun) -> TrackedModel:
    """Log a model and all that is known of it, and register it as a new version. It decides nothing until promoted.

    Raises:
        InvalidInputError: A plot that is not there, an example of another width, or a booster of another width.
        UnavailableError: The tracking store is away or refuses.
    """
    _check(bundle, run)
    with tracking(settings) as client:
        import mlflow

        experiment_id = _experiment(settings, client)
        tags = {**run.tags, **_bundle_tags(bundle)}
        with mlflow.start_run(experiment_id=experiment_id, tags=tags) as active:
            _log_run(run)
            version = _log_model(bundle, run, tags)
    return TrackedModel(version=version, run_id=active.info.run_id)


def find_trained(settings: Settings, tags: Mapping[str, str]) -> TrackedModel | None:
    """The champion if it has all these tags, else the newest registered version that has; None where there is none.

    Raises:
        UnavailableError: The tracking store is away.
    """
    if not registry_is_made(settings):
        return None
    with tracking(settings) as client:
        found = client.search_model_versions(f"name='{MODEL_NAME}'")
        alike = [one for one in found if tags.items() <= one.tags.items()]
        champion = find_champion(settings)
        of_champion = [one for one in alike if champion is not None and str(one.version) == champion.version]
        found = max(of_champion or alike, key=lambda one: int(one.version), default=None)
    return None if found is None else TrackedModel(version=str(found.version), run_id=found.run_id or "")


def twin_of(client: "MlflowClient", run_id: str | None) -> ModelBundle | None:
    """The twin that a run kept, trained without the held-back customers; None where it kept none.

    Raises:
        ModelUnavailableError: Its files are damaged.
    """
    if not run_id or not any(one.path == TWIN_FOLDER for one in client.list_artifacts(run_id)):
        return None
    with TemporaryDirectory(prefix="nextbest-twin-") as scratch:
        return read_bundle(Path(client.download_artifacts(run_id, TWIN_FOLDER, scratch)))


@contextmanager
def tracking(settings: Settings) -> Iterator["MlflowClient"]:
    """MLflow pointed at the tracking store in force, and back where it pointed before at the end.

    Raises:
        UnavailableError: The store is away or refuses.
    """
    uri = settings.tracking_uri
    quiet_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SADeprecationWarning, SQLAlchemyError

    former, former_registry = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    try:
        if uri.startswith(_SQLITE):
            Path(uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        with warnings.catch_warnings():  # what MLflow's own libraries say to MLflow
            warnings.filterwarnings("ignore", category=SADeprecationWarning)
            yield mlflow_client(uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UnavailableError(
            f"MLflow must take what is logged, got {type(error).__name__}: {str(error).splitlines()[0]};"
            " check that the tracking store can be reached and written"
        ) from error
    finally:
        mlflow.set_tracking_uri(former)
        mlflow.set_registry_uri(former_registry)


def _check(bundle: ModelBundle, run: ModelRun) -> None:
    missing = [path for path in (*run.plots, *run.tables) if not path.is_file()]
    if missing:
        raise InvalidInputError(f"plots and tables must be files, got {missing[0]}, which is none")
    width = len(bundle.layout.columns)
    if run.input_example is not None and (run.input_example.ndim, run.input_example.shape[-1]) != (2, width):
        raise InvalidInputError(f"input_example must have shape (r, {width}), got {run.input_example.shape}")


def _experiment(settings: Settings, client: "MlflowClient") -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    is_local = settings.tracking_uri.startswith(_SQLITE)
    location = str(settings.mlruns.resolve() / "artifacts") if is_local else None  # a server has a place of its own
    return client.create_experiment(EXPERIMENT, artifact_location=location)


def _log_run(run: ModelRun) -> None:
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    mlflow.log_params(dict(run.parameters))
    mlflow.log_metrics(dict(run.metrics))
    source = CodeDatasetSource(tags=dict(run.data.description))
    data = MetaDataset(source, name=run.data.name, digest=run.data.digest[:_LONGEST_DIGEST])
    mlflow.log_input(data, context="training")
    for plot in run.plots:
        mlflow.log_artifact(str(plot), "plots")
    for table in run.tables:
        mlflow.log_artifact(str(table), TABLES_FOLDER)
    if run.twin is not None:
        with TemporaryDirectory(prefix="nextbest-twin-") as scratch:
            write_bundle(run.twin, Path(scratch))
            mlflow.log_artifacts(scratch, TWIN_FOLDER)


def _log_model(bundle: ModelBundle, run: ModelRun, tags: Mapping[str, str]) -> str:
    """Log and register; gives the version, which gets the tags."""
    import lightgbm
    from mlflow import lightgbm as mlflow_lightgbm

    booster = lightgbm.Booster(model_str=bundle.booster)
    with TemporaryDirectory(prefix="nextbest-") as scratch:
        write_bundle(bundle, Path(scratch))
        logged = mlflow_lightgbm.log_model(
            booster,
            name=ARTIFACT,
            signature=_signature(bundle),
            input_example=_example(bundle, run),
            extra_files=[str(Path(scratch) / name) for name in (BOOSTER_FILE, MODEL_FILE)],
            pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
            registered_model_name=MODEL_NAME,
            metadata=_bundle_tags(bundle),
            tags=dict(tags),
        )
    return str(logged.registered_model_version)


def _signature(bundle: ModelBundle) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    columns = [ColSpec("double", name, required=False) for name in bundle.layout.columns]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double")]))  # pyright: ignore[reportArgumentType]


def _example(bundle: ModelBundle, run: ModelRun) -> Any:
    import pandas as pd

    if run.input_example is None:
        return None
    return pd.DataFrame(run.input_example, columns=list(bundle.layout.columns))  # pyright: ignore[reportArgumentType]


def _bundle_tags(bundle: ModelBundle) -> dict[str, str]:
    return {
        DIGEST_TAG: bundle.digest,
        "feature_schema": bundle.feature_schema,
        CATALOGUE_TAG: bundle.catalogue_version,
        "measure": bundle.measure_id,
        "window_days": f"{bundle.window_days:g}",
        **({DEFINITION_TAG: bundle.measure_definition} if bundle.measure_definition else {}),
    }
