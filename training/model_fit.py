"""Does a model fit the catalogue in force?"""

from datetime import UTC, datetime

import numpy as np

from decisioning.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy
from decisioning.scoring import FeatureVector
from decisioning.value_model import ValueModel, score
from features.computing.definitions import feature_schema

_ANY_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def check_model_fit(model: ValueModel, catalogue: Catalogue) -> None:
    """Let a model score every touchpoint of a catalogue, for a customer of whom nothing is known.

    Raises:
        InvalidInputError: It was trained on other features, for another measure, or gives no finite value.
    """
    schema, learning = feature_schema(catalogue), catalogue.learning
    if model.feature_schema != schema.fingerprint:
        raise InvalidInputError(
            f"model version {model.version} must be trained on the features of the catalogue in force"
            f" ({schema.fingerprint}), got {model.feature_schema}; run `nextbest features build` and train again"
        )
    if learning is None or learning.measure_id != model.measure_id:
        raise InvalidInputError(
            f"model version {model.version} must predict what the catalogue in force learns"
            f" ({learning.measure_id if learning else 'nothing'}), got {model.measure_id}; train again"
        )
    policy = Policy(catalogue)
    nothing = np.full(len(schema.names), np.nan)
    features = FeatureVector(names=schema.names, values=nothing, ages_seconds={}, schema=schema.fingerprint)
    for touchpoint_id in catalogue.touchpoints:
        values = score(model, model.messages(policy.candidates(touchpoint_id)), features, _ANY_MOMENT)
        if not np.isfinite(values).all():
            raise InvalidInputError(
                f"model version {model.version} must give finite values, got others for {touchpoint_id}; train again"
            )
