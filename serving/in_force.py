"""What decisions are made with at this moment: policy, feature schema and model that fit together, swapped as one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from decisioning.catalogue import Catalogue
from decisioning.errors import ModelUnavailableError
from decisioning.policy import Policy
from decisioning.scoring import FeatureVector, FloatArray
from decisioning.value_model import ValueModel
from features.catalogue.building import to_minor
from features.computing.definitions import feature_schema
from features.computing.feature_schema import FeatureSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One consistent set; a request takes it once and keeps it.

    Attributes:
        model: None where there is none that fits.
        model_problem: Why the newest model is not the one here; None where it is.
        message_columns: Message columns of the design matrix by touchpoint, shape (k + 1, m) each.
        nothing_known: A feature vector in which everything is missing.
    """

    policy: Policy
    schema: FeatureSchema
    model: ValueModel | None
    model_problem: str | None
    message_columns: Mapping[str, FloatArray] = field(default_factory=dict[str, FloatArray])
    nothing_known: FeatureVector

    @property
    def catalogue(self) -> Catalogue:
        """What marketers declared."""
        return self.policy.catalogue

    @property
    def per_major(self) -> float:
        """Minor units per major unit of the currency."""
        return to_minor(1.0, self.policy.catalogue.currency)


def put_in_force(
    catalogue: Catalogue, *, seed: str, model: ValueModel | None = None, model_problem: str | None = None
) -> InForce:
    """Compile a catalogue and check that a model fits it, down to a trial score for every touchpoint.

    A model that does not fit is left out, and `model_problem` says why: decisions then go by declared values.

    Args:
        catalogue: The catalogue.
        seed: Seed of the draws.
        model: The model to use.
        model_problem: Why there is no model, where there is none.

    Raises:
        InvalidPolicyError: The catalogue cannot be compiled.
    """
    policy, schema = Policy(catalogue, seed), feature_schema(catalogue)
    nothing_known = FeatureVector(
        names=schema.names,
        values=np.full(len(schema.names), np.nan),
        ages_seconds={group.name: None for group in schema.groups},
        schema=schema.fingerprint,
    )
    columns: dict[str, FloatArray] = {}
    if model is not None:
        try:
            columns = _trial(policy, schema, model)
        except ModelUnavailableError as error:
            model, model_problem = None, str(error)
    return InForce(
        policy=policy,
        schema=schema,
        model=model,
        model_problem=model_problem,
        message_columns=columns,
        nothing_known=nothing_known,
    )


def _trial(policy: Policy, schema: FeatureSchema, model: ValueModel) -> dict[str, FloatArray]:
    """Message columns of every touchpoint, once the model has shown that it can score them."""
    if model.feature_schema != schema.fingerprint:
        raise ModelUnavailableError(
            f"model {model.version} must be trained on the feature schema of the catalogue in force"
            f" ({schema.fingerprint}), got {model.feature_schema}; build features and train again"
        )
    columns = {name: model.messages(policy.candidates(name)) for name in policy.catalogue.touchpoints}
    for name, messages in columns.items():
        width = len(model.layout.customer) + len(model.layout.context)
        matrix = np.full((messages.shape[0], messages.shape[1] + width), np.nan)
        matrix[:, len(model.layout.customer) : len(model.layout.customer) + messages.shape[1]] = messages
        if not np.isfinite(model.expected_values(matrix)).all():
            raise ModelUnavailableError(f"model {model.version} must give finite values, got others for {name}")
    return columns
