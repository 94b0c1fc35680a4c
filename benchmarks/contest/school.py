"""Models for the compared policies, trained on a history."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import lightgbm
import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.effects.message_coding import MessageCoding
from decisioning.value_model import Calibrator, DesignLayout
from features.catalogue import load_catalogue
from features.computing.feature_set import feature_schema
from features.importing.folder import import_folder
from features.models.bundle import ModelBundle, write_bundle
from features.models.registry import fetch_champion
from features.progress import OnStep
from features.settings import Settings
from features.store.builder import build_features
from pipelines.simulation.policies.policies import learning_acceptance
from training.judgement.from_log import load_dataset
from training.models.boosting import designs, message_table
from training.models.cross_predictions import IngredientSettings
from training.registry.promotion import promote
from training.registry.training_run import train_model

PROPENSITY_FOLDER = "propensity"

_PROPENSITY_TREES = 100


def school(folder: Path, home: Path, *, now: datetime, on_progress: OnStep = lambda _what: None) -> Path:
    """Learn from a folder of canonical tables as a user would: import, features, training, promotion.

    The propensity model goes to `PROPENSITY_FOLDER` in the home.

    Args:
        folder: A history, as `nextbest world write` writes it.
        home: A new folder for log, features and models.
        now: The moment up to which data counts (aware, UTC).
        on_progress: Called with the name of each step.

    Returns:
        Folder of the engine's model.

    Raises:
        InsufficientDataError: Too little history.
    """
    settings = Settings(home=home, mlruns=home / "mlruns")
    on_progress("import")
    import_folder(folder, settings, now=now)
    catalogue = load_catalogue(settings.catalogue_path)
    on_progress("features")
    build_features(settings, catalogue, now)
    on_progress("training")
    train_model(settings, now=now)
    promote(settings, now=now, by="world")
    on_progress("propensity")
    write_bundle(learn_propensity(settings, catalogue, now=now), home / PROPENSITY_FOLDER)
    return fetch_champion(settings).folder


def learn_propensity(settings: Settings, catalogue: Catalogue, *, now: datetime) -> ModelBundle:
    """P(accepted | customer, message) from the messages in the log, by one booster, as in many campaign tools.

    Args:
        settings: Where log and features are.
        catalogue: Declares the messages; its window is the time allowed for a response.
        now: Decisions whose window ends later are left out (aware, UTC).
    """
    asking, learning = learning_acceptance(catalogue)
    dataset = load_dataset(settings, asking, now=now)
    sent = dataset.take(dataset.actions > 0)
    coding = MessageCoding(
        offer_kinds=catalogue.offer_kinds,
        channels=tuple(sorted(catalogue.channels)),
        attributes=catalogue.offer_attributes,
    )
    table = message_table(coding, sent)
    parameters = IngredientSettings(objective="binary").parameters()
    data = lightgbm.Dataset(designs(sent, table, sent.actions), sent.values, params=parameters)
    booster = lightgbm.train(parameters, data, num_boost_round=_PROPENSITY_TREES)
    return ModelBundle(
        booster=booster.model_to_string(),
        layout=DesignLayout(customer=dataset.feature_names, message=coding.columns),
        coding=replace(coding, offsets={message.key: 0.0 for message in dataset.messages}),
        calibrator=_as_it_is(table),
        feature_schema=feature_schema(catalogue).fingerprint,
        catalogue_version=catalogue.version,
        measure_id=learning.measure_id,
        window_days=learning.window_days,
    )


def _as_it_is(table: FloatArray) -> Calibrator:
    """A calibrator that passes the booster's output through."""
    return Calibrator(
        baseline_intercept=0.0,
        baseline_slope=1.0,
        common_slope=1.0,
        specific_slope=1.0,
        reference=table[:0],
        reference_weights=np.zeros(0),
    )
